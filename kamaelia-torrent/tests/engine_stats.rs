//! The figures of a session add up: over torrents, over peers, and between the two ends of a connection.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kamaelia_torrent::engine::{AddTorrent, Engine, Event, Figures, SessionStats};
use kamaelia_torrent::proto::torrent::Direction;
use support::node::*;
use support::*;

const PIECE: u32 = 32_768;

/// The session's figures, those of all torrents together, and payload by the peers that are connected.
fn all(engine: &mut Engine) -> (SessionStats, Figures, (u64, u64)) {
    let stats = engine.session_stats();
    let ids: Vec<_> = engine.ids().collect();
    let mut sum = stats.removed;
    let mut peers = (0, 0);
    for id in ids {
        sum += engine.status(id).unwrap().figures;
        for peer in engine.peers(id) {
            peers = (peers.0 + peer.downloaded, peers.1 + peer.uploaded);
        }
    }
    (stats, sum, peers)
}

/// Two calls look at the clock twice.
fn timeless(figures: Figures) -> Figures {
    Figures { active: Duration::ZERO, seeding: Duration::ZERO, ..figures }
}

/// The sums over torrents, with what belongs to none, are what was counted at the sockets.
fn assert_adds_up(stats: &SessionStats, sum: Figures) {
    let strangers = Figures { received: stats.strangers.0, sent: stats.strangers.1, ..Figures::default() };
    let mut expected = timeless(sum);
    expected += strangers;
    assert_eq!(timeless(stats.figures), expected);
    assert!(stats.figures.active >= sum.active.saturating_sub(Duration::from_secs(20)));
    let counts = [stats.checking, stats.downloading, stats.seeding, stats.queued, stats.paused, stats.failed];
    assert_eq!(stats.torrents, counts.iter().sum::<usize>());
    assert!(
        stats.figures.received >= stats.figures.downloaded && stats.figures.sent >= stats.figures.uploaded
    );
}

#[test]
fn the_session_is_the_sum_of_its_torrents_and_peers() {
    let torrents = [single("a", 3 << 20, PIECE, 1), single("b", 1_000_001, PIECE, 2)];
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut seed, mut leech) = (Node::start(settings()), Node::start(settings()));
    let mut ids = Vec::new();
    for torrent in &torrents {
        torrent.store(from.path());
        let id = seed.add(AddTorrent::new(torrent.metainfo.clone(), from.path()));
        seed.wait_started(id);
    }
    for torrent in &torrents {
        let peers = vec![seed.addr];
        let id = leech.add(AddTorrent { peers, ..AddTorrent::new(torrent.metainfo.clone(), to.path()) });
        leech.wait_completed(id);
        ids.push(id);
    }
    let payload = (3 << 20) + 1_000_001;
    let (theirs, sum, by_peers) = leech.call(all);
    assert_adds_up(&theirs, sum);
    assert_eq!((theirs.figures.downloaded, theirs.figures.waste.total()), (payload, 0));
    // Each torrent's only peer was connected once, so that the peers that are left make up the sum; a connection of two
    // seeds may be closed by now.
    assert!(by_peers.0 <= payload);
    let (ours, sum, _) = seed.call(all);
    assert_adds_up(&ours, sum);
    assert_eq!(ours.figures.uploaded, payload);
    assert_eq!((ours.figures.accepted, theirs.figures.made), (2, 2));
    // Both ends count the same bytes on the wire, as soon as what is under way has come.
    let end = Instant::now() + LIMIT;
    loop {
        let (ours, theirs) = (seed.call(all).0, leech.call(all).0);
        if ours.figures.sent == theirs.figures.received && ours.figures.received == theirs.figures.sent {
            break;
        }
        assert!(Instant::now() < end, "{:?} {:?}", ours.figures, theirs.figures);
        std::thread::yield_now();
    }
    // What is gone stays in the sum.
    let (before, _, _) = leech.call(all);
    let id = ids[0];
    leech.call(move |engine| engine.remove(id));
    leech.wait("end", |e| *e == Event::Stopped { id });
    let (after, sum, _) = leech.call(all);
    assert_adds_up(&after, sum);
    assert_eq!(after.figures.downloaded, before.figures.downloaded);
    assert_eq!((after.torrents, after.removed.downloaded), (1, 3 << 20));
}

#[test]
fn payload_by_peers_is_that_of_the_torrent() {
    let torrent = single("a", 2 << 20, PIECE, 1);
    let data = torrent.payload();
    // Keeps the last piece back, so that it stays connected.
    let last = torrent.metainfo.geometry().piece_count() - 1;
    let script: Script = Arc::new(move |piece, begin, len| {
        let at = piece as usize * PIECE as usize + begin as usize;
        (piece < last).then(|| data[at..at + len as usize].to_vec())
    });
    let (addr, served) = scripted_seed(torrent.metainfo.info_hash().0, last + 1, script);
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    let id = node.add(AddTorrent { peers: vec![addr], ..AddTorrent::new(torrent.metainfo, dir.path()) });
    for _ in 0..last {
        node.wait("a piece", |e| matches!(e, Event::PieceVerified { .. }));
    }
    let (stats, sum, peers) = node.call(all);
    assert_adds_up(&stats, sum);
    assert_eq!(peers, (stats.figures.downloaded, stats.figures.uploaded));
    let status = node.status(id);
    assert_eq!(peers.0, *served.lock().unwrap() * 16_384);
    assert_eq!(status.verified + stats.figures.waste.total(), stats.figures.downloaded);
    let peer = &node.call(move |engine| engine.peers(id))[0];
    assert_eq!((peer.direction, stats.peers), (Direction::Outgoing, 1));
    // 13 bytes a block, a handshake, a bitfield and an unchoke: nothing else came.
    let (blocks, handshake, bits) = (*served.lock().unwrap(), 68, 5 + u64::from((last + 1).div_ceil(8)));
    assert_eq!(stats.figures.protocol_received(), blocks * 13 + handshake + bits + 5);
}

