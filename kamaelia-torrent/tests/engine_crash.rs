//! A process that is killed in the middle of work on its files: nothing that was verified is lost, no half of a file is
//! taken for the whole, and the download goes on where it was.
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kamaelia_torrent::disk::{DiskHook, HookedAccess};
use kamaelia_torrent::engine::{AddTorrent, CheckPolicy, Event, Settings, TorrentId};
use kamaelia_torrent::proto::Priority;
use support::node::*;
use support::*;

/// What the other process does until it is killed.
#[derive(Copy, Clone, Debug)]
enum Work {
    /// Moves to the folder.
    Move,
    /// Wants all files.
    SelectAll,
}

/// Runs the test below, which works on `dir`, up to its `point`-th copy, and kills it then, or `more` milliseconds
/// later.
fn killed(work: Work, dir: &Path, to: &Path, state: Option<&Path>, point: u32, more: Option<u64>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "works_until_it_is_killed", "--nocapture"]);
    command.env("CRASH_WORK", format!("{work:?}")).env("CRASH_DIR", dir).env("CRASH_TO", to);
    command.env("CRASH_POINT", point.to_string()).env("CRASH_HOLDS", more.is_none().to_string());
    if let Some(state) = state {
        command.env("CRASH_STATE", state);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reached = lines.map_while(Result::ok).any(|line| line.contains(REACHED));
    assert!(reached, "{work:?} has no point {point}");
    if let Some(more) = more {
        std::thread::sleep(std::time::Duration::from_millis(more));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

const REACHED: &str = "the point is reached";

#[test]
#[ignore = "started by the others, and killed"]
fn works_until_it_is_killed() {
    let text = |name: &str| std::env::var(name).unwrap();
    let (dir, to) = (PathBuf::from(text("CRASH_DIR")), PathBuf::from(text("CRASH_TO")));
    let (point, holds) = (text("CRASH_POINT").parse().unwrap(), text("CRASH_HOLDS") == "true");
    let copies = AtomicU32::new(0);
    let hook = DiskHook::new(move |access, _| {
        if access == HookedAccess::Copy && copies.fetch_add(1, Ordering::SeqCst) + 1 == point {
            // Not by a print macro: the harness keeps that of other threads for itself at times.
            writeln!(std::io::stdout(), "\n{REACHED}").unwrap();
            if holds {
                loop {
                    std::thread::park();
                }
            }
        }
        Ok(())
    });
    let state_dir = std::env::var_os("CRASH_STATE").map(PathBuf::from);
    let mut node = Node::start(Settings { disk_hook: Some(hook), state_dir, ..settings() });
    let moves = text("CRASH_WORK") == "Move";
    let torrent = if moves { three() } else { forty() };
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir));
    node.wait_started(id);
    if moves {
        node.call(move |engine| engine.move_storage(id, to)).unwrap();
    } else {
        select_all(&node, id, torrent.files.len());
    }
    node.wait("the end", |_| false);
}

/// Three files in pieces of 64 KiB.
fn three() -> TestTorrent {
    let files = vec![
        file("a", 3_000_000, 1),
        file("sub/b", 2_500_000, 2),
        file("c", (4 << 20) - 1, 3),
        file("empty", 0, 4),
    ];
    multi("t", files, 65_536)
}

/// Forty files that share their pieces, of which every second is wanted first.
fn forty() -> TestTorrent {
    let name = |n: u64| &*Box::leak(format!("f{n:02}").into_boxed_str());
    multi("t", (0..40).map(|n| file(name(n), 40_000, n + 1)).collect(), 65_536)
}

fn select_all(node: &Node, id: TorrentId, files: usize) {
    let all: Vec<_> = (0..files).map(|i| (i, Priority::NORMAL)).collect();
    node.call(move |engine| engine.set_file_priorities(id, &all)).unwrap();
}

fn record(torrent: &TestTorrent, dir: &Path) -> PathBuf {
    dir.join(format!(".{}.resume", torrent.metainfo.info_hash()))
}

fn with(state: Option<&Path>) -> Settings {
    Settings { state_dir: state.map(Path::to_path_buf), ..settings() }
}

/// Of 147 pieces in a row so many are there before the move: 15, then 6 that are not, and so on.
const BEFORE: u32 = 100;

/// What is copied last: 15 pieces are one run, shorter ones where a file begins or ends.
const LAST: u32 = 9;

/// Downloads so many pieces into `dir` and stops in order.
fn begin(torrent: &TestTorrent, dir: &Path, state: Option<&Path>) {
    let (data, piece_len) = (torrent.payload(), torrent.metainfo.geometry().piece_len() as usize);
    let script: Script = Arc::new(move |piece, begin, len| {
        let at = piece as usize * piece_len + begin as usize;
        // All over the files.
        (piece * 7 % 147 < BEFORE).then(|| data[at..at + len as usize].to_vec())
    });
    let count = torrent.metainfo.geometry().piece_count();
    assert_eq!(count, 148, "of which 147 are spread by the script");
    let wanted = (0..count).filter(|piece| piece * 7 % 147 < BEFORE).count();
    let (addr, _) = scripted_seed(torrent.metainfo.info_hash().0, count, script);
    let mut node = Node::start(with(state));
    node.add(AddTorrent { peers: vec![addr], ..AddTorrent::new(torrent.metainfo.clone(), dir) });
    for _ in 0..wanted {
        node.wait("a piece", |e| matches!(e, Event::PieceVerified { .. }));
    }
    node.stop();
}

