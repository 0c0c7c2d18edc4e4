//! Each option has its effect.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use crate::run::*;
use crate::support;

fn torrent() -> support::TestTorrent {
    support::single("f", 1 << 20, 16_384, 11)
}

#[test]
fn rate_limits_are_kept() {
    let torrent = torrent();
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &["--up-limit", "none"]);
    let (_slow, slow_addr) = place.seed(&torrent, &["--up-limit", "500KiB/s"]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    for (dir, peer, limit) in [("down", addr, "500KiB"), ("up", slow_addr, "0")] {
        let start = Instant::now();
        let args = ["--peer", &peer.to_string(), "--down-limit", limit];
        assert_code(&run(place.get(&file, dir, &args)), 0);
        torrent.verify(&place.path(dir));
        // Two seconds' worth of data; a fifth of a second may have been saved up.
        assert!(start.elapsed() >= Duration::from_millis(1700), "{dir}: {:?}", start.elapsed());
    }
}

#[test]
fn without_upload_slots_nothing_is_sent_and_without_room_nobody_gets_in() {
    let torrent = torrent();
    let place = Place::new();
    let (_choking, choking_addr) = place.seed(&torrent, &["--upload-slots", "0"]);
    let (_full, full_addr) = place.seed(&torrent, &["--max-connections", "1", "--max-peers", "1"]);
    // Somebody who has shaken hands is not cut for saying nothing.
    let mut taken = support::node::Peer::dial(full_addr);
    taken.handshake(torrent.metainfo.info_hash().0, [7; 20]).unwrap();
    let file = place.torrent("f.torrent", &torrent.bytes);
    let (choking, full) = (choking_addr.to_string(), full_addr.to_string());
    let mut get = Running::start(place.get(&file, "d", &["--peer", &choking, "--peer", &full, "-v"]));
    get.wait("a peer", |o| o["event"] == "status" && o["peers"] == 1);
    let status = get.event("status");
    assert_eq!((status["downloaded"].as_u64(), status["peers"].as_u64()), (Some(0), Some(1)), "{status}");
    drop(taken);
    get.signal("INT");
    get.end_with(130);
}

#[test]
fn seed_ratio_ends_when_so_much_was_sent() {
    let torrent = torrent();
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut first =
        Running::start(place.get(&file, "first", &["--peer", &addr.to_string(), "--seed-ratio", "1"]));
    let ours = first.address();
    first.event("complete");
    assert_code(&run(place.get(&file, "second", &["--peer", &ours.to_string()])), 0);
    let seen = first.end_with(0);
    let last = seen.iter().rev().find(|o| o["event"] == "status").unwrap();
    assert!(last["uploaded"].as_u64().unwrap() >= 1 << 20, "{last}");
    torrent.verify(&place.path("second"));
}

#[test]
fn seed_time_ends_after_so_long() {
    let torrent = torrent();
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut get =
        Running::start(place.get(&file, "d", &["--peer", &addr.to_string(), "--seed-time", "1.5s"]));
    get.event("complete");
    let start = Instant::now();
    get.end_with(0);
    // That it ends at all is the other half.
    assert!(start.elapsed() >= Duration::from_millis(1300), "{:?}", start.elapsed());
}

#[test]
fn seed_goes_on_until_it_is_stopped() {
    let torrent = torrent();
    let place = Place::new();
    let (seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut get = Running::start(place.get(&file, "first", &["--peer", &addr.to_string(), "--seed"]));
    let ours = get.address();
    get.event("complete");
    seed.signal("INT");
    seed.end_with(0);
    assert_code(&run(place.get(&file, "second", &["--peer", &ours.to_string()])), 0);
    get.signal("INT");
    // It had what it was asked for: stopping it is not a failure.
    get.end_with(0);
}

#[test]
fn sequential_takes_pieces_in_order() {
    let torrent = torrent();
    let place = Place::new();
    let file = place.torrent("f.torrent", &torrent.bytes);
    let order = |dir: &str, more: &[&str]| {
        let slow = SlowSeed::new(&torrent, u64::MAX >> 1);
        let peer = slow.text();
        assert_code(&run(place.get(&file, dir, &[&["--peer", peer.as_str()], more].concat())), 0);
        let order = slow.order.lock().unwrap().clone();
        assert_eq!(order.len(), 64);
        order
    };
    assert!(order("a", &["--sequential"]).is_sorted());
    assert!(!order("b", &[]).is_sorted());
}

#[test]
fn no_trackers_asks_none() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let torrent = support::with_tracker("f", 100_000, 16_384, &url);
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &["--no-trackers"]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let output = run(place.get(&file, "d", &["--peer", &addr.to_string(), "--no-trackers", "--json"]));
    assert_code(&output, 0);
    assert!(listener.accept().is_err(), "nobody called the tracker");
    assert!(!stdout(&output).contains("\"event\":\"tracker\""));
}

