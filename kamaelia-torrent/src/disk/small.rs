//! Small pieces, written together where they are neighbours.
//!
//! A call for each 16 KiB costs as much as the copying itself, and two workers that write into one file wait for each
//! other. What is taken together is only what waits already: nothing is held back.

use std::sync::Arc;

use super::hasher::block_hashes;
use super::jobs::PartWrite;
use super::sha::{Message, Sha1, update_many};
use super::worker::Worker;
use super::{DiskAnswer, PieceResult, Storage};
use crate::proto::buffer::PartBuf;
use crate::proto::geometry::Fetch;

/// A piece in a run: where its bytes begin, and whether they are right.
struct Small {
    fetch: Fetch,
    buf: PartBuf,
    start: usize,
    sha: Sha1,
    good: bool,
}

/// Whether a part is all of its piece.
pub(crate) fn is_whole(part: &PartWrite) -> bool {
    part.offset == 0 && part.buf.len() == part.storage.geometry().piece_size(part.fetch.piece) as usize
}

/// Whether it is all of a piece that may be written with its neighbours.
pub(crate) fn is_small(part: &PartWrite) -> bool {
    group(part.storage.geometry().piece_len()) > 1 && is_whole(part)
}

/// Pieces of this length that are written together at most.
pub(crate) fn group(piece_len: u32) -> u32 {
    (RUN / piece_len.max(1)).max(1)
}

impl Worker {
    /// Hashes neighbours, and writes what is right with as few calls as possible.
    pub(super) fn small_pieces(&mut self, storage: &Arc<Storage>, parts: Vec<PartWrite>) {
        let mut run = std::mem::take(&mut self.run);
        let mut pieces: Vec<Small> =
            parts.into_iter().map(|part| added(part.fetch, part.buf, &mut run)).collect();
        let Some(first) = pieces.first().map(|small| small.fetch.piece) else { return };
        hash(storage, &mut pieces, &run);
        let base = storage.geometry().piece_offset(first);
        let mut results = Vec::with_capacity(pieces.len());
        for group in pieces.chunk_by(|one, next| one.good && next.good) {
            let (first, last) = (&group[0], &group[group.len() - 1]);
            let bytes = &run[first.start..last.start + last.buf.len()];
            let mut write = |start: usize, bytes: &[u8]| {
                self.pace.write(bytes.len(), || storage.write(base + start as u64, bytes))
            };
            let together = group.len() > 1 && write(first.start, bytes).is_ok();
            results.extend(group.iter().map(|small| match small.good {
                false => PieceResult::Bad { blocks: block_hashes(&small.buf) },
                true if together => PieceResult::Good,
                // Alone, or each for itself, so that those are kept that can be.
                true => match write(small.start, &small.buf) {
                    Ok(()) => PieceResult::Good,
                    Err(e) => PieceResult::Failed(e),
                },
            }));
        }
        run.clear();
        self.run = run;
        let key = storage.key();
        for (Small { fetch, buf, .. }, result) in pieces.into_iter().zip(results) {
            self.answers.send(DiskAnswer::Written { key, fetch, bufs: vec![buf], result: Some(result) });
        }
    }
}

/// Adds a piece to a run. It is hashed there: the copy has brought it to this core.
fn added(fetch: Fetch, buf: PartBuf, run: &mut Vec<u8>) -> Small {
    let start = run.len();
    run.extend_from_slice(&buf);
    Small { fetch, buf, start, sha: Sha1::new(), good: false }
}

fn hash(storage: &Storage, pieces: &mut [Small], run: &[u8]) {
    let messages = pieces.iter_mut().map(|small| {
        let data = &run[small.start..small.start + small.buf.len()];
        Message { sha: &mut small.sha, data }
    });
    update_many(&mut messages.collect::<Vec<_>>());
    for small in pieces {
        small.good = small.sha.clone().finalize() == storage.metainfo().piece_hash(small.fetch.piece);
    }
}

/// Bytes written together at most.
const RUN: u32 = 256 * 1024;