/// Starts it in `dir`, where all that was verified has to be known, and completes it.
fn complete(
    torrent: &TestTorrent,
    dir: &Path,
    state: Option<&Path>,
    seed: &Node,
    then_to: Option<&Path>,
) -> PathBuf {
    let count = torrent.metainfo.geometry().piece_count();
    let before = (0..count).filter(|piece| piece * 7 % 147 < BEFORE).count() as u32;
    let mut node = Node::start(with(state));
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir));
    node.wait_started(id);
    let status = node.status(id);
    assert_eq!(status.pieces_have, before, "in {}", dir.display());
    let hashed = node.seen.iter().any(|e| matches!(e, Event::Checking { .. }));
    assert!(!hashed, "nothing has changed in {}", dir.display());
    if let Some(to) = then_to {
        let dir = to.to_path_buf();
        node.call(move |engine| engine.move_storage(id, dir)).unwrap();
        let end = node.wait("the move", |e| matches!(e, Event::Moved { .. } | Event::RequestFailed { .. }));
        assert_eq!(end, Event::Moved { id, dir: to.to_path_buf() });
    }
    let addr = seed.addr;
    node.call(move |engine| engine.add_peers(id, &[addr]));
    node.wait_completed(id);
    let end = node.status(id);
    assert_eq!(end.downloaded, end.total - status.verified, "what was missing, and nothing else");
    node.stop();
    end.save_path.parent().unwrap().to_path_buf()
}

/// Nothing of it is there, but for what the move could not know.
fn is_empty(dir: &Path) {
    let left: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_kill_in_the_middle_of_a_move_between_file_systems_loses_nothing() {
    if elsewhere().is_none() {
        eprintln!("SKIPPED: one file system only");
        return;
    }
    let torrent = three();
    let (_from, seed, _) = stored_seed(&torrent);
    // At the first run of each file, in the middle, and at the last.
    for (n, point) in [1, 2, 4, 5, 6, 8, LAST].into_iter().enumerate() {
        let (dir, to, store) =
            (tempfile::tempdir().unwrap(), elsewhere().unwrap(), tempfile::tempdir().unwrap());
        let state = (n % 2 == 1).then(|| store.path());
        begin(&torrent, dir.path(), state);
        killed(Work::Move, dir.path(), to.path(), state, point, None);
        let half = fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(
            half.into_iter().any(|name| name.to_string_lossy().ends_with(".moving")),
            "point {point} is in the middle of a file"
        );

        // The old one is as it was. The move can be made again, or the download goes on there.
        let again = (n % 4 != 2).then(|| to.path());
        let place = complete(&torrent, dir.path(), state, &seed, again);
        assert_eq!(place, again.unwrap_or(dir.path()));
        torrent.verify(&place);
        if again.is_some() {
            is_empty(dir.path());
            let left = fs::read_dir(to.path()).unwrap().count();
            assert_eq!(left, if state.is_some() { 1 } else { 2 }, "folder and record");
        } else {
            // Whoever looks into the new place takes nothing for whole that is not.
            let mut node = Node::start(settings());
            let check = CheckPolicy::Resume;
            let id = node.add(AddTorrent { check, ..AddTorrent::new(torrent.metainfo.clone(), to.path()) });
            node.wait_started(id);
            let count = torrent.metainfo.geometry().piece_count();
            assert!(node.status(id).pieces_have < count * 3 / 4, "point {point}");
            let addr = seed.addr;
            node.call(move |engine| engine.add_peers(id, &[addr]));
            node.wait_completed(id);
            torrent.verify(to.path());
        }
    }
}

#[test]
fn a_kill_at_any_time_about_the_end_of_a_move_loses_nothing() {
    if elsewhere().is_none() {
        eprintln!("SKIPPED: one file system only");
        return;
    }
    let torrent = three();
    let (_from, seed, _) = stored_seed(&torrent);
    for more in [0, 1, 2, 3, 5, 8, 13, 21, 34, 200] {
        let (dir, to) = (tempfile::tempdir().unwrap(), elsewhere().unwrap());
        begin(&torrent, dir.path(), None);
        killed(Work::Move, dir.path(), to.path(), None, LAST, Some(more));
        // The record is written when all is there, and before anything goes here.
        let moved = record(&torrent, to.path()).exists();
        let place = if moved { to.path() } else { dir.path() };
        println!("{more} ms after the last copy: {}", if moved { "there" } else { "here" });
        complete(&torrent, place, None, &seed, None);
        torrent.verify(place);
    }
}

#[test]
fn a_kill_while_the_part_file_is_emptied_loses_nothing() {
    let torrent = forty();
    let (_from, seed, _) = stored_seed(&torrent);
    let total = torrent.payload().len() as u64;
    for point in [1, 2, 7, 13, 20] {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Node::start(settings());
        let priorities =
            (0..40).map(|n| if n % 2 == 0 { Priority::NORMAL } else { Priority::SKIP }).collect();
        let peers = vec![seed.addr];
        let add = AddTorrent::new(torrent.metainfo.clone(), dir.path());
        let id = node.add(AddTorrent { peers, priorities, ..add });
        node.wait_completed(id);
        let before = node.status(id);
        node.stop();
        let part_file = dir.path().join(format!(".{}.parts", torrent.metainfo.info_hash()));
        assert!(part_file.exists());
        killed(Work::SelectAll, dir.path(), dir.path(), None, point, None);

        let mut node = Node::start(settings());
        let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir.path()));
        node.wait_started(id);
        assert_eq!(node.status(id).pieces_have, before.pieces_have, "point {point}");
        select_all(&node, id, 40);
        let addr = seed.addr;
        node.call(move |engine| engine.add_peers(id, &[addr]));
        node.wait("all of it", |e| matches!(e, Event::Completed { .. }));
        let end = node.status(id);
        assert_eq!((end.left, end.downloaded), (0, total - before.verified), "point {point}");
        node.stop();
        torrent.verify(dir.path());
        assert!(!part_file.exists(), "point {point}");
    }
}
