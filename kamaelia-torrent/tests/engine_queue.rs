//! Pausing, taking turns, and stop rules.

#[path = "support/granted.rs"]
mod granted;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use granted::Granted;
use kamaelia_torrent::engine::{
    Activity, AddError, AddTorrent, CheckPolicy, ControlError, Event, PauseCause, QueueLimits, Settings,
    State, StopRule, TorrentId,
};
use support::node::*;
use support::tracker::tracker;
use support::*;

const PIECE: u32 = 32_768;

/// A peer with everything that serves the first pieces only, until the gate is opened.
fn gated_seed(torrent: &TestTorrent, pieces: u32) -> (SocketAddr, Arc<AtomicBool>) {
    let gate = Arc::new(AtomicBool::new(false));
    let (open, data) = (gate.clone(), torrent.payload());
    let script: Script = Arc::new(move |piece, begin, len| {
        let at = piece as usize * PIECE as usize + begin as usize;
        (piece < pieces || open.load(Ordering::SeqCst)).then(|| data[at..at + len as usize].to_vec())
    });
    let info = &torrent.metainfo;
    let (addr, _) = scripted_seed(info.info_hash().0, info.geometry().piece_count(), script);
    (addr, gate)
}

fn paused(id: TorrentId) -> Event {
    Event::Paused { id, cause: PauseCause::User }
}

/// Torrents with nothing there and no peers, so that they stay what they are.
fn empty_torrents(node: &mut Node, dir: &std::path::Path, count: u64) -> Vec<TorrentId> {
    let names = ["a", "b", "c", "d", "e"];
    (0..count)
        .map(|i| node.add(AddTorrent::new(single(names[i as usize], 100_000, PIECE, i).metainfo, dir)))
        .collect()
}

/// Waits until everything has been said: a command is answered behind all that happened before it.
fn states(node: &Node, ids: &[TorrentId]) -> Vec<State> {
    ids.iter().map(|id| node.status(*id).state).collect()
}

#[test]
fn a_paused_download_leaves_its_peers_and_goes_on_from_there() {
    let (url, requests) = tracker(&[]);
    let torrent = with_tracker("f", 1 << 20, PIECE, &url);
    let (addr, gate) = gated_seed(&torrent, 20);
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    let id =
        node.add(AddTorrent { peers: vec![addr], ..AddTorrent::new(torrent.metainfo.clone(), dir.path()) });
    for _ in 0..20 {
        node.wait("a piece", |e| matches!(e, Event::PieceVerified { .. }));
    }
    assert!(requests.recv_timeout(LIMIT).unwrap().contains("event=started"));
    node.call(move |engine| engine.pause(id)).unwrap();
    node.wait("pause", |e| *e == paused(id));
    let status = node.status(id);
    assert_eq!((status.state, status.peers, status.pieces_have), (State::Paused, 0, 20));
    assert_eq!(status.down_rate, 0);
    let stopped = requests.recv_timeout(LIMIT).unwrap();
    assert!(stopped.contains("event=stopped") && stopped.contains("left=393216"), "{stopped}");
    // A second pause says nothing new.
    node.call(move |engine| engine.pause(id)).unwrap();
    gate.store(true, Ordering::SeqCst);
    node.call(move |engine| engine.resume(id)).unwrap();
    node.wait_completed(id);
    torrent.verify(dir.path());
    let status = node.status(id);
    // Nothing twice: what was there before the pause still counts, and so do the figures.
    assert_eq!(
        (status.state, status.figures.waste.bad, status.figures.waste.unwanted),
        (State::Seeding, 0, 0)
    );
    assert_eq!(status.downloaded - status.wasted, 1 << 20);
    let started = requests.recv_timeout(LIMIT).unwrap();
    assert!(started.contains("event=started") && started.contains("downloaded=0&"), "{started}");
    assert!(requests.recv_timeout(LIMIT).unwrap().contains("event=completed"));
    let events = node.stop();
    assert_eq!(events.iter().filter(|e| **e == paused(id)).count(), 1);
    // Totals since the last `started`, as BEP 3 has it.
    let stopped = requests.recv_timeout(LIMIT).unwrap();
    assert!(stopped.contains("event=stopped") && stopped.contains("downloaded=393216&"), "{stopped}");
}

/// There is no tracker, and it was added without peers: nobody else can name the seed.
#[test]
fn peers_that_were_met_are_known_after_a_pause() {
    let torrent = single("f", 1 << 20, PIECE, 1);
    let (addr, gate) = gated_seed(&torrent, 20);
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir.path()));
    node.wait_started(id);
    node.call(move |engine| engine.add_peers(id, &[addr]));
    for _ in 0..20 {
        node.wait("a piece", |e| matches!(e, Event::PieceVerified { .. }));
    }
    node.call(move |engine| engine.pause(id)).unwrap();
    node.wait("pause", |e| *e == paused(id));
    gate.store(true, Ordering::SeqCst);
    node.call(move |engine| engine.resume(id)).unwrap();
    node.wait_completed(id);
    torrent.verify(dir.path());
}

