//! Checks of what is there.

use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kamaelia_torrent::disk::{DiskAnswer, DiskConfig, DiskHook};
use kamaelia_torrent::proto::bitfield::Bitfield;
use kamaelia_torrent::proto::geometry::PieceIndex;

use crate::Rig;
use crate::support::{file, multi, single};

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
