//! Parts of pieces: in any order, twice, together, from a worker that is behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use kamaelia_torrent::disk::{DiskAnswer, DiskConfig, DiskHook, HookedAccess, PartWrite, PieceResult};
use kamaelia_torrent::proto::buffer::{PART_LEN, PartBuf};
use kamaelia_torrent::proto::geometry::{BLOCK_LEN, Fetch, PieceIndex};
use sha1::{Digest, Sha1};

use crate::support::{file, multi, single};
use crate::{Rig, cut};

fn part_ranges(size: u32) -> Vec<(u32, u32)> {
    (0..size).step_by(PART_LEN as usize).map(|at| (at, PART_LEN.min(size - at))).collect()
}

#[test]
fn parts_in_any_order_and_any_memory() {
    let torrent = single("f", 5_500_000, 2 * 1024 * 1024, 10);
    let (geometry, payload) = (torrent.metainfo.geometry(), torrent.payload());
    for ahead_bytes in [0, 300_000, 1 << 24] {
        let tmp = tempfile::tempdir().unwrap();
        let rig = Rig::new(DiskConfig { ahead_bytes, ..DiskConfig::default() });
        let storage = rig.open(&torrent, tmp.path());
        let mut rng = fastrand::Rng::with_seed(ahead_bytes as u64);
        for piece in geometry.pieces() {
            let start = geometry.piece_offset(piece);
            let mut parts: Vec<_> =
                part_ranges(geometry.piece_size(piece)).iter().map(|r| cut(&payload, start, *r)).collect();
            rng.shuffle(&mut parts);
            assert!(matches!(rig.write(&storage, piece, parts), PieceResult::Good));
        }
        torrent.verify(tmp.path());
    }
}

#[test]
fn a_part_that_comes_twice_counts_as_it_was_written_last() {
    let torrent = single("f", 1_000_000, 1024 * 1024, 11);
    let tmp = tempfile::tempdir().unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let payload = torrent.payload();
    let good: Vec<_> = part_ranges(1_000_000).iter().map(|r| cut(&payload, 0, *r)).collect();
    let mut bad = good[0].clone();
    bad.1[5] ^= 1;
    let order =
        |list: &[&(u32, Vec<u8>)]| list.iter().copied().chain(&good[4..]).cloned().collect::<Vec<_>>();
    let verdict = rig.write(&storage, PieceIndex(0), order(&[&bad, &good[1], &good[3], &good[0], &good[2]]));
    assert!(matches!(verdict, PieceResult::Good), "{verdict:?}");
    let verdict = rig.write(&storage, PieceIndex(0), order(&[&good[0], &good[1], &good[3], &bad, &good[2]]));
    let PieceResult::Bad { blocks } = verdict else { panic!("{verdict:?}") };
    let right: Vec<[u8; 20]> = payload.chunks(BLOCK_LEN as usize).map(|b| Sha1::digest(b).into()).collect();
    assert_ne!(blocks[0], right[0]);
    assert_eq!(blocks[1..], right[1..]);
}

#[test]
fn a_part_that_comes_again_after_it_was_hashed_counts_as_it_was_written_last() {
    let torrent = single("f", 1 << 20, 1 << 20, 11);
    let tmp = tempfile::tempdir().unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let payload = torrent.payload();
    let good: Vec<_> = part_ranges(1 << 20).iter().map(|r| cut(&payload, 0, *r)).collect();
    let mut bad = good[0].clone();
    bad.1[5] ^= 1;
    let parts = [&bad, &good[1], &good[0]].into_iter().chain(&good[2..]);
    let mut verdict = None;
    for (n, (offset, data)) in parts.enumerate() {
        let data = PartBuf::unpooled(data.clone());
        rig.disk.write(&storage, PieceIndex(0).into(), *offset, data, n == good.len());
        // One by one.
        let DiskAnswer::Written { result, .. } = rig.next() else { panic!("an answer") };
        verdict = result;
    }
    assert!(matches!(verdict, Some(PieceResult::Good)), "{verdict:?}");
}

#[test]
fn parts_that_go_on_where_others_end_are_written_together() {
    let (piece, part) = (2 << 20, PART_LEN as usize);
    // Its second file begins in the middle of the second piece.
    let torrent =
        multi("t", vec![file("a", piece + 3 * part, 5), file("b", piece - 3 * part, 6)], piece as u32);
    let (seen, writes) = mpsc::channel();
    let hook = DiskHook::new(move |access, bytes| {
        if access == HookedAccess::Write {
            seen.send(bytes as usize / part).unwrap();
        }
        Ok(())
    });
    let rig = Rig::new(DiskConfig { workers: 1, hook: Some(hook), ..DiskConfig::default() });
    let dir = tempfile::tempdir().unwrap();
    let storage = rig.open(&torrent, dir.path());
    let payload = torrent.payload();
    let write = |n: u32, at: usize, last| PartWrite {
        storage: Arc::clone(&storage),
        fetch: PieceIndex(n).into(),
        offset: (at * part) as u32,
        buf: PartBuf::unpooled(payload[n as usize * piece + at * part..][..part].to_vec()),
        last,
    };
    // Five, three with a gap before them, and the rest of the first piece; then all of the second.
    let order = [(0..5), (8..11), (5..8), (11..16)].into_iter().flatten().map(|at| (0, at));
    let order: Vec<(u32, usize)> = order.chain((0..16).map(|at| (1, at))).collect();
    let last = |&(n, at): &(u32, usize)| order.iter().rfind(|(of, _)| *of == n) == Some(&(n, at));
    rig.disk.write_batch(order.iter().map(|it| write(it.0, it.1, last(it))).collect());
    let mut good = 0;
    for _ in 0..32 {
        let DiskAnswer::Written { result, .. } = rig.next() else { panic!("an answer") };
        good += usize::from(matches!(result, Some(PieceResult::Good)));
    }
    // What goes over the border of a file is written for itself.
    let writes: Vec<usize> = writes.try_iter().collect();
    assert_eq!((good, writes[..4].to_vec(), writes.iter().sum::<usize>()), (2, vec![5, 3, 3, 5], 32));
    torrent.verify(dir.path());
}

