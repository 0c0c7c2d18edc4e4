//! Hashing pieces whose parts come one at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::sha::{Message, Sha1};
use super::{DiskError, Storage};
use crate::proto::buffer::PartBuf;
use crate::proto::geometry::{BLOCK_LEN, PieceIndex};

/// One piece in the making: its parts are on the disk already and are hashed in the order of their offsets.
#[derive(Debug)]
pub(crate) struct PieceHash {
    sha: Sha1,
    /// Bytes hashed so far: everything before this offset.
    next: u32,
    /// Parts written whose turn it is, one behind the other from `next` on.
    due: VecDeque<PartBuf>,
    /// Parts written beyond those: end of each by its offset.
    ahead: BTreeMap<u32, Ahead>,
    kept: Arc<AtomicUsize>,
}

/// A part that came before its turn.
#[derive(Debug)]
enum Ahead {
    /// Still in memory.
    Kept(PartBuf),
    /// To be read back when its turn comes; the end of it.
    OnDisk(u32),
}

impl PieceHash {
    /// A piece of which nothing was hashed. `kept` counts the bytes that all pieces keep in memory.
    pub(crate) fn new(kept: Arc<AtomicUsize>) -> PieceHash {
        PieceHash { sha: Sha1::new(), next: 0, due: VecDeque::new(), ahead: BTreeMap::new(), kept }
    }

    /// Takes a part that was just written. Buffers that are no longer needed go to `spent`; `budget` is for what all
    /// pieces keep before its turn, bytes.
    pub(crate) fn put(&mut self, offset: u32, buf: PartBuf, budget: usize, spent: &mut Vec<PartBuf>) {
        // The caller checked that the part lies within the piece.
        let len = buf.len();
        let end = offset + len as u32;
        let reach = self.reach();
        if offset == reach {
            self.due.push_back(buf);
        } else if offset < reach {
            // The same bytes a second time, maybe others: what was hashed no longer says what is on the disk, so
            // all of it is hashed again from there.
            spent.extend(self.due.drain(..));
            self.sha = Sha1::new();
            self.set_ahead(0, Ahead::OnDisk(end.max(reach)), spent);
            self.next = 0;
            spent.push(buf);
        } else if self.kept.fetch_add(len, Ordering::Relaxed) + len <= budget {
            // Only a count: no other memory hangs on it.
            self.set_ahead(offset, Ahead::Kept(buf), spent);
        } else {
            self.kept.fetch_sub(len, Ordering::Relaxed);
            self.set_ahead(offset, Ahead::OnDisk(end), spent);
            spent.push(buf);
        }
    }

    /// What can be hashed next, to be followed by [`advance`](PieceHash::advance).
    pub(crate) fn due(&mut self) -> Option<Message<'_>> {
        let buf = self.due.front()?;
        Some(Message { sha: &mut self.sha, data: buf })
    }

    /// What was due has been hashed.
    pub(crate) fn advance(&mut self, spent: &mut Vec<PartBuf>) {
        if let Some(buf) = self.due.pop_front() {
            self.next += buf.len() as u32;
            spent.push(buf);
        }
    }

    /// The end of what is hashed or due.
    fn reach(&self) -> u32 {
        self.due.iter().fold(self.next, |end, buf| end + buf.len() as u32)
    }

    /// Bytes hashed from the start of the piece.
    pub(crate) fn hashed(&self) -> u32 {
        self.next
    }

    /// Hashes what is left of the piece from the disk.
    pub(crate) fn finish(&mut self, storage: &Storage, piece: PieceIndex) -> Result<[u8; 20], DiskError> {
        self.read_back(storage, piece, storage.geometry().piece_size(piece))?;
        Ok(self.sha.clone().finalize())
    }

    /// Gives up the buffers that wait for their turn.
    pub(crate) fn release(&mut self, spent: &mut Vec<PartBuf>) {
        spent.extend(self.due.drain(..));
        while let Some((offset, _)) = self.ahead.first_key_value() {
            let offset = *offset;
            self.set_ahead(offset, Ahead::OnDisk(offset), spent);
            self.ahead.remove(&offset);
        }
    }

    /// If nothing is due, takes what came early and whose turn it is now.
    pub(crate) fn catch_up(
        &mut self,
        storage: &Storage,
        piece: PieceIndex,
        spent: &mut Vec<PartBuf>,
    ) -> Result<(), DiskError> {
        while self.due.is_empty()
            && let Some(entry) = self.ahead.first_entry()
        {
            let offset = *entry.key();
            if offset > self.next {
                break;
            }
            match entry.remove() {
                Ahead::Kept(buf) => {
                    self.kept.fetch_sub(buf.len(), Ordering::Relaxed);
                    if offset == self.next { self.due.push_back(buf) } else { spent.push(buf) }
                }
                Ahead::OnDisk(end) => self.read_back(storage, piece, end)?,
            }
        }
        Ok(())
    }

    fn set_ahead(&mut self, offset: u32, ahead: Ahead, spent: &mut Vec<PartBuf>) {
        if let Some(Ahead::Kept(old)) = self.ahead.insert(offset, ahead) {
            self.kept.fetch_sub(old.len(), Ordering::Relaxed);
            spent.push(old);
        }
    }

    fn read_back(&mut self, storage: &Storage, piece: PieceIndex, end: u32) -> Result<(), DiskError> {
        let start = storage.geometry().piece_offset(piece);
        let mut scratch = vec![0; (end.saturating_sub(self.next) as usize).min(SCRATCH)];
        while self.next < end {
            let n = ((end - self.next) as usize).min(scratch.len());
            storage.read(start + u64::from(self.next), &mut scratch[..n])?;
            self.sha.update(&scratch[..n]);
            self.next += n as u32;
        }
        Ok(())
    }
}

/// The hash of each block of a piece in memory, by which the sender of a bad block is found.
pub(crate) fn block_hashes(data: &[u8]) -> Vec<[u8; 20]> {
    data.chunks(BLOCK_LEN as usize).map(Sha1::digest).collect()
}

/// The hash of each block of a piece on the disk.
pub(crate) fn block_hashes_on_disk(storage: &Storage, piece: PieceIndex) -> Result<Vec<[u8; 20]>, DiskError> {
    let geometry = storage.geometry();
    let start = geometry.piece_offset(piece);
    let size = geometry.piece_size(piece) as usize;
    let mut hashes = Vec::with_capacity(geometry.block_count(piece) as usize);
    let mut scratch = vec![0; size.min(SCRATCH)];
    let mut at = 0;
    while at < size {
        let n = (size - at).min(scratch.len());
        storage.read(start + at as u64, &mut scratch[..n])?;
        hashes.extend(block_hashes(&scratch[..n]));
        at += n;
    }
    Ok(hashes)
}

/// Bytes read at a time: a multiple of the block that stays in the second-level cache while it is hashed.
pub(crate) const SCRATCH: usize = 256 * 1024;