#[test]
fn waste_is_counted_by_reason_and_completes_the_sum() {
    let torrent = single("a", 1 << 20, PIECE, 1);
    let data = torrent.payload();
    let lies = Arc::new(AtomicU32::new(0));
    let told = lies.clone();
    let script: Script = Arc::new(move |piece, begin, len| {
        let at = piece as usize * PIECE as usize + begin as usize;
        let mut block = data[at..at + len as usize].to_vec();
        if piece == 3 && begin == 0 && told.fetch_add(1, Ordering::SeqCst) == 0 {
            block[7] ^= 1;
        }
        Some(block)
    });
    let pieces = torrent.metainfo.geometry().piece_count();
    let (liar, _) = scripted_seed(torrent.metainfo.info_hash().0, pieces, script);
    let from = tempfile::tempdir().unwrap();
    torrent.store(from.path());
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    let id =
        node.add(AddTorrent { peers: vec![liar], ..AddTorrent::new(torrent.metainfo.clone(), dir.path()) });
    // The liar is banned for good; an honest one has to bring the rest.
    node.wait("the end of the liar", |e| matches!(e, Event::PeerGone { .. }));
    let (honest, _) = seed(&torrent.metainfo, from.path());
    let addr = honest.addr;
    node.call(move |engine| engine.add_peers(id, &[addr]));
    node.wait_completed(id);
    torrent.verify(dir.path());
    let (stats, sum, _) = node.call(all);
    assert_adds_up(&stats, sum);
    let waste = stats.figures.waste;
    assert_eq!(stats.figures.hash_failures, 1);
    assert!(waste.bad >= u64::from(PIECE), "{waste:?}");
    assert_eq!(stats.figures.downloaded, (1 << 20) + waste.total(), "{waste:?}");
    let status = node.status(id);
    assert_eq!((status.wasted, status.figures.waste), (waste.total(), waste));
}

#[test]
fn each_attempt_to_connect_is_made_or_failed() {
    let torrent = single("a", 100_000, PIECE, 1);
    let from = tempfile::tempdir().unwrap();
    torrent.store(from.path());
    let different = single("b", 1000, PIECE, 2);
    different.store(from.path());
    let (other, _) = seed(&different.metainfo, from.path());
    let (good, _) = seed(&torrent.metainfo, from.path());
    let closed = "127.0.0.1:1".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    // One that is not there, one that has another torrent, one that is good.
    let peers: Vec<SocketAddr> = vec![closed, other.addr, good.addr];
    let id = node.add(AddTorrent { peers, ..AddTorrent::new(torrent.metainfo, dir.path()) });
    node.wait_completed(id);
    while node.seen.iter().filter(|e| matches!(e, Event::DialFailed { .. })).count() < 2 {
        node.wait("failure", |e| matches!(e, Event::DialFailed { .. }));
    }
    node.call(move |engine| engine.pause(id)).unwrap();
    let (stats, sum, _) = node.call(all);
    assert_adds_up(&stats, sum);
    let Figures { tried, made, failed, .. } = stats.figures;
    assert!(made == 1 && failed >= 2 && tried == made + failed, "{tried} {made} {failed}");
    assert_eq!((stats.peers, stats.connections, stats.paused), (0, 0, 1));
    // Whoever names a torrent that is not here is a stranger.
    let (stats, sum, _) = other.call(all);
    assert_adds_up(&stats, sum);
    assert!(stats.strangers.0 >= 48 && stats.figures.accepted == 0, "{stats:?}");
}

#[test]
fn times_are_kept_from_run_to_run() {
    let torrent = single("a", 100_000, PIECE, 1);
    let from = tempfile::tempdir().unwrap();
    torrent.store(from.path());
    let run = || {
        let (node, id) = seed(&torrent.metainfo, from.path());
        // Whole seconds are kept.
        std::thread::sleep(Duration::from_millis(1100));
        let status = node.status(id);
        let Figures { active, seeding, .. } = status.figures;
        assert!(active >= Duration::from_millis(1100) && seeding >= Duration::from_millis(1100));
        node.stop();
        status.totals
    };
    let (first, second) = (run(), run());
    assert!(first.active_secs >= 1 && first.seeding_secs >= 1, "{first:?}");
    assert!(second.active_secs > first.active_secs && second.seeding_secs > first.seeding_secs, "{second:?}");
}
