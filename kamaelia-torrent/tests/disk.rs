//! The disk layer: what it writes is what was hashed, whatever the order; failures name the file.

mod support;

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::SystemTime;

use kamaelia_torrent::disk::{
    Disk, DiskAnswer, DiskConfig, DiskError, DiskHook, HookedAccess, PIECE_HEADER, PartWrite, PieceResult,
    Snapshot, Storage, StorageKey, Totals, Writes,
};
use kamaelia_torrent::proto::bitfield::Bitfield;
use kamaelia_torrent::proto::buffer::{PART_LEN, PartBuf};
use kamaelia_torrent::proto::geometry::{BLOCK_LEN, BlockRequest, Fetch, PieceIndex};
use sha1::{Digest, Sha1};
use support::*;

struct Rig {
    disk: Disk,
    rings: mpsc::Receiver<()>,
}

impl Rig {
    fn new(config: DiskConfig) -> Rig {
        let (ring, rings) = mpsc::channel();
        let notify = Arc::new(move || ring.send(()).unwrap_or(()));
        Rig { disk: Disk::new(config, notify).unwrap(), rings }
    }

    fn next(&self) -> DiskAnswer {
        loop {
            if let Some(answer) = self.disk.next_answer() {
                return answer;
            }
            self.rings.recv_timeout(std::time::Duration::from_secs(180)).expect("a ring for the answer");
        }
    }

    fn open(&self, torrent: &TestTorrent, dir: &Path) -> Arc<Storage> {
        self.disk.open(StorageKey(7), torrent.metainfo.clone(), dir.to_path_buf())
    }