#[test]
fn a_paused_torrent_is_found_paused_by_peers_and_keeps_its_record() {
    let torrent = single("f", 1 << 20, PIECE, 1);
    let from = tempfile::tempdir().unwrap();
    torrent.store(from.path());
    let (mut node, id) = seed(&torrent.metainfo, from.path());
    node.call(move |engine| engine.pause(id)).unwrap();
    node.wait("pause", |e| *e == paused(id));
    let to = tempfile::tempdir().unwrap();
    let mut leech = Node::start(settings());
    let there = leech
        .add(AddTorrent { peers: vec![node.addr], ..AddTorrent::new(torrent.metainfo.clone(), to.path()) });
    leech.wait("refusal", |e| matches!(e, Event::DialFailed { .. }));
    assert_eq!(leech.status(there).pieces_have, 0);
    node.stop();
    // Started again it is believed without hashing.
    let mut again = Node::start(settings());
    let id = again.add(AddTorrent::new(torrent.metainfo, from.path()));
    again.wait_started(id);
    assert!(!again.seen.iter().any(|e| matches!(e, Event::Checking { .. })));
    assert_eq!(again.status(id).left, 0);
}

#[test]
fn a_torrent_added_paused_waits_to_be_resumed() {
    let torrent = single("f", 300_000, PIECE, 1);
    let from = tempfile::tempdir().unwrap();
    torrent.store(from.path());
    let mut node = Node::start(settings());
    let id = node.add(AddTorrent { paused: true, ..AddTorrent::new(torrent.metainfo, from.path()) });
    node.wait("pause", |e| *e == paused(id));
    assert_eq!(node.status(id).state, State::Paused);
    node.call(move |engine| engine.resume(id)).unwrap();
    node.wait_started(id);
    assert_eq!(node.status(id).state, State::Seeding);
    // Resuming what is not paused changes nothing.
    node.call(move |engine| engine.resume(id)).unwrap();
    assert_eq!(node.status(id).state, State::Seeding);
}

#[test]
fn a_paused_check_goes_on_where_it_was() {
    let torrent = single("f", 32 << 20, PIECE, 4);
    let from = tempfile::tempdir().unwrap();
    torrent.store(from.path());
    let granted = Granted::default();
    let disk_hook = Some(granted.hook());
    let mut node = Node::start(Settings { disk_workers: Some(1), disk_hook, ..settings() });
    let total = torrent.metainfo.geometry().piece_count();
    let add = AddTorrent { check: CheckPolicy::Full, ..AddTorrent::new(torrent.metainfo, from.path()) };
    let id = node.add(add);
    for round in 0..4 {
        // A step of a check is 4 MiB.
        granted.more(5 << 20);
        node.wait("a step", |e| matches!(e, Event::Checking { checked, .. } if *checked > 0));
        node.call(move |engine| engine.pause(id)).unwrap();
        node.wait("pause", |e| *e == paused(id));
        assert_eq!(node.status(id).state, State::Paused);
        // Resumed before and after it has come to rest.
        if round % 2 == 0 {
            granted.more(1 << 20);
        }
        node.call(move |engine| engine.resume(id)).unwrap();
    }
    granted.more(1 << 30);
    node.wait_started(id);
    assert_eq!(node.status(id).left, 0);
    let begin = |e: &Event| match e {
        Event::Checking { checked: 0, total, .. } => Some(*total),
        _ => None,
    };
    let begins: Vec<u32> = node.seen.iter().filter_map(begin).collect();
    assert!(begins.len() > 1 && begins[0] == total, "{begins:?}");
    // However often it began again, each piece was read once.
    assert_eq!(granted.read(), 32 << 20, "{begins:?}");
}

#[test]
fn downloads_take_turns_in_the_order_in_which_they_were_added() {
    let torrents: Vec<TestTorrent> =
        ["a", "b", "c"].iter().zip(1..).map(|(name, seed)| single(name, 300_000, PIECE, seed)).collect();
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut source = Node::start(settings());
    for torrent in &torrents {
        torrent.store(from.path());
        let id = source.add(AddTorrent::new(torrent.metainfo.clone(), from.path()));
        source.wait_started(id);
    }
    let peers = vec![source.addr];
    let mut node = Node::start(Settings { active_downloads: Some(1), ..settings() });
    let ids: Vec<TorrentId> = torrents
        .iter()
        .map(|t| {
            node.add(AddTorrent { peers: peers.clone(), ..AddTorrent::new(t.metainfo.clone(), to.path()) })
        })
        .collect();
    for id in &ids {
        node.wait_completed(*id);
    }
    let order: Vec<&Event> =
        node.seen.iter().filter(|e| matches!(e, Event::Started { .. } | Event::Completed { .. })).collect();
    let expected: Vec<Event> =
        ids.iter().flat_map(|id| [Event::Started { id: *id }, Event::Completed { id: *id }]).collect();
    assert_eq!(order, expected.iter().collect::<Vec<_>>());
    torrents.iter().for_each(|t| t.verify(to.path()));
}

