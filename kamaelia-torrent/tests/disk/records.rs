//! What a resume record vouches for.

use std::sync::Arc;
use std::time::SystemTime;

use kamaelia_torrent::disk::{DiskAnswer, DiskConfig, PieceResult, Snapshot, Storage, Totals, Writes};
use kamaelia_torrent::proto::bitfield::Bitfield;
use kamaelia_torrent::proto::geometry::PieceIndex;

use crate::support::{TestTorrent, single};
use crate::{Rig, mixed};

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

/// A torrent of two pieces of 64 KiB, which are written one at a time.
struct Halves {
    rig: Rig,
    torrent: TestTorrent,
    dir: tempfile::TempDir,
    storage: Arc<Storage>,
}

impl Halves {
    fn new() -> Halves {
        let (rig, torrent) = (Rig::new(DiskConfig::default()), single("f", 131_072, 65_536, 15));
        let dir = tempfile::tempdir().unwrap();
        let storage = rig.open(&torrent, dir.path());
        rig.resume(&storage);
        Halves { rig, torrent, dir, storage }
    }

    /// Writes a piece; answers with the set of it alone.
    fn write(&self, piece: u32) -> Bitfield {
        let at = piece as usize * 65_536;
        let data = self.torrent.payload()[at..at + 65_536].to_vec();
        let verdict = self.rig.write(&self.storage, PieceIndex(piece), vec![(0, data)]);
        assert!(matches!(verdict, PieceResult::Good));
        let mut have = Bitfield::new(2);
        have.set(PieceIndex(piece));
        have
    }

    /// As after a kill; answers with the new storage, and what its record says is there and is to be checked.
    fn again(&self) -> (Arc<Storage>, Bitfield, Bitfield) {
        let storage = self.rig.open(&self.torrent, self.dir.path());
        let (have, recheck) = self.rig.resume(&storage);
        (storage, have, recheck)
    }
}

#[test]
fn what_is_written_after_a_save_is_not_in_the_record() {
    let halves = Halves::new();
    let have = halves.write(0);
    halves.rig.save(&halves.storage, have);
    // The file changes once more, maybe at once, and nobody saves.
    halves.write(1);
    let (storage, have, recheck) = halves.again();
    assert!(have.is_empty_set() && recheck.is_full());
    let (have, ..) = halves.rig.check(&storage, recheck);
    assert!(have.is_full());
}

#[test]
fn a_record_does_not_vouch_for_what_was_written_after_the_pieces_were_counted() {
    let halves = Halves::new();
    let have = halves.write(0);
    let snapshot = Snapshot {
        have,
        totals: Totals::default(),
        priorities: Vec::new(),
        at: SystemTime::now(),
        writes: Writes::GoOn,
    };
    // The keeper is slow: meanwhile another piece comes.
    halves.write(1);
    halves.rig.disk.save_resume(&halves.storage, snapshot);
    assert!(matches!(halves.rig.next(), DiskAnswer::Saved { error: None, .. }));
    let (_, have, recheck) = halves.again();
    assert!(have.get(PieceIndex(1)) || recheck.get(PieceIndex(1)), "piece 1 would be fetched again");
}
