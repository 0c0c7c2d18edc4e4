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
