//! Files are read while they come, over real sockets.

#[path = "support/slow.rs"]
mod slow;
mod support;

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kamaelia_torrent::engine::{AddTorrent, Event, FileRange, ReadError, ReadId, State, TorrentId};
use kamaelia_torrent::proto::geometry::PieceIndex;
use kamaelia_torrent::proto::selection::Priority;
use support::node::*;
use support::*;

/// A seed that sends so many blocks a second.
fn slow_seed(torrent: &TestTorrent, piece_len: usize, blocks_per_second: u32) -> std::net::SocketAddr {
    let data = Arc::new(torrent.payload());
    slow::slow_seed(torrent.metainfo.info_hash().0, data, piece_len, blocks_per_second, usize::MAX)
}

/// The same with a pace that can be changed and looked at.
fn paced_seed(torrent: &TestTorrent, piece_len: usize, pace: &Arc<slow::Pace>) -> std::net::SocketAddr {
    let data = Arc::new(torrent.payload());
    slow::paced_seed(torrent.metainfo.info_hash().0, data, piece_len, pace, usize::MAX)
}

/// Names a peer to a torrent that has been told already what is wanted first.
fn meet(node: &Node, id: TorrentId, peer: std::net::SocketAddr) {
    node.call(move |engine| engine.add_peers(id, &[peer]));
}

/// Collects a read up to its end; answers its bytes from `offset` on, and why it ended.
fn collect(node: &mut Node, read: ReadId, offset: u64) -> (Vec<u8>, Option<String>) {
    let mut bytes = Vec::new();
    loop {
        // What was looked at is dropped, or the read would rest.
        node.seen.clear();
        match node.wait("a read", |_| true) {
            Event::FileData { read: r, data, .. } if r == read => {
                assert_eq!(data.offset(), offset + bytes.len() as u64, "in order");
                assert!(!data.is_empty() && data.len() <= 256 * 1024);
                bytes.extend_from_slice(&data);
            }
            Event::ReadEnded { read: r, error, .. } if r == read => return (bytes, error),
            _ => {}
        }
    }
}

fn leech(
    torrent: &TestTorrent,
    dir: &std::path::Path,
    peers: Vec<std::net::SocketAddr>,
) -> (Node, TorrentId) {
    let node = Node::start(settings());
    let id = node.add(AddTorrent { peers, ..AddTorrent::new(torrent.metainfo.clone(), dir) });
    (node, id)
}

#[test]
fn a_file_in_the_middle_comes_before_all_others() {
    let files = vec![file("a", 2_000_000, 1), file("b", 300_001, 2), file("c", 2_000_000, 3)];
    let torrent = multi("t", files, 32_768);
    let to = tempfile::tempdir().unwrap();
    let pace = slow::Pace::new(200);
    let (mut node, id) = leech(&torrent, to.path(), vec![]);
    let read = node.call(move |engine| engine.read_file(id, FileRange::whole(1))).unwrap();
    meet(&node, id, paced_seed(&torrent, 32_768, &pace));
    let (bytes, why) = collect(&mut node, read, 0);
    assert_eq!(why, None);
    assert!(bytes == torrent.files[1].data);
    // In the order in which they were sent, however long it took to see that: 263 blocks in all.
    let served = pace.served();
    let last = served.iter().rposition(|piece| (61..=70).contains(piece)).unwrap();
    let others = served[..last].iter().filter(|piece| !(61..=70).contains(*piece)).count();
    assert!(others < 30, "{others} others before the last block: {served:?}");
}

#[test]
fn a_range_of_a_complete_file_is_read_at_once() {
    let torrent = single("f", 3_000_000, 16_384, 4);
    let from = tempfile::tempdir().unwrap();
    torrent.store(from.path());
    let (mut node, id) = seed(&torrent.metainfo, from.path());
    for (offset, len, expected) in [
        (0, None, 0..3_000_000),
        (1_000_001, Some(700_000), 1_000_001..1_700_001),
        (2_999_999, Some(u64::MAX), 2_999_999..3_000_000),
        (3_000_000, None, 3_000_000..3_000_000),
        (5, Some(0), 5..5),
    ] {
        let range = FileRange { offset, len, ..FileRange::whole(0) };
        let read = node.call(move |engine| engine.read_file(id, range)).unwrap();
        let (bytes, why) = collect(&mut node, read, offset);
        assert_eq!(why, None);
        assert!(bytes == torrent.files[0].data[expected]);
    }
}

