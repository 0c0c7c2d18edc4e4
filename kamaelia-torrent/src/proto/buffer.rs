//! Memory for pieces in flight: reusable buffers under one budget for the whole process.
//!
//! A piece of at most [`PART_LEN`] bytes is one buffer; longer pieces are assembled in parts of [`PART_LEN`], each
//! handed to the disk as soon as it is full. Of most peers a buffer is taken *before* its blocks are asked for, so a
//! block that was asked for always has a place, and running out of memory never stops such a peer from being read.
//! Fast ones are asked for more than there are buffers; of these a part gets its buffer when it begins to arrive.
//! While there are such peers, neither of the two uses can have more than three quarters of the budget, so that each
//! goes on however slow the other is.

use std::{
    fmt, mem,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::geometry::BLOCK_LEN;

/// An owned buffer for a part of a piece. It counts against the budget of its pool until it is dropped or
/// [given back](BufferPool::give), on whatever thread that happens.
pub struct PartBuf {
    // Longer than `len` when a buffer of the next power of two was taken.
    data: Vec<u8>,
    len: usize,
    charge: Charge,
    /// Counted as taken when its data came.
    arrived: Option<Charge>,
}

/// Hands out buffers as long as the budget lasts, and keeps a few that came back.
///
/// The limit holds for buffers in use and buffers kept together.
pub struct BufferPool {
    used: Arc<AtomicUsize>,
    /// Of these, taken when the data came.
    arrived: Arc<AtomicUsize>,
    /// Shared with everybody who was asked for what has no buffer yet.
    awaited: Arc<()>,
    budget: usize,
    free: [Vec<PartBuf>; CLASSES],
    kept: usize,
    refused: bool,
    keeps_together: bool,
}

/// Somebody was asked for more than there are buffers: as long as this lives, memory is kept for what comes of it.
#[derive(Clone, Debug)]
pub struct Awaiting {
    _shared: Arc<()>,
}

impl PartBuf {
    /// A buffer that belongs to no budget, for tests and for data that does not come from a peer.
    pub fn unpooled(data: Vec<u8>) -> PartBuf {
        PartBuf { len: data.len(), data, charge: Charge { used: Arc::default(), bytes: 0 }, arrived: None }
    }

    /// Whether it was taken [when its data came](BufferPool::take_on_arrival).
    pub fn is_late(&self) -> bool {
        self.arrived.is_some()
    }
}

impl Deref for PartBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data[..self.len]
    }
}

impl DerefMut for PartBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.data[..self.len]
    }
}

impl AsRef<[u8]> for PartBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for PartBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartBuf({} bytes)", self.len)
    }
}

impl BufferPool {
    /// A pool that never has more than `budget` bytes out and kept together, at least one part's worth.
    pub fn new(budget: usize) -> BufferPool {
        BufferPool {
            used: Arc::default(),
            arrived: Arc::default(),
            awaited: Arc::default(),
            budget: budget.max(PART_LEN as usize),
            free: Default::default(),
            kept: 0,
            refused: false,
            keeps_together: false,
        }
    }

    /// A buffer of `len` bytes (at most [`PART_LEN`]) for data that is not asked for yet, or `None` while the budget is
    /// used up.
    ///
    /// Its contents are whatever it held before: every byte is written before it is read.
    pub fn take(&mut self, len: usize) -> Option<PartBuf> {
        if !self.has_room(len) {
            self.refused = true;
            return None;
        }
        self.take_any(len)
    }

    /// A buffer for data that was asked for without one and comes now.
    pub fn take_on_arrival(&mut self, len: usize) -> Option<PartBuf> {
        self.take_late(len, self.most_for_one())
    }

    /// The same for data that came before its turn and is lost without a buffer: it may have half of what is kept for
    /// others.
    pub fn take_out_of_turn(&mut self, len: usize) -> Option<PartBuf> {
        self.take_late(len, (self.budget - self.budget / 8).max(PART_LEN as usize))
    }

