//! What was received is kept or was in vain, to the byte, whatever happens to a download in the middle.

#[path = "support/slow.rs"]
mod slow;
mod support;

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use kamaelia_torrent::disk::{DiskHook, HookedAccess};
use kamaelia_torrent::engine::{AddTorrent, Event, Settings, State, TorrentId, TorrentStatus};
use kamaelia_torrent::proto::geometry::PieceIndex;
use support::node::*;
use support::*;

const PIECE: u32 = 32_768;
const BLOCK: u64 = 16_384;

/// A seed that answers what `gives` allows, by piece and begin.
fn seed_of(
    torrent: &TestTorrent,
    gives: impl Fn(u32, u32) -> bool + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<u64>>) {
    let (data, size) = (torrent.payload(), torrent.metainfo.geometry().piece_size(PieceIndex(0)));
    let script: Script = Arc::new(move |piece, begin, len| {
        let at = piece as usize * size as usize + begin as usize;
        gives(piece, begin).then(|| data[at..at + len as usize].to_vec())
    });
    scripted_seed(torrent.metainfo.info_hash().0, torrent.metainfo.geometry().piece_count(), script)
}

/// A disk that waits until it is let go, and then may refuse.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, bool)>,
    rung: Condvar,
    /// Accesses that came to the gate.
    waiting: AtomicU32,
}

impl Gate {
    fn hook(self: &Arc<Gate>) -> DiskHook {
        let gate = Arc::clone(self);
        DiskHook::new(move |access, _| if access == HookedAccess::Read { Ok(()) } else { gate.pass() })
    }

    fn pass(&self) -> std::io::Result<()> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let state = self.state.lock().unwrap();
        let (state, _) = self.rung.wait_timeout_while(state, LIMIT, |(open, _)| !*open).unwrap();
        if state.1 { refused() } else { Ok(()) }
    }

    fn open(&self, refuse: bool) {
        *self.state.lock().unwrap() = (true, refuse);
        self.rung.notify_all();
    }
}

fn refused() -> std::io::Result<()> {
    Err(Error::new(ErrorKind::StorageFull, "refused"))
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "waiting for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn assert_adds_up(status: &TorrentStatus) {
    assert_eq!(status.downloaded, status.verified + status.wasted, "{status:#?}");
    assert_eq!(status.wasted, status.figures.waste.total());
}

fn pause(node: &mut Node, id: TorrentId) {
    node.call(move |engine| engine.pause(id)).unwrap();
}

fn add(node: &Node, torrent: &TestTorrent, peers: Vec<SocketAddr>, dir: &Path) -> TorrentId {
    node.add(AddTorrent { peers, ..AddTorrent::new(torrent.metainfo.clone(), dir) })
}

#[test]
fn a_block_of_a_piece_that_a_pause_cuts_short_is_counted_as_given_up() {
    let torrent = single("f", 1 << 20, PIECE, 1);
    let all = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&all);
    // Of most pieces the first half only.
    let (addr, served) =
        seed_of(&torrent, move |piece, begin| piece < 5 || begin == 0 || open.load(Ordering::SeqCst));
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(settings());
    let id = add(&node, &torrent, vec![addr], dir.path());
    wait_for("all that it gives", || node.status(id).downloaded == (32 + 5) * BLOCK);
    assert_eq!(*served.lock().unwrap(), 32 + 5);
    pause(&mut node, id);
    wait_for("the pieces that were at the disk", || node.status(id).pieces_have == 5);
    let status = node.status(id);
    assert_eq!((status.figures.waste.given_up, status.wasted), (27 * BLOCK, 27 * BLOCK));
    assert_adds_up(&status);
    all.store(true, Ordering::SeqCst);
    node.call(move |engine| engine.resume(id)).unwrap();
    node.wait_completed(id);
    torrent.verify(dir.path());
    let status = node.status(id);
    assert_adds_up(&status);
    assert_eq!(status.wasted, 27 * BLOCK);
}

