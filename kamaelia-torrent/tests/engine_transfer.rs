//! Engines bring torrents from one to the other over real sockets.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kamaelia_torrent::disk::{DiskHook, HookedAccess};
use kamaelia_torrent::engine::{AddTorrent, CheckPolicy, Event, Settings, State};
use kamaelia_torrent::proto::geometry::PieceIndex;
use support::node::*;
use support::*;

#[test]
fn a_file_of_64_mib() {
    let torrent = single("big", 64 << 20, 256 * 1024, 1);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let (seed, seed_id) = seed(&torrent.metainfo, from.path());
    let mut leech = Node::start(settings());
    let id = leech
        .add(AddTorrent { peers: vec![seed.addr], ..AddTorrent::new(torrent.metainfo.clone(), to.path()) });
    leech.wait_completed(id);
    torrent.verify(to.path());
    let status = leech.status(id);
    assert_eq!((status.state, status.left, status.downloaded), (State::Seeding, 0, 64 << 20));
    assert!((status.progress - 1.0).abs() < f64::EPSILON);
    assert_eq!(seed.status(seed_id).uploaded, 64 << 20);
}

#[test]
fn many_files_with_padding_empty_files_and_long_pieces() {
    // Pieces longer than a part, so that they are written in parts.
    for (piece_len, name) in [(16 * 1024, "short"), (1024 * 1024, "long")] {
        let files = vec![
            file("a/one", 3_000_000, 1),
            file("empty", 0, 0),
            pad(145_728),
            file("a/b/two", 5_000_001, 2),
            file("three", 7, 3),
            file("c/also empty", 0, 0),
        ];
        let torrent = multi(name, files, piece_len);
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        torrent.store(from.path());
        let (seed, _) = seed(&torrent.metainfo, from.path());
        let mut leech = Node::start(Settings { open_files: 1, ..settings() });
        let id = leech.add(AddTorrent::new(torrent.metainfo.clone(), to.path().join("new/folder")));
        leech.wait_started(id);
        let addr = seed.addr;
        leech.call(move |engine| engine.add_peers(id, &[addr]));
        leech.wait_completed(id);
        leech.stop();
        torrent.verify(&to.path().join("new/folder"));
    }
}

