//! Checking the data that is already there.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::batch::{Batch, claim, share};
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
    /// Pieces that a worker takes at a time.
    share: u32,
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

/// One worker's share of a check, whichever worker it is at the moment.
#[derive(Debug)]
pub(crate) struct CheckTurn {
    task: Arc<CheckTask>,
    /// Pieces in hand.
    batch: Batch,
    /// Pieces that are its own to look at, but not in hand.
    claimed: Range<u32>,
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
    /// A check of the `wanted` pieces to be carried on in `workers` [turns](CheckTurn).
    pub(crate) fn new(storage: Arc<Storage>, wanted: Bitfield, workers: u32, again: bool) -> CheckTask {
        let share = share(storage.geometry().piece_count(), workers);
        CheckTask {
            share,
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

    /// To be called by a worker that is through, after it has told everything it found. True for the last of all.
    pub(crate) fn leave(&self) -> bool {
        self.running.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Breaks the check off.
    fn fail(&self, step: &mut Step, e: DiskError) {
        step.checked += 1;
        step.error.get_or_insert(e);
        step.end = true;
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Looks at what need not be read. `None` if the piece has to be hashed.
    fn look(&self, piece: PieceIndex, missing: &mut Option<usize>) -> Result<Option<bool>, DiskError> {
        let storage = &*self.storage;
        // But for what the part file has of it.
        let elsewhere = |file| storage.part_holds(piece, file);
        let lies_in = |file| storage.piece_segments(piece).any(|s| !s.pad && s.file == file);
        if missing.is_some_and(|file| lies_in(file) && !elsewhere(file)) {
            return Ok(Some(false));
        }
        for segment in storage.piece_segments(piece) {
            match storage.is_hole(&segment) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(e) => {
                    if matches!(e, DiskError::Missing { .. }) {
                        *missing = Some(segment.file);
                    }
                    return self.excuse(e).map(Some);
                }
            }
        }
        let hash = self.hash_of_zeros(storage.geometry().piece_size(piece));
        Ok(Some(hash == storage.metainfo().piece_hash(piece)))
    }

    /// Whether a piece that could not be read is just not good.
    fn excuse(&self, e: DiskError) -> Result<bool, DiskError> {
        match e {
            // What is not there yet is not an error, it is to be downloaded.
            DiskError::Missing { .. } | DiskError::Short { .. } => Ok(false),
            e if self.again && e.lost_file().is_some() => Ok(false),
            e => Err(e),
        }
    }

    fn hash_of_zeros(&self, size: u32) -> [u8; 20] {
        let mut zeros = self.zeros.lock().unwrap_or_else(|e| e.into_inner());
        *zeros.entry(size).or_insert_with(|| {
            let mut sha = Sha1::new();
            let mut rest = size as usize;
            while rest > 0 {
                let n = rest.min(ZEROS.len());
                sha.update(&ZEROS[..n]);
                rest -= n;
            }
            sha.finalize()
        })
    }
}

impl CheckTurn {
    /// A worker that begins.
    pub(crate) fn new(task: Arc<CheckTask>) -> CheckTurn {
        CheckTurn { task, batch: Batch::default(), claimed: 0..0 }
    }

    pub(crate) fn task(&self) -> &CheckTask {
        &self.task
    }

    /// Hashes about [`STEP_BYTES`], so that other work gets its turn soon and progress is seen.
    pub(crate) fn step(&mut self, scratch: &mut Vec<u8>) -> Step {
        let mut step = Step { checked: 0, good: Vec::new(), end: false, error: None };
        let (mut bytes, mut looked_at) = (0, 0);
        // A file that is not there need not be looked for once for each of its pieces.
        let mut missing = None;
        while bytes < STEP_BYTES && looked_at < STEP_PIECES && !step.end {
            if self.batch.is_empty() {
                self.take_up(&mut step, &mut looked_at, &mut missing);
            }
            if !self.task.cancelled.load(Ordering::Relaxed) {
                bytes += self.advance(&mut step, scratch);
            } else {
                (self.batch, step.end) = (Batch::default(), true);
            }
        }
        step
    }

    /// Looks at pieces until there are enough to be hashed together.
    fn take_up(&mut self, step: &mut Step, looked_at: &mut u32, missing: &mut Option<usize>) {
        let geometry = self.task.storage.geometry();
        let (mut files, mut last_file) = (0, None);
        while self.batch.len() < Batch::most() && files < FILES && *looked_at < STEP_PIECES && !step.end {
            let Some(index) = self.next() else {
                // Those in hand come first.
                step.end = self.batch.is_empty();
                break;
            };
            *looked_at += 1;
            let piece = PieceIndex(index);
            if !self.task.wanted.get(piece) {
                continue;
            }
            match self.task.look(piece, missing) {
                Ok(None) => {
                    self.batch.push(geometry, piece);
                    for segment in self.task.storage.piece_segments(piece).filter(|s| !s.pad) {
                        files += u32::from(last_file.replace(segment.file) != Some(segment.file));
                    }
                }
                Ok(Some(good)) => step.tell(piece, good),
                Err(e) => self.task.fail(step, e),
            }
        }
    }

    /// The next piece to be looked at, wanted or not.
    fn next(&mut self) -> Option<u32> {
        let task = &*self.task;
        if self.claimed.is_empty() {
            let left_off = task.cancelled.load(Ordering::Relaxed) || task.paused.load(Ordering::Relaxed);
            if !left_off {
                self.claimed = claim(&task.next, task.storage.geometry().piece_count(), task.share);
            }
        }
        self.claimed.next()
    }

    /// Hashes a portion of each piece in hand.
    fn advance(&mut self, step: &mut Step, scratch: &mut Vec<u8>) -> u64 {
        let (task, storage) = (&*self.task, &*self.task.storage);
        self.batch.ask_ahead(|offset, len| storage.ask_ahead(offset, len));
        let read = |offset, place: &mut [u8]| storage.read(offset, place);
        self.batch.advance(scratch, read, |piece, hash| {
            let good = match hash {
                Ok(hash) => Ok(hash == storage.metainfo().piece_hash(piece)),
                Err(e) => task.excuse(e),
            };
            match good {
                Ok(good) => step.tell(piece, good),
                Err(e) => task.fail(step, e),
            }
        })
    }
}

impl Step {
    fn tell(&mut self, piece: PieceIndex, good: bool) {
        self.checked += 1;
        if good {
            self.good.push(piece);
        }
    }
}

/// Bytes hashed in one step: some milliseconds of a core.
const STEP_BYTES: u64 = 4 * 1024 * 1024;
/// Pieces looked at in one step, for torrents whose files are missing or full of holes.
const STEP_PIECES: u32 = 4096;
/// Files that pieces in hand lie in, at most about: they are to stay open meanwhile.
const FILES: u32 = 16;
static ZEROS: [u8; 4096] = [0; 4096];
