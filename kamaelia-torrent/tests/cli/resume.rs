//! Interruptions of every kind, and going on after them.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use crate::run::*;
use crate::support;

/// Downloads half from a slow seed, then hands over to whoever stops it. Answers what was verified.
fn half_way(place: &Place, torrent: &support::TestTorrent) -> (Running, SlowSeed, u64) {
    let total = torrent.metainfo.geometry().total_len();
    let slow = SlowSeed::new(torrent, total / 2 / 16_384);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut get = Running::start(place.get(&file, "d", &["--peer", &slow.text(), "--sequential"]));
    let half = get.wait("half of it", |o| o["verified"].as_u64() >= Some(total / 2 - 200_000));
    (get, slow, half["verified"].as_u64().unwrap())
}

/// Runs again and asserts that only the rest is fetched.
fn go_on(place: &Place, torrent: &support::TestTorrent, slow: &SlowSeed, verified: u64) {
    slow.allow(u64::MAX >> 1);
    let output = run(place.get(&place.text("f.torrent"), "d", &["--peer", &slow.text(), "--json"]));
    assert_code(&output, 0);
    let seen = objects(&stdout(&output));
    let (downloaded, total) =
        (only(&seen, "complete")["downloaded"].as_u64().unwrap(), torrent.metainfo.geometry().total_len());
    // A piece or two that were in the making, and what was asked twice at the end.
    assert!(downloaded <= total - verified + 4 * 65_536, "{downloaded} of {total}, {verified} were there");
    assert!(only(&seen, "checked")["pieces_have"].as_u64().unwrap() >= verified / 65_536);
    torrent.verify(&place.path("d"));
}

#[test]
fn kill_9_loses_nothing_that_was_verified() {
    let torrent = support::single("f", 8 << 20, 65_536, 7);
    let place = Place::new();
    let (get, slow, verified) = half_way(&place, &torrent);
    get.signal("KILL");
    get.end();
    go_on(&place, &torrent, &slow, verified);
}

#[test]
fn ctrl_c_and_termination_end_in_order() {
    for signal in ["INT", "TERM"] {
        let torrent = support::single("f", 4 << 20, 65_536, 8);
        let place = Place::new();
        let (get, slow, verified) = half_way(&place, &torrent);
        get.signal(signal);
        let seen = get.end_with(130);
        only(&seen, "stopping");
        only(&seen, "stopped");
        go_on(&place, &torrent, &slow, verified);
    }
}

