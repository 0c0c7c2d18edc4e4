//! Parts of pieces, written in as few calls as possible and hashed side by side.
//!
//! What several pieces cost together is much less than what each costs alone ([`sha`](super::sha)), so all parts that
//! wait are taken at once: they are written, neighbours by one call, and then the next parts of all their pieces are
//! hashed together.

use std::sync::Arc;
use std::vec;

use super::hasher::{PieceHash, block_hashes_on_disk};
use super::jobs::{PartWrite, PieceJob};
use super::sha::{Message, update_many};
use super::small::{self, is_small, is_whole};
use super::worker::{Making, Worker};
use super::{DiskAnswer, DiskError, PieceResult, Storage};
use crate::proto::buffer::PartBuf;
use crate::proto::geometry::Fetch;

/// A piece of which parts are in hand.
struct Open {
    storage: Arc<Storage>,
    fetch: Fetch,
    making: Making,
    /// Parts to be answered for.
    parts: u32,
    last: bool,
    result: Option<PieceResult>,
}

impl Worker {
    /// Writes and hashes parts, and those behind them that wait. Answers with the job behind them, if one was taken
    /// from the queue.
    pub(super) fn parts(&mut self, mut parts: Vec<PartWrite>) -> Option<PieceJob> {
        let mut beyond = None;
        while parts.len() < MOST && beyond.is_none() {
            match self.pieces.try_recv() {
                Ok(PieceJob::Parts(more)) => parts.extend(more),
                Ok(job) => beyond = Some(job),
                Err(_) => break,
            }
        }
        // Neighbours together, and those of a piece still in the order in which they came.
        parts.sort_by_key(|part| (part.storage.key(), part.fetch.piece));
        let mut open = Vec::new();
        let mut spent = Vec::new();
        let mut parts = parts.into_iter();
        while let Some(part) = parts.next() {
            if is_whole(&part) {
                self.whole(part, &mut parts);
            } else {
                self.neighbours(with_neighbours(part, &mut parts), &mut open, &mut spent);
            }
        }
        hash(&mut open, &mut spent);
        let (mut answers, mut verdicts) = (0, false);
        for mut open in open {
            open.judge(&mut spent);
            answers += open.parts;
            verdicts |= open.result.is_some();
            self.put_by(open, &mut spent);
        }
        if answers > 0 {
            self.told_of_parts(answers, !verdicts);
        }
        beyond
    }

    /// Writes parts that lie one behind the other, those of each piece by themselves if it cannot be done by one call.
    fn neighbours(&mut self, run: Vec<Vec<PartWrite>>, open: &mut Vec<Open>, spent: &mut Vec<PartBuf>) {
        // Before anything is written: an earlier fetching of the first piece may have to be judged. Of the others there
        // is none, or its parts would lie in between.
        self.open(open, &run[0][0], spent);
        let together = run.len() > 1 && {
            let parts: Vec<&PartWrite> = run.iter().flatten().collect();
            self.pace.write(bytes_of(&parts), || write(&parts)).is_ok()
        };
        for parts in run {
            let at = self.open(open, &parts[0], spent);
            let of_piece: Vec<&PartWrite> = parts.iter().collect();
            let written = match together {
                true => Ok(()),
                false => self.pace.write(bytes_of(&of_piece), || open[at].write(&of_piece)),
            };
            open[at].take(parts, written, self.ahead_bytes, spent);
        }
    }

    /// Does a piece that came whole; if it is small, with the neighbours behind it.
    fn whole(&mut self, part: PartWrite, behind: &mut vec::IntoIter<PartWrite>) {
        if !is_small(&part) {
            return self.whole_piece(part);
        }
        let (storage, first) = (Arc::clone(&part.storage), part.fetch.piece.0);
        let most = small::group(storage.geometry().piece_len()) as usize;
        let mut run = vec![part];
        while run.len() < most
            && let Some(next) = behind.as_slice().first()
            && Arc::ptr_eq(&next.storage, &storage)
            && Some(next.fetch.piece.0) == first.checked_add(run.len() as u32)
            && is_small(next)
        {
            run.extend(behind.next());
        }
        self.small_pieces(&storage, run);
    }

    /// The place of the piece of a part among those in hand.
    fn open(&mut self, open: &mut Vec<Open>, part: &PartWrite, spent: &mut Vec<PartBuf>) -> usize {
        let (key, fetch) = (part.storage.key(), part.fetch);
        let same = |open: &Open| open.storage.key() == key && open.fetch.piece == fetch.piece;
        if let Some(at) = open.iter().position(same) {
            if open[at].fetch == fetch {
                // The same files, perhaps opened afresh.
                open[at].storage = Arc::clone(&part.storage);
                return at;
            }
            // All that comes of the earlier fetching has come.
            let mut earlier = open.swap_remove(at);
            hash(std::slice::from_mut(&mut earlier), spent);
            earlier.judge(spent);
            self.put_by(earlier, spent);
        }
        if self.making.get(&(key, fetch.piece)).is_some_and(|making| making.attempt != fetch.attempt) {
            // It is fetched anew, perhaps from others: nothing of what came before counts.
            self.forget_one((key, fetch.piece), spent);
        }
        let new = || Making { attempt: fetch.attempt, hash: Some(PieceHash::new(Arc::clone(&self.kept))) };
        let making = self.making.remove(&(key, fetch.piece)).unwrap_or_else(new);
        let storage = Arc::clone(&part.storage);
        open.push(Open { storage, fetch, making, parts: 0, last: false, result: None });
        open.len() - 1
    }