    fn take_late(&mut self, len: usize, most: usize) -> Option<PartBuf> {
        let bytes = class_len(class_of(len)?);
        if self.arrived() + bytes > most {
            self.refused = true;
            return None;
        }
        let mut buffer = self.take_any(len)?;
        self.arrived.fetch_add(bytes, Ordering::Relaxed);
        buffer.arrived = Some(Charge { used: Arc::clone(&self.arrived), bytes });
        Some(buffer)
    }

    /// Counts a buffer as taken beforehand; false if those have had their share.
    pub fn settle(&mut self, buffer: &mut PartBuf) -> bool {
        let Some(arrived) = &buffer.arrived else { return true };
        if self.is_awaited() && self.taken_before() + arrived.bytes > self.most_for_one() {
            self.refused = true;
            return false;
        }
        buffer.arrived = None;
        true
    }

    /// Keeps memory for what comes without a buffer, until the answer is dropped.
    pub fn await_more(&self) -> Awaiting {
        Awaiting { _shared: Arc::clone(&self.awaited) }
    }

    fn take_any(&mut self, len: usize) -> Option<PartBuf> {
        let class = class_of(len)?;
        if let Some(mut buffer) = self.free[class].pop() {
            self.kept -= buffer.charge.bytes;
            buffer.len = len;
            return Some(buffer);
        }
        let bytes = class_len(class);
        while self.used() + bytes > self.budget && self.drop_one_kept() {}
        if self.used() + bytes > self.budget {
            self.refused = true;
            return None;
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let charge = Charge { used: Arc::clone(&self.used), bytes };
        Some(PartBuf { data: vec![0; bytes], len, charge, arrived: None })
    }

    /// Takes a buffer back for later use. A buffer of another pool is dropped.
    pub fn give(&mut self, mut buffer: PartBuf) {
        self.refused = false;
        buffer.arrived = None;
        if !Arc::ptr_eq(&buffer.charge.used, &self.used) {
            return;
        }
        if let Some(class) = class_of(buffer.data.len()) {
            self.kept += buffer.charge.bytes;
            self.free[class].push(buffer);
        }
    }

    /// Gives the memory of buffers that nobody uses back to the system, for a time without downloads.
    pub fn shrink(&mut self) {
        self.free.iter_mut().for_each(Vec::clear);
        self.kept = 0;
    }

    /// Bytes out and kept.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes out: taken and neither given back nor dropped.
    pub fn in_use(&self) -> usize {
        self.used().saturating_sub(self.kept)
    }

    /// The limit, bytes.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Whether a [`take`](BufferPool::take) of `len` bytes would succeed.
    pub fn has_room(&self, len: usize) -> bool {
        let most = if self.is_awaited() { self.most_for_one() } else { self.budget };
        class_of(len)
            .map(class_len)
            .is_some_and(|bytes| self.in_use() + bytes <= self.budget && self.taken_before() + bytes <= most)
    }

    /// Whether there are peers that were asked for more than there are buffers.
    fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.awaited) > 1
    }

    /// Bytes in buffers that were taken when their data came.
    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Bytes in buffers that were taken before their data was asked for.
    fn taken_before(&self) -> usize {
        self.in_use().saturating_sub(self.arrived())
    }

    /// What one of the two uses can have.
    fn most_for_one(&self) -> usize {
        (self.budget - self.budget / 4).max(PART_LEN as usize)
    }

    /// Says whether neighbouring parts should come one after another, because it is dear to write each for itself.
    pub fn keep_together(&mut self, yes: bool) {
        self.keeps_together = yes;
    }

    pub(crate) fn keeps_together(&self) -> bool {
        self.keeps_together
    }

    /// Whether somebody was refused since the last buffer came back: who holds buffers without using them should
    /// give them up.
    pub fn is_short(&self) -> bool {
        self.refused
    }

    fn drop_one_kept(&mut self) -> bool {
        let dropped = self.free.iter_mut().rev().find_map(Vec::pop);
        if let Some(buffer) = &dropped {
            self.kept -= buffer.charge.bytes;
        }
        dropped.is_some()
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool({} of {} bytes in use)", self.in_use(), self.budget)
    }
}

