//! A piece that is being fetched.

use std::time::Instant;

use super::sources::SourceId;
use crate::proto::{
    buffer::{BufferPool, PART_LEN, PartBuf},
    geometry::{BLOCK_LEN, BlockRequest, Fetch, Geometry, PieceIndex},
};

/// Blocks, buffers and contributors of one piece.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) piece: PieceIndex,
    /// Which fetching of the piece this is.
    pub(super) attempt: u64,
    size: u32,
    blocks: Vec<Block>,
    parts: Vec<Part>,
    /// Blocks that are neither here nor asked for.
    free: u32,
    /// No block below this is free.
    first_free: u32,
    parts_left: u32,
    /// The peer that fetches it; others join only for a reason.
    pub(super) owner: Option<usize>,
    /// Nobody but the owner may contribute, so that a failure shows who did it.
    pub(super) exclusive: bool,
    /// It has a deadline, and is left to peers that can meet it.
    pub(super) urgent: bool,
    /// The disk was tried again after some of it was handed out: a refusal of that is old news.
    pub(super) before_retry: bool,
    /// When a block came or was asked for.
    pub(super) touched: Instant,
}

#[derive(Copy, Clone, Debug)]
struct Block {
    source: SourceId,
    /// The peer whose data is being copied in.
    writer: u32,
    requests: u8,
    received: bool,
}

#[derive(Debug)]
struct Part {
    buffer: Option<PartBuf>,
    missing: u16,
    requests: u16,
    /// Who began it: nobody else is asked for it while it has no buffer, or one that it got when the data came.
    asker: u32,
}

/// A part that is complete and goes to the disk.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) offset: u32,
    pub(super) data: PartBuf,
    pub(super) last: bool,
}

/// Whether a block could be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Take {
    Block(BlockRequest),
    /// All are here or asked for.
    NoneFree,
    /// There are free blocks, but no memory to put them.
    NoMemory,
}

impl Partial {
    pub(super) fn new(now: Instant, geometry: &Geometry, fetch: Fetch) -> Partial {
        let Fetch { piece, attempt } = fetch;
        let size = geometry.piece_size(piece);
        let count = geometry.block_count(piece);
        let block = Block { source: SourceId(u32::MAX), writer: NOBODY, requests: 0, received: false };
        let part = |n: u32| {
            // At most PART_LEN / BLOCK_LEN.
            let missing = (count - n * BLOCKS_PER_PART).min(BLOCKS_PER_PART) as u16;
            Part { buffer: None, missing, requests: 0, asker: NOBODY }
        };
        let parts: Vec<Part> = (0..size.div_ceil(PART_LEN)).map(part).collect();
        Partial {
            piece,
            attempt,
            size,
            blocks: vec![block; count as usize],
            parts_left: parts.len() as u32,
            parts,
            free: count,
            first_free: 0,
            owner: None,
            exclusive: false,
            urgent: false,
            before_retry: false,
            touched: now,
        }
    }

    /// What the disk is told it works for.
    pub(super) fn fetch(&self) -> Fetch {
        Fetch { piece: self.piece, attempt: self.attempt }
    }

    /// Blocks that are neither here nor asked for.
    pub(super) fn free(&self) -> u32 {
        self.free
    }

    /// Whether all parts went to the disk.
    pub(super) fn is_checking(&self) -> bool {
        self.parts_left == 0
    }

    /// Whether any part went to the disk.
    pub(super) fn was_handed_out(&self) -> bool {
        (self.parts_left as usize) < self.parts.len()
    }

    /// Bytes that have come.
    pub(super) fn received_bytes(&self) -> u64 {
        let blocks = (0..).zip(&self.blocks).filter(|(_, block)| block.received);
        blocks.map(|(n, _)| u64::from(self.block(n).len)).sum()
    }

    /// Bytes that are not here yet, about.
    pub(super) fn left(&self) -> u32 {
        self.parts.iter().map(|part| u32::from(part.missing) * BLOCK_LEN).sum()
    }