/// Pauses while four pieces wait for the disk, one of them bad; then the disk takes them, or refuses.
fn pause_before_the_disk(refuse: bool) -> (Node, TorrentStatus, tempfile::TempDir, TestTorrent) {
    let torrent = single("f", 4 * PIECE as usize, PIECE, 1);
    let data = torrent.payload();
    let lied = AtomicBool::new(false);
    let script: Script = Arc::new(move |piece, begin, len| {
        let at = piece as usize * PIECE as usize + begin as usize;
        let mut block = data[at..at + len as usize].to_vec();
        block[0] ^= u8::from(piece == 2 && !lied.swap(true, Ordering::SeqCst));
        Some(block)
    });
    let (addr, _) = scripted_seed(torrent.metainfo.info_hash().0, 4, script);
    let gate = Arc::new(Gate::default());
    let dir = tempfile::tempdir().unwrap();
    let mut node =
        Node::start(Settings { disk_workers: Some(1), disk_hook: Some(gate.hook()), ..settings() });
    // In order, so that the worker waits with the first and the bad one is behind it.
    let id = node.add(AddTorrent {
        peers: vec![addr],
        sequential: true,
        ..AddTorrent::new(torrent.metainfo.clone(), dir.path())
    });
    wait_for("all of it", || node.status(id).downloaded == 8 * BLOCK);
    wait_for("the worker", || gate.waiting.load(Ordering::SeqCst) > 0);
    pause(&mut node, id);
    assert_eq!(node.status(id).verified, 0);
    gate.open(refuse);
    // Until nothing is under way it does not rest.
    wait_for("the disk", || {
        let status = node.status(id);
        status.downloaded == status.verified + status.wasted
    });
    let status = node.status(id);
    assert_eq!((status.state, status.figures.hash_failures), (State::Paused, 1));
    assert_eq!(status.figures.waste.bad, u64::from(PIECE));
    (node, status, dir, torrent)
}

#[test]
fn pieces_that_the_disk_judges_after_a_pause_are_kept_or_counted() {
    let (mut node, status, dir, torrent) = pause_before_the_disk(false);
    assert_eq!((status.pieces_have, status.figures.waste.given_up), (3, 0));
    let id = status.id;
    node.call(move |engine| engine.resume(id)).unwrap();
    node.wait_completed(id);
    torrent.verify(dir.path());
    assert_adds_up(&node.status(id));
}

#[test]
fn pieces_that_the_disk_refuses_after_a_pause_are_counted() {
    let (_node, status, _dir, _) = pause_before_the_disk(true);
    assert_eq!((status.pieces_have, status.figures.waste.given_up), (0, 3 * u64::from(PIECE)));
}

#[test]
fn the_last_piece_is_fetched_again_after_a_pause_and_counted() {
    let torrent = single("f", PIECE as usize, PIECE, 1);
    let (addr, _) = seed_of(&torrent, |_, _| true);
    let gate = Arc::new(Gate::default());
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(Settings { disk_hook: Some(gate.hook()), ..settings() });
    let id = add(&node, &torrent, vec![addr], dir.path());
    wait_for("the worker", || gate.waiting.load(Ordering::SeqCst) > 0);
    pause(&mut node, id);
    gate.open(false);
    wait_for("the disk", || node.status(id).wasted > 0);
    node.call(move |engine| engine.resume(id)).unwrap();
    node.wait_completed(id);
    let status = node.status(id);
    assert_eq!((status.figures.waste.given_up, status.downloaded), (2 * BLOCK, 4 * BLOCK));
    assert_adds_up(&status);
}

