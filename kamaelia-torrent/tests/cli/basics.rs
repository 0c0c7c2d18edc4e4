//! The demonstration, wrong use, and readers that go away.

use std::io::Read;
use std::process::Stdio;

use crate::run::*;

#[test]
fn demo_verifies_and_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let mut demo = command(["demo", "--size", "2MiB"]);
    demo.env("TMPDIR", temp.path());
    let output = finish(demo);
    assert_code(&output, 0);
    let text = stdout(&output);
    assert!(text.contains("128 of 128 pieces are right"), "{text}");
    // Sixteen components and more are linked; the graph shows how.
    assert!(text.contains("Session_") && text.contains(" -> TorrentPatron_"), "{text}");
    assert_eq!(tree(temp.path()), [] as [std::path::PathBuf; 0]);
    assert_eq!(stderr(&output), "");
}

#[test]
fn demo_for_programs() {
    let temp = tempfile::tempdir().unwrap();
    let mut demo = command(["demo", "--size", "1MiB", "--json"]);
    demo.env("TMPDIR", temp.path());
    let output = finish(demo);
    assert_code(&output, 0);
    let seen = objects(&stdout(&output));
    for event in ["making", "made", "created", "complete", "graph", "verified"] {
        only(&seen, event);
    }
    let tracker = seen.iter().find(|o| o["event"] == "tracker").expect("the tracker's answer");
    assert!(tracker["peers"].as_u64().is_some(), "{tracker}");
    assert_eq!(only(&seen, "complete")["downloaded"], 1 << 20);
    assert!(tree(temp.path()).is_empty());
}

#[test]
fn demo_keeps_a_folder_that_was_named() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("kept");
    let output = run(["demo", "--size", "100kB", "--dir", dir.to_str().unwrap()]);
    assert_code(&output, 0);
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    assert_eq!(read("seed/payload.bin").len(), 100_000);
    assert!(read("seed/payload.bin") == read("download/payload.bin"));
    let check = run(["check", dir.join("payload.torrent").to_str().unwrap(), "--dir"]
        .map(str::to_owned)
        .into_iter()
        .chain([dir.join("download").to_str().unwrap().to_owned()]));
    assert_code(&check, 0);
    // Again, with another payload of the same name.
    assert_code(&run(["demo", "--size", "200kB", "--dir", dir.to_str().unwrap()]), 0);
}

#[cfg(unix)]
#[test]
fn an_interrupted_demo_cleans_up() {
    let temp = tempfile::tempdir().unwrap();
    // More than can be written before the signal comes.
    let mut demo = command(["demo", "--size", "4GiB"]);
    demo.env("TMPDIR", temp.path());
    let mut demo = Running::of(demo);
    demo.event("making");
    demo.signal("INT");
    let seen = demo.end_with(130);
    assert!(!seen.iter().any(|o| o["event"] == "made"));
    assert!(tree(temp.path()).is_empty());
}

#[test]
fn wrong_use_ends_with_2_and_help() {
    let cases: [&[&str]; 16] = [
        &[],
        &["bogus"],
        &["get"],
        &["seed"],
        &["make", "x"],
        &["get", "x.torrent", "--peer", "localhost"],
        &["get", "x.torrent", "--listen", "1.2.3.4"],
        &["get", "x.torrent", "--seed-ratio", "nan"],
        &["get", "x.torrent", "--seed", "--seed-ratio", "1"],
        &["get", "x.torrent", "--seed-time", "1y"],
        &["get", "x.torrent", "--down-limit", "-1"],
        &["get", "x.torrent", "--up-limit", "fast"],
        &["get", "x.torrent", "--max-connections", "0"],
        &["seed", "x.torrent", "--max-peers", "-1"],
        &["seed", "x.torrent", "--upload-slots", "1.5"],
        &["demo", "--size", "-1"],
    ];
    for args in cases {
        let output = run(args);
        assert_code(&output, 2);
        let text = stderr(&output);
        assert!(text.contains("Usage:") || text.contains("--help"), "{args:?}: {text}");
        assert_eq!(stdout(&output), "", "{args:?}");
    }
    let help = stdout(&run(["--help"]));
    assert!(help.contains("Exit codes: 0"), "{help}");
    assert_code(&run(["--version"]), 0);
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let place = Place::new();
    std::fs::create_dir(place.path("many")).unwrap();
    for i in 0..3000 {
        std::fs::write(place.path(&format!("many/file-with-a-long-name-to-fill-the-pipe-{i}")), "x").unwrap();
    }
    let made = run(["make", &place.text("many"), "-o", &place.text("many.torrent")]);
    assert_code(&made, 0);
    let many = place.text("many.torrent");
    let cases: [&[&str]; 4] =
        [&["show", &many], &["show", &many, "--json"], &["demo", "--size", "1MiB"], &["get", "--help"]];
    for args in cases {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        // The pipe is closed here, with most still to come.
        let output = child.wait_with_output().unwrap();
        assert!(!stderr(&output).contains("panicked"), "{args:?}: {}", stderr(&output));
        assert_code(&output, 0);
    }
}