#[test]
fn who_does_not_take_the_bytes_gets_no_more_of_them() {
    let torrent = single("f", 8 << 20, 65_536, 5);
    let from = tempfile::tempdir().unwrap();
    torrent.store(from.path());
    let (mut node, id) = seed(&torrent.metainfo, from.path());
    let read = node.call(move |engine| engine.read_file(id, FileRange::whole(0))).unwrap();
    let mut total = 0;
    for _ in 0..3 {
        // Another reads all of the file meanwhile, so whatever could come of the first has come.
        let mut other = node.call(move |engine| engine.open_file(id, 0)).unwrap();
        assert_eq!(other.read_to_end(&mut Vec::new()).unwrap(), 8 << 20);
        let mut kept = 0;
        let end = Instant::now() + LIMIT;
        while kept < 768 << 10 && Instant::now() < end {
            node.verified(id);
            let chunks = node.seen.drain(..).filter_map(|event| match event {
                Event::FileData { read: r, data, .. } if r == read => Some(data.len()),
                _ => None,
            });
            kept += chunks.sum::<usize>();
        }
        assert!((768 << 10..=1 << 20).contains(&kept), "{kept} bytes at a time");
        total += kept;
    }
    let (rest, why) = collect(&mut node, read, total as u64);
    assert_eq!((rest.len() + total, why), (8 << 20, None));
}

#[test]
fn a_reader_waits_jumps_and_sees_what_a_file_would_have() {
    let torrent = single("f", 6_000_000, 65_536, 6);
    let to = tempfile::tempdir().unwrap();
    let payload = &torrent.files[0].data;
    // All of it would take 15 s.
    let pace = slow::Pace::new(25);
    let seed = paced_seed(&torrent, 65_536, &pace);
    let (node, id) = leech(&torrent, to.path(), vec![seed]);
    let mut reader = node.call(move |engine| engine.open_file(id, 0)).unwrap();
    assert_eq!(reader.len(), 6_000_000);
    let mut start = vec![0; 1000];
    reader.read_exact(&mut start).unwrap();
    assert!(start == payload[..1000]);
    for (to, pos) in [
        (SeekFrom::End(-70_000), 5_930_000),
        (SeekFrom::Start(3_000_000), 3_000_000),
        (SeekFrom::Current(-400_000), 2_700_000),
        (SeekFrom::Current(10), 2_700_010 + 100_000),
    ] {
        assert_eq!(reader.seek(to).unwrap(), pos);
        let mut part = vec![0; 100_000.min(6_000_000 - pos as usize)];
        reader.read_exact(&mut part).unwrap();
        assert!(part == payload[pos as usize..pos as usize + part.len()], "at {pos}");
        // Far from complete: each jump was served before the rest.
        assert!(node.status(id).left > 2_000_000, "{}", node.status(id).left);
    }
    pace.change(2000);
    assert_eq!(reader.seek(SeekFrom::Start(7_000_000)).unwrap(), 7_000_000);
    assert_eq!(reader.read(&mut start).unwrap(), 0);
    assert_eq!(
        reader.seek(SeekFrom::Current(-8_000_000)).unwrap_err().kind(),
        std::io::ErrorKind::InvalidInput
    );
    reader.rewind().unwrap();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert!(all == *payload);
}