    /// Answers for the parts of a piece, and keeps its hash unless it is through.
    fn put_by(&mut self, mut open: Open, spent: &mut Vec<PartBuf>) {
        let key = open.storage.key();
        let judged = matches!(open.result, Some(PieceResult::Good | PieceResult::Bad { .. }));
        if !open.last && !judged {
            self.making.insert((key, open.fetch.piece), open.making);
        } else if let Some(hash) = &mut open.making.hash {
            hash.release(spent);
        }
        for left in (0..open.parts).rev() {
            let result = open.result.take_if(|_| left == 0);
            let bufs = std::mem::take(spent);
            self.answers.put(DiskAnswer::Written { key, fetch: open.fetch, bufs, result });
        }
    }
}

/// A part, and those behind it that go on where it ends, by piece: they are written by one call.
fn with_neighbours(part: PartWrite, behind: &mut vec::IntoIter<PartWrite>) -> Vec<Vec<PartWrite>> {
    let mut run = Vec::new();
    let mut of_piece = vec![part];
    while let (Some(part), Some(next)) = (of_piece.last(), behind.as_slice().first())
        && Arc::ptr_eq(&next.storage, &part.storage)
        && start(next) == start(part) + part.buf.len() as u64
        && fits(part)
        && fits(next)
        && !is_whole(next)
    {
        if next.fetch.piece != part.fetch.piece {
            run.push(std::mem::take(&mut of_piece));
        } else if next.fetch != part.fetch {
            break;
        }
        of_piece.extend(behind.next());
    }
    run.push(of_piece);
    run
}

/// Where a part begins in its torrent.
fn start(part: &PartWrite) -> u64 {
    part.storage.geometry().piece_offset(part.fetch.piece).saturating_add(part.offset.into())
}

/// Whether a part lies within its piece, and there is something of it.
fn fits(part: &PartWrite) -> bool {
    let size = part.storage.geometry().piece_size(part.fetch.piece);
    !part.buf.is_empty() && u64::from(part.offset) + part.buf.len() as u64 <= size.into()
}

fn bytes_of(parts: &[&PartWrite]) -> usize {
    parts.iter().map(|part| part.buf.len()).sum()
}

/// Writes parts that lie one behind the other, all within their pieces.
fn write(parts: &[&PartWrite]) -> Result<(), DiskError> {
    let Some(first) = parts.first() else { return Ok(()) };
    let slices: Vec<&[u8]> = parts.iter().map(|part| &part.buf[..]).collect();
    first.storage.write_gathered(start(first), &slices)
}

/// Hashes what is due of all pieces, a part of each at a time.
fn hash(open: &mut [Open], spent: &mut Vec<PartBuf>) {
    loop {
        open.iter_mut().for_each(|open| open.catch_up(spent));
        let due = open.iter_mut().filter_map(|open| open.making.hash.as_mut()?.due());
        let mut messages: Vec<Message<'_>> = due.collect();
        if messages.is_empty() {
            return;
        }
        update_many(&mut messages);
        open.iter_mut().filter_map(|open| open.making.hash.as_mut()).for_each(|hash| hash.advance(spent));
    }
}

impl Open {
    /// Takes parts that were written: they are due to be hashed, or kept.
    fn take(
        &mut self,
        run: Vec<PartWrite>,
        written: Result<(), DiskError>,
        budget: usize,
        spent: &mut Vec<PartBuf>,
    ) {
        self.last |= run.iter().any(|part| part.last);
        for PartWrite { offset, buf, .. } in run {
            self.parts += 1;
            match &mut self.making.hash {
                Some(hash) if written.is_ok() => hash.put(offset, buf, budget, spent),
                _ => spent.push(buf),
            }
        }
        self.note(written, spent);
    }

    /// Writes parts of the piece that lie one behind the other.
    fn write(&self, parts: &[&PartWrite]) -> Result<(), DiskError> {
        if let Some(part) = parts.iter().find(|part| !fits(part)) {
            return Err(DiskError::Range { offset: start(part), len: part.buf.len() as u64 });
        }
        // After a failure what still comes is no use.
        if self.making.hash.is_none() { Ok(()) } else { write(parts) }
    }

    /// Notes an error: what still comes of the piece is no use then.
    fn note(&mut self, result: Result<(), DiskError>, spent: &mut Vec<PartBuf>) {
        if let Err(error) = result
            && let Some(mut hash) = self.making.hash.take()
        {
            hash.release(spent);
            self.result = Some(PieceResult::Failed(error));
        }
    }

    fn catch_up(&mut self, spent: &mut Vec<PartBuf>) {
        let Some(hash) = &mut self.making.hash else { return };
        let result = hash.catch_up(&self.storage, self.fetch.piece, spent);
        self.note(result, spent);
    }

    /// Compares the hash if all of the piece is there.
    fn judge(&mut self, spent: &mut Vec<PartBuf>) {
        let piece = self.fetch.piece;
        let size = self.storage.geometry().piece_size(piece);
        let Some(hash) = &mut self.making.hash else { return };
        if !self.last && hash.hashed() < size {
            return;
        }
        let expected = self.storage.metainfo().piece_hash(piece);
        let result = hash.finish(&self.storage, piece).and_then(|hash| match hash == expected {
            true => Ok(PieceResult::Good),
            false => Ok(PieceResult::Bad { blocks: block_hashes_on_disk(&self.storage, piece)? }),
        });
        match result {
            Ok(result) => self.result = Some(result),
            Err(error) => self.note(Err(error), spent),
        }
    }
}

/// Parts that are taken at once from what waits: their buffers come back together.
const MOST: usize = 16;