#[test]
fn the_text_says_how_to_go_on() {
    let torrent = support::single("f", 100_000, 65_536, 8);
    let place = Place::new();
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut get = command(place.get(&file, "d", &[]));
    let get = get.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // The handler is in place when the folder is there.
    let start = Instant::now();
    while !place.path("d").exists() {
        assert!(start.elapsed() < LIMIT);
        std::thread::yield_now();
    }
    signal(get.id(), "INT");
    let output = get.wait_with_output().unwrap();
    assert_code(&output, 130);
    assert!(stdout(&output).contains("run the same command again to go on"), "{}", stdout(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn seed_and_tracker_end_with_0() {
    let torrent = support::single("f", 100_000, 65_536, 8);
    let place = Place::new();
    let (seed, _) = place.seed(&torrent, &[]);
    let mut tracker = Running::start(["tracker", "--listen", "127.0.0.1:0"]);
    tracker.event("listening");
    for running in [seed, tracker] {
        running.signal("INT");
        running.end_with(0);
    }
    let mut tracker = Running::start(["tracker", "--listen", "127.0.0.1:0"]);
    tracker.event("listening");
    tracker.signal("TERM");
    tracker.end_with(0);
}

#[test]
fn the_third_signal_ends_at_once() {
    // A tracker that accepts and never answers keeps an orderly end waiting for some seconds.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/announce", silent.local_addr().unwrap());
    let torrent = support::with_tracker("f", 100_000, 65_536, &url);
    let place = Place::new();
    let file = place.torrent("f.torrent", &torrent.bytes);
    assert!(ends_in_order(&place, &file, 1));
    // Where the signals take longer to arrive than the orderly end takes, they may be too late.
    assert!((0..10).any(|_| !ends_in_order(&place, &file, 3)), "the third signal changes nothing");
    drop(silent);
}

/// Whether it ends in order after so many signals.
fn ends_in_order(place: &Place, file: &str, signals: u32) -> bool {
    let mut get = Running::start(place.get(file, "d", &[]));
    // The request is out by now: it is sent when the torrent starts.
    get.event("checked");
    get.event("status");
    get.signal("INT");
    get.event("stopping");
    for _ in 1..signals {
        get.signal("INT");
        // Signals of one kind that are pending together become one.
        std::thread::sleep(Duration::from_millis(100));
    }
    get.end_with(130).iter().any(|o| o["event"] == "stopped")
}

#[test]
fn a_folder_of_state_brings_torrents_back_without_naming_them() {
    let torrents = [support::single("f", 300_000, 65_536, 8), support::single("g", 200_000, 65_536, 9)];
    let place = Place::new();
    let (state, data) = (place.text("state"), place.text("seed"));
    std::fs::create_dir_all(&data).unwrap();
    let mut args = vec!["seed".to_owned(), "--listen".into(), "127.0.0.1:0".into()];
    args.extend(["--state".to_owned(), state.clone()]);
    let mut first = args.clone();
    first.extend(["--dir".to_owned(), data.clone()]);
    for torrent in &torrents {
        torrent.store(std::path::Path::new(&data));
        first.push(place.torrent(&format!("{}.torrent", torrent.metainfo.name()), &torrent.bytes));
    }
    let mut seed = Running::start(&first);
    seed.event("complete");
    seed.event("complete");
    seed.signal("INT");
    seed.end_with(0);
    // No torrent, and no folder either: where they were is known.
    let mut seed = Running::start(&args);
    let names =
        [seed.event("restored"), seed.event("restored")].map(|o| o["name"].as_str().unwrap().to_owned());
    assert_eq!(names, ["f", "g"]);
    assert_eq!(seed.event("restore_ended")["restored"], 2);
    seed.event("complete");
    seed.event("complete");
    // Somebody else cannot have the folder meanwhile.
    let output = run(&args);
    assert_code(&output, 1);
    assert!(stderr(&output).contains("another process uses it"), "{}", stderr(&output));
    seed.signal("INT");
    seed.end_with(0);
    let output = run(["seed", "--listen", "127.0.0.1:0", "--state", &place.text("none")]);
    assert_code(&output, 1);
    assert!(stderr(&output).contains("holds no torrents of an earlier run"), "{}", stderr(&output));

    // One is forgotten by its file; what is no torrent of it is named, and nothing is made or removed.
    let hash = torrents[1].metainfo.info_hash().to_string();
    let output = run(["forget", "--state", &state, &place.text("f.torrent"), &"0".repeat(40)]);
    assert_code(&output, 1);
    assert!(stdout(&output).ends_with("f.torrent: forgotten\n"), "{}", stdout(&output));
    assert!(stderr(&output).contains(&"0".repeat(40)), "{}", stderr(&output));
    let mut seed = Running::start(&args);
    assert_eq!(seed.event("restored")["name"], "g");
    assert_eq!(seed.event("restore_ended")["restored"], 1);
    let output = run(["forget", "--state", &state, &hash]);
    assert_code(&output, 1);
    assert!(stderr(&output).contains("another process uses it"), "{}", stderr(&output));
    seed.signal("INT");
    seed.end_with(0);
    let output = run(["forget", "--json", "--state", &state, &hash]);
    assert_code(&output, 0);
    assert_eq!(only(&objects(&stdout(&output)), "forgotten")["info_hash"], hash);
    let output = run(["forget", "--state", &place.text("not there"), &hash]);
    assert_code(&output, 1);
    assert!(
        stderr(&output).contains("not there") && !place.path("not there").exists(),
        "{}",
        stderr(&output)
    );
    torrents.iter().for_each(|torrent| torrent.verify(std::path::Path::new(&data)));
}
