//! Hashing pieces whose parts come one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha1::{Digest, Sha1};

use super::{DiskError, Storage};
use crate::proto::buffer::PartBuf;
use crate::proto::geometry::{BLOCK_LEN, PieceIndex};

/// One piece in the making: its parts are on the disk already and are hashed in the order of their offsets.
#[derive(Debug)]
pub(crate) struct PieceHash {
    sha: Sha1,
    /// Bytes hashed so far: everything before this offset.
    next: u32,
    /// Parts written beyond `next`: end of each by its offset.
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
        PieceHash { sha: Sha1::new(), next: 0, ahead: BTreeMap::new(), kept }
    }

    /// Takes a part that was just written. Gives the buffer back if it was hashed at once or there is no `budget` to
    /// keep it.
    pub(crate) fn part(
        &mut self,
        storage: &Storage,
        piece: PieceIndex,
        offset: u32,
        buf: PartBuf,
        budget: usize,
    ) -> Result<Option<PartBuf>, DiskError> {
        // The caller checked that the part lies within the piece.
        let end = offset + buf.len() as u32;
        if offset < self.next {
            // The same bytes a second time, maybe others: what was hashed no longer says what is on the disk.
            self.restart();
        }
        if offset == self.next {
            self.sha.update(&buf);
            self.next = end;
            self.catch_up(storage, piece)?;
            return Ok(Some(buf));
        }
        let len = buf.len();
        // Only a count: no other memory hangs on it.
        if self.kept.fetch_add(len, Ordering::Relaxed) + len <= budget {
            if let Some(Ahead::Kept(old)) = self.ahead.insert(offset, Ahead::Kept(buf)) {
                self.kept.fetch_sub(old.len(), Ordering::Relaxed);
                return Ok(Some(old));
            }
            return Ok(None);
        }
        self.kept.fetch_sub(len, Ordering::Relaxed);
        self.forget(offset);
        self.ahead.insert(offset, Ahead::OnDisk(end));
        Ok(Some(buf))
    }

    /// Bytes hashed from the start of the piece.
    pub(crate) fn hashed(&self) -> u32 {
        self.next
    }

    /// Hashes what is left of the piece from the disk and ends.
    pub(crate) fn finish(mut self, storage: &Storage, piece: PieceIndex) -> Result<[u8; 20], DiskError> {
        let size = storage.geometry().piece_size(piece);
        self.read_back(storage, piece, size)?;
        Ok(self.sha.clone().finalize().into())
    }

    /// Hashes the parts that came early and whose turn it is now.
    fn catch_up(&mut self, storage: &Storage, piece: PieceIndex) -> Result<(), DiskError> {
        while let Some(entry) = self.ahead.first_entry() {
            if *entry.key() > self.next {
                break;
            }
            let exact = *entry.key() == self.next;
            match entry.remove() {
                Ahead::Kept(buf) => {
                    self.kept.fetch_sub(buf.len(), Ordering::Relaxed);
                    if exact {
                        self.sha.update(&buf);
                        self.next += buf.len() as u32;
                    }
                }
                Ahead::OnDisk(end) => self.read_back(storage, piece, end)?,
            }
        }
        Ok(())
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

    /// Starts over; everything that was seen is to be read back.
    fn restart(&mut self) {
        self.sha = Sha1::new();
        self.ahead.insert(0, Ahead::OnDisk(self.next));
        self.next = 0;
    }

    fn forget(&mut self, offset: u32) {
        if let Some(Ahead::Kept(buf)) = self.ahead.remove(&offset) {
            self.kept.fetch_sub(buf.len(), Ordering::Relaxed);
        }
    }
}

impl Drop for PieceHash {
    fn drop(&mut self) {
        for ahead in self.ahead.values() {
            if let Ahead::Kept(buf) = ahead {
                self.kept.fetch_sub(buf.len(), Ordering::Relaxed);
            }
        }
    }
}

/// The hash of each block of a piece in memory, by which the sender of a bad block is found.
pub(crate) fn block_hashes(data: &[u8]) -> Vec<[u8; 20]> {
    data.chunks(BLOCK_LEN as usize).map(|block| Sha1::digest(block).into()).collect()
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
