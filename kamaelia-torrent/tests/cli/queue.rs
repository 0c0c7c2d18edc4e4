//! Turns and stop rules from the command line.

use std::fs;

use serde_json::Value;

use crate::run::*;
use crate::support;

fn torrents() -> [support::TestTorrent; 2] {
    [support::single("a", 1 << 20, 16_384, 11), support::single("b", 1 << 20, 16_384, 12)]
}

/// Names of these events in their order, with the torrent.
fn order(seen: &[Value], names: &[&str]) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let wanted = seen.iter().filter(|o| names.contains(&o["event"].as_str().unwrap()));
    wanted.map(|o| (text(&o["event"]), text(&o["name"]))).collect()
}

#[test]
fn max_active_lets_downloads_take_turns_in_the_order_of_the_command() {
    let [a, b] = torrents();
    let place = Place::new();
    let (_seed_a, addr_a) = place.seed(&a, &[]);
    let (_seed_b, addr_b) = place.seed(&b, &[]);
    let second = place.torrent("b.torrent", &b.bytes);
    let first = place.torrent("a.torrent", &a.bytes);
    let (addr_a, addr_b) = (addr_a.to_string(), addr_b.to_string());
    let options = ["--peer", &addr_a, "--peer", &addr_b, "--max-active", "1", &first];
    let seen = Running::start(place.get(&second, "d", &options)).end_with(0);
    let turns = order(&seen, &["complete"]);
    let turns: Vec<&str> = turns.iter().map(|(_, name)| &name[..]).collect();
    assert_eq!(turns, ["b", "a"]);
    for torrent in [&a, &b] {
        torrent.verify(&place.path("d"));
    }
    // Only one at a time had data coming in before it was complete.
    let mut active = std::collections::BTreeSet::new();
    for o in seen.iter().filter(|o| o["event"] == "status") {
        let id = o["id"].as_u64().unwrap();
        match o["activity"].as_str().unwrap() {
            "downloading" => active.insert(id),
            _ => active.remove(&id),
        };
        assert!(active.len() <= 1, "{o}");
    }
}

#[test]
fn a_seed_that_nobody_wants_ends_by_its_rule() {
    let [a, _] = torrents();
    let place = Place::new();
    let file = place.torrent("a.torrent", &a.bytes);
    fs::create_dir_all(place.path("there")).unwrap();
    a.store(&place.path("there"));
    for (option, value, cause) in
        [("--seed-idle", "100ms", "idle"), ("--seed-ratio", "0", "ratio"), ("--seed-time", "100ms", "time")]
    {
        let seen = Running::start(place.get(&file, "there", &[option, value])).end_with(0);
        let paused = seen.iter().find(|o| o["event"] == "paused").unwrap_or_else(|| panic!("{seen:?}"));
        assert_eq!((paused["cause"].as_str(), paused["name"].as_str()), (Some(cause), Some("a")));
        let last = seen.iter().rfind(|o| o["event"] == "status").unwrap();
        assert_eq!(last["activity"], "paused");
    }
    // The rules of all options hold; the first that is reached decides.
    let both = ["--seed-ratio", "1000", "--seed-idle", "50ms", "--seed-time", "1000d"];
    let seen = Running::start(place.get(&file, "there", &both)).end_with(0);
    assert!(seen.iter().any(|o| o["event"] == "paused" && o["cause"] == "idle"));
}

#[test]
fn senseless_values_are_refused_and_huge_ones_mean_no_limit() {
    let [a, _] = torrents();
    let place = Place::new();
    let file = place.torrent("a.torrent", &a.bytes);
    fs::create_dir_all(place.path("there")).unwrap();
    a.store(&place.path("there"));
    for (option, value) in [
        ("--max-active=0", "with 0 nothing would ever be done"),
        ("--max-active=-1", "not a whole number of at least 1"),
        ("--max-active=1.5", "not a whole number of at least 1"),
        ("--seed-ratio=-1", "not a number of at least 0"),
        ("--seed-ratio=inf", "not a number of at least 0"),
        ("--seed-idle=-3s", "out of range"),
        ("--seed-idle=soon", "unknown unit"),
    ] {
        let output = run(place.get(&file, "there", &[option]));
        assert_code(&output, 2);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(value), "{option}: {text}");
    }
    let huge = ["--max-active", "1000000000000000000"];
    Running::start(place.get(&file, "there", &huge)).end_with(0);
}