#[test]
fn a_reader_can_be_told_not_to_wait_and_learns_of_the_end() {
    let torrent = single("f", 1_000_000, 65_536, 7);
    let to = tempfile::tempdir().unwrap();
    let (mut node, id) = leech(&torrent, to.path(), vec![]);
    node.wait_started(id);
    let mut reader = node.call(move |engine| engine.open_file(id, 0)).unwrap();
    reader.set_timeout(Some(Duration::from_millis(10)));
    assert_eq!(reader.read(&mut [0; 10]).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    reader.set_timeout(None);
    let waiting = std::thread::spawn(move || {
        let first = reader.read(&mut [0; 10]).unwrap_err().to_string();
        (first, reader.read(&mut [0; 10]).unwrap_err().kind())
    });
    node.call(move |engine| engine.remove(id));
    let (first, then) = waiting.join().unwrap();
    assert_eq!((&first[..], then), ("the torrent was closed", std::io::ErrorKind::BrokenPipe));
}

#[test]
fn a_closed_torrent_ends_its_reads_with_the_reason() {
    let torrent = single("f", 1_000_000, 65_536, 8);
    let to = tempfile::tempdir().unwrap();
    let (mut node, id) = leech(&torrent, to.path(), vec![]);
    let read = node.call(move |engine| engine.read_file(id, FileRange::whole(0))).unwrap();
    node.call(move |engine| engine.remove(id));
    assert_eq!(collect(&mut node, read, 0), (vec![], Some("the torrent was closed".to_owned())));
}

#[test]
fn what_is_there_is_read_while_the_rest_is_checked_and_missing() {
    let torrent = single("f", 4_000_000, 65_536, 10);
    let to = tempfile::tempdir().unwrap();
    torrent.store(to.path());
    let path = to.path().join("f");
    let mut data = std::fs::read(&path).unwrap();
    data[2_000_000..].fill(0);
    std::fs::write(&path, data).unwrap();
    let seed = slow_seed(&torrent, 65_536, 400);
    let (mut node, id) = leech(&torrent, to.path(), vec![seed]);
    let read = node.call(move |engine| engine.read_file(id, FileRange::whole(0))).unwrap();
    let (bytes, why) = collect(&mut node, read, 0);
    assert!(why.is_none() && bytes == torrent.files[0].data);
}

#[test]
fn a_stopped_read_says_no_more_and_hurries_nothing() {
    let torrent = single("f", 4_000_000, 65_536, 11);
    let to = tempfile::tempdir().unwrap();
    let seed = slow_seed(&torrent, 65_536, 400);
    let (mut node, id) = leech(&torrent, to.path(), vec![seed]);
    let (one, two) = node.call(move |engine| {
        let range = |offset| FileRange { offset, ahead: 300_000, ..FileRange::whole(0) };
        (engine.read_file(id, range(0)).unwrap(), engine.read_file(id, range(3_000_000)).unwrap())
    });
    assert!(node.call(move |engine| engine.stop_reading(one) && !engine.stop_reading(one)));
    let (bytes, _) = collect(&mut node, two, 3_000_000);
    assert!(bytes == torrent.files[0].data[3_000_000..]);
    assert!(!node.call(move |engine| engine.stop_reading(two)), "it has ended");
    // The rest may have come while that was read.
    if node.status(id).left > 0 {
        node.wait_completed(id);
    }
    assert!(!node.seen.iter().any(|e| matches!(e, Event::FileData { read, .. } if *read == one)));
}

#[test]
fn a_piece_with_a_deadline_comes_first() {
    let torrent = single("f", 4_000_000, 65_536, 12);
    let to = tempfile::tempdir().unwrap();
    let pace = slow::Pace::new(400);
    let (mut node, id) = leech(&torrent, to.path(), vec![]);
    node.call(move |engine| {
        // Taken back in time.
        engine.set_piece_deadline(id, PieceIndex(7), Instant::now()).unwrap();
        engine.clear_piece_deadlines(id).unwrap();
        engine.set_piece_deadline(id, PieceIndex(50), Instant::now()).unwrap();
    });
    meet(&node, id, paced_seed(&torrent, 65_536, &pace));
    node.wait("piece 50", |event| *event == Event::PieceVerified { id, piece: PieceIndex(50) });
    let served = pace.served();
    let last = served.iter().rposition(|piece| *piece == 50).unwrap();
    assert!(last < 4 + 4, "{last} blocks before the last of piece 50: {served:?}");
}

#[test]
fn what_is_ahead_of_a_read_comes_before_all_others() {
    let torrent = single("f", 4_000_000, 65_536, 13);
    let to = tempfile::tempdir().unwrap();
    let pace = slow::Pace::new(400);
    let (mut node, id) = leech(&torrent, to.path(), vec![]);
    let range = FileRange { offset: 30 * 65_536, ahead: 10 * 65_536, ..FileRange::whole(0) };
    node.call(move |engine| engine.read_file(id, range)).unwrap();
    meet(&node, id, paced_seed(&torrent, 65_536, &pace));
    for _ in 0..10 {
        node.wait("a piece", |event| matches!(event, Event::PieceVerified { .. }));
    }
    let served = pace.served();
    let first = &served[..40];
    assert!(first.iter().filter(|piece| (30..45).contains(*piece)).count() >= 32, "{first:?}");
}

#[test]
fn senseless_reads_are_refused() {
    let torrent = multi("t", vec![file("a", 100_000, 1), pad(31_072), file("b", 5, 2)], 65_536);
    let to = tempfile::tempdir().unwrap();
    let (node, id) = leech(&torrent, to.path(), vec![]);
    let none = TorrentId(99);
    let errors = node.call(move |engine| {
        let at = Instant::now();
        let beyond = FileRange { offset: 6, ..FileRange::whole(2) };
        let errors = [
            engine.read_file(none, FileRange::whole(0)).unwrap_err(),
            engine.read_file(id, FileRange::whole(3)).unwrap_err(),
            engine.read_file(id, FileRange::whole(1)).unwrap_err(),
            engine.read_file(id, beyond).unwrap_err(),
            engine.open_file(id, usize::MAX).map(|_| ()).unwrap_err(),
            engine.set_piece_deadline(id, PieceIndex(3), at).unwrap_err(),
            engine.set_piece_deadline(none, PieceIndex(0), at).unwrap_err(),
            engine.clear_piece_deadlines(none).unwrap_err(),
        ];
        // Far too far ahead means as far as can be.
        let far = FileRange { ahead: u64::MAX, len: Some(u64::MAX), ..FileRange::whole(0) };
        for _ in 0..256 {
            engine.read_file(id, far).unwrap();
        }
        assert_eq!(engine.read_file(id, far), Err(ReadError::TooMany));
        errors
    });
    let path = std::path::Path::new("t").join("b");
    assert_eq!(
        errors.map(|error| error.to_string()),
        [
            "there is no torrent 99".to_owned(),
            "there is no file 3: the torrent has 3, counted from 0".to_owned(),
            "file 1 is padding".to_owned(),
            format!("{} has 5 bytes, nothing begins at 6", path.display()),
            format!("there is no file {}: the torrent has 3, counted from 0", usize::MAX),
            "there is no piece 3: the torrent has 3, counted from 0".to_owned(),
            "there is no torrent 99".to_owned(),
            "there is no torrent 99".to_owned(),
        ]
    );
}

/// A file that is not wanted, between two others, so that it shares its first and last piece with them.
#[test]
fn a_file_that_is_not_wanted_is_read_without_becoming_a_file() {
    let files =
        vec![file("a", 50_000, 1), file("b", 300_001, 2), file("c", 100_000, 3), file("d", 400_000, 4)];
    let torrent = multi("t", files, 32_768);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let (seed, _) = seed(&torrent.metainfo, from.path());
    let mut node = Node::start(settings());
    let priorities = [4, 0, 4, 0].map(|level| Priority::new(level).unwrap()).to_vec();
    let add = AddTorrent { priorities, ..AddTorrent::new(torrent.metainfo.clone(), to.path()) };
    let id = node.add(add);
    node.wait_started(id);
    let read = node.call(move |engine| engine.read_file(id, FileRange::whole(1))).unwrap();
    // Nobody is there to ask before.
    let addr = seed.addr;
    node.call(move |engine| engine.add_peers(id, &[addr]));
    let (mut completed, mut bytes, mut ended) = (0, Vec::new(), false);
    while completed == 0 || !ended {
        match node.wait("the read and the rest", |_| true) {
            Event::FileData { data, .. } => bytes.extend_from_slice(&data),
            Event::ReadEnded { read: r, error, .. } => {
                assert_eq!((r, error), (read, None));
                ended = true;
            }
            Event::Completed { .. } => {
                completed += 1;
                let status = node.status(id);
                assert_eq!(
                    (status.wanted_left, status.progress),
                    (0, 1.0),
                    "all that is wanted, and no less"
                );
            }
            _ => {}
        }
        node.seen.clear();
    }
    assert!(bytes == torrent.files[1].data);
    let status = node.status(id);
    assert_eq!((status.state, status.progress), (State::Seeding, 1.0));
    // Pieces 0 to 13 of 26; the last file is left out.
    assert_eq!(status.verified, 14 * 32_768);
    assert_eq!(std::fs::read(to.path().join("t/a")).unwrap(), torrent.files[0].data);
    assert_eq!(std::fs::read(to.path().join("t/c")).unwrap(), torrent.files[2].data);
    assert!(!to.path().join("t/b").exists() && !to.path().join("t/d").exists());
    drop(seed);
    // All of it is in the part file, and read from there a second time.
    let read = node.call(move |engine| engine.read_file(id, FileRange::whole(1))).unwrap();
    assert!(collect(&mut node, read, 0) == (torrent.files[1].data.clone(), None));
    assert!(node.stop().iter().all(|event| !matches!(event, Event::Completed { .. })), "told once");
}

/// A node that is complete, holds no file open, and knows where the same can be had.
fn complete_beside(seed: &Node, torrent: &TestTorrent, dir: &std::path::Path) -> (Node, TorrentId) {
    torrent.store(dir);
    let (mut node, id) = leech(torrent, dir, vec![seed.addr]);
    node.wait_started(id);
    node.call(move |engine| engine.pause(id)).unwrap();
    node.wait("pause", |event| matches!(event, Event::Paused { .. }));
    node.call(move |engine| engine.resume(id)).unwrap();
    node.wait_started(id);
    (node, id)
}

#[test]
fn a_file_that_was_cut_behind_our_back_is_waited_for() {
    let torrent = multi("t", vec![file("a", 2_000_000, 1), file("b", 50_000, 2)], 32_768);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let (seed, _) = seed(&torrent.metainfo, from.path());
    let (mut node, id) = complete_beside(&seed, &torrent, to.path());
    let path = to.path().join("t/a");
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(900_000).unwrap();
    let read = node.call(move |engine| engine.read_file(id, FileRange::whole(0))).unwrap();
    let (bytes, why) = collect(&mut node, read, 0);
    assert_eq!(why, None);
    assert!(bytes == torrent.files[0].data);
    assert!((1_000_000..1_300_000).contains(&node.status(id).downloaded), "{}", node.status(id).downloaded);
    node.stop();
    assert!(std::fs::read(path).unwrap() == torrent.files[0].data);
}

#[test]
fn a_file_that_is_held_after_its_removal_ends_the_read_until_it_is_asked_for() {
    let torrent = multi("t", vec![file("a", 500_000, 1), file("b", 50_000, 2)], 32_768);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(from.path());
    let (seed, _) = seed(&torrent.metainfo, from.path());
    let (mut node, id) = complete_beside(&seed, &torrent, to.path());
    std::fs::remove_file(to.path().join("t/a")).unwrap();
    // The first finds it out, the second comes when it is known.
    for _ in 0..2 {
        let read = node.call(move |engine| engine.read_file(id, FileRange::whole(0))).unwrap();
        let (bytes, why) = collect(&mut node, read, 0);
        assert_eq!(
            why.as_deref(),
            Some("a file was removed and is not fetched again unless that is asked for")
        );
        assert!(bytes.is_empty());
    }
    assert_eq!(node.status(id).downloaded, 0, "a read is no reason to fetch it");
    node.call(move |engine| engine.retry_disk(id)).unwrap();
    let read = node.call(move |engine| engine.read_file(id, FileRange::whole(0))).unwrap();
    assert!(collect(&mut node, read, 0) == (torrent.files[0].data.clone(), None));
}

#[test]
fn a_read_goes_on_while_its_file_is_moved_to_and_fro() {
    let torrent = single("f", 8_000_000, 65_536, 9);
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    torrent.store(here.path());
    let (mut node, id) = seed(&torrent.metainfo, here.path());
    let mut reader = node.call(move |engine| engine.open_file(id, 0)).unwrap();
    let read = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for _ in 0..3 {
            bytes.clear();
            reader.rewind().unwrap();
            reader.read_to_end(&mut bytes).unwrap();
        }
        bytes
    });
    let mut dirs = [here.path(), there.path()].into_iter().cycle();
    dirs.next();
    for _ in 0..10 {
        let dir = dirs.next().unwrap().to_path_buf();
        node.call(move |engine| engine.move_storage(id, dir)).unwrap();
        node.wait("a move", |event| matches!(event, Event::Moved { .. }));
    }
    assert!(read.join().unwrap() == torrent.files[0].data);
}