#[test]
fn a_peer_that_waits_for_a_slow_disk_is_read_for_further_ahead() {
    let torrent = single("slow", 32 << 20, 256 * 1024, 5);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let (reading, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let hook = DiskHook::new(move |_, _| {
        seen.fetch_max(reading.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Long enough for a third to come, until one has.
        let slow = if seen.load(Ordering::SeqCst) < 3 { 50 } else { 5 };
        std::thread::sleep(Duration::from_millis(slow));
        reading.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    });
    let seed = Node::start(Settings { disk_hook: Some(hook), disk_workers: Some(12), ..settings() });
    let metainfo = torrent.metainfo.clone();
    seed.add(AddTorrent { check: CheckPolicy::Trust, ..AddTorrent::new(metainfo, from.path()) });
    let mut leech = Node::start(settings());
    let id = leech
        .add(AddTorrent { peers: vec![seed.addr], ..AddTorrent::new(torrent.metainfo.clone(), to.path()) });
    leech.wait_completed(id);
    torrent.verify(to.path());
    // Two in any case, and no more than 2 MiB for one peer.
    let most = most.load(Ordering::SeqCst);
    assert!((3..=8).contains(&most), "{most} reads at a time");
}

#[test]
fn what_goes_to_a_slow_disk_comes_one_piece_after_the_other() {
    let to = tempfile::tempdir().unwrap();
    let (written, writes) = std::sync::mpsc::channel();
    let hook = DiskHook::new(move |access, bytes| {
        if access == HookedAccess::Write {
            let _ = written.send(bytes);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    });
    let mut leech = Node::start(Settings { disk_hook: Some(hook), ..settings() });
    let mut mean = 0;
    // The first shows how slow it is, when much has been asked for already.
    for (name, len) in [("first", 16 << 20), ("second", 48 << 20)] {
        let torrent = single(name, len, 1 << 20, 5);
        let (_from, seed, _) = stored_seed(&torrent);
        let add =
            AddTorrent { peers: vec![seed.addr], ..AddTorrent::new(torrent.metainfo.clone(), to.path()) };
        let id = leech.add(add);
        leech.wait_completed(id);
        torrent.verify(to.path());
        let writes: Vec<u64> = writes.try_iter().collect();
        mean = writes.iter().sum::<u64>() / writes.len() as u64;
    }
    assert!(mean > 512 * 1024, "{mean} bytes are written at a time");
}

#[test]
fn two_halves_make_a_whole_in_both_directions() {
    let torrent = single("half", 8 << 20, 65_536, 4);
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let payload = torrent.payload();
    for (i, dir) in dirs.iter().enumerate() {
        let mut half = payload.clone();
        half.chunks_mut(65_536)
            .enumerate()
            .filter(|(piece, _)| piece % 2 == i)
            .for_each(|(_, data)| data.fill(0));
        std::fs::write(dir.path().join("half"), half).unwrap();
    }
    let mut a = Node::start(settings());
    let mut b = Node::start(settings());
    let a_id = a.add(AddTorrent::new(torrent.metainfo.clone(), dirs[0].path()));
    a.wait_started(a_id);
    assert_eq!(a.status(a_id).pieces_have, 64);
    let b_id = b
        .add(AddTorrent { peers: vec![a.addr], ..AddTorrent::new(torrent.metainfo.clone(), dirs[1].path()) });
    a.wait_completed(a_id);
    b.wait_completed(b_id);
    for dir in &dirs {
        torrent.verify(dir.path());
    }
    assert_eq!((a.status(a_id).downloaded, b.status(b_id).downloaded), (4 << 20, 4 << 20));
}

#[test]
fn several_torrents_at_once_share_two_engines() {
    let torrents: Vec<_> = ["t1", "t2", "t3", "t4", "t5"]
        .into_iter()
        .enumerate()
        .map(|(i, name)| single(name, 3_000_000 + i, 32_768, i as u64))
        .collect();
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut seed = Node::start(settings());
    let mut leech = Node::start(settings());
    let mut ids = Vec::new();
    for torrent in &torrents {
        torrent.store(from.path());
        let id = seed.add(AddTorrent::new(torrent.metainfo.clone(), from.path()));
        seed.wait_started(id);
        let add =
            AddTorrent { peers: vec![seed.addr], ..AddTorrent::new(torrent.metainfo.clone(), to.path()) };
        ids.push(leech.add(add));
    }
    assert_eq!(ids.iter().map(|id| id.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let mut missing = ids.clone();
    leech.wait("all", |e| {
        if let Event::Completed { id } = e {
            missing.retain(|other| other != id);
        }
        missing.is_empty()
    });
    torrents.iter().for_each(|torrent| torrent.verify(to.path()));
}

#[test]
fn a_corrupt_piece_is_found_and_fetched_again() {
    let torrent = single("f", 4 << 20, 65_536, 6);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    torrent.store(to.path());
    let path = to.path().join("f");
    let mut data = std::fs::read(&path).unwrap();
    data[700_000] ^= 1;
    std::fs::write(&path, data).unwrap();
    let (seed, _) = seed(&torrent.metainfo, from.path());
    let mut leech = Node::start(settings());
    let add = AddTorrent {
        peers: vec![seed.addr],
        check: CheckPolicy::Full,
        ..AddTorrent::new(torrent.metainfo.clone(), to.path())
    };
    let id = leech.add(add);
    leech.wait_completed(id);
    torrent.verify(to.path());
    assert_eq!(leech.status(id).downloaded, 65_536);
    let fetched: Vec<_> = leech.seen.iter().filter(|e| matches!(e, Event::PieceVerified { .. })).collect();
    assert_eq!(fetched, [&Event::PieceVerified { id, piece: PieceIndex(10) }]);
}

#[test]
fn nothing_verified_is_fetched_again_after_a_crash() {
    let torrent = single("f", 16 << 20, 65_536, 7);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let payload = Arc::new(torrent.payload());
    // A seed that stops serving in the middle.
    let data = Arc::clone(&payload);
    let left = std::sync::atomic::AtomicI64::new(500);
    let script: Script = Arc::new(move |piece, begin, len| {
        let at = piece as usize * 65_536 + begin as usize;
        (left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) > 0)
            .then(|| data[at..at + len as usize].to_vec())
    });
    let (addr, _) = scripted_seed(torrent.metainfo.info_hash().0, 256, script);
    let mut leech = Node::start(Settings { save_interval: std::time::Duration::ZERO, ..settings() });
    let id =
        leech.add(AddTorrent { peers: vec![addr], ..AddTorrent::new(torrent.metainfo.clone(), to.path()) });
    let mut verified = 0;
    leech.wait("some pieces", |e| {
        verified += u32::from(matches!(e, Event::PieceVerified { .. }));
        verified == 40
    });
    let before = leech.verified(id) as u32;
    drop(leech);
    let (seed, _) = seed(&torrent.metainfo, from.path());
    let mut leech = Node::start(settings());
    let id = leech
        .add(AddTorrent { peers: vec![seed.addr], ..AddTorrent::new(torrent.metainfo.clone(), to.path()) });
    let checked = leech.wait("check", |e| matches!(e, Event::Checked { .. }));
    let Event::Checked { have, .. } = checked else { unreachable!() };
    assert!(have >= before, "{have} pieces found, {before} were verified");
    leech.wait_completed(id);
    torrent.verify(to.path());
    assert_eq!(leech.status(id).downloaded, (16 << 20) - u64::from(have) * 65_536);
}

#[test]
fn after_an_orderly_stop_nothing_is_checked_again() {
    let torrent = single("f", 4 << 20, 65_536, 8);
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(dir.path());
    let settings = || Settings { state_dir: Some(state.path().to_path_buf()), ..settings() };
    let mut node = Node::start(settings());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir.path()));
    node.wait_started(id);
    assert!(node.seen.iter().any(|e| matches!(e, Event::Checking { .. })));
    let events = node.stop();
    assert_eq!(events.last(), Some(&Event::Stopped { id }));
    let mut node = Node::start(settings());
    let id = node.add(AddTorrent::new(torrent.metainfo.clone(), dir.path()));
    node.wait_started(id);
    assert!(!node.seen.iter().any(|e| matches!(e, Event::Checking { .. })), "{:?}", node.seen);
    assert_eq!(node.status(id).state, State::Seeding);
}

#[test]
fn several_seeds_of_long_pieces() {
    let torrent = single("f", 24 << 20, 2 << 20, 9);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let seeds: Vec<_> = (0..3).map(|_| seed(&torrent.metainfo, from.path())).collect();
    let mut leech = Node::start(settings());
    let peers = seeds.iter().map(|(node, _)| node.addr).collect();
    let id = leech.add(AddTorrent { peers, ..AddTorrent::new(torrent.metainfo.clone(), to.path()) });
    leech.wait_completed(id);
    torrent.verify(to.path());
    let status = leech.status(id);
    // The end game may fetch a few blocks twice.
    assert!(status.downloaded + status.wasted < (24 << 20) + (2 << 20), "{status:?}");
}

#[test]
fn engines_can_be_moved_to_a_thread() {
    fn is_send<T: Send>() {}
    is_send::<kamaelia_torrent::engine::Engine>();
    is_send::<kamaelia_torrent::disk::Disk>();
}
