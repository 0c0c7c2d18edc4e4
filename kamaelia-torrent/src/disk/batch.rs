//! Pieces that are read and hashed side by side.
//!
//! What several pieces cost together is much less than what each costs alone ([`sha`](super::sha)). Of each a portion is
//! read in turn: all portions fit into the second-level cache, however long the pieces are. So that a disk need not jump
//! between them, the system is asked beforehand, in the order of the stream, for much of each.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::beneath;
use super::sha::{self, Message, Sha1, update_many};
use crate::proto::geometry::{Geometry, PieceIndex};

/// Pieces whose hashes are in the making, each as far as the others.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    lanes: Vec<Lane>,
    /// Offset in each piece up to which it is hashed, bytes.
    at: u32,
    /// Offset in each piece up to which the system was asked for it, bytes.
    asked: u32,
}

#[derive(Debug)]
struct Lane {
    piece: PieceIndex,
    /// Offset in the torrent's stream, bytes.
    start: u64,
    size: u32,
    sha: Sha1,
}

impl Batch {
    /// Pieces that are hashed together best; more are no better.
    pub(crate) fn most() -> usize {
        // Where the system cannot be asked beforehand, the disk would have to jump.
        if beneath::CAN_ADVISE { sha::lanes() } else { 1 }
    }

    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Adds a piece before the first call of [`advance`](Batch::advance), or after the last of a batch.
    pub(crate) fn push(&mut self, geometry: Geometry, piece: PieceIndex) {
        if self.lanes.is_empty() {
            (self.at, self.asked) = (0, 0);
        }
        let (start, size) = (geometry.piece_offset(piece), geometry.piece_size(piece));
        self.lanes.push(Lane { piece, start, size, sha: Sha1::new() });
    }

    /// Has `ask` told the ranges of the stream that will soon be read, unless it knows them already.
    pub(crate) fn ask_ahead(&mut self, mut ask: impl FnMut(u64, u64)) {
        if self.at < self.asked {
            return;
        }
        let end = self.asked.saturating_add(WINDOW);
        for lane in self.lanes.iter().filter(|lane| lane.size > self.asked) {
            ask(lane.start + u64::from(self.asked), (end.min(lane.size) - self.asked).into());
        }
        self.asked = end;
    }

    /// Reads and hashes the next portion of each piece, and tells `done` the hashes of those that are through and the errors
    /// of those that cannot be read, which are given up. Answers with the bytes that were hashed.
    pub(crate) fn advance<E>(
        &mut self,
        scratch: &mut Vec<u8>,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
        mut done: impl FnMut(PieceIndex, Result<[u8; 20], E>),
    ) -> u64 {
        let portion = (SCRATCH / self.lanes.len().max(1)).clamp(LEAST, MOST);
        scratch.resize((self.lanes.len() * portion).max(scratch.len()), 0);
        let at = self.at;
        // A piece that is through is no longer in the list.
        let len = |lane: &Lane| ((lane.size - at) as usize).min(portion);
        let mut read_so_far = 0;
        self.lanes.retain(|lane| {
            let place = &mut scratch[read_so_far * portion..][..len(lane)];
            match read(lane.start + u64::from(at), place) {
                Ok(()) => {
                    read_so_far += 1;
                    true
                }
                Err(e) => {
                    done(lane.piece, Err(e));
                    false
                }
            }
        });
        let places = scratch.chunks_exact(portion);
        let mut messages: Vec<Message<'_>> = self
            .lanes
            .iter_mut()
            .zip(places)
            .map(|(lane, place)| Message { data: &place[..len(lane)], sha: &mut lane.sha })
            .collect();
        let bytes = messages.iter().map(|message| message.data.len() as u64).sum();
        update_many(&mut messages);
        // At most 256 KiB.
        self.at = at.saturating_add(portion as u32);
        self.lanes.retain(|lane| {
            let through = lane.size <= self.at;
            if through {
                done(lane.piece, Ok(lane.sha.clone().finalize()));
            }
            !through
        });
        bytes
    }
}

/// How many of `count` pieces each of the workers takes at a time: at most so many as are hashed together best, and so that
/// all have work to the end.
pub(crate) fn share(count: u32, workers: u32) -> u32 {
    share_of(count, workers, u32::try_from(Batch::most()).unwrap_or(u32::MAX))
}

fn share_of(count: u32, workers: u32, most: u32) -> u32 {
    let workers = workers.max(1);
    let rounds = count.div_ceil(workers.saturating_mul(most)).max(1);
    count.div_ceil(rounds.saturating_mul(workers)).max(1)
}