    /// Bytes of the memory budget held, about.
    pub(super) fn buffered(&self) -> u64 {
        self.parts.iter().filter_map(|part| part.buffer.as_ref()).map(|buffer| buffer.len() as u64).sum()
    }

    /// Senders of the blocks that are here, by block.
    pub(super) fn senders(&self) -> impl Iterator<Item = SourceId> + '_ {
        self.blocks.iter().filter(|block| block.received).map(|block| block.source)
    }

    pub(super) fn block(&self, n: u32) -> BlockRequest {
        let begin = n * BLOCK_LEN;
        BlockRequest { piece: self.piece, begin, len: BLOCK_LEN.min(self.size.saturating_sub(begin)) }
    }

    pub(super) fn is_received(&self, n: u32) -> bool {
        self.blocks.get(n as usize).is_none_or(|block| block.received)
    }

    /// How many peers were asked for the block.
    pub(super) fn requests(&self, n: u32) -> u8 {
        self.blocks.get(n as usize).map_or(0, |block| block.requests)
    }

    /// Takes the next free block to ask for, in order; its part gets a buffer. Parts that a peer was asked for without a
    /// buffer are left to it.
    pub(super) fn take_free(&mut self, now: Instant, peer: usize, pool: &mut BufferPool) -> Take {
        if self.free == 0 {
            return Take::NoneFree;
        }
        self.skip_taken();
        let mut refused = None;
        for n in self.first_free..self.blocks.len() as u32 {
            let number = n / BLOCKS_PER_PART;
            if refused == Some(number) || !self.blocks[n as usize].is_free() {
                continue;
            }
            let len = self.part_len(number);
            let part = &mut self.parts[number as usize];
            let has_place = match &mut part.buffer {
                Some(buffer) => pool.settle(buffer),
                None if part.requests > 0 => continue,
                // One refusal is enough: later parts can only be served if they have their buffer already.
                None if refused.is_some() => false,
                None => {
                    part.buffer = pool.take(len);
                    // It may go on with it when there is no memory for the next.
                    part.asker = peer as u32;
                    part.buffer.is_some()
                }
            };
            if !has_place {
                refused = Some(number);
                continue;
            }
            self.ask(n);
            self.touched = now;
            return Take::Block(self.block(n));
        }
        if refused.is_some() { Take::NoMemory } else { Take::NoneFree }
    }

    /// Takes the next free block of a part that has no buffer and that nobody was asked for; or of one that this peer
    /// began, if it `goes_on` with it.
    pub(super) fn take_ahead(
        &mut self,
        now: Instant,
        peer: usize,
        goes_on: impl Fn(u32) -> bool,
    ) -> Option<BlockRequest> {
        if self.free == 0 {
            return None;
        }
        self.skip_taken();
        let fits = |n: &u32| {
            let number = n / BLOCKS_PER_PART;
            let part = &self.parts[number as usize];
            let usable = part.is_new() || (part.asker == peer as u32 && goes_on(number));
            usable && self.blocks[*n as usize].is_free()
        };
        let n = (self.first_free..self.blocks.len() as u32).find(fits)?;
        self.parts[(n / BLOCKS_PER_PART) as usize].asker = peer as u32;
        self.ask(n);
        self.touched = now;
        Some(self.block(n))
    }

    /// Whether there may be a part for [`take_ahead`](Partial::take_ahead), as far as that is seen without its blocks.
    pub(super) fn may_take_ahead(&self, peer: usize) -> bool {
        self.free > 0 && self.parts.iter().any(|part| part.missing > part.requests && part.is_for(peer))
    }

    /// Whether the part of a block has a buffer.
    pub(super) fn is_bound(&self, n: u32) -> bool {
        self.parts.get((n / BLOCKS_PER_PART) as usize).is_some_and(|part| part.buffer.is_some())
    }

    /// Gives a buffer to the part of a block that a peer sends; false if none is to be had. A part that somebody else
    /// was asked for without a buffer is left as it is.
    pub(super) fn bind(&mut self, n: u32, peer: usize, take: impl FnOnce(usize) -> Option<PartBuf>) -> bool {
        let number = n / BLOCKS_PER_PART;
        let len = self.part_len(number);
        let Some(part) = self.parts.get_mut(number as usize) else { return true };
        if part.buffer.is_some() || !part.is_for(peer) {
            return true;
        }
        part.buffer = take(len);
        part.buffer.is_some()
    }

    /// Gives the part of a block a buffer, so that more peers can be asked for it; false if there is none.
    pub(super) fn share(&mut self, n: u32, pool: &mut BufferPool) -> bool {
        let number = n / BLOCKS_PER_PART;
        let len = self.part_len(number);
        let Some(part) = self.parts.get_mut(number as usize) else { return false };
        match &mut part.buffer {
            Some(buffer) => return pool.settle(buffer),
            None if part.missing > 0 => part.buffer = pool.take(len),
            None => {}
        }
        part.buffer.is_some()
    }

    /// A peer is gone, and its place may be another's soon.
    pub(super) fn forget_peer(&mut self, peer: usize) {
        if self.owner == Some(peer) {
            (self.owner, self.exclusive) = (None, false);
        }
        self.parts.iter_mut().filter(|part| part.asker == peer as u32).for_each(|part| part.asker = NOBODY);
    }

    fn skip_taken(&mut self) {
        while self.blocks.get(self.first_free as usize).is_some_and(|block| !block.is_free()) {
            self.first_free += 1;
        }
    }

    /// One more peer is asked for a block.
    pub(super) fn ask(&mut self, n: u32) {
        let block = &mut self.blocks[n as usize];
        if block.requests == 0 && !block.received {
            self.free -= 1;
        }
        block.requests = block.requests.saturating_add(1);
        self.parts[(n / BLOCKS_PER_PART) as usize].requests += 1;
    }

    /// A peer will not send the block that it was asked for, or has sent it.
    pub(super) fn release(&mut self, n: u32) {
        let block = &mut self.blocks[n as usize];
        if block.requests == 0 {
            return;
        }
        block.requests -= 1;
        if block.requests == 0 && !block.received {
            self.free += 1;
            self.first_free = self.first_free.min(n);
        }
        self.parts[(n / BLOCKS_PER_PART) as usize].requests -= 1;
    }

    /// A peer does not go on sending a block.
    pub(super) fn abandon(&mut self, n: u32, peer: usize) {
        let block = &mut self.blocks[n as usize];
        if block.writer == peer as u32 {
            block.writer = NOBODY;
        }
    }

    /// Whether this peer may contribute.
    pub(super) fn allows(&self, peer: usize) -> bool {
        !self.exclusive || self.owner == Some(peer)
    }

    /// A peer begins to send a block; false if its data is not needed. Never do two peers write to the same block:
    /// it would not be clear whom to blame.
    pub(super) fn begin(&mut self, n: u32, peer: usize) -> bool {
        let part = &self.parts[(n / BLOCKS_PER_PART) as usize];
        let block = &mut self.blocks[n as usize];
        let wanted = !block.received && block.writer == NOBODY && part.buffer.is_some();
        if wanted {
            block.writer = peer as u32;
        }
        wanted
    }

    /// Copies bytes of block `n` that start `offset` bytes into it; false if they are not needed any more.
    pub(super) fn write(&mut self, n: u32, peer: usize, offset: u32, data: &[u8]) -> bool {
        let part = &mut self.parts[(n / BLOCKS_PER_PART) as usize];
        let (true, Some(buffer)) = (self.blocks[n as usize].writer == peer as u32, &mut part.buffer) else {
            return false;
        };
        let start = ((n % BLOCKS_PER_PART) * BLOCK_LEN + offset) as usize;
        let Some(place) = buffer.get_mut(start..start + data.len()) else { return false };
        place.copy_from_slice(data);
        true
    }

    /// Whether the bytes of a block of which nothing, or (`arriving`) the start, has come can be put in place.
    pub(super) fn can_land(&self, n: u32, peer: usize, block: &BlockRequest, arriving: bool) -> bool {
        let writer = if arriving { peer as u32 } else { NOBODY };
        let free = self.blocks.get(n as usize).is_some_and(|b| !b.received && b.writer == writer);
        free && self.block(n) == *block
    }

    /// Lends the buffer of a part for reading from a socket. Nothing else may be done with the piece until
    /// [`give_back`](Partial::give_back).
    pub(super) fn lend(&mut self, part: u32) -> Option<PartBuf> {
        self.parts.get_mut(part as usize)?.buffer.take()
    }

    pub(super) fn give_back(&mut self, part: u32, buffer: PartBuf) {
        if let Some(part) = self.parts.get_mut(part as usize) {
            part.buffer = Some(buffer);
        }
    }

    /// Bytes in the buffer of a part, whatever they are.
    pub(super) fn peek(&self, part: u32, start: usize, len: usize) -> &[u8] {
        let buffer = self.parts.get(part as usize).and_then(|part| part.buffer.as_ref());
        buffer.and_then(|buffer| buffer.get(start..start + len)).unwrap_or(&[])
    }

    /// Whether bytes of block `n` that are in place already are this peer's and still needed.
    pub(super) fn is_landing(&self, n: u32, peer: usize) -> bool {
        self.blocks.get(n as usize).is_some_and(|block| block.writer == peer as u32)
            && self.parts[(n / BLOCKS_PER_PART) as usize].buffer.is_some()
    }

    /// A block has arrived in full; answers its part if that is complete.
    pub(super) fn received(&mut self, now: Instant, n: u32, source: SourceId) -> Option<Finished> {
        let block = &mut self.blocks[n as usize];
        if block.received {
            return None;
        }
        if block.requests == 0 {
            self.free -= 1;
        }
        (block.received, block.writer, block.source) = (true, NOBODY, source);
        self.touched = now;
        let number = n / BLOCKS_PER_PART;
        let part = &mut self.parts[number as usize];
        part.missing -= 1;
        if part.missing > 0 {
            return None;
        }
        let data = part.buffer.take()?;
        self.parts_left -= 1;
        Some(Finished { offset: number * PART_LEN, data, last: self.parts_left == 0 })
    }

    /// Gives up parts that nobody was asked for, and with them what has arrived of them. Answers the bytes lost.
    pub(super) fn give_up_idle_parts(&mut self, pool: &mut BufferPool) -> u64 {
        let mut lost = 0;
        for number in 0..self.parts.len() as u32 {
            let part = &mut self.parts[number as usize];
            if part.requests > 0 {
                continue;
            }
            let Some(buffer) = part.buffer.take() else { continue };
            pool.give(buffer);
            lost += self.forget(number, |_| true);
            let start = (number * BLOCKS_PER_PART) as usize;
            // A block may be coming that was given to others to ask for; the rest of it is of no use without its start.
            let blocks = self.blocks.iter_mut().skip(start).take(BLOCKS_PER_PART as usize);
            blocks.for_each(|block| block.writer = NOBODY);
        }
        lost
    }

    /// Takes out blocks of a sender that is not to be trusted, as far as they are still here. Answers the bytes lost.
    pub(super) fn discard(&mut self, sender: SourceId) -> u64 {
        (0..self.parts.len() as u32)
            .filter(|number| self.parts[*number as usize].buffer.is_some())
            .collect::<Vec<_>>()
            .into_iter()
            .map(|number| self.forget(number, |block| block.source == sender))
            .sum()
    }

    /// Who began the part of a block, and whether its buffer was taken when the data came, if it has one; for tests.
    pub(super) fn place(&self, n: u32) -> (usize, Option<bool>) {
        let part = &self.parts[(n / BLOCKS_PER_PART) as usize];
        (part.asker as usize, part.buffer.as_ref().map(PartBuf::is_late))
    }

    /// Compares the counts with what there is; `asked` tells how often a block was asked for.
    pub(super) fn assert_consistent(&self, asked: impl Fn(u32) -> usize) {
        let mut free = 0;
        for number in 0..self.parts.len() as u32 {
            let part = &self.parts[number as usize];
            let blocks = number * BLOCKS_PER_PART..;
            let blocks = blocks.zip(self.blocks.iter().skip((number * BLOCKS_PER_PART) as usize));
            let (mut missing, mut requests) = (0, 0);
            for (n, block) in blocks.take(BLOCKS_PER_PART as usize) {
                assert_eq!(usize::from(block.requests), asked(n), "requests for block {n}");
                missing += u16::from(!block.received);
                requests += u16::from(block.requests);
                free += u32::from(!block.received && block.requests == 0);
                assert!(block.received || block.requests > 0 || n >= self.first_free);
                let at_disk = part.missing == 0;
                assert!(!block.received || at_disk || part.buffer.is_some(), "block {n} is nowhere");
                assert!(block.writer == NOBODY || part.buffer.is_some(), "no place for {n}");
            }
            assert_eq!((part.missing, part.requests), (missing, requests), "part {number}");
            assert!(part.buffer.is_none() || missing > 0);
        }
        assert_eq!(self.free, free);
    }

    fn forget(&mut self, part: u32, which: impl Fn(&Block) -> bool) -> u64 {
        let start = part * BLOCKS_PER_PART;
        let end = (start + BLOCKS_PER_PART).min(self.blocks.len() as u32);
        let mut lost = 0;
        for n in start..end {
            let len = self.block(n).len;
            let block = &mut self.blocks[n as usize];
            if block.received && which(block) {
                block.received = false;
                self.parts[part as usize].missing += 1;
                if block.requests == 0 {
                    self.free += 1;
                    self.first_free = self.first_free.min(n);
                }
                lost += u64::from(len);
            }
        }
        lost
    }

    fn part_len(&self, part: u32) -> usize {
        PART_LEN.min(self.size.saturating_sub(part * PART_LEN)) as usize
    }
}