#[test]
fn a_worker_that_is_behind_gives_buffers_back_nevertheless() {
    let torrent = single("f", 4 << 20, 4 << 20, 3);
    let (go, gate) = mpsc::channel();
    let (writes, gate) = (AtomicUsize::new(0), std::sync::Mutex::new(gate));
    let hook = DiskHook::new(move |access, _| {
        // It has written some, and many wait.
        if access == HookedAccess::Write && writes.fetch_add(1, Ordering::SeqCst) == 20 {
            gate.lock().unwrap().recv().unwrap();
        }
        Ok(())
    });
    let rig = Rig::new(DiskConfig { workers: 1, hook: Some(hook), ..DiskConfig::default() });
    let dir = tempfile::tempdir().unwrap();
    let storage = rig.open(&torrent, dir.path());
    for n in 0..31 {
        let data = PartBuf::unpooled(vec![0; PART_LEN as usize]);
        rig.disk.write(&storage, PieceIndex(0).into(), n * PART_LEN, data, false);
    }
    rig.rings.recv_timeout(std::time::Duration::from_secs(60)).expect("a ring while it has more to write");
    go.send(()).unwrap();
    for _ in 0..31 {
        assert!(matches!(rig.next(), DiskAnswer::Written { result: None, .. }));
    }
}

#[test]
fn a_piece_that_is_fetched_anew_is_judged_by_what_came_anew() {
    let torrent = single("f", 1 << 20, 1 << 20, 3);
    let payload = torrent.payload();
    let parts = (1usize << 20) / PART_LEN as usize;
    // Of the first fetching: what part is wrong, how many parts come, and whether the disk refuses the first.
    for (wrong, count, refused) in
        [(1, 3, false), (0, 1, false), (9, 3, true), (9, parts, true), (9, 1, true)]
    {
        let refuse = AtomicBool::new(refused);
        let hook = DiskHook::new(move |access, _| match access {
            HookedAccess::Write if refuse.swap(false, Ordering::SeqCst) => Err(std::io::Error::other("no")),
            _ => Ok(()),
        });
        let rig = Rig::new(DiskConfig { hook: Some(hook), ..DiskConfig::default() });
        let dir = tempfile::tempdir().unwrap();
        let storage = rig.open(&torrent, dir.path());
        let part = |n: usize, wrong: bool| {
            let at = n * PART_LEN as usize;
            let mut data = payload[at..at + PART_LEN as usize].to_vec();
            data[7] ^= u8::from(wrong);
            (at as u32, PartBuf::unpooled(data))
        };
        let piece = PieceIndex(0);
        for n in 0..count {
            let (at, data) = part(n, n == wrong);
            rig.disk.write(&storage, Fetch { piece, attempt: 1 }, at, data, n + 1 == parts);
        }
        // In another order, so that some of it waits for its turn.
        for n in (0..parts).rev() {
            let (at, data) = part(n, false);
            rig.disk.write(&storage, Fetch { piece, attempt: 2 }, at, data, n == 0);
        }
        let (mut results, mut bufs) = (Vec::new(), 0);
        for _ in 0..count + parts {
            let DiskAnswer::Written { fetch, bufs: some, result, .. } = rig.next() else {
                panic!("an answer")
            };
            bufs += some.len();
            results.extend(result.map(|result| (fetch.attempt, format!("{result:?}"))));
        }
        let (last, before) = results.split_last().unwrap();
        assert_eq!(*last, (2, "Good".to_owned()), "{results:?}");
        assert_eq!(before.len(), usize::from(refused), "one verdict on what the disk refused: {results:?}");
        assert!(before.iter().all(|(attempt, result)| *attempt == 1 && result.starts_with("Failed")));
        assert_eq!(bufs, count + parts, "every buffer comes back");
        assert!(std::fs::read(dir.path().join("f")).unwrap() == payload);
    }
}

#[test]
fn a_piece_that_is_complete_is_judged_although_it_is_fetched_again_at_once() {
    let torrent = single("f", 1 << 20, 1 << 20, 3);
    let payload = torrent.payload();
    let rig = Rig::new(DiskConfig::default());
    let dir = tempfile::tempdir().unwrap();
    let storage = rig.open(&torrent, dir.path());
    let parts = |attempt| {
        let (storage, chunks) =
            (&storage, payload.chunks(PART_LEN as usize).zip((0u32..).step_by(PART_LEN as usize)));
        chunks.map(move |(data, offset)| PartWrite {
            storage: Arc::clone(storage),
            fetch: Fetch { piece: PieceIndex(0), attempt },
            offset,
            buf: PartBuf::unpooled(data.to_vec()),
            last: offset as usize + data.len() == 1 << 20,
        })
    };
    rig.disk.write_batch(parts(1).chain(parts(2)).collect());
    let mut good = Vec::new();
    for _ in 0..2 * payload.len() / PART_LEN as usize {
        let DiskAnswer::Written { fetch, result, .. } = rig.next() else { panic!("an answer") };
        good.extend(result.map(|result| (fetch.attempt, matches!(result, PieceResult::Good))));
    }
    assert_eq!(good, [(1, true), (2, true)]);
}
