//! The disk layer: what it writes is what was hashed, whatever the order; failures name the file.

#[path = "../support/mod.rs"]
mod support;

mod checks;
mod faults;
mod parts;
mod reads;
mod records;
mod whole;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::SystemTime;

use kamaelia_torrent::disk::{
    Disk, DiskAnswer, DiskConfig, DiskError, PieceResult, Snapshot, Storage, StorageKey, Totals, Writes,
};
use kamaelia_torrent::proto::bitfield::Bitfield;
use kamaelia_torrent::proto::buffer::PartBuf;
use kamaelia_torrent::proto::geometry::{Fetch, PieceIndex};
use support::{TestTorrent, file, multi, pad};

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
