//! Torrents that come back in a later run, from a folder of state.

mod support;

use std::path::Path;

use kamaelia_torrent::engine::{
    AddTorrent, Engine, EngineError, Event, Limits, PauseCause, Settings, State, StopRule, TorrentId,
};
use support::node::*;
use support::*;

fn with_state(dir: &Path) -> Settings {
    Settings { state_dir: Some(dir.to_path_buf()), ..settings() }
}

/// Starts an engine with that state and brings everything back; `check` pieces are hashed on the way.
fn restored(state: &Path, count: usize) -> Node {
    let mut node = Node::start(with_state(state));
    node.call(|engine| engine.restore()).unwrap();
    let end = node.wait("the end of the restore", |e| matches!(e, Event::RestoreEnded { .. }));
    assert_eq!(end, Event::RestoreEnded { restored: count, failed: 0 });
    for n in 1..=count as u32 {
        if !node.seen.contains(&Event::Started { id: TorrentId(n) }) {
            node.wait_started(TorrentId(n));
        }
    }
    node
}

/// Pieces that were hashed before torrents started.
fn hashed(node: &Node) -> u32 {
    let totals = node.seen.iter().map(|e| match e {
        Event::Checking { checked: 0, total, .. } => *total,
        _ => 0,
    });
    totals.sum()
}

#[test]
fn torrents_come_back_as_they_were_without_hashing() {
    let (data, other, state) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrents = [("f1", 1), ("f2", 2), ("f3", 3)].map(|(name, seed)| single(name, 300_000, 32_768, seed));
    let mut node = Node::start(with_state(state.path()));
    for (n, torrent) in torrents.iter().enumerate() {
        let dir = if n == 2 { &other } else { &data };
        if n > 0 {
            torrent.store(dir.path());
        }
        let id = node.add(AddTorrent {
            peers: vec!["127.0.0.1:1".parse().unwrap()],
            sequential: n == 1,
            ..AddTorrent::new(torrent.metainfo.clone(), dir.path())
        });
        node.wait_started(id);
    }
    node.stop();
    let mut node = restored(state.path(), 3);
    // The first has no data, so it has no record.
    assert_eq!(hashed(&node), torrents[0].metainfo.geometry().piece_count());
    for (n, torrent) in torrents.iter().enumerate() {
        let status = node.status(TorrentId(n as u32 + 1));
        assert_eq!(status.info_hash, torrent.metainfo.info_hash(), "in the order in which they were added");
        assert_eq!(status.state, if n == 0 { State::Downloading } else { State::Seeding });
        let dir = if n == 2 { &other } else { &data };
        assert_eq!(status.save_path, dir.path().join(torrent.metainfo.name()));
    }
    // Peers that were named are tried again.
    node.wait("a dial", |e| matches!(e, Event::DialFailed { id: TorrentId(1), .. }));
    node.stop();
}

#[test]
fn only_a_file_that_changed_is_hashed_again() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrents = [("f1", 1), ("f2", 2)].map(|(name, seed)| single(name, 300_000, 32_768, seed));
    let mut node = Node::start(with_state(state.path()));
    for torrent in &torrents {
        torrent.store(data.path());
        let id = node.add(AddTorrent::new(torrent.metainfo.clone(), data.path()));
        node.wait_started(id);
    }
    node.stop();
    let path = data.path().join("f2");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let node = restored(state.path(), 2);
    assert_eq!(hashed(&node), torrents[1].metainfo.geometry().piece_count());
    assert_eq!(node.status(TorrentId(1)).state, State::Seeding);
    let changed = node.status(TorrentId(2));
    assert_eq!((changed.state, changed.pieces_have), (State::Downloading, changed.piece_count - 1));
    node.stop();
}

#[test]
fn what_was_removed_stays_away_and_what_was_unloaded_comes_back() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrents = [("f1", 1), ("f2", 2), ("f3", 3)].map(|(name, seed)| single(name, 100_000, 32_768, seed));
    let mut node = Node::start(with_state(state.path()));
    for torrent in &torrents {
        torrent.store(data.path());
        let id = node.add(AddTorrent::new(torrent.metainfo.clone(), data.path()));
        node.wait_started(id);
    }
    assert!(node.call(|engine| engine.remove(TorrentId(1)) && engine.unload(TorrentId(2))));
    node.wait("the second to stop", |e| *e == Event::Stopped { id: TorrentId(2) });
    node.stop();
    let mut node = restored(state.path(), 2);
    let hashes = [1, 2].map(|n| node.status(TorrentId(n)).info_hash);
    assert_eq!(hashes, [1, 2].map(|n: usize| torrents[n].metainfo.info_hash()));
    // Its record is still there: nothing is hashed when it is added again.
    let id = node.add(AddTorrent::new(torrents[0].metainfo.clone(), data.path()));
    node.wait_started(id);
    assert_eq!((hashed(&node), node.status(id).state), (0, State::Seeding));
    // A second call finds all of them here.
    node.call(|engine| engine.restore()).unwrap();
    node.wait("the end of a second restore", |e| *e == Event::RestoreEnded { restored: 0, failed: 0 });
    node.stop();
}

