//! The part file: what falls into unwanted files is kept there, and nothing of it is lost on the way to its file.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use kamaelia_torrent::disk::{
    Allocation, Disk, DiskAnswer, DiskConfig, DiskError, PIECE_HEADER, PieceResult, Snapshot, Storage,
    StorageKey, Totals, Writes,
};
use kamaelia_torrent::proto::bitfield::Bitfield;
use kamaelia_torrent::proto::buffer::{PART_LEN, PartBuf};
use kamaelia_torrent::proto::geometry::{BLOCK_LEN, BlockRequest, PieceIndex};
use kamaelia_torrent::proto::selection::Priority;
use support::*;

/// A torrent with its disk layer and folder.
struct Rig {
    torrent: TestTorrent,
    dir: tempfile::TempDir,
    disk: Disk,
    rings: mpsc::Receiver<()>,
    storage: Arc<Storage>,
}

impl Rig {
    fn new(torrent: TestTorrent, levels: &[u8]) -> Rig {
        Rig::over(torrent, levels, tempfile::tempdir().unwrap())
    }

    fn over(torrent: TestTorrent, levels: &[u8], dir: tempfile::TempDir) -> Rig {
        Rig::with(torrent, levels, dir, Allocation::Sparse)
    }

    fn with(torrent: TestTorrent, levels: &[u8], dir: tempfile::TempDir, allocation: Allocation) -> Rig {
        let (ring, rings) = mpsc::channel();
        let disk = Disk::new(DiskConfig::default(), Arc::new(move || ring.send(()).unwrap_or(()))).unwrap();
        let (metainfo, root) = (torrent.metainfo.clone(), dir.path().to_path_buf());
        let storage = disk.open_with(StorageKey(1), metainfo, root, allocation, &priorities(levels));
        Rig { torrent, dir, disk, rings, storage }
    }

    /// As a restart after a crash: nothing is saved or closed.
    fn again(self, levels: &[u8]) -> Rig {
        let Rig { torrent, dir, disk, storage, .. } = self;
        drop((disk, storage));
        Rig::over(torrent, levels, dir)
    }

    fn next(&self) -> DiskAnswer {
        loop {
            if let Some(answer) = self.disk.next_answer() {
                return answer;
            }
            self.rings.recv_timeout(Duration::from_secs(180)).expect("a ring for the answer");
        }
    }

    /// Writes a piece in parts as the swarm would.
    fn write(&self, piece: u32) {
        let (geometry, payload) = (self.torrent.metainfo.geometry(), self.torrent.payload());
        let piece = PieceIndex(piece);
        let (start, size) = (geometry.piece_offset(piece) as usize, geometry.piece_size(piece));
        let parts: Vec<u32> = (0..size).step_by(PART_LEN as usize).collect();
        for at in &parts {
            let end = (at + PART_LEN).min(size);
            let data = payload[start + *at as usize..start + end as usize].to_vec();
            self.disk.write(&self.storage, piece.into(), *at, PartBuf::unpooled(data), end == size);
        }
        let mut good = false;
        for _ in parts {
            let DiskAnswer::Written { result, .. } = self.next() else { panic!("not written") };
            good |= match result {
                Some(PieceResult::Good) => true,
                Some(other) => panic!("{other:?}"),
                None => false,
            };
        }
        assert!(good, "piece {piece}");
    }

    fn select(&self, levels: &[u8]) -> Option<DiskError> {
        self.disk.select(&self.storage, priorities(levels));
        match self.next() {
            DiskAnswer::Selected { error, .. } => error,
            other => panic!("{other:?}"),
        }
    }

    fn prepare(&self) -> Option<DiskError> {
        self.disk.prepare(&self.storage);
        match self.next() {
            DiskAnswer::Prepared { error, .. } => error,
            other => panic!("{other:?}"),
        }
    }

    fn save(&self, have: &[u32], levels: &[u8]) {
        let mut set = Bitfield::new(self.torrent.metainfo.geometry().piece_count());
        have.iter().for_each(|piece| assert!(set.set(PieceIndex(*piece))));
        let snapshot = Snapshot {
            have: set,
            totals: Totals::default(),
            priorities: priorities(levels),
            at: SystemTime::now(),
            writes: Writes::Ended,
        };
        self.disk.save_resume(&self.storage, snapshot);
        assert!(matches!(self.next(), DiskAnswer::Saved { error: None, .. }));
    }

