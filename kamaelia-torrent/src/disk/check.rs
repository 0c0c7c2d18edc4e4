//! Checking the data that is already there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::hasher::SCRATCH;
use super::sha::Sha1;
use super::{DiskError, Storage};
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::PieceIndex;

/// One check of one torrent, worked on by several workers a step at a time.
#[derive(Debug)]
pub(crate) struct CheckTask {
    storage: Arc<Storage>,
    wanted: Bitfield,
    next: AtomicU32,
    /// Workers that still have to say that they are through.
    running: AtomicU32,
    cancelled: AtomicBool,
    /// Pieces that were there once: whatever stands in the place of a file now, the others are looked at.
    again: bool,
    /// No further piece is begun; those in hand are finished.
    paused: AtomicBool,
    /// Hash of zeros by length, so that holes need no reading.
    zeros: Mutex<HashMap<u32, [u8; 20]>>,
}

/// Stops a check; the answer that it ended comes all the same.
#[derive(Clone, Debug)]
pub struct CheckHandle(pub(crate) Arc<CheckTask>);

impl CheckHandle {
    /// Makes the workers leave off after the piece in hand. Harmless when the check has ended.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Makes the workers leave off after the pieces in hand, which are looked at to the end: once the answer has come
    /// that the check ended, [`rest`](CheckHandle::rest) tells what is left to do.
    pub fn pause(&self) {
        self.0.paused.store(true, Ordering::Relaxed);
    }

    /// Wanted pieces that were not looked at. Final when the check has ended.
    pub fn rest(&self) -> Bitfield {
        let next = self.0.next.load(Ordering::Relaxed);
        let mut rest = self.0.wanted.clone();
        let done: Vec<PieceIndex> = rest.iter_ones().take_while(|piece| piece.0 < next).collect();
        done.into_iter().for_each(|piece| {
            rest.clear(piece);
        });
        rest
    }
}

/// What a step of a check found.
#[derive(Debug)]
pub(crate) struct Step {
    /// Pieces looked at.
    pub(crate) checked: u32,
    /// Those whose hash was right.
    pub(crate) good: Vec<PieceIndex>,
    /// True if the caller has nothing more to do for this task.
    pub(crate) end: bool,
    /// Why the check broke off.
    pub(crate) error: Option<DiskError>,
}

impl CheckTask {
    /// A check of the `wanted` pieces to be carried on by `workers` callers of [`step`](CheckTask::step).
    pub(crate) fn new(storage: Arc<Storage>, wanted: Bitfield, workers: u32, again: bool) -> CheckTask {
        CheckTask {
            storage,
            wanted,
            next: AtomicU32::new(0),
            running: AtomicU32::new(workers),
            cancelled: AtomicBool::new(false),
            again,
            paused: AtomicBool::new(false),
            zeros: Mutex::default(),
        }
    }

    /// For pieces that were there once: whether no file is left, as when a medium was taken away.
    pub(crate) fn nothing_left(&self, end: bool) -> Option<bool> {
        self.again.then(|| end && !self.storage.has_any_file())
    }

    pub(crate) fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// Hashes a few pieces: about [`STEP_BYTES`], so that other work gets its turn soon and progress is seen.
    pub(crate) fn step(&self, scratch: &mut Vec<u8>) -> Step {
        let geometry = self.storage.geometry();
        let mut step = Step { checked: 0, good: Vec::new(), end: false, error: None };
        let mut bytes = 0u64;
        let mut looked_at = 0;
        // A file that is not there need not be looked for once for each of its pieces.
        let mut missing = None;
        while bytes < STEP_BYTES && looked_at < STEP_PIECES {
            let left_off = self.cancelled.load(Ordering::Relaxed) || self.paused.load(Ordering::Relaxed);
            let index = if left_off { u32::MAX } else { self.next.fetch_add(1, Ordering::Relaxed) };
            if index >= geometry.piece_count() {
                // Never wraps: each worker stops counting here.
                step.end = true;
                break;
            }
            looked_at += 1;
            let piece = PieceIndex(index);
            if !self.wanted.get(piece) {
                continue;
            }
            step.checked += 1;
            match self.is_good(piece, scratch, &mut bytes, &mut missing) {
                Ok(true) => step.good.push(piece),
                Ok(false) => {}
                Err(e) => {
                    step.error = Some(e);
                    step.end = true;
                    self.cancelled.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        step
    }

    /// To be called by a worker that is through, after it has told everything it found. True for the last of all.
    pub(crate) fn leave(&self) -> bool {
        self.running.fetch_sub(1, Ordering::AcqRel) == 1
    }

    fn is_good(
        &self,
        piece: PieceIndex,
        scratch: &mut Vec<u8>,
        bytes: &mut u64,
        missing: &mut Option<usize>,
    ) -> Result<bool, DiskError> {
        // But for what the part file has of it.
        let elsewhere = |file| self.storage.part_holds(piece, file);
        let lies_in = |file| self.storage.piece_segments(piece).any(|s| !s.pad && s.file == file);
        if missing.is_some_and(|file| lies_in(file) && !elsewhere(file)) {
            return Ok(false);
        }
        match self.hash(piece, scratch, bytes, missing) {
            Ok(hash) => Ok(hash == self.storage.metainfo().piece_hash(piece)),
            // What is not there yet is not an error, it is to be downloaded.
            Err(DiskError::Missing { .. } | DiskError::Short { .. }) => Ok(false),
            Err(e) if self.again && e.lost_file().is_some() => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn hash(
        &self,
        piece: PieceIndex,
        scratch: &mut Vec<u8>,
        bytes: &mut u64,
        missing: &mut Option<usize>,
    ) -> Result<[u8; 20], DiskError> {
        let storage = &*self.storage;
        let geometry = storage.geometry();
        let size = geometry.piece_size(piece);
        let mut hole = true;
        for segment in storage.piece_segments(piece) {
            hole = hole
                && storage.is_hole(&segment).inspect_err(|e| {
                    if matches!(e, DiskError::Missing { .. }) {
                        *missing = Some(segment.file);
                    }
                })?;
        }
        if hole {
            return Ok(self.hash_of_zeros(size, scratch));
        }
        let mut sha = Sha1::new();
        let start = geometry.piece_offset(piece);
        let mut at = 0u32;
        scratch.resize(SCRATCH, 0);
        while at < size {
            let n = ((size - at) as usize).min(SCRATCH);
            storage.read(start + u64::from(at), &mut scratch[..n])?;
            sha.update(&scratch[..n]);
            at += n as u32;
            if self.cancelled.load(Ordering::Relaxed) {
                break;
            }
        }
        *bytes += u64::from(size);
        Ok(sha.finalize())
    }

    fn hash_of_zeros(&self, size: u32, scratch: &mut Vec<u8>) -> [u8; 20] {
        let mut zeros = self.zeros.lock().unwrap_or_else(|e| e.into_inner());
        *zeros.entry(size).or_insert_with(|| {
            scratch.clear();
            scratch.resize(SCRATCH, 0);
            let mut sha = Sha1::new();
            let mut rest = size as usize;
            while rest > 0 {
                let n = rest.min(SCRATCH);
                sha.update(&scratch[..n]);
                rest -= n;
            }
            sha.finalize()
        })
    }
}

/// Bytes hashed in one step: some milliseconds of a core.
const STEP_BYTES: u64 = 4 * 1024 * 1024;
/// Pieces looked at in one step, for torrents whose files are missing or full of holes.
const STEP_PIECES: u32 = 4096;