#[test]
fn state_keeps_records_elsewhere() {
    let torrent = torrent();
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let peer = addr.to_string();
    assert_code(&run(place.get(&file, "with", &["--peer", &peer, "--state", &place.text("records")])), 0);
    assert_eq!(tree(&place.path("with")), [place.path("with/f")]);
    let records = ["lock", "resume.log", "torrents.log"].map(|name| place.path("records").join(name));
    assert_eq!(tree(&place.path("records")), records);
    assert_code(&run(place.get(&file, "without", &["--peer", &peer])), 0);
    assert_eq!(tree(&place.path("without")).len(), 2);
}

#[test]
fn recheck_does_not_believe_the_record() {
    let torrent = torrent();
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let peer = addr.to_string();
    assert_code(&run(place.get(&file, "d", &["--peer", &peer])), 0);
    // Damage that leaves length and time of the last change as they were.
    let path = place.path("d/f");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let mut data = fs::read(&path).unwrap();
    data[500_000] ^= 1;
    fs::write(&path, data).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let args = |more: &[&str]| place.get(&file, "d", &[&["--peer", &peer, "--json"], more].concat());
    let output = run(args(&["--recheck"]));
    assert_code(&output, 0);
    let seen = objects(&stdout(&output));
    assert_eq!(only(&seen, "checked")["pieces_have"], 63);
    assert_eq!(only(&seen, "complete")["downloaded"], 16_384);
    torrent.verify(&place.path("d"));
}

#[test]
fn what_is_complete_ends_at_once() {
    let torrent = torrent();
    let place = Place::new();
    torrent.store(&place.path(""));
    let file = place.torrent("f.torrent", &torrent.bytes);
    for _ in 0..2 {
        let output = run(place.get(&file, "", &[]));
        assert_code(&output, 0);
        assert!(stdout(&output).contains("f: complete, 1.0 MiB"), "{}", stdout(&output));
    }
}

#[test]
fn several_torrents_at_once() {
    let place = Place::new();
    let (one, two) = (support::single("one", 300_000, 16_384, 1), support::single("two", 200_000, 16_384, 2));
    let files = [("1.torrent", &one), ("2.torrent", &two)].map(|(name, t)| place.torrent(name, &t.bytes));
    for t in [&one, &two] {
        t.store(place.folder.path());
    }
    let mut seed =
        Running::start(["seed", &files[0], &files[1], "--listen", "127.0.0.1:0", "--dir", &place.text("")]);
    let addr = seed.address();
    let output = run(place.get(&files[0], "d", &[&files[1], "--peer", &addr.to_string(), "--json"]));
    assert_code(&output, 0);
    let seen = objects(&stdout(&output));
    let ids: Vec<_> = seen.iter().filter(|o| o["event"] == "complete").map(|o| &o["name"]).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    one.verify(&place.path("d"));
    two.verify(&place.path("d"));
}

#[test]
fn the_same_torrent_twice_is_one() {
    let torrent = torrent();
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut bytes = b"d7:comment5:again".to_vec();
    bytes.extend(&torrent.bytes[1..]);
    let again = place.torrent("again.torrent", &bytes);
    let output = run(place.get(&file, "d", &[&again, "--peer", &addr.to_string(), "--json"]));
    assert_code(&output, 0);
    let seen = objects(&stdout(&output));
    let known = only(&seen, "already_downloading");
    assert_eq!((&known["torrent"], &known["id"]), (&again.into(), &only(&seen, "created")["id"]));
    torrent.verify(&place.path("d"));
}

#[test]
fn who_has_nobody_to_ask_is_told_what_it_waits_for() {
    let torrent = torrent();
    let place = Place::new();
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut get = Running::start(place.get(&file, "d", &[]));
    let addr = get.address();
    let waiting = get.event("waiting");
    assert!(waiting["reason"].as_str().unwrap().contains(&format!("connect to {addr}")), "{waiting}");
    // And that is true.
    let (_seed, _) = place.seed(&torrent, &["--peer", &addr.to_string()]);
    get.end_with(0);
}

#[cfg(unix)]
#[test]
fn connections_beyond_what_the_system_allows_are_a_note_and_no_failure() {
    let torrent = torrent();
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let args = place.get(&file, "d", &["--peer", &addr.to_string(), "--max-connections", "100000"]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -n 256; exec \"$0\" \"$@\" --json", program()]).args(args);
    let output = finish(shell);
    assert_code(&output, 0);
    let seen = objects(&stdout(&output));
    assert_eq!(
        only(&seen, "note")["text"],
        "108 connections instead of 100000: this process may have no more files and connections open (ulimit -n)"
    );
    torrent.verify(&place.path("d"));
}