/// Takes the next numbers below `count` for one of several workers.
pub(crate) fn claim(next: &AtomicU32, count: u32, share: u32) -> Range<u32> {
    let end = |start: u32| start.saturating_add(share).min(count);
    let taken = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |start| {
        Some(end(start)).filter(|end| *end > start)
    });
    taken.map_or(0..0, |start| start..end(start))
}

/// Bytes read before they are hashed, of all pieces together: they are still in the second-level cache then.
const SCRATCH: usize = 1024 * 1024;
/// Bytes read of a piece at a time: fewer, and the calls cost too much; more, and they leave the cache.
const LEAST: usize = 64 * 1024;
const MOST: usize = 256 * 1024;
/// Bytes of each piece that the system is asked for at a time: so long that a disk spends most of the time reading.
const WINDOW: u32 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that has these bytes.
    fn byte(at: u64) -> u8 {
        (at * 31 % 251) as u8
    }

    fn hash(geometry: Geometry, piece: PieceIndex) -> [u8; 20] {
        let start = geometry.piece_offset(piece);
        let data: Vec<u8> = (start..start + u64::from(geometry.piece_size(piece))).map(byte).collect();
        Sha1::digest(&data)
    }

    #[test]
    fn pieces_side_by_side_have_the_hashes_that_each_has_alone() {
        // Longer than a portion, and the last is short.
        let geometry = Geometry::new(5 * (256 << 10) + 1000, 256 << 10).unwrap();
        let mut batch = Batch::default();
        (0..6).for_each(|piece| batch.push(geometry, PieceIndex(piece)));
        let (mut got, mut bytes) = (Vec::new(), 0);
        while !batch.is_empty() {
            bytes += batch.advance(
                &mut Vec::new(),
                |at, place| {
                    (at..).zip(place).for_each(|(at, place)| *place = byte(at));
                    Ok::<(), ()>(())
                },
                |piece, hash| got.push((piece, hash)),
            );
        }
        assert_eq!(bytes, geometry.total_len());
        got.sort_unstable_by_key(|(piece, _)| *piece);
        let expected: Vec<_> = (0..6).map(PieceIndex).map(|p| (p, Ok(hash(geometry, p)))).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_piece_that_cannot_be_read_leaves_the_others_alone() {
        let geometry = Geometry::new(4 << 16, 1 << 16).unwrap();
        let mut batch = Batch::default();
        (0..4).for_each(|piece| batch.push(geometry, PieceIndex(piece)));
        let mut got = Vec::new();
        let read = |at: u64, place: &mut [u8]| {
            (at..).zip(place).for_each(|(at, place)| *place = byte(at));
            if at >> 16 == 1 { Err("no") } else { Ok(()) }
        };
        batch.advance(&mut Vec::new(), read, |piece, hash| got.push((piece.0, hash)));
        assert!(batch.is_empty());
        let good = |piece| (piece, Ok(hash(geometry, PieceIndex(piece))));
        assert_eq!(got, [(1, Err("no")), good(0), good(2), good(3)]);
    }

    #[test]
    fn the_system_is_asked_once_for_each_byte_in_order_and_before_it_is_read() {
        let geometry = Geometry::new(30 << 20, 16 << 20).unwrap();
        let mut batch = Batch::default();
        (0..2).for_each(|piece| batch.push(geometry, PieceIndex(piece)));
        let mut asked: Vec<(u64, u64)> = Vec::new();
        while !batch.is_empty() {
            batch.ask_ahead(|start, len| asked.push((start, len)));
            let read = |at, place: &mut [u8]| {
                let end = at + place.len() as u64;
                assert!(asked.iter().any(|(start, len)| *start <= at && end <= start + len), "{at}");
                Ok::<(), ()>(())
            };
            batch.advance(&mut Vec::new(), read, |_, _| {});
        }
        let window = u64::from(WINDOW);
        let first = [(0, window), (16 << 20, window)];
        assert_eq!(asked[..2], first);
        assert_eq!(asked.iter().map(|(_, len)| len).sum::<u64>(), 30 << 20);
    }

    #[test]
    fn pieces_are_shared_evenly() {
        let shares = [(50, 2), (1024, 2), (4, 2), (3, 4), (1, 1), (0, 0), (u32::MAX, u32::MAX)];
        let shares = shares.map(|(count, workers)| share_of(count, workers, 16));
        assert_eq!(shares, [13, 16, 2, 1, 1, 1, 1]);
        let next = AtomicU32::new(0);
        let claims: Vec<_> = (0..5).map(|_| claim(&next, 50, 13)).collect();
        assert_eq!(claims, [0..13, 13..26, 26..39, 39..50, 0..0]);
        assert_eq!(claim(&AtomicU32::new(u32::MAX - 1), u32::MAX, 16), u32::MAX - 1..u32::MAX);
    }
}
