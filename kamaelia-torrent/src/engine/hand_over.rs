//! Parts on their way to the disk workers, which get them in batches.
//!
//! A worker that has nothing to do sleeps. To wake it, to be rung by it and to take its answer costs about as much as
//! hashing 20 KiB; a fast download would pay that for each part. And parts of several pieces cost less together. So they
//! wait until there is a good deal of them, for a few milliseconds at most, and not at all while somebody needs their
//! memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Engine;
use crate::disk::{Disk, PartWrite, Storage};
use crate::proto::buffer::{PART_LEN, PartBuf};
use crate::proto::geometry::{Fetch, PieceIndex};

/// What has come and was not given to the disk yet.
#[derive(Default)]
pub(super) struct HandOver {
    parts: Vec<PartWrite>,
    bytes: usize,
    /// When the first of them came.
    since: Option<Instant>,
}

impl HandOver {
    pub(super) fn put(
        &mut self,
        now: Instant,
        storage: &Arc<Storage>,
        (fetch, offset, data, last): (Fetch, u32, PartBuf, bool),
        disk: &Disk,
    ) {
        self.since.get_or_insert(now);
        self.bytes += data.len();
        self.parts.push(PartWrite { storage: Arc::clone(storage), fetch, offset, buf: data, last });
        if self.bytes >= BATCH {
            self.give_all(disk);
        }
    }

    /// A piece in the making is not wanted any more.
    pub(super) fn abandon(&mut self, storage: &Arc<Storage>, piece: PieceIndex, disk: &Disk) {
        // After what has come of it, or that would make it begin again.
        self.give_all(disk);
        disk.abandon(storage, piece);
    }

    /// When what is here has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + LONGEST)
    }

    /// Gives all to the workers, in the order in which it came.
    pub(super) fn give_all(&mut self, disk: &Disk) {
        disk.write_batch(std::mem::take(&mut self.parts));
        (self.bytes, self.since) = (0, None);
    }
}

impl Engine {
    /// Gives the workers what has waited long enough, or all if memory is short.
    pub(super) fn hand_over(&mut self, now: Instant) {
        let Some(due) = self.hand_over.due() else { return };
        if due <= now || self.pool.is_short() || !self.hungry.is_empty() {
            self.hand_over.give_all(&self.disk);
        }
    }
}

/// So much goes at once: as many parts as are hashed together best.
const BATCH: usize = 16 * PART_LEN as usize;

/// Nothing waits longer: about what a batch takes to come at 200 MiB/s.
const LONGEST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DiskAnswer, DiskConfig, StorageKey};
    use crate::proto::metainfo::Metainfo;

    /// A disk, and a torrent of one piece of eight parts.
    fn disk(dir: &std::path::Path) -> (Disk, Arc<Storage>, std::sync::mpsc::Receiver<()>) {
        let (ring, rings) = std::sync::mpsc::channel();
        let disk = Disk::new(DiskConfig::default(), Arc::new(move || ring.send(()).unwrap_or(()))).unwrap();
        let pieces = [b"6:pieces20:", &[0u8; 20][..]].concat();
        let info =
            [b"d4:infod6:lengthi1048576e4:name1:f12:piece lengthi1048576e", &pieces[..], b"ee"].concat();
        let storage = disk.open(StorageKey(1), Metainfo::parse(&info).unwrap(), dir.to_owned());
        (disk, storage, rings)
    }

    fn part(number: u32) -> (Fetch, u32, PartBuf, bool) {
        let data = PartBuf::unpooled(vec![7; PART_LEN as usize]);
        (PieceIndex(0).into(), number * PART_LEN, data, number == 7)
    }

    #[test]
    fn parts_wait_for_others_or_a_few_milliseconds() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, storage, _rings) = disk(dir.path());
        let (mut parts, now) = (HandOver::default(), Instant::now());
        assert_eq!(parts.due(), None);
        for n in 0..15 {
            parts.put(now + Duration::from_millis(n), &storage, part(n as u32 % 8), &disk);
            assert_eq!((parts.parts.len() as u64, parts.due()), (n + 1, Some(now + LONGEST)));
        }
        parts.put(now, &storage, part(7), &disk);
        assert_eq!((parts.parts.len(), parts.bytes, parts.due()), (0, 0, None));
    }

    #[test]
    fn a_piece_that_is_given_up_keeps_none_of_its_buffers() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, storage, rings) = disk(dir.path());
        let mut parts = HandOver::default();
        // The second part: it is kept until the first was hashed.
        parts.put(Instant::now(), &storage, part(1), &disk);
        parts.abandon(&storage, PieceIndex(0), &disk);
        loop {
            match disk.next_answer() {
                Some(DiskAnswer::Returned { bufs }) => break assert_eq!(bufs.len(), 1),
                Some(DiskAnswer::Written { bufs, .. }) => assert!(bufs.is_empty()),
                Some(other) => panic!("{other:?}"),
                None => rings.recv_timeout(Duration::from_secs(180)).expect("the buffer comes back"),
            }
        }
    }
}
