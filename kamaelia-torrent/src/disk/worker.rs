//! The threads that read, write and hash.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, select};

use super::check::CheckTurn;
use super::frame::read_framed;
use super::hasher::{PieceHash, block_hashes, block_hashes_on_disk};
use super::jobs::{AnyJob, PartWrite, PieceJob};
use super::pace::Pace;
use super::sha::Sha1;
use super::{Answers, DiskAnswer, PieceResult, StorageKey};
use crate::proto::buffer::PartBuf;
use crate::proto::geometry::PieceIndex;

/// A piece whose parts come one at a time.
#[derive(Debug)]
pub(crate) struct Making {
    /// Which fetching of the piece.
    pub(super) attempt: u64,
    /// None after a failure: the parts that still come are no use.
    pub(super) hash: Option<PieceHash>,
}

/// One worker thread.
pub(crate) struct Worker {
    pub(crate) pieces: Receiver<PieceJob>,
    pub(crate) any: Receiver<AnyJob>,
    /// Checks wait until nothing else is to be done.
    pub(crate) checks: Receiver<CheckTurn>,
    /// A check that is not through goes back to the end of the queue, so that several make progress.
    pub(crate) checks_again: Sender<CheckTurn>,
    pub(crate) answers: Answers,
    pub(crate) ahead_bytes: usize,
    pub(crate) kept: Arc<AtomicUsize>,
    pub(crate) making: HashMap<(StorageKey, PieceIndex), Making>,
    /// Answers about parts that nobody was rung for.
    pub(crate) untold: u32,
    pub(crate) pace: Pace,
    pub(crate) scratch: Vec<u8>,
    /// Small pieces that are written together; empty in between.
    pub(crate) run: Vec<u8>,
    /// Set when the owner of the queues goes away.
    pub(crate) closing: Arc<AtomicBool>,
}

impl Worker {
    /// Works until the owner of the queue is gone.
    pub(crate) fn run(mut self) {
        let (pieces, any, checks) = (self.pieces.clone(), self.any.clone(), self.checks.clone());
        let mut turns = 0u32;
        while !self.closing.load(Ordering::Relaxed) {
            turns = turns.wrapping_add(1);
            // Now and then a check goes first, so that it ends even while a download keeps the disk busy.
            let idle = pieces.is_empty() && any.is_empty();
            if idle && self.untold > 0 {
                self.untold = 0;
                self.answers.ring();
            }
            if (idle || turns.is_multiple_of(CHECK_EVERY))
                && let Ok(turn) = checks.try_recv()
            {
                self.check(turn);
                continue;
            }
            // Of those that are ready one is taken at random: neither reads nor writes can starve the other.
            if !pieces.is_empty() || !any.is_empty() {
                select! {
                    recv(pieces) -> job => match job { Ok(job) => self.piece(job), Err(_) => return },
                    recv(any) -> job => match job { Ok(job) => self.any(job), Err(_) => return },
                }
                continue;
            }
            select! {
                recv(pieces) -> job => match job { Ok(job) => self.piece(job), Err(_) => return },
                recv(any) -> job => match job { Ok(job) => self.any(job), Err(_) => return },
                recv(checks) -> turn => match turn { Ok(turn) => self.check(turn), Err(_) => return },
            }
        }
    }

    fn piece(&mut self, job: PieceJob) {
        let mut job = Some(job);
        while let Some(now) = job {
            job = self.one_piece(now);
        }
    }

    /// Does one job, or several small ones together; answers with one that was taken from the queue beyond them.
    fn one_piece(&mut self, job: PieceJob) -> Option<PieceJob> {
        match job {
            PieceJob::Parts(parts) => return self.parts(parts),
            PieceJob::Abandon { storage, piece } => {
                let mut bufs = Vec::new();
                self.forget_one((storage.key(), piece), &mut bufs);
                if !bufs.is_empty() {
                    self.answers.send(DiskAnswer::Returned { bufs });
                }
            }
            PieceJob::Forget(storage) => {
                storage.close_files();
                self.forget_all(storage.key());
            }
        }
        None
    }

    /// Rings after answers; if they are of no interest but for their buffers, only after some of them.
    pub(super) fn told_of_parts(&mut self, parts: u32, waits: bool) {
        self.untold = if waits { self.untold + parts } else { 0 };
        if !waits || self.untold >= MOST_UNTOLD {
            self.untold = 0;
            self.answers.ring();
        }
    }

