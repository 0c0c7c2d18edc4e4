//! Many torrents that are active at once, over local sockets.
#![cfg(unix)]

mod support;

use std::path::Path;

use kamaelia_torrent::engine::{
    AddTorrent, CheckPolicy, ConnectionLimits, Engine, Event, Settings, State, TorrentId,
};
use support::node::*;
use support::*;

const ALL: u32 = 2000;
const ACTIVE: u32 = 1000;

/// Lets the process have as many descriptors as it may, and tells how many that are.
fn descriptors() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused only where the number is no number, as on macOS.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn start(state: &Path) -> Node {
    let settings = Settings {
        state_dir: Some(state.to_path_buf()),
        max_connections: usize::MAX,
        upload_slots: Some(0),
        ..settings()
    };
    Node::start(settings)
}

#[test]
fn a_thousand_of_two_thousand_torrents_are_active_at_once() {
    if descriptors() < u64::from(2 * ACTIVE) + 600 {
        eprintln!("SKIPPED: too few descriptors");
        return;
    }
    let torrents: Vec<TestTorrent> = (0..ALL).map(|n| single("f", 2000, 16_384, u64::from(n) + 1)).collect();
    let place = tempfile::tempdir().unwrap();
    let dir = |side: &str, n: u32| place.path().join(side).join(n.to_string());
    let (mut seed, mut leech) = (start(&place.path().join("s1")), start(&place.path().join("s2")));
    for (n, torrent) in (0..).zip(&torrents) {
        torrent.store(&dir("from", n));
        let check = CheckPolicy::Trust;
        seed.add(AddTorrent { check, ..AddTorrent::new(torrent.metainfo.clone(), dir("from", n)) });
    }
    for _ in 0..ALL {
        seed.wait("a start", |e| matches!(e, Event::Started { .. }));
    }
    for (n, torrent) in (0..).zip(&torrents) {
        let peers = if n < ACTIVE { vec![seed.addr] } else { vec![] };
        leech.add(AddTorrent { peers, ..AddTorrent::new(torrent.metainfo.clone(), dir("to", n)) });
    }
    // Nobody is served yet, so that all are connected at the same time.
    let (mut connections, mut started) = (0, 0);
    while connections < ACTIVE || started < ALL {
        match leech.wait("a start or a connection", |_| true) {
            Event::PeerConnected { .. } => connections += 1,
            Event::Started { .. } => started += 1,
            _ => {}
        }
    }
    let connected = |node: &Node| {
        node.call(|engine| engine.ids().filter(|id| engine.status(*id).is_some_and(|s| s.peers > 0)).count())
    };
    assert_eq!(connected(&leech), ACTIVE as usize);
    seed.call(|engine| {
        engine.set_connection_limits(ConnectionLimits { upload_slots: None, ..engine.connection_limits() });
    });
    for _ in 0..ACTIVE {
        leech.wait("a completion", |e| matches!(e, Event::Completed { .. }));
    }
    for (n, torrent) in (0..ACTIVE).zip(&torrents) {
        torrent.verify(&dir("to", n));
    }
    let state = |engine: &Engine, n| engine.status(TorrentId(n)).unwrap().state;
    let states: Vec<State> = leech.call(move |engine| (1..=ALL).map(|n| state(engine, n)).collect());
    assert!(states[..ACTIVE as usize].iter().all(|state| *state == State::Seeding));
    assert!(states[ACTIVE as usize..].iter().all(|state| *state == State::Downloading));
    for node in [leech, seed] {
        assert!(!node.stop().iter().any(|e| matches!(e, Event::Failed { .. } | Event::DialFailed { .. })));
    }
}

#[test]
fn no_more_connections_are_promised_than_there_are_descriptors() {
    let node = Node::start(Settings { max_connections: usize::MAX, ..settings() });
    let limit = usize::try_from(descriptors()).unwrap_or(usize::MAX);
    let most = node.call(|engine| {
        engine.set_connection_limits(ConnectionLimits {
            max_connections: usize::MAX,
            ..engine.connection_limits()
        });
        engine.connection_limits().max_connections
    });
    assert!((limit / 4..limit).contains(&most), "{most} of {limit}");
}
