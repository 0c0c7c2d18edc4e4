//! Parts of pieces: in any order, twice, together, from a worker that is behind.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use kamaelia_torrent::disk::{
    DiskAnswer, DiskConfig, DiskError, DiskHook, HookedAccess, PartWrite, PieceResult, StorageKey,
};
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
    let writes: Vec<usize> = writes.try_iter().collect();
    // Also over the end of a piece, but not over that of a file.
    assert_eq!((good, writes), (2, vec![5, 3, 3, 5 + 3, 13]));
    torrent.verify(dir.path());
}

#[test]
fn pieces_that_cannot_be_written_together_are_written_each_by_itself() {
    let piece = 2 * PART_LEN;
    let torrent = single("f", 4 * piece as usize, piece, 5);
    let (seen, writes) = mpsc::channel();
    let count = AtomicUsize::new(0);
    let hook = DiskHook::new(move |access, bytes| {
        if access != HookedAccess::Write {
            return Ok(());
        }
        seen.send(bytes / u64::from(PART_LEN)).unwrap();
        // All together, then those of the second piece.
        match count.fetch_add(1, Ordering::SeqCst) {
            0 | 2 => Err(std::io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    });
    let rig = Rig::new(DiskConfig { workers: 1, hook: Some(hook), ..DiskConfig::default() });
    let dir = tempfile::tempdir().unwrap();
    let storage = rig.open(&torrent, dir.path());
    let payload = torrent.payload();
    let parts = (0..4).flat_map(|n| part_ranges(piece).into_iter().map(move |range| (n, range)));
    let parts = parts.map(|(n, range)| {
        let (offset, data) = cut(&payload, u64::from(n * piece), range);
        let (storage, fetch) = (Arc::clone(&storage), PieceIndex(n).into());
        PartWrite { storage, fetch, offset, buf: PartBuf::unpooled(data), last: offset > 0 }
    });
    rig.disk.write_batch(parts.collect());
    let mut verdicts = Vec::new();
    for _ in 0..8 {
        let DiskAnswer::Written { fetch, result, .. } = rig.next() else { panic!("an answer") };
        verdicts.extend(result.map(|result| (fetch.piece.0, matches!(result, PieceResult::Good))));
    }
    verdicts.sort_unstable();
    assert_eq!(verdicts, [(0, true), (1, false), (2, true), (3, true)]);
    assert_eq!(writes.try_iter().collect::<Vec<_>>(), [8, 2, 2, 2, 2]);
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
    let torrent = single("f", 2 << 20, 1 << 20, 3);
    let payload = torrent.payload();
    let rig = Rig::new(DiskConfig::default());
    let dir = tempfile::tempdir().unwrap();
    let storage = rig.open(&torrent, dir.path());
    let parts = |piece: u32, attempt: u64, wrong: bool| {
        let (storage, payload) = (&storage, &payload);
        part_ranges(1 << 20).into_iter().map(move |range| {
            let (offset, mut data) = cut(payload, u64::from(piece) << 20, range);
            data[5] ^= u8::from(wrong && offset == 0);
            PartWrite {
                storage: Arc::clone(storage),
                fetch: Fetch { piece: PieceIndex(piece), attempt },
                offset,
                last: offset as usize + data.len() == 1 << 20,
                buf: PartBuf::unpooled(data),
            }
        })
    };
    // The next piece goes on where the second fetching ends, and is written with it.
    rig.disk.write_batch(parts(0, 1, true).chain(parts(0, 2, false)).chain(parts(1, 1, false)).collect());
    let mut verdicts = Vec::new();
    for _ in 0..3 * (1 << 20) / PART_LEN {
        let DiskAnswer::Written { fetch, result, .. } = rig.next() else { panic!("an answer") };
        verdicts.extend(result.map(|result| (fetch.piece.0, fetch.attempt, result)));
    }
    verdicts.sort_by_key(|(piece, attempt, _)| (*piece, *attempt));
    let [(0, 1, PieceResult::Bad { blocks }), (0, 2, PieceResult::Good), (1, 1, PieceResult::Good)] =
        &verdicts[..]
    else {
        panic!("{verdicts:?}")
    };
    // As it was when it was judged: not with what came later.
    let right: Vec<[u8; 20]> =
        payload[..1 << 20].chunks(BLOCK_LEN as usize).map(|block| Sha1::digest(block).into()).collect();
    assert!(blocks[0] != right[0] && blocks[1..] == right[1..]);
    torrent.verify(dir.path());
}

#[test]
fn a_disk_is_slow_while_each_write_takes_long_and_all_workers_wait_for_it_at_once() {
    let torrent = single("f", 4 << 20, 1 << 20, 3);
    let payload = torrent.payload();
    let late = Arc::new(AtomicBool::new(true));
    let (seen, threads) = mpsc::channel();
    let delays = Arc::clone(&late);
    let hook = DiskHook::new(move |_, _| {
        if delays.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        seen.send(std::thread::current().id()).unwrap();
        Ok(())
    });
    let rig = Rig::new(DiskConfig { workers: 2, hook: Some(hook), ..DiskConfig::default() });
    let dir = tempfile::tempdir().unwrap();
    let storage = rig.open(&torrent, dir.path());
    let write = |piece: u32, (at, data)| {
        let data = PartBuf::unpooled(data);
        rig.disk.write(&storage, PieceIndex(piece).into(), at, data, at + PART_LEN == 1 << 20);
    };
    let pieces = |of: std::ops::Range<u32>| {
        for piece in of.clone() {
            for range in part_ranges(1 << 20) {
                write(piece, cut(&payload, u64::from(piece) << 20, range));
            }
        }
        (0..8 * of.len()).for_each(|_| assert!(matches!(rig.next(), DiskAnswer::Written { .. })));
        threads.try_iter().collect::<HashSet<_>>().len()
    };
    assert!(!rig.disk.is_slow());
    // Parts that go on where others end are written together: it takes some until eight writes were seen.
    (0..100).take_while(|_| !rig.disk.is_slow()).for_each(|_| assert!(pieces(0..2) > 0));
    assert!(rig.disk.is_slow());
    assert_eq!(pieces(0..4), 2, "both have something to do");
    late.store(false, Ordering::SeqCst);
    (0..1000).take_while(|_| rig.disk.is_slow()).for_each(|_| assert!(pieces(0..2) > 0));
    assert!(!rig.disk.is_slow());
    torrent.verify(dir.path());
}

/// All verdicts on parts that were sent, and how many parts were answered for of each fetching.
fn verdicts(rig: &Rig, parts: usize) -> (Vec<(Fetch, PieceResult)>, HashMap<Fetch, usize>) {
    let (mut verdicts, mut answers) = (Vec::new(), HashMap::new());
    for _ in 0..parts {
        let DiskAnswer::Written { fetch, result, .. } = rig.next() else { panic!("an answer") };
        *answers.entry(fetch).or_default() += 1;
        verdicts.extend(result.map(|result| (fetch, result)));
    }
    (verdicts, answers)
}

#[test]
fn what_lies_one_behind_the_other_is_not_always_written_together() {
    let piece = 2 * PART_LEN;
    // The last piece is short: it comes whole.
    let torrent = single("f", piece as usize + 1000, piece, 5);
    let payload = torrent.payload();
    let rig = Rig::new(DiskConfig { workers: 1, ..DiskConfig::default() });
    let dir = tempfile::tempdir().unwrap();
    let storage = rig.open(&torrent, dir.path());
    let part = |fetch, offset: u32, data: &[u8]| PartWrite {
        storage: Arc::clone(&storage),
        fetch,
        offset,
        buf: PartBuf::unpooled(data.to_vec()),
        last: false,
    };
    let of = |n, attempt| Fetch { piece: PieceIndex(n), attempt };
    let (one, two) = payload[..piece as usize].split_at(PART_LEN as usize);
    let stored = || std::fs::read(dir.path().join("f")).unwrap();
    let zeros_behind = |data: &[u8]| [data, &vec![0; payload.len() - data.len()]].concat();

    // More than belongs to the piece.
    rig.disk.write_batch(vec![part(of(0, 1), 0, one), part(of(0, 1), PART_LEN, &[two, b"more"].concat())]);
    let (verdict, _) = verdicts(&rig, 2);
    assert!(matches!(verdict[..], [(_, PieceResult::Failed(DiskError::Range { .. }))]), "{verdict:?}");
    assert!(stored() == zeros_behind(one), "what does not fit was not written");

    // Parts of two fetchings.
    let batch = [part(of(0, 2), 0, one), part(of(0, 3), PART_LEN, two), part(of(0, 3), 0, one)];
    rig.disk.write_batch(batch.into());
    let (verdict, answers) = verdicts(&rig, 3);
    assert!(matches!(verdict[..], [(_, PieceResult::Good)]) && verdict[0].0 == of(0, 3), "{verdict:?}");
    assert_eq!(answers, HashMap::from([(of(0, 2), 1), (of(0, 3), 2)]));

    // A whole piece, which is wrong.
    let batch = [part(of(0, 4), 0, one), part(of(0, 4), PART_LEN, two), part(of(1, 1), 0, &[7; 1000])];
    rig.disk.write_batch(batch.into());
    let (mut verdict, _) = verdicts(&rig, 3);
    verdict.sort_by_key(|(fetch, _)| fetch.piece);
    assert!(matches!(verdict[..], [(_, PieceResult::Good), (_, PieceResult::Bad { .. })]), "{verdict:?}");
    assert!(stored() == zeros_behind(&payload[..piece as usize]), "what is wrong was not written");
}

#[test]
fn parts_of_two_torrents_never_go_to_one_file() {
    let piece = 2 * PART_LEN;
    let torrents = [single("a", 2 * piece as usize, piece, 5), single("b", 2 * piece as usize, piece, 6)];
    let rig = Rig::new(DiskConfig { workers: 1, ..DiskConfig::default() });
    let dir = tempfile::tempdir().unwrap();
    let mut batch = Vec::new();
    // The first piece of one, then the second of the other, and the rest.
    for order in [[0, 1], [1, 0]] {
        for (torrent, number) in torrents.iter().zip(order) {
            let key = StorageKey(u32::from(torrent.name == "b"));
            let storage = rig.disk.open(key, torrent.metainfo.clone(), dir.path().to_path_buf());
            let payload = torrent.payload();
            batch.extend(part_ranges(piece).into_iter().map(|range| {
                let (offset, data) = cut(&payload, u64::from(number * piece), range);
                let (storage, fetch) = (Arc::clone(&storage), PieceIndex(number).into());
                PartWrite { storage, fetch, offset, buf: PartBuf::unpooled(data), last: offset > 0 }
            }));
        }
        rig.disk.write_batch(std::mem::take(&mut batch));
        let (verdict, _) = verdicts(&rig, 4);
        assert!(verdict.iter().all(|(_, result)| matches!(result, PieceResult::Good)), "{verdict:?}");
    }
    torrents.iter().for_each(|torrent| torrent.verify(dir.path()));
}