#[test]
fn what_the_disk_refuses_is_counted() {
    let torrent = single("f", 8 * PIECE as usize, PIECE, 1);
    let (addr, _) = seed_of(&torrent, |_, _| true);
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let hook = DiskHook::new(move |access, _| {
        if access == HookedAccess::Write && is_broken.load(Ordering::SeqCst) {
            return refused();
        }
        Ok(())
    });
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(Settings { disk_hook: Some(hook), ..settings() });
    let id = add(&node, &torrent, vec![addr], dir.path());
    node.wait("trouble", |e| matches!(e, Event::DiskTrouble { .. }));
    broken.store(false, Ordering::SeqCst);
    node.call(move |engine| engine.retry_disk(id)).unwrap();
    node.wait_completed(id);
    let status = node.status(id);
    assert!(status.figures.waste.given_up >= u64::from(PIECE), "{status:?}");
    assert_adds_up(&status);
}

/// The first write is refused at once; the second is under way while the disk is tried again, and is refused then. Answers
/// the news of the disk and what it has given up.
fn retried_while_a_write_is_under_way(works_again: bool) -> (Vec<bool>, u64) {
    // So much that the second worker gets some of it while the first waits.
    let torrent = single("f", 16 << 20, 1 << 20, 1);
    let (addr, _) = seed_of(&torrent, |_, _| true);
    let gate = Arc::new(Gate::default());
    let (writes, at_gate) = (AtomicU32::new(0), Arc::clone(&gate));
    let hook = DiskHook::new(move |access, _| {
        if access != HookedAccess::Write {
            return Ok(());
        }
        match writes.fetch_add(1, Ordering::SeqCst) {
            0 => {
                wait_for("a second write", || at_gate.waiting.load(Ordering::SeqCst) > 0);
                refused()
            }
            1 => at_gate.pass(),
            _ if works_again => Ok(()),
            _ => refused(),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let workers = Some(2);
    let mut node = Node::start(Settings { disk_hook: Some(hook), disk_workers: workers, ..settings() });
    let id = add(&node, &torrent, vec![addr], dir.path());
    node.wait("trouble", |e| matches!(e, Event::DiskTrouble { .. }));
    node.call(move |engine| engine.retry_disk(id)).unwrap();
    gate.open(true);
    if works_again {
        node.wait_completed(id);
        torrent.verify(dir.path());
    } else {
        node.wait("trouble again", |e| matches!(e, Event::DiskTrouble { .. }));
    }
    let status = node.status(id);
    assert_eq!(status.disk_error.is_none(), works_again);
    if works_again {
        assert_adds_up(&status);
    }
    let news = node.seen.iter().filter_map(|e| match e {
        Event::DiskTrouble { error, .. } => Some(error.is_some()),
        _ => None,
    });
    (news.collect(), status.figures.waste.given_up)
}

#[test]
fn a_refusal_of_what_was_written_before_the_disk_was_tried_again_does_not_stop_it() {
    let (news, given_up) = retried_while_a_write_is_under_way(true);
    assert_eq!((news, given_up), (vec![true, false], 2 << 20));
}

#[test]
fn a_disk_that_refuses_what_is_written_after_it_was_tried_again_is_told_again() {
    let (news, _) = retried_while_a_write_is_under_way(false);
    assert_eq!(news, [true, true]);
}

#[test]
fn a_torrent_that_is_closed_in_the_middle_leaves_its_sum_in_the_session() {
    let torrent = single("f", 1 << 20, PIECE, 1);
    let (addr, _) = seed_of(&torrent, |piece, begin| piece < 5 || begin == 0);
    let gate = Arc::new(Gate::default());
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(Settings { disk_hook: Some(gate.hook()), ..settings() });
    let id = add(&node, &torrent, vec![addr], dir.path());
    wait_for("all that it gives", || node.status(id).downloaded == (32 + 5) * BLOCK);
    node.call(move |engine| engine.unload(id));
    gate.open(false);
    node.wait("the end", |e| *e == Event::Stopped { id });
    let kept = node.seen.iter().filter(|e| matches!(e, Event::PieceVerified { .. })).count() as u64;
    let removed = node.call(|engine| engine.session_stats().removed);
    assert_eq!(removed.downloaded, (32 + 5) * BLOCK);
    assert_eq!(removed.downloaded, kept * u64::from(PIECE) + removed.waste.total());
    assert_eq!(kept, 5, "what came whole is kept");
}

/// Pauses, moves, selections, ends of connections, lies and refusals of the disk in any order.
#[test]
fn the_sum_is_right_after_whatever_happened() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(1);
    println!("SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..6 {
        anything(&mut rng);
    }
}

fn anything(rng: &mut fastrand::Rng) {
    // Pieces of one buffer, and of several.
    let piece = [PIECE, 1 << 20][rng.usize(..2)];
    let files = vec![file("a", 3 << 20, 1), file("b", 1_000_001, 2), file("c", 2 << 20, 3)];
    let torrent = multi("t", files, piece);
    let (hash, pieces) = (torrent.metainfo.info_hash().0, torrent.metainfo.geometry().piece_count());
    let data = Arc::new(torrent.payload());
    let honest = |most: usize| slow::slow_seed(hash, Arc::clone(&data), piece as usize, 20_000, most);
    let lies = AtomicU32::new(rng.u32(..3));
    let payload = Arc::clone(&data);
    let script: Script = Arc::new(move |index, begin, len| {
        let at = index as usize * piece as usize + begin as usize;
        let mut block = payload[at..at + len as usize].to_vec();
        if lies.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            block[9] ^= 1;
        }
        Some(block)
    });
    let liar = scripted_seed(hash, pieces, script).0;
    // Many ends: each connection closes after some blocks, perhaps in the middle of a piece.
    let peers = vec![honest(rng.usize(20..90)), honest(rng.usize(20..90)), liar];
    let refuses = Arc::new(AtomicU32::new(rng.u32(..3)));
    let left = Arc::clone(&refuses);
    let hook = DiskHook::new(move |access, bytes| {
        std::thread::sleep(Duration::from_nanos(bytes * 5));
        let refuse =
            || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if access == HookedAccess::Write && bytes > 1000 && refuse() {
            return refused();
        }
        Ok(())
    });
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let memory = [1 << 20, 8 << 20][rng.usize(..2)];
    let mut node = Node::start(Settings { disk_hook: Some(hook), memory, ..settings() });
    let id = add(&node, &torrent, peers, dirs[0].path());
    node.wait_started(id);
    let mut history = Vec::new();
    while node.status(id).left > 0 && history.len() < 40 {
        std::thread::sleep(Duration::from_micros(rng.u64(..30_000)));
        let what = rng.u32(..6);
        history.push(what);
        match what {
            0 | 1 => pause(&mut node, id),
            2 => node.call(move |engine| engine.resume(id)).unwrap(),
            3 => {
                let dir = dirs[rng.usize(..2)].path().to_path_buf();
                node.call(move |engine| engine.move_storage(id, dir)).unwrap();
            }
            4 => {
                let wanted = rng.usize(..3);
                let set = [(wanted, kamaelia_torrent::proto::selection::Priority::new(rng.u8(..2)).unwrap())];
                node.call(move |engine| engine.set_file_priorities(id, &set)).unwrap();
            }
            _ => node.call(move |engine| engine.retry_disk(id)).unwrap(),
        }
        let status = node.status(id);
        assert!(status.verified + status.wasted <= status.downloaded, "{history:?} {status:#?}");
    }
    let last = honest(usize::MAX);
    node.call(move |engine| {
        let all = [0, 1, 2].map(|file| (file, Default::default()));
        engine.set_file_priorities(id, &all).unwrap();
        engine.resume(id).unwrap();
        engine.retry_disk(id).unwrap();
        engine.add_peers(id, &[last]);
    });
    wait_for("all of it", || {
        // The disk may refuse once more.
        node.call(move |engine| engine.retry_disk(id)).unwrap();
        node.status(id).left == 0
    });
    let status = node.status(id);
    assert_eq!(status.downloaded, status.verified + status.wasted, "{history:?} {status:#?}");
    println!("{:?} {}", status.figures.waste, history.len());
}