    /// What the record vouches for, and what has to be hashed.
    fn load(&self) -> (Vec<u32>, Vec<u32>, Vec<Priority>) {
        self.disk.load_resume(&self.storage, None);
        match self.next() {
            DiskAnswer::Resumed { have, recheck, priorities, .. } => {
                (numbers(&have), numbers(&recheck), priorities)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The pieces that are there and right.
    fn check(&self) -> Vec<u32> {
        let count = self.torrent.metainfo.geometry().piece_count();
        self.disk.check(&self.storage, Bitfield::full(count));
        let mut have = Bitfield::new(count);
        loop {
            let DiskAnswer::Checked { good, end, error, .. } = self.next() else { panic!("not checked") };
            assert!(error.is_none(), "{error:?}");
            good.into_iter().for_each(|piece| assert!(have.set(piece)));
            if end {
                return numbers(&have);
            }
        }
    }

    /// Reads a whole piece as a peer would ask for it, and compares.
    fn read(&self, piece: u32) {
        let geometry = self.torrent.metainfo.geometry();
        let piece = PieceIndex(piece);
        let blocks: Vec<BlockRequest> =
            (0..geometry.block_count(piece)).map(|n| geometry.block(piece, n)).collect();
        self.disk.read(&self.storage, 0, blocks.clone(), Vec::new());
        let DiskAnswer::Read { buf, error: None, .. } = self.next() else { panic!("not read") };
        let mut got: Vec<u8> = Vec::new();
        for (n, block) in blocks.iter().enumerate() {
            let start = n * (PIECE_HEADER + BLOCK_LEN as usize) + PIECE_HEADER;
            got.extend(&buf[start..start + block.len as usize]);
        }
        let start = geometry.piece_offset(piece) as usize;
        assert!(got == self.torrent.payload()[start..start + got.len()], "piece {piece} differs");
    }

    fn part_file(&self) -> PathBuf {
        self.dir.path().join(format!(".{}.parts", self.torrent.metainfo.info_hash()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("t").join(name)
    }

    /// The named files, and no others, exist and hold the right data.
    fn expect_files(&self, names: &[&str]) {
        for file in self.torrent.files.iter().filter(|file| !file.pad) {
            let path = self.file(file.path);
            if names.contains(&file.path) {
                assert!(fs::read(&path).unwrap() == file.data, "{} differs", file.path);
            } else {
                assert!(!path.exists(), "{} exists", file.path);
            }
        }
    }
}

/// What somebody else does to a file.
type Damage = fn(&Path);

fn priorities(levels: &[u8]) -> Vec<Priority> {
    levels.iter().map(|level| Priority::new(*level).unwrap()).collect()
}

fn numbers(set: &Bitfield) -> Vec<u32> {
    set.iter_ones().map(|piece| piece.0).collect()
}

/// Pieces of 64 KiB: 0 a, 1 a b, 2 b c, 3 c; of a, 100,000 bytes, b, 50,000, and c, 100,000.
fn small() -> TestTorrent {
    multi(
        "t",
        vec![file("a", 100_000, 1), file("b", 50_000, 2), file("c", 100_000, 3), file("empty", 0, 4)],
        65_536,
    )
}

/// Reads that wait for nothing know nothing of the part file: they must leave it to those that do.
#[test]
fn what_is_in_the_part_file_is_never_read_at_once_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("t")).unwrap();
    // Somebody else's, of the same name and length. It is open and in memory when it becomes unwanted.
    fs::write(dir.path().join("t/b"), vec![0xee; 50_000]).unwrap();
    let rig = Rig::over(small(), &[4, 4, 4, 4], dir);
    let block = BlockRequest { piece: PieceIndex(1), begin: 40_000, len: 16_384 };
    rig.disk.read(&rig.storage, 0, vec![block], Vec::new());
    assert!(matches!(rig.next(), DiskAnswer::Read { error: None, .. }));
    assert!(rig.select(&[4, 0, 4, 4]).is_none());
    rig.write(1);
    let mut buf = Vec::new();
    if rig.disk.read_now(&rig.storage, &[block], &mut buf) {
        let start = 65_536 + 40_000;
        assert!(buf[PIECE_HEADER..] == rig.torrent.payload()[start..start + 16_384], "of the wrong place");
    }
    rig.read(1);
    assert!(fs::read(rig.file("b")).unwrap() == vec![0xee; 50_000]);
}

#[test]
fn an_unwanted_file_is_not_made_and_its_parts_are_served_from_the_part_file() {
    let rig = Rig::new(small(), &[0, 4, 0, 0]);
    assert!(rig.prepare().is_none());
    assert!(!rig.part_file().exists(), "nothing to put there yet");
    rig.write(1);
    rig.write(2);
    rig.expect_files(&["b"]);
    assert!(rig.part_file().exists());
    rig.read(1);
    rig.read(2);
    assert_eq!(rig.check(), [1, 2]);
}

#[test]
fn an_unwanted_file_that_is_there_is_not_touched() {
    let rig = Rig::new(small(), &[0, 4, 0, 0]);
    fs::create_dir(rig.dir.path().join("t")).unwrap();
    fs::write(rig.file("a"), b"of the user").unwrap();
    rig.write(1);
    rig.read(1);
    assert_eq!(fs::read(rig.file("a")).unwrap(), b"of the user");
}

#[test]
fn parts_move_to_their_file_when_it_is_wanted() {
    let rig = Rig::new(small(), &[0, 4, 0, 0]);
    rig.write(1);
    rig.write(2);
    assert!(rig.select(&[4, 4, 0, 4]).is_none());
    // One is moved, the other still there.
    assert_eq!(fs::read(rig.file("a")).unwrap()[65_536..], rig.torrent.files[0].data[65_536..]);
    assert!(rig.part_file().exists() && !rig.file("c").exists() && rig.file("empty").exists());
    rig.read(1);
    rig.read(2);
    rig.write(0);
    assert!(rig.select(&[4, 4, 4, 4]).is_none());
    rig.write(3);
    rig.expect_files(&["a", "b", "c", "empty"]);
    assert!(!rig.part_file().exists(), "an empty part file goes away");
    assert_eq!(rig.check(), [0, 1, 2, 3]);
    // And once more the other way: what is there stays there.
    assert!(rig.select(&[0, 0, 0, 0]).is_none());
    rig.read(1);
    rig.expect_files(&["a", "b", "c", "empty"]);
}

#[test]
fn slots_are_used_again() {
    let rig = Rig::new(small(), &[0, 4, 0, 0]);
    rig.write(1);
    rig.write(2);
    rig.save(&[1, 2], &[0, 4, 0, 0]);
    let len = fs::metadata(rig.part_file()).unwrap().len();
    assert!(rig.select(&[4, 4, 0, 0]).is_none());
    assert!(rig.select(&[4, 0, 0, 0]).is_none());
    // Piece 1 has parts of b now, in the slot that was that of a's.
    rig.write(1);
    assert_eq!(fs::metadata(rig.part_file()).unwrap().len(), len);
    rig.read(1);
    rig.read(2);
}

#[test]
fn a_restart_finds_the_part_file_without_hashing() {
    let rig = Rig::new(small(), &[0, 4, 0, 0]);
    assert_eq!(rig.load().1, [0, 1, 2, 3], "there is no record");
    rig.write(1);
    rig.write(2);
    rig.save(&[1, 2], &[0, 4, 0, 0]);
    // Nobody says what is wanted: the record knows.
    let rig = rig.again(&[]);
    assert_eq!(rig.load(), (vec![1, 2], vec![], priorities(&[0, 4, 0, 0])));
    rig.read(1);
    rig.write(2);
    rig.expect_files(&["b"]);
    // All is wanted now, and said before the record is read.
    let rig = rig.again(&[4, 4, 4, 4]);
    let (have, recheck, _) = rig.load();
    assert!(have.iter().chain(&recheck).any(|piece| *piece == 1));
    assert_eq!(rig.check(), [1, 2]);
    assert!(rig.prepare().is_none());
    assert!(!rig.part_file().exists());
    assert_eq!(rig.check(), [1, 2]);
}

#[test]
fn a_part_file_that_changed_or_is_gone_vouches_for_nothing() {
    let damage: [(&str, Damage); 4] = [
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("cut", |path| fs::File::options().write(true).open(path).unwrap().set_len(5000).unwrap()),
        ("other", |path| fs::write(path, vec![7; 200_000]).unwrap()),
        ("bit", |path| {
            let mut bytes = fs::read(path).unwrap();
            let at = bytes.len() - 10_000;
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
    ];
    for (what, damage) in damage {
        let rig = Rig::new(small(), &[0, 4, 0, 0]);
        rig.load();
        rig.write(1);
        rig.write(2);
        rig.save(&[1, 2], &[0, 4, 0, 0]);
        damage(&rig.part_file());
        let rig = rig.again(&[]);
        let (have, recheck, _) = rig.load();
        assert!(have.is_empty() && recheck.contains(&1) && recheck.contains(&2), "{what}: {have:?}");
        // And it can be written again.
        rig.write(1);
        rig.write(2);
        rig.read(1);
        assert_eq!(rig.check(), [1, 2], "{what}");
        rig.expect_files(&["b"]);
    }
}

#[test]
fn a_crash_before_a_save_leaves_data_that_a_check_finds() {
    // Larger pieces, in parts.
    let torrent = multi("t", vec![file("a", 700_000, 1), file("b", 900_000, 2), file("c", 5, 3)], 1 << 20);
    let rig = Rig::new(torrent, &[0, 7, 0]);
    rig.write(0);
    rig.write(1);
    rig.save(&[0], &[0, 7, 0]);
    let rig = rig.again(&[0, 7, 0]);
    assert_eq!(rig.check(), [0, 1]);
    rig.expect_files(&["b"]);
}

#[test]
fn a_choice_in_the_middle_of_a_piece_loses_none_of_it() {
    let torrent = multi("t", vec![file("a", 700_000, 1), file("b", 900_000, 2)], 1 << 20);
    let payload = torrent.payload();
    let rig = Rig::new(torrent, &[0, 4]);
    let part = |n: usize| {
        let at = n * PART_LEN as usize;
        (at as u32, PartBuf::unpooled(payload[at..(at + PART_LEN as usize).min(1 << 20)].to_vec()))
    };
    let parts = (1usize << 20) / PART_LEN as usize;
    for n in 0..parts {
        // Out of order, so that some is read back to be hashed, and another mind in between.
        let n = (n + 1) % parts;
        let (at, data) = part(n);
        rig.disk.write(&rig.storage, PieceIndex(0).into(), at, data, n == 0);
        let DiskAnswer::Written { result, .. } = rig.next() else { panic!("not written") };
        assert_eq!(matches!(result, Some(PieceResult::Good)), n == 0, "{result:?}");
        assert!(rig.select(if n.is_multiple_of(2) { &[4, 4] } else { &[0, 0] }).is_none());
    }
    assert!(rig.select(&[4, 4]).is_none());
    rig.write(1);
    rig.expect_files(&["a", "b"]);
    assert!(!rig.part_file().exists());
}

#[test]
fn an_abandoned_piece_gives_its_buffers_back_and_can_begin_afresh() {
    let torrent = single("f", 1 << 20, 1 << 20, 3);
    let payload = torrent.payload();
    let rig = Rig::new(torrent, &[]);
    // Wrong data, which comes before its turn and is kept for hashing.
    let data = PartBuf::unpooled(vec![9; PART_LEN as usize]);
    rig.disk.write(&rig.storage, PieceIndex(0).into(), PART_LEN, data, false);
    let DiskAnswer::Written { bufs, .. } = rig.next() else { panic!("not written") };
    assert!(bufs.is_empty());
    rig.disk.abandon(&rig.storage, PieceIndex(0));
    let DiskAnswer::Returned { bufs } = rig.next() else { panic!("not returned") };
    assert_eq!(bufs.len(), 1);
    rig.write(0);
    assert!(fs::read(rig.dir.path().join("f")).unwrap() == payload);
}

#[cfg(target_os = "linux")]
#[test]
fn full_allocation_reserves_the_wanted_files_at_the_start() {
    use std::os::unix::fs::MetadataExt;
    let files = || vec![file("a", 3_000_000, 1), file("b", 2_000_000, 2)];
    let tmp = tempfile::tempdir().unwrap();
    let rig = Rig::with(multi("t", files(), 65_536), &[4, 0], tmp, Allocation::Full);
    assert!(rig.prepare().is_none());
    let meta = fs::metadata(rig.file("a")).unwrap();
    assert!(meta.len() == 3_000_000 && meta.blocks() * 512 >= 3_000_000, "{meta:?}");
    assert!(!rig.file("b").exists());
    // What is wanted later is reserved then; what is written stays.
    rig.write(0);
    assert!(rig.select(&[4, 4]).is_none());
    assert!(fs::metadata(rig.file("b")).unwrap().blocks() * 512 >= 2_000_000);
    rig.read(0);
    // Sparse files take nothing.
    let rig = Rig::new(multi("t", files(), 65_536), &[]);
    rig.write(0);
    assert!(fs::metadata(rig.file("a")).unwrap().blocks() * 512 < 1_000_000);
}

#[cfg(unix)]
#[test]
fn more_than_there_is_room_for_is_refused_before_anything_is_reserved() {
    // 2^46 bytes: more than any disk of today has free.
    let mut text =
        format!("d4:infod6:lengthi{}e4:name1:f12:piece lengthi268435456e6:pieces", 1u64 << 46).into_bytes();
    let hashes = (1usize << 46) / 268_435_456 * 20;
    text.extend(format!("{hashes}:").bytes());
    text.extend(vec![b'x'; hashes]);
    text.extend(b"ee");
    let metainfo = kamaelia_torrent::proto::Metainfo::parse(&text).unwrap();
    let (ring, rings) = mpsc::channel();
    let disk = Disk::new(DiskConfig::default(), Arc::new(move || ring.send(()).unwrap_or(()))).unwrap();
    let tmp = tempfile::tempdir().unwrap();
    let storage = disk.open_with(StorageKey(1), metainfo, tmp.path().into(), Allocation::Full, &[]);
    disk.prepare(&storage);
    rings.recv_timeout(Duration::from_secs(180)).unwrap();
    let Some(DiskAnswer::Prepared { error: Some(e), .. }) = disk.next_answer() else { panic!("prepared") };
    assert!(matches!(e, DiskError::NoRoom { needed: 70_368_744_177_664, .. }), "{e}");
    assert!(e.to_string().starts_with("no space left to reserve 70368744177664 bytes"), "{e}");
    assert!(!tmp.path().join("f").exists());
}