#[test]
fn a_kill_at_any_time_leaves_what_was_told() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrent = single("f", 300_000, 32_768, 1);
    torrent.store(data.path());
    let mut node = Node::start(Settings {
        save_interval: std::time::Duration::from_millis(1),
        ..with_state(state.path())
    });
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), data.path()));
    node.wait_started(id);
    // What would be there after a kill, once it holds the record.
    let killed = tempfile::tempdir().unwrap();
    let end = std::time::Instant::now() + LIMIT;
    while std::fs::metadata(state.path().join("resume.log")).unwrap().len() < 100 {
        assert!(std::time::Instant::now() < end, "a record is written");
        std::thread::yield_now();
    }
    for name in ["torrents.log", "resume.log"] {
        std::fs::copy(state.path().join(name), killed.path().join(name)).unwrap();
    }
    let again = restored(killed.path(), 1);
    assert_eq!(again.status(id).state, State::Seeding);
    assert_eq!(hashed(&again), 0);
    again.stop();
    node.stop();
}

#[test]
fn a_damaged_torrent_does_not_take_the_others_with_it() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrents = [("f1", 1), ("f2", 2)].map(|(name, seed)| single(name, 100_000, 32_768, seed));
    let mut node = Node::start(with_state(state.path()));
    for torrent in &torrents {
        let id = node.add(AddTorrent::new(torrent.metainfo.clone(), data.path()));
        node.wait_started(id);
    }
    node.stop();
    // Cuts off the end of the second, as a crash might.
    let path = state.path().join("torrents.log");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    restored(state.path(), 1).stop();
}

#[test]
fn a_folder_of_state_belongs_to_one_engine() {
    let state = tempfile::tempdir().unwrap();
    let node = Node::start(with_state(state.path()));
    let error = Engine::new(with_state(state.path())).unwrap_err();
    assert!(matches!(&error, EngineError::State(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("another process") && text.contains(state.path().to_str().unwrap()), "{text}");
    node.stop();
    Engine::new(with_state(state.path())).unwrap();
    let file = state.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let text = Engine::new(with_state(&file)).unwrap_err().to_string();
    assert!(text.contains("file"), "{text}");
}

#[test]
fn what_was_changed_since_it_was_added_comes_back_too() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrent = single("f", 100_000, 32_768, 1);
    torrent.store(data.path());
    let mut node = Node::start(with_state(state.path()));
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), data.path()));
    node.wait_started(id);
    let limits = Limits { down: None, up: std::num::NonZeroU64::new(12_345) };
    node.call(move |engine| engine.set_limits(Some(id), limits)).unwrap();
    node.call(move |engine| engine.pause(id)).unwrap();
    node.wait("the pause", |e| matches!(e, Event::Paused { .. }));
    node.stop();
    let mut node = Node::start(with_state(state.path()));
    node.call(|engine| engine.restore()).unwrap();
    node.wait("the end of the restore", |e| matches!(e, Event::RestoreEnded { restored: 1, .. }));
    assert_eq!(node.call(move |engine| engine.limits(Some(id))), Some(limits));
    assert_eq!(node.status(id).state, State::Paused);
    node.call(move |engine| engine.resume(id)).unwrap();
    node.wait_started(id);
    assert_eq!((hashed(&node), node.status(id).state), (0, State::Seeding));
    node.stop();
}

#[test]
fn a_rule_that_was_reached_counts_no_more_after_a_restart_until_there_is_a_new_one() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let torrent = single("f", 100_000, 32_768, 1);
    torrent.store(data.path());
    let rule = StopRule { ratio: Some(0.0), ..StopRule::default() };
    let by_rule = Event::Paused { id: TorrentId(1), cause: PauseCause::Ratio };
    let with_rule = || Settings { stop_rule: rule, ..with_state(state.path()) };
    let mut node = Node::start(with_rule());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), data.path()));
    node.wait("the rule", |e| *e == by_rule);
    node.call(move |engine| engine.resume(id)).unwrap();
    node.wait_started(id);
    node.stop();
    let mut node = Node::start(with_rule());
    node.call(|engine| engine.restore()).unwrap();
    node.wait_started(id);
    assert_eq!(node.status(id).state, State::Seeding);
    assert_eq!(node.status(id).state, State::Seeding, "a turn later");
    node.call(move |engine| engine.set_stop_rule(id, None)).unwrap();
    node.wait("the rule, which is as new", |e| *e == by_rule);
    node.stop();
    // It stays paused, as does what the user paused.
    let mut node = Node::start(with_rule());
    node.call(|engine| engine.restore()).unwrap();
    node.wait("the end of the restore", |e| matches!(e, Event::RestoreEnded { .. }));
    assert_eq!(node.status(id).state, State::Paused);
    assert!(!node.seen.contains(&Event::Started { id }));
}