    /// Gives up a piece in the making.
    pub(super) fn forget_one(&mut self, key: (StorageKey, PieceIndex), spent: &mut Vec<PartBuf>) {
        if let Some(Making { hash: Some(mut hash), .. }) = self.making.remove(&key) {
            hash.release(spent);
        }
    }

    /// Gives up all pieces of a torrent that are in the making.
    fn forget_all(&mut self, key: StorageKey) {
        let mut bufs = Vec::new();
        let all: Vec<_> = self.making.keys().filter(|(owner, _)| *owner == key).copied().collect();
        all.into_iter().for_each(|key| self.forget_one(key, &mut bufs));
        if !bufs.is_empty() {
            self.answers.send(DiskAnswer::Returned { bufs });
        }
    }

    /// A piece that came whole: nothing is written before it is known to be right.
    pub(super) fn whole_piece(&mut self, part: PartWrite) {
        let PartWrite { storage, fetch, buf, .. } = part;
        let start = storage.geometry().piece_offset(fetch.piece);
        let good = hash_remote(&buf, &mut self.scratch) == storage.metainfo().piece_hash(fetch.piece);
        let result = if good {
            let result = self.pace.write(buf.len(), || storage.write(start, &buf));
            result.map_or_else(PieceResult::Failed, |()| PieceResult::Good)
        } else {
            PieceResult::Bad { blocks: block_hashes(&buf) }
        };
        let mut bufs = vec![buf];
        self.forget_one((storage.key(), fetch.piece), &mut bufs);
        self.answers.send(DiskAnswer::Written { key: storage.key(), fetch, bufs, result: Some(result) });
    }

    fn any(&mut self, job: AnyJob) {
        match job {
            AnyJob::Read { storage, token, blocks, mut buf } => {
                let error = read_framed(&storage, &blocks, &mut buf, |offset, slices| {
                    storage.read_scattered(offset, slices)
                })
                .err();
                self.answers.send(DiskAnswer::Read {
                    key: storage.key(),
                    token,
                    blocks,
                    buf,
                    error,
                    place: storage.place(),
                });
            }
            AnyJob::Range { storage, token, offset, len } => {
                let mut data = vec![0; len];
                let result = storage.read(offset, &mut data).map(|()| data);
                self.answers.send(DiskAnswer::Range { key: storage.key(), token, offset, result });
            }
            AnyJob::Close(file) => drop(file),
            AnyJob::BlockHashes { storage, piece } => {
                let result = block_hashes_on_disk(&storage, piece);
                self.answers.send(DiskAnswer::BlockHashes { key: storage.key(), piece, result });
            }
        }
    }

    fn check(&mut self, mut turn: CheckTurn) {
        let step = turn.step(&mut self.scratch);
        let task = turn.task();
        let key = task.storage().key();
        if step.checked > 0 || step.error.is_some() {
            let (checked, good, error) = (step.checked, step.good, step.error);
            let nothing_left = task.nothing_left(false);
            self.answers.send(DiskAnswer::Checked { key, checked, good, end: false, error, nothing_left });
        }
        if !step.end {
            // Refused only when the owner is gone, and then nobody waits for the rest.
            let _ = self.checks_again.send(turn);
            return;
        }
        // Nothing else needs so much.
        self.scratch = Vec::new();
        if task.leave() {
            // After the answers of all workers, or one of them would come after the end.
            self.answers.send(DiskAnswer::Checked {
                key,
                checked: 0,
                good: Vec::new(),
                end: true,
                error: None,
                nothing_left: task.nothing_left(true),
            });
        }
    }
}

/// Hashes data that another core has just written.
///
/// Hashing takes it a line at a time, each of which has to be fetched from the other core; that makes it half as fast
/// again. A copy fetches many lines at once, and what is hashed then is in the first-level cache. (Where data is
/// written before it is hashed, the system's copy has the same effect.)
fn hash_remote(data: &[u8], scratch: &mut Vec<u8>) -> [u8; 20] {
    if scratch.len() < NEAR {
        scratch.resize(NEAR, 0);
    }
    let mut sha = Sha1::new();
    for block in data.chunks(NEAR) {
        let near = &mut scratch[..block.len()];
        near.copy_from_slice(block);
        sha.update(near);
    }
    sha.finalize()
}

/// Bytes copied at a time: half of a first-level cache.
const NEAR: usize = 16 * 1024;
/// Answers about parts that wait for one ring: one less than come at once.
const MOST_UNTOLD: u32 = 3;
/// One turn in so many goes to a check even when there is other work.
const CHECK_EVERY: u32 = 16;