/// Bytes charged to a budget, until dropped.
struct Charge {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.used.fetch_sub(mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

fn class_of(len: usize) -> Option<usize> {
    (0..CLASSES).find(|class| len <= class_len(*class))
}

fn class_len(class: usize) -> usize {
    (BLOCK_LEN as usize) << class
}

/// Length of a part of a long piece, bytes: sixteen of them stay in a second-level cache while they are written and hashed
/// side by side, and larger writes gain next to nothing.
pub const PART_LEN: u32 = 128 * 1024;

/// What is read of a socket, asked for, or read and sent at a time at most, bytes.
pub const RUN_LEN: u32 = 256 * 1024;

/// Budget that serves one download at full speed, bytes.
pub const DEFAULT_BUDGET: usize = 12 * 1024 * 1024;

/// Buffer sizes are powers of two from a block to a part, so that torrents of different piece lengths can share.
const CLASSES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_never_exceeded() {
        let part = PART_LEN as usize;
        let mut pool = BufferPool::new(4 * part);
        let mut out: Vec<_> = std::iter::from_fn(|| pool.take(part)).collect();
        assert_eq!((out.len(), pool.used(), pool.is_short()), (4, 4 * part, true));
        pool.give(out.pop().unwrap());
        assert!(!pool.is_short());
        assert_eq!((pool.in_use(), pool.used()), (3 * part, 4 * part));
        // Small ones replace the large one that was kept.
        let small: Vec<_> = std::iter::from_fn(|| pool.take(10)).collect();
        assert_eq!((small.len(), pool.used()), (part / BLOCK_LEN as usize, 4 * part));
    }

    #[test]
    fn dropped_buffers_return_their_share() {
        let mut pool = BufferPool::new(PART_LEN as usize);
        let buffer = pool.take(PART_LEN as usize).unwrap();
        assert!(!pool.has_room(1));
        drop(buffer);
        assert_eq!(pool.used(), 0);
        assert!(pool.take(PART_LEN as usize).is_some());
    }

    #[test]
    fn each_use_leaves_a_quarter_to_the_other() {
        let part = PART_LEN as usize;
        let mut pool = BufferPool::new(8 * part);
        let awaiting = pool.await_more();
        let before: Vec<_> = std::iter::from_fn(|| pool.take(part)).collect();
        let mut then: Vec<_> = std::iter::from_fn(|| pool.take_on_arrival(part)).collect();
        assert_eq!((before.len(), then.len(), pool.is_short()), (6, 2, true));
        drop(before);
        then.extend(std::iter::from_fn(|| pool.take_on_arrival(part)));
        assert_eq!((then.len(), pool.has_room(part)), (6, true));
        // What would be lost may have more, but not all.
        let lost: Vec<_> = std::iter::from_fn(|| pool.take_out_of_turn(part)).collect();
        assert_eq!((lost.len(), pool.has_room(part)), (1, true));
        drop(lost);
        // Six of the one use become buffers of the other, not more.
        let before: Vec<_> = std::iter::from_fn(|| pool.take(part)).collect();
        assert_eq!(before.len(), 2);
        assert_eq!(then.iter_mut().filter_map(|b| pool.settle(b).then_some(())).count(), 4);
        then.into_iter().chain(before).for_each(|buffer| pool.give(buffer));
        assert_eq!((pool.in_use(), pool.arrived()), (0, 0));
        // When nobody is awaited, all is free for the first use.
        drop(awaiting);
        let all: Vec<_> = std::iter::from_fn(|| pool.take(part)).collect();
        assert_eq!(all.len(), 8);
    }

    #[test]
    fn length_is_as_asked_and_buffers_are_used_again() {
        let mut pool = BufferPool::new(1 << 20);
        let mut buffer = pool.take(20_000).unwrap();
        assert_eq!(buffer.len(), 20_000);
        buffer.fill(7);
        pool.give(buffer);
        assert_eq!(pool.take(32_768).unwrap()[..20_000], [7; 20_000]);
        assert!(pool.take(PART_LEN as usize + 1).is_none());
        pool.shrink();
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn foreign_buffers_are_not_kept() {
        let mut pool = BufferPool::new(1 << 20);
        pool.give(BufferPool::new(1 << 20).take(10).unwrap());
        pool.give(PartBuf::unpooled(vec![0; 10]));
        assert_eq!(pool.used(), 0);
    }
}