#[test]
fn the_front_of_the_queue_is_active_whatever_happens() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(Settings { active_downloads: Some(2), ..settings() });
    let ids = empty_torrents(&mut node, dir.path(), 4);
    let [a, b, c, d] = ids[..] else { unreachable!() };
    let queued = Event::Queued { id: d, activity: Activity::Download };
    node.wait("the last to queue", |e| *e == queued);
    use State::{Downloading as Down, Paused, Queued};
    assert_eq!(states(&node, &ids), [Down, Down, Queued, Queued]);
    // Brought to the front it takes the turn of the last.
    node.call(move |engine| engine.set_queue_position(d, 0)).unwrap();
    node.wait_started(d);
    assert_eq!(states(&node, &ids), [Down, Queued, Queued, Down]);
    assert_eq!(node.call(move |e| [d, a, b, c].map(|id| e.queue_position(id))), [0, 1, 2, 3].map(Some));
    // A pause gives its turn away, but not its place.
    node.call(move |engine| engine.pause(a)).unwrap();
    node.wait_started(b);
    assert_eq!(states(&node, &ids), [Paused, Down, Queued, Down]);
    node.call(move |engine| engine.resume(a)).unwrap();
    node.wait_started(a);
    assert_eq!(states(&node, &ids), [Down, Queued, Queued, Down]);
    // One that is removed makes room, too; a position far beyond the end is the end.
    node.call(move |engine| engine.set_queue_position(b, usize::MAX)).unwrap();
    node.call(move |engine| engine.remove(d));
    node.wait_started(c);
    assert_eq!(states(&node, &[a, b, c]), [Down, Queued, Down]);
    node.call(|engine| engine.pause_all());
    assert_eq!(states(&node, &[a, b, c]), [Paused; 3]);
    node.call(|engine| engine.resume_all());
    node.wait_started(c);
    assert_eq!(states(&node, &[a, b, c]), [Down, Queued, Down]);
}

#[test]
fn limits_can_be_changed_and_may_be_zero_or_huge() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(Settings { active_downloads: Some(0), ..settings() });
    let ids = empty_torrents(&mut node, dir.path(), 3);
    for id in ids.clone() {
        node.wait("queue", |e| *e == Event::Queued { id, activity: Activity::Download });
    }
    assert_eq!(states(&node, &ids), [State::Queued; 3]);
    let limits = |downloads| {
        move |engine: &mut kamaelia_torrent::engine::Engine| {
            engine.set_queue_limits(QueueLimits { downloads, ..engine.queue_limits() });
        }
    };
    node.call(limits(Some(usize::MAX)));
    for id in ids.clone() {
        node.wait_started(id);
    }
    node.call(limits(Some(1)));
    assert_eq!(states(&node, &ids), [State::Downloading, State::Queued, State::Queued]);
    node.call(limits(None));
    node.wait_started(ids[2]);
    assert_eq!(states(&node, &ids), [State::Downloading; 3]);
}

#[test]
fn a_torrent_that_moves_nothing_does_not_keep_others_waiting() {
    let good = single("good", 300_000, PIECE, 9);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    good.store(from.path());
    let (source, _) = seed(&good.metainfo, from.path());
    let slow_after = Duration::from_millis(50);
    let mut node = Node::start(Settings { active_downloads: Some(1), slow_after, ..settings() });
    let stuck = empty_torrents(&mut node, to.path(), 1)[0];
    node.wait_started(stuck);
    let id = node
        .add(AddTorrent { peers: vec![source.addr], ..AddTorrent::new(good.metainfo.clone(), to.path()) });
    node.wait_completed(id);
    assert_eq!(node.status(stuck).state, State::Downloading);
    // Not so if that is not wanted.
    let mut node =
        Node::start(Settings { active_downloads: Some(1), slow_after, dont_count_slow: false, ..settings() });
    let stuck = empty_torrents(&mut node, to.path(), 2);
    node.wait("queue", |e| matches!(e, Event::Queued { activity: Activity::Download, .. }));
    std::thread::sleep(slow_after * 4);
    assert_eq!(states(&node, &stuck), [State::Downloading, State::Queued]);
}