impl Part {
    /// Whether it has no buffer and nobody was asked for it.
    fn is_new(&self) -> bool {
        self.buffer.is_none() && self.requests == 0
    }

    /// Whether a peer may have it for itself: it began it, or nobody did.
    fn is_for(&self, peer: usize) -> bool {
        self.asker == peer as u32 || self.is_new()
    }
}

impl Block {
    fn is_free(&self) -> bool {
        self.requests == 0 && !self.received
    }
}

const NOBODY: u32 = u32::MAX;
const BLOCKS_PER_PART: u32 = PART_LEN / BLOCK_LEN;

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(total: u64, piece: u32) -> (Partial, BufferPool, Instant) {
        let now = Instant::now();
        let geometry = Geometry::new(total, piece).unwrap();
        (Partial::new(now, &geometry, PieceIndex(0).into()), BufferPool::new(1 << 20), now)
    }

    fn fill(p: &mut Partial, n: u32, peer: usize) -> Option<Finished> {
        let len = p.block(n).len as usize;
        assert!(p.begin(n, peer));
        assert!(p.write(n, peer, 0, &vec![n as u8; len]));
        let finished = p.received(Instant::now(), n, SourceId(peer as u32));
        p.release(n);
        finished
    }

    #[test]
    fn parts_leave_as_soon_as_they_are_full() {
        let (mut p, mut pool, now) = setup(600_000, 600_000);
        let mut out = vec![];
        while let Take::Block(block) = p.take_free(now, 1, &mut pool) {
            out.extend(fill(&mut p, block.begin / BLOCK_LEN, 1));
        }
        let shape: Vec<_> = out.iter().map(|f| (f.offset, f.data.len(), f.last)).collect();
        assert_eq!(
            shape,
            [
                (0, 131_072, false),
                (131_072, 131_072, false),
                (262_144, 131_072, false),
                (393_216, 131_072, false),
                (524_288, 75_712, true)
            ]
        );
        assert!(
            out.iter().all(|f| f.data.iter().zip(f.offset..).all(|(b, at)| *b == (at / BLOCK_LEN) as u8))
        );
        assert!(p.is_checking());
        assert_eq!((p.free(), p.left()), (0, 0));
    }

    #[test]
    fn nothing_is_asked_for_without_memory() {
        let (mut p, _, now) = setup(1 << 20, 1 << 20);
        let mut pool = BufferPool::new(PART_LEN as usize);
        let mut asked = 0;
        while let Take::Block(_) = p.take_free(now, 1, &mut pool) {
            asked += 1;
        }
        assert_eq!((asked, p.take_free(now, 1, &mut pool)), (8, Take::NoMemory));
        // A released block of the part that has a buffer can be had.
        p.release(5);
        assert_eq!(p.take_free(now, 1, &mut pool), Take::Block(p.block(5)));
    }

    #[test]
    fn two_peers_never_write_to_one_block() {
        let (mut p, mut pool, now) = setup(100_000, 100_000);
        let Take::Block(_) = p.take_free(now, 1, &mut pool) else { panic!() };
        p.ask(0);
        assert!(p.begin(0, 1) && !p.begin(0, 2));
        assert!(!p.write(0, 2, 0, &[1]));
        assert!(!p.can_land(0, 2, &p.block(0), false) && p.can_land(0, 1, &p.block(0), true));
        p.release(0);
        p.abandon(0, 1);
        assert!(!p.write(0, 1, 0, &[1]));
        assert!(p.begin(0, 2) && p.write(0, 2, 0, &[1]));
    }

    #[test]
    fn a_writer_cannot_leave_its_part() {
        let (mut p, mut pool, now) = setup(20_000, 20_000);
        while let Take::Block(_) = p.take_free(now, 1, &mut pool) {}
        assert!(p.begin(1, 1));
        assert!(!p.write(1, 1, 3_000, &[0; 1_000]));
    }

    #[test]
    fn a_block_that_was_begun_in_a_part_that_was_given_up_can_be_had_of_another() {
        let (mut p, mut pool, now) = setup(100_000, 100_000);
        while let Take::Block(_) = p.take_free(now, 1, &mut pool) {}
        assert!(p.begin(0, 1));
        (0..7).for_each(|n| p.release(n));
        p.give_up_idle_parts(&mut pool);
        while let Take::Block(_) = p.take_free(now, 2, &mut pool) {}
        assert!(!p.write(0, 1, 0, &[7]));
        assert!(p.begin(0, 2));
    }

    #[test]
    fn idle_parts_and_distrusted_blocks_are_fetched_again() {
        let (mut p, mut pool, now) = setup(100_000, 100_000);
        while let Take::Block(_) = p.take_free(now, 1, &mut pool) {}
        fill(&mut p, 0, 1);
        fill(&mut p, 1, 2);
        assert_eq!(p.discard(SourceId(1)), 16_384);
        assert_eq!((p.free(), p.take_free(now, 1, &mut pool)), (1, Take::Block(p.block(0))));
        assert_eq!(p.give_up_idle_parts(&mut pool), 0);
        (0..7).filter(|n| *n != 1).for_each(|n| p.release(n));
        assert_eq!(p.give_up_idle_parts(&mut pool), 16_384);
        assert_eq!((p.free(), p.buffered(), pool.in_use()), (7, 0, 0));
    }
}