    /// Writes parts in the given order and returns the verdict.
    fn write(&self, storage: &Arc<Storage>, piece: PieceIndex, parts: Vec<(u32, Vec<u8>)>) -> PieceResult {
        let count = parts.len();
        for (i, (offset, data)) in parts.into_iter().enumerate() {
            self.disk.write(storage, piece.into(), offset, PartBuf::unpooled(data), i + 1 == count);
        }
        let mut verdict = None;
        let mut bufs = 0;
        for _ in 0..count {
            match self.next() {
                DiskAnswer::Written { fetch: Fetch { piece: p, .. }, bufs: b, result, .. } => {
                    assert_eq!(p, piece);
                    bufs += b.len();
                    verdict = verdict.or(result);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(bufs, count, "every buffer comes back");
        verdict.expect("a verdict")
    }

    fn check(&self, storage: &Arc<Storage>, wanted: Bitfield) -> (Bitfield, u32, Option<DiskError>) {
        let mut have = Bitfield::new(wanted.len());
        let (mut count, mut failed) = (0, None);
        self.disk.check(storage, wanted);
        loop {
            match self.next() {
                DiskAnswer::Checked { checked, good, end, error, .. } => {
                    count += checked;
                    good.into_iter().for_each(|piece| assert!(have.set(piece)));
                    failed = failed.or(error);
                    if end {
                        return (have, count, failed);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn resume(&self, storage: &Arc<Storage>) -> (Bitfield, Bitfield) {
        self.disk.load_resume(storage, None);
        match self.next() {
            DiskAnswer::Resumed { have, recheck, totals, .. } => {
                // What save() wrote, whenever the record is believed at all.
                let expected = if have.is_empty_set() && recheck.is_full() {
                    totals
                } else {
                    Totals { uploaded: 1, downloaded: 2, active_secs: 3, seeding_secs: 4 }
                };
                assert_eq!(totals, expected);
                (have, recheck)
            }
            other => panic!("{other:?}"),
        }
    }

    fn save(&self, storage: &Arc<Storage>, have: Bitfield) {
        let totals = Totals { uploaded: 1, downloaded: 2, active_secs: 3, seeding_secs: 4 };
        let writes = if have.is_full() { Writes::Ended } else { Writes::GoOn };
        let snapshot = Snapshot { have, totals, priorities: Vec::new(), at: SystemTime::now(), writes };
        self.disk.save_resume(storage, snapshot);
        assert!(matches!(self.next(), DiskAnswer::Saved { error: None, .. }));
    }
}

fn part_ranges(size: u32) -> Vec<(u32, u32)> {
    (0..size).step_by(PART_LEN as usize).map(|at| (at, PART_LEN.min(size - at))).collect()
}

fn cut(payload: &[u8], start: u64, (at, len): (u32, u32)) -> (u32, Vec<u8>) {
    let from = start as usize + at as usize;
    (at, payload[from..from + len as usize].to_vec())
}

fn mixed() -> TestTorrent {
    multi(
        "mixed",
        vec![
            file("a/one", 100_000, 1),
            file("empty", 0, 2),
            pad(31_072),
            file("a/b/two", 300_001, 3),
            file("last", 5, 4),
            file("also empty", 0, 5),
        ],
        65_536,
    )
}

#[test]
fn whole_pieces_over_files_pads_and_empty_files() {
    let torrent = mixed();
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("made/on/demand");
    let rig = Rig::new(DiskConfig { open_files: 1, ..DiskConfig::default() });
    let storage = rig.open(&torrent, &dir);
    assert!(!dir.exists());
    let (geometry, payload) = (torrent.metainfo.geometry(), torrent.payload());
    for piece in geometry.pieces() {
        let data = cut(&payload, geometry.piece_offset(piece), (0, geometry.piece_size(piece)));
        assert!(matches!(rig.write(&storage, piece, vec![data]), PieceResult::Good));
    }
    rig.disk.prepare(&storage);
    assert!(matches!(rig.next(), DiskAnswer::Prepared { error: None, .. }));
    torrent.verify(&dir);
    let (have, checked, error) = rig.check(&storage, Bitfield::full(geometry.piece_count()));
    assert!(have.is_full() && checked == geometry.piece_count() && error.is_none());
}

#[test]
fn a_hook_sees_each_access_and_can_fail_it() {
    let torrent = single("f", 65_536, 65_536, 9);
    let tmp = tempfile::tempdir().unwrap();
    let (seen, accesses) = mpsc::channel();
    let hook = DiskHook::new(move |access, bytes| {
        seen.send((access, bytes)).unwrap();
        if access == HookedAccess::Read { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    });
    let rig = Rig::new(DiskConfig { hook: Some(hook), ..DiskConfig::default() });
    let storage = rig.open(&torrent, tmp.path());
    let whole = vec![(0, torrent.payload())];
    assert!(matches!(rig.write(&storage, PieceIndex(0), whole), PieceResult::Good));
    torrent.verify(tmp.path());
    let block = BlockRequest { piece: PieceIndex(0), begin: 0, len: BLOCK_LEN };
    rig.disk.read(&storage, 1, vec![block], Vec::new());
    match rig.next() {
        DiskAnswer::Read { error: Some(e), .. } => assert!(e.to_string().contains("timed out"), "{e}"),
        other => panic!("{other:?}"),
    }
    let accesses: Vec<_> = accesses.try_iter().collect();
    let block = u64::from(BLOCK_LEN);
    assert_eq!(accesses, [(HookedAccess::Write, 65_536), (HookedAccess::Read, block)]);
}

#[test]
fn a_bad_whole_piece_is_not_written_and_its_blocks_are_told() {
    let torrent = single("f", 200_000, 65_536, 9);
    let tmp = tempfile::tempdir().unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let mut data = torrent.payload()[..65_536].to_vec();
    data[20_000] ^= 1;
    let expected: Vec<[u8; 20]> = data.chunks(BLOCK_LEN as usize).map(|b| Sha1::digest(b).into()).collect();
    match rig.write(&storage, PieceIndex(0), vec![(0, data)]) {
        PieceResult::Bad { blocks } => assert_eq!(blocks, expected),
        other => panic!("{other:?}"),
    }
    assert!(!tmp.path().join("f").exists());
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
fn blocks_are_read_between_their_headers() {
    let torrent = mixed();
    let tmp = tempfile::tempdir().unwrap();
    torrent.store(tmp.path());
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let (geometry, payload) = (torrent.metainfo.geometry(), torrent.payload());
    // All blocks in order, then some that do not lie next to each other, with lengths of their own.
    let mut lists = vec![
        geometry
            .pieces()
            .flat_map(|p| (0..geometry.block_count(p)).map(move |b| geometry.block(p, b)))
            .collect::<Vec<_>>(),
    ];
    lists.push(vec![
        BlockRequest { piece: PieceIndex(1), begin: 34_000, len: 7_000 },
        BlockRequest { piece: PieceIndex(0), begin: 0, len: 1 },
        BlockRequest { piece: PieceIndex(0), begin: 1, len: 65_535 },
    ]);
    let mut buf = vec![9; 1_000_000];
    for blocks in lists {
        let at_once = rig.disk.read_now(&storage, &blocks, &mut buf).then(|| buf.clone());
        rig.disk.read(&storage, 42, blocks.clone(), buf);
        let DiskAnswer::Read { token: 42, blocks: answered, buf: data, error: None, .. } = rig.next() else {
            panic!()
        };
        assert_eq!(answered, blocks);
        // The first time no file is open.
        assert_eq!(at_once.is_some(), blocks.len() == 3 && tells_what_is_in_memory(tmp.path()));
        assert!(at_once.is_none_or(|at_once| at_once == data));
        let mut at = 0;
        for block in &blocks {
            let header = &data[at..at + PIECE_HEADER];
            assert_eq!(header[..4], (block.len + 9).to_be_bytes());
            assert_eq!(header[4], 7);
            assert_eq!(header[5..9], block.piece.0.to_be_bytes());
            assert_eq!(header[9..], block.begin.to_be_bytes());
            at += PIECE_HEADER;
            let from = (geometry.piece_offset(block.piece) + u64::from(block.begin)) as usize;
            assert!(data[at..at + block.len as usize] == payload[from..from + block.len as usize]);
            at += block.len as usize;
        }
        assert_eq!(at, data.len());
        buf = data;
    }
    let outside = BlockRequest { piece: PieceIndex(0), begin: 65_530, len: 10 };
    rig.disk.read(&storage, 1, vec![outside], Vec::new());
    assert!(matches!(rig.next(), DiskAnswer::Read { error: Some(DiskError::Range { .. }), .. }));
    assert!(!rig.disk.read_now(&storage, &[outside], &mut Vec::new()));
}

#[test]
fn small_pieces_that_wait_are_written_together_without_the_bad_one() {
    const LEN: usize = 16 * 1024;
    let torrent = single("f", 40 * LEN, LEN as u32, 13);
    // Whether long writes fail: then each piece is written alone.
    for fails in [false, true] {
        let tmp = tempfile::tempdir().unwrap();
        let (sent, all_sent) = mpsc::channel::<()>();
        let (seen, accesses) = mpsc::channel();
        let all_sent = std::sync::Mutex::new(all_sent);
        let hook = DiskHook::new(move |_, bytes| {
            // Until the other end is gone.
            let _ = all_sent.lock().unwrap().recv();
            seen.send(bytes as usize / LEN).unwrap();
            if fails && bytes as usize > LEN { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        let rig = Rig::new(DiskConfig { hook: Some(hook), workers: 1, ..DiskConfig::default() });
        let storage = rig.open(&torrent, tmp.path());
        let mut payload = torrent.payload();
        payload[20 * LEN + 5] ^= 1;
        // The last one first: they are sorted.
        let parts = std::iter::once(39).chain(0..39).map(|i| PartWrite {
            storage: Arc::clone(&storage),
            fetch: PieceIndex(i as u32).into(),
            offset: 0,
            buf: PartBuf::unpooled(payload[i * LEN..][..LEN].to_vec()),
            last: true,
        });
        rig.disk.write_batch(parts.collect());
        drop(sent);
        let mut bad = Vec::new();
        for _ in 0..40 {
            match rig.next() {
                DiskAnswer::Written { result: Some(PieceResult::Good), .. } => {}
                DiskAnswer::Written {
                    fetch: Fetch { piece, .. },
                    result: Some(PieceResult::Bad { blocks }),
                    ..
                } => {
                    assert_eq!(blocks.len(), 1);
                    bad.push(piece.0);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(bad, [20]);
        let accesses: Vec<usize> = accesses.try_iter().collect();
        if fails {
            assert_eq!(accesses.iter().filter(|pieces| **pieces == 1).count(), 39);
        } else {
            assert_eq!(accesses, [16, 4, 11, 8]);
        }
        payload[20 * LEN..21 * LEN].fill(0);
        assert!(std::fs::read(tmp.path().join("f")).unwrap() == payload);
    }
}

/// Whether the file system that holds a folder can be asked for what is in memory of a file.
#[cfg(target_os = "linux")]
fn tells_what_is_in_memory(dir: &Path) -> bool {
    use rustix::io::ReadWriteFlags;
    std::fs::write(dir.join("probe"), b"probe").unwrap();
    let file = std::fs::File::open(dir.join("probe")).unwrap();
    let mut data = [0; 5];
    let slices = &mut [std::io::IoSliceMut::new(&mut data)];
    rustix::io::preadv2(&file, slices, 0, ReadWriteFlags::NOWAIT) == Ok(5) || is_tmpfs(dir)
}

/// tmpfs cannot be asked, but never waits.
#[cfg(target_os = "linux")]
fn is_tmpfs(dir: &Path) -> bool {
    rustix::fs::statfs(dir).is_ok_and(|system| system.f_type == 0x0102_1994)
}

#[cfg(target_os = "linux")]
#[test]
fn what_lies_on_tmpfs_is_read_at_once() {
    let torrent = single("f", 65_536, 65_536, 9);
    let shm = Path::new("/dev/shm");
    let Ok(tmp) = tempfile::tempdir_in(shm) else {
        return println!("no /dev/shm to try it on");
    };
    if !is_tmpfs(shm) {
        return println!("/dev/shm is no tmpfs");
    }
    torrent.store(tmp.path());
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let block = BlockRequest { piece: PieceIndex(0), begin: 40_000, len: BLOCK_LEN };
    rig.disk.read(&storage, 1, vec![block], Vec::new());
    assert!(matches!(rig.next(), DiskAnswer::Read { error: None, .. }));
    let mut buf = Vec::new();
    assert!(rig.disk.read_now(&storage, &[block], &mut buf));
    assert!(buf[PIECE_HEADER..] == torrent.payload()[40_000..][..BLOCK_LEN as usize]);
}

#[cfg(not(target_os = "linux"))]
fn tells_what_is_in_memory(_dir: &Path) -> bool {
    false
}

#[test]
fn nothing_is_read_at_once_that_is_not_there_or_might_wait() {
    let torrent = single("f", 65_536, 65_536, 9);
    let block = BlockRequest { piece: PieceIndex(0), begin: 40_000, len: BLOCK_LEN };
    for hook in [None, Some(DiskHook::new(|_, _| Ok(())))] {
        let tmp = tempfile::tempdir().unwrap();
        torrent.store(tmp.path());
        let waits = hook.is_some() || !tells_what_is_in_memory(tmp.path());
        let rig = Rig::new(DiskConfig { hook, ..DiskConfig::default() });
        let storage = rig.open(&torrent, tmp.path());
        rig.disk.read(&storage, 1, vec![block], Vec::new());
        assert!(matches!(rig.next(), DiskAnswer::Read { error: None, .. }));
        let mut buf = Vec::new();
        assert_eq!(rig.disk.read_now(&storage, &[block], &mut buf), !waits);
        // The end of the file is cut off behind our back: whoever may wait finds out.
        std::fs::File::options().write(true).open(tmp.path().join("f")).unwrap().set_len(50_000).unwrap();
        assert!(!rig.disk.read_now(&storage, &[block], &mut buf));
    }
}

#[test]
fn a_check_finds_what_is_there() {
    let torrent = single("f", 3_000_000, 65_536, 12);
    let tmp = tempfile::tempdir().unwrap();
    torrent.store(tmp.path());
    let path = tmp.path().join("f");
    let mut data = std::fs::read(&path).unwrap();
    data[70_000] ^= 1;
    data.truncate(2_900_000);
    std::fs::write(&path, &data).unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let count = torrent.metainfo.geometry().piece_count();
    let (have, checked, error) = rig.check(&storage, Bitfield::full(count));
    assert!(error.is_none());
    assert_eq!(checked, count);
    let missing: Vec<u32> = (0..count).filter(|i| !have.get(PieceIndex(*i))).collect();
    assert_eq!(missing, [1, 44, 45]);
}

#[test]
fn a_check_does_not_read_holes_but_knows_pieces_of_zeros() {
    let mut zeros = file("f", 40 << 20, 1);
    zeros.data.fill(0);
    zeros.data[39 << 20..].fill(1);
    let torrent = multi("t", vec![zeros], 1 << 20);
    let tmp = tempfile::tempdir().unwrap();
    std::fs::create_dir(tmp.path().join("t")).unwrap();
    std::fs::File::create(tmp.path().join("t/f")).unwrap().set_len(40 << 20).unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let (have, _, error) = rig.check(&storage, Bitfield::full(40));
    assert!(error.is_none());
    assert_eq!((have.count(), have.get(PieceIndex(39))), (39, false));
}

#[test]
fn a_check_can_be_cancelled_and_still_ends() {
    let torrent = single("f", 40_000_000, 65_536, 13);
    let tmp = tempfile::tempdir().unwrap();
    torrent.store(tmp.path());
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let count = torrent.metainfo.geometry().piece_count();
    rig.disk.check(&storage, Bitfield::full(count)).cancel();
    let mut seen = 0;
    loop {
        match rig.next() {
            DiskAnswer::Checked { checked, end, .. } => {
                seen += checked;
                if end {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(seen < count, "all {count} pieces were checked in spite of the cancellation");
}

#[test]
fn a_check_of_long_pieces_with_holes_between_them_finds_the_bad_ones() {
    let mut data = file("f", (40 << 20) + 12_345, 21);
    data.data[9 << 20..11 << 20].fill(0);
    let torrent = multi("t", vec![data], 1 << 20);
    let tmp = tempfile::tempdir().unwrap();
    torrent.store(tmp.path());
    let path = tmp.path().join("t/f");
    let mut data = std::fs::read(&path).unwrap();
    // The first byte of a piece, the last of another, one in the middle, and one of the last, which is short.
    let bad = [(3 << 20), (6 << 20) - 1, (17 << 20) + 700_000, (40 << 20) + 12_000];
    bad.iter().for_each(|at| data[*at] ^= 1);
    // Written anew, so that the zeros are a hole where the file system has such.
    let mut sparse = std::fs::File::create(&path).unwrap();
    sparse.write_all(&data[..9 << 20]).unwrap();
    sparse.seek(SeekFrom::Start(11 << 20)).unwrap();
    sparse.write_all(&data[11 << 20..]).unwrap();
    for workers in [1, 2, 5] {
        let rig = Rig::new(DiskConfig { workers, ..DiskConfig::default() });
        let storage = rig.open(&torrent, tmp.path());
        let (have, checked, error) = rig.check(&storage, Bitfield::full(41));
        assert!(error.is_none());
        assert_eq!(checked, 41);
        let missing: Vec<u32> = (0..41).filter(|i| !have.get(PieceIndex(*i))).collect();
        assert_eq!(missing, [3, 5, 17, 40], "{workers} workers");
    }
}

#[test]
fn a_paused_check_has_looked_at_all_but_the_rest() {
    let torrent = single("f", 300 * 65_536, 65_536, 22);
    let tmp = tempfile::tempdir().unwrap();
    torrent.store(tmp.path());
    // The first step is done, the next begins when the check was told to pause.
    let (reads, paused) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&paused);
    let hook = DiskHook::new(move |_, _| {
        let first = reads.fetch_add(1, Ordering::Relaxed) < 64;
        while !first && !told.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Ok(())
    });
    let rig = Rig::new(DiskConfig { workers: 1, hook: Some(hook), ..DiskConfig::default() });
    let storage = rig.open(&torrent, tmp.path());
    let mut wanted = Bitfield::full(300);
    let mut rounds = 0;
    while !wanted.is_empty_set() {
        rounds += 1;
        let handle = rig.disk.check(&storage, wanted.clone());
        let mut seen = 0;
        loop {
            let DiskAnswer::Checked { checked, good, end, .. } = rig.next() else { panic!("another answer") };
            // Only after something was looked at, so that it comes to an end.
            handle.pause();
            paused.store(true, Ordering::Relaxed);
            seen += checked;
            assert_eq!(good.len(), checked as usize, "all are right");
            good.into_iter().for_each(|piece| assert!(wanted.clear(piece), "{piece:?} a second time"));
            if end {
                break;
            }
        }
        assert!(seen > 0);
        assert_eq!(handle.rest(), wanted, "what was not looked at is what is left");
    }
    assert!(rounds > 1, "it was never paused in the middle");
}

#[test]
fn errors_name_the_file_and_the_cause() {
    let torrent = mixed();
    let payload = torrent.payload();
    let write = |dir: &Path| {
        let rig = Rig::new(DiskConfig::default());
        let storage = rig.open(&torrent, dir);
        match rig.write(&storage, PieceIndex(0), vec![(0, payload[..65_536].to_vec())]) {
            PieceResult::Failed(e) => e,
            other => panic!("{other:?}"),
        }
    };
    let tmp = tempfile::tempdir().unwrap();
    // A file where a folder should be.
    std::fs::create_dir(tmp.path().join("mixed")).unwrap();
    std::fs::write(tmp.path().join("mixed/a"), b"").unwrap();
    let e = write(tmp.path());
    assert!(matches!(&e, DiskError::NotAFolder { path } if path.ends_with("mixed/a/one")), "{e}");
    // A folder where a file should be.
    std::fs::remove_file(tmp.path().join("mixed/a")).unwrap();
    std::fs::create_dir_all(tmp.path().join("mixed/a/one")).unwrap();
    let e = write(tmp.path());
    assert!(matches!(&e, DiskError::NotAFile { path } if path.ends_with("mixed/a/one")), "{e}");
    // The folder of the user is a file.
    std::fs::write(tmp.path().join("file"), b"").unwrap();
    let e = write(&tmp.path().join("file"));
    assert!(matches!(&e, DiskError::NotAFolder { .. } | DiskError::Io { .. }), "{e}");
    assert!(e.to_string().contains("mixed/a/one"), "{e}");
}

#[cfg(unix)]
#[test]
fn no_link_out_of_the_folder_is_followed() {
    let torrent = mixed();
    let tmp = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let mut victim = torrent.payload()[..100_000].to_vec();
    victim[0] ^= 1;
    std::fs::write(outside.path().join("one"), &victim).unwrap();
    std::fs::create_dir(tmp.path().join("mixed")).unwrap();
    std::os::unix::fs::symlink(outside.path(), tmp.path().join("mixed/a")).unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let data = torrent.payload()[..65_536].to_vec();
    let verdict = rig.write(&storage, PieceIndex(0), vec![(0, data)]);
    assert!(matches!(&verdict, PieceResult::Failed(DiskError::Symlink { .. })), "{verdict:?}");
    assert_eq!(std::fs::read(outside.path().join("one")).unwrap(), victim);
    let (have, _, error) = rig.check(&storage, Bitfield::full(torrent.metainfo.geometry().piece_count()));
    assert!(matches!(error, Some(DiskError::Symlink { .. })) && have.is_empty_set());
}

#[test]
fn verified_data_that_is_gone_is_an_error() {
    let torrent = single("f", 100_000, 65_536, 14);
    let tmp = tempfile::tempdir().unwrap();
    let rig = Rig::new(DiskConfig::default());
    let read = |storage: &Arc<Storage>| {
        rig.disk.read(
            storage,
            0,
            vec![BlockRequest { piece: PieceIndex(1), begin: 0, len: 16_384 }],
            Vec::new(),
        );
        match rig.next() {
            DiskAnswer::Read { error: Some(e), .. } => e,
            other => panic!("{other:?}"),
        }
    };
    let storage = rig.open(&torrent, tmp.path());
    assert!(matches!(read(&storage), DiskError::Missing { .. }));
    std::fs::write(tmp.path().join("f"), b"short").unwrap();
    assert!(matches!(read(&storage), DiskError::Short { end: 81_920, .. }));
}

#[test]
fn a_resume_record_holds_for_untouched_files_only() {
    let torrent = mixed();
    let tmp = tempfile::tempdir().unwrap();
    torrent.store(tmp.path());
    let count = torrent.metainfo.geometry().piece_count();
    {
        let rig = Rig::new(DiskConfig::default());
        let storage = rig.open(&torrent, tmp.path());
        // No record: everything has to be hashed.
        let (have, recheck) = rig.resume(&storage);
        assert!(have.is_empty_set() && recheck.is_full());
        rig.save(&storage, Bitfield::full(count));
    }
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let (have, recheck) = rig.resume(&storage);
    assert!(have.is_full() && recheck.is_empty_set());
    // A file that changed: its pieces are hashed, also the one that it shares.
    let path = tmp.path().join("mixed/a/one");
    let data = std::fs::read(&path).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    std::fs::write(&path, &data).unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    let (have, recheck) = rig.resume(&storage);
    let rechecked: Vec<_> = recheck.iter_ones().map(|p| p.0).collect();
    assert_eq!(rechecked, [0, 1]);
    assert!(rechecked.iter().all(|p| !have.get(PieceIndex(*p))) && have.count() == count - 2);
    // A record that is rubbish, or about another torrent, vouches for nothing.
    let record =
        std::fs::read_dir(tmp.path()).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_file()).unwrap();
    std::fs::write(&record, b"d4:have").unwrap();
    let (have, recheck) = rig.resume(&storage);
    assert!(have.is_empty_set() && recheck.is_full());
}

/// Writes one of two pieces of 64 KiB.
fn write_half(rig: &Rig, storage: &Arc<Storage>, torrent: &TestTorrent, piece: u32) {
    let at = piece as usize * 65_536;
    let data = torrent.payload()[at..at + 65_536].to_vec();
    assert!(matches!(rig.write(storage, PieceIndex(piece), vec![(0, data)]), PieceResult::Good));
}

#[test]
fn what_is_written_after_a_save_is_not_in_the_record() {
    let torrent = single("f", 131_072, 65_536, 15);
    let tmp = tempfile::tempdir().unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    rig.resume(&storage);
    write_half(&rig, &storage, &torrent, 0);
    let mut have = Bitfield::new(2);
    have.set(PieceIndex(0));
    rig.save(&storage, have);
    // As after a kill: the file changes once more, maybe at once, and nobody saves.
    write_half(&rig, &storage, &torrent, 1);
    let again = rig.open(&torrent, tmp.path());
    let (have, recheck) = rig.resume(&again);
    assert!(have.is_empty_set() && recheck.is_full());
    let (have, ..) = rig.check(&again, recheck);
    assert!(have.is_full());
}

#[test]
fn a_record_does_not_vouch_for_what_was_written_after_the_pieces_were_counted() {
    let torrent = single("f", 131_072, 65_536, 16);
    let tmp = tempfile::tempdir().unwrap();
    let rig = Rig::new(DiskConfig::default());
    let storage = rig.open(&torrent, tmp.path());
    rig.resume(&storage);
    write_half(&rig, &storage, &torrent, 0);
    let mut have = Bitfield::new(2);
    have.set(PieceIndex(0));
    let snapshot = Snapshot {
        have,
        totals: Totals::default(),
        priorities: Vec::new(),
        at: SystemTime::now(),
        writes: Writes::GoOn,
    };
    // The keeper is slow: meanwhile another piece comes.
    write_half(&rig, &storage, &torrent, 1);
    rig.disk.save_resume(&storage, snapshot);
    assert!(matches!(rig.next(), DiskAnswer::Saved { error: None, .. }));
    let again = rig.open(&torrent, tmp.path());
    let (have, recheck) = rig.resume(&again);
    assert!(have.get(PieceIndex(1)) || recheck.get(PieceIndex(1)), "piece 1 would be fetched again");
}

#[test]
fn the_end_of_a_check_comes_last() {
    let torrent = single("f", 40 * 16_384, 16_384, 17);
    let tmp = tempfile::tempdir().unwrap();
    torrent.store(tmp.path());
    let rig = Rig::new(DiskConfig { workers: 4, ..DiskConfig::default() });
    for round in 0..200 {
        let storage = rig.open(&torrent, tmp.path());
        let (have, checked, error) = rig.check(&storage, Bitfield::full(40));
        assert!(have.is_full() && checked == 40 && error.is_none(), "round {round}: {checked} checked");
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