#[test]
fn a_seed_that_has_sent_enough_is_paused() {
    let torrent = single("f", 1 << 20, PIECE, 1);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let stop_rule = StopRule { ratio: Some(1.0), ..StopRule::default() };
    let mut node = Node::start(Settings { stop_rule, ..settings() });
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), from.path()));
    node.wait_started(id);
    let leech = |name: &str| {
        let mut leech = Node::start(settings());
        let dir = to.path().join(name);
        let id = leech
            .add(AddTorrent { peers: vec![node.addr], ..AddTorrent::new(torrent.metainfo.clone(), &dir) });
        leech.wait_completed(id);
        torrent.verify(&dir);
    };
    leech("first");
    let ended = |e: &Event| *e == Event::Paused { id, cause: PauseCause::Ratio };
    node.wait("pause", ended);
    assert_eq!(node.status(id).state, State::Paused);
    // Resumed by hand it goes on without a rule.
    let mut node = node;
    node.call(move |engine| engine.resume(id)).unwrap();
    node.wait_started(id);
    let addr = node.addr;
    let mut second = Node::start(settings());
    let dir = to.path().join("second");
    let there =
        second.add(AddTorrent { peers: vec![addr], ..AddTorrent::new(torrent.metainfo.clone(), &dir) });
    second.wait_completed(there);
    assert_eq!(node.status(id).state, State::Seeding);
    // A new rule counts again, at once, with what was sent before.
    node.call(move |engine| {
        engine.set_stop_rule(id, Some(StopRule { ratio: Some(1.5), ..StopRule::default() }))
    })
    .unwrap();
    node.wait("pause", ended);
    assert!(node.status(id).uploaded >= 2 << 20);
    drop(second);
    node.stop();
    // The ratio is that of all runs, as its record knows.
    let mut again = Node::start(settings());
    let stop_rule = Some(StopRule { ratio: Some(2.0), ..StopRule::default() });
    let id = again.add(AddTorrent { stop_rule, ..AddTorrent::new(torrent.metainfo, from.path()) });
    again.wait("pause", |e| *e == Event::Paused { id, cause: PauseCause::Ratio });
}

#[test]
fn a_seed_is_paused_after_its_time_and_when_nobody_wants_it() {
    let torrent = single("f", 300_000, PIECE, 1);
    let from = tempfile::tempdir().unwrap();
    torrent.store(from.path());
    let mut node = Node::start(settings());
    let short = Some(Duration::from_millis(20));
    for (rule, cause) in [
        (StopRule { time: short, ..StopRule::default() }, PauseCause::Time),
        (StopRule { idle: short, ..StopRule::default() }, PauseCause::Idle),
        (StopRule { ratio: Some(0.0), ..StopRule::default() }, PauseCause::Ratio),
    ] {
        let add =
            AddTorrent { stop_rule: Some(rule), ..AddTorrent::new(torrent.metainfo.clone(), from.path()) };
        let id = node.add(add);
        node.wait("pause", |e| *e == Event::Paused { id, cause });
        node.call(move |engine| engine.remove(id));
        node.wait("end", |e| *e == Event::Stopped { id });
    }
    // What can never be reached does no harm.
    let endless = StopRule { ratio: Some(1e300), time: Some(Duration::MAX), idle: Some(Duration::MAX) };
    let id =
        node.add(AddTorrent { stop_rule: Some(endless), ..AddTorrent::new(torrent.metainfo, from.path()) });
    node.wait_started(id);
    assert_eq!(node.status(id).state, State::Seeding);
}

#[test]
fn requests_that_make_no_sense_are_told_why() {
    let torrent = single("f", 100_000, PIECE, 1);
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    for ratio in [-1.0, f64::NAN, f64::INFINITY] {
        let rule = StopRule { ratio: Some(ratio), ..StopRule::default() };
        let add =
            AddTorrent { stop_rule: Some(rule), ..AddTorrent::new(torrent.metainfo.clone(), dir.path()) };
        let error = node.call(move |engine| engine.add(add)).unwrap_err();
        assert!(
            matches!(error, AddError::Rule(_)) && error.to_string().contains(&ratio.to_string()),
            "{error}"
        );
        let settings = Settings { stop_rule: rule, ..settings() };
        let error = kamaelia_torrent::engine::Engine::new(settings).unwrap_err().to_string();
        assert!(error.contains(&ratio.to_string()), "{error}");
    }
    let unknown = TorrentId(77);
    let errors = node.call(move |engine| {
        [
            engine.pause(unknown),
            engine.resume(unknown),
            engine.set_queue_position(unknown, 0),
            engine.set_stop_rule(unknown, None),
        ]
    });
    assert_eq!(errors, [(); 4].map(|()| Err(ControlError::Unknown(unknown))));
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let id = node.add(AddTorrent::new(torrent.metainfo, dir.path().join("file")));
    node.wait("failure", |e| matches!(e, Event::Failed { .. }));
    assert_eq!(node.call(move |engine| engine.pause(id)), Err(ControlError::Failed(id)));
}
