//! Reading blocks straight to their places.
//!
//! What a peer will send next is mostly known: the rest of the block that is arriving, then the blocks that it was
//! asked for, in that order, each behind a header of 13 bytes. A [`Landing`] is a list of the places where these
//! bytes belong, to be filled by one read of the socket; so a block is copied once, by the system. If something else
//! came instead, its bytes are gathered from those places and understood as usual; the places belong to blocks that
//! are not here yet, so nothing is lost by what was written to them.

use std::time::Instant;

use super::{BLOCK_LEN, PeerError, PeerKey, Torrent, partial::Partial};
use crate::proto::{
    buffer::{BufferPool, PART_LEN, PartBuf},
    geometry::BlockRequest,
    wire::{BLOCK_HEADER_LEN, Decoder, block_header},
};

/// Places for the next bytes of one connection. Made once and used again and again: [`Torrent::land`] fills it,
/// [`for_each_slice`](Landing::for_each_slice) gives the places for reading, [`Torrent::landed`] takes what was read.
#[derive(Debug, Default)]
pub struct Landing {
    zones: Vec<Zone>,
    blocks: Vec<Expected>,
    heads: Vec<[u8; BLOCK_HEADER_LEN]>,
    len: usize,
}

/// A buffer on loan from its piece while the socket is read.
#[derive(Debug)]
struct Zone {
    partial: usize,
    part: u32,
    buffer: PartBuf,
    /// How many of the expected blocks lie in it.
    blocks: usize,
}

/// A block, or the rest of one.
#[derive(Copy, Clone, Debug)]
struct Expected {
    block: BlockRequest,
    partial: usize,
    part: u32,
    /// Where its bytes belong in the buffer of its part.
    start: usize,
    len: usize,
    /// Its header comes first.
    headed: bool,
}

impl Landing {
    /// Room in all places together, bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no places.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Hands out the places in the order of the stream; at most [`MOST_SLICES`].
    pub fn for_each_slice<'a>(&'a mut self, mut put: impl FnMut(&'a mut [u8])) {
        let mut heads = self.heads.iter_mut();
        let mut blocks = self.blocks.iter();
        for zone in &mut self.zones {
            let mut rest: &mut [u8] = &mut zone.buffer;
            let mut at = 0;
            for expected in blocks.by_ref().take(zone.blocks) {
                if expected.headed
                    && let Some(head) = heads.next()
                {
                    put(head);
                }
                // `Torrent::expect` saw to it that blocks of a zone lie in order and within it.
                let (_, tail) = std::mem::take(&mut rest).split_at_mut(expected.start - at);
                let (place, tail) = tail.split_at_mut(expected.len);
                at = expected.start + expected.len;
                rest = tail;
                put(place);
            }
        }
    }

    fn clear(&mut self) {
        self.zones.clear();
        self.blocks.clear();
        self.heads.clear();
        self.len = 0;
    }
}

impl Torrent {
    /// Prepares places for the next bytes of a connection; false if it is not known what they will be, and then
    /// [`receive`](Torrent::receive) is the way. After true, [`landed`](Torrent::landed) must follow before anything
    /// else is done with the torrent.
    pub fn land(&mut self, key: PeerKey, landing: &mut Landing) -> bool {
        landing.clear();
        let Some(peer) = self.by_key.get(&key).and_then(|slot| self.peers.get_mut(*slot)) else {
            return false;
        };
        if peer.unsteady > 0 {
            peer.unsteady -= 1;
            return false;
        }
        let slot = self.by_key[&key];
        match (peer.decoder.block_left(), &peer.arriving) {
            (Some(_), Some(a)) if a.keep => {
                let rest = (a.partial, a.block, a.offset);
                if !expect(&mut self.partials, landing, slot, rest, true) {
                    return false;
                }
            }
            (None, _) if peer.decoder.is_between_messages() => {}
            _ => return false,
        }
        for asked in peer.asked.iter().take(MOST_BLOCKS) {
            let next = (asked.partial as usize, asked.block, 0);
            if !expect(&mut self.partials, landing, slot, next, false) {
                break;
            }
        }
        !landing.is_empty()
    }

    /// Takes what was read: `count` bytes in all, those beyond the places of `landing` at the start of `overflow`.
    ///
    /// # Errors
    ///
    /// As of [`receive`](Torrent::receive).
    pub fn landed(
        &mut self,
        now: Instant,
        key: PeerKey,
        landing: &mut Landing,
        count: usize,
        overflow: &[u8],
        pool: &mut BufferPool,
    ) -> Result<(), PeerError> {
        for zone in landing.zones.drain(..) {
            if let Some(partial) = self.partials.get_mut(zone.partial) {
                partial.give_back(zone.part, zone.buffer);
            }
        }
        if count == 0 {
            return Ok(());
        }
        self.take_in(now, key, pool, |torrent, slot, decoder| {
            torrent.take_landed(now, slot, decoder, landing, count, overflow)
        })
    }

    fn take_landed(
        &mut self,
        now: Instant,
        slot: usize,
        decoder: &mut Decoder,
        landing: &Landing,
        count: usize,
        overflow: &[u8],
    ) -> Result<(), PeerError> {
        let mut left = count;
        let mut heads = landing.heads.iter();
        for (i, expected) in landing.blocks.iter().enumerate() {
            if expected.headed {
                let Some(head) = heads.next() else { break };
                if left < head.len() {
                    return self.decode(now, slot, decoder, &head[..left]);
                }
                if *head != block_header(&expected.block) {
                    let gathered = self.gather(landing, i, left, overflow);
                    if let Some(peer) = self.peers.get_mut(slot) {
                        peer.unsteady = UNSTEADY;
                    }
                    return self.decode(now, slot, decoder, &gathered);
                }
                left -= head.len();
                self.block_start(now, slot, expected.block)?;
                decoder.block_begun(expected.block.len);
            }
            let here = left.min(expected.len);
            if here == 0 {
                return Ok(());
            }
            let last = decoder.block_went_on(here as u32);
            self.block_came(now, slot, here as u32, None, last);
            left -= here;
        }
        self.decode(now, slot, decoder, &overflow[..left.min(overflow.len())])
    }

    /// The stream from the header of block `from` on, out of the places where it landed.
    fn gather(&self, landing: &Landing, from: usize, len: usize, overflow: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        let headed = landing.blocks.iter().take(from).filter(|expected| expected.headed).count();
        for (expected, head) in landing.blocks.iter().skip(from).zip(landing.heads.iter().skip(headed)) {
            bytes.extend_from_slice(head);
            let partial = self.partials.get(expected.partial);
            bytes.extend_from_slice(
                partial.map_or(&[], |p| p.peek(expected.part, expected.start, expected.len)),
            );
        }
        bytes.extend_from_slice(overflow);
        bytes.truncate(len);
        bytes
    }
}

/// Adds a block to the places; false if it cannot be written to, or not in this order.
fn expect(
    partials: &mut slab::Slab<Partial>,
    landing: &mut Landing,
    slot: usize,
    (at, block, offset): (usize, BlockRequest, u32),
    arriving: bool,
) -> bool {
    let number = block.begin / BLOCK_LEN;
    let Some(partial) = partials.get_mut(at).filter(|p| p.piece == block.piece) else { return false };
    if !partial.can_land(number, slot, &block, arriving) {
        return false;
    }
    let part = block.begin / PART_LEN;
    let start = (block.begin % PART_LEN + offset) as usize;
    let len = (block.len - offset) as usize;
    match (landing.zones.last_mut(), landing.blocks.last()) {
        (Some(zone), Some(before)) if zone.partial == at && zone.part == part => {
            if start < before.start + before.len {
                return false;
            }
            zone.blocks += 1;
        }
        _ => {
            let Some(buffer) = partial.lend(part) else { return false };
            landing.zones.push(Zone { partial: at, part, buffer, blocks: 1 });
        }
    }
    if !arriving {
        landing.heads.push([0; BLOCK_HEADER_LEN]);
        landing.len += BLOCK_HEADER_LEN;
    }
    landing.len += len;
    landing.blocks.push(Expected { block, partial: at, part, start, len, headed: !arriving });
    true
}

/// Blocks that are expected at a time: as many bytes as are worth reading at once.
const MOST_BLOCKS: usize = (PART_LEN / BLOCK_LEN) as usize;

/// Places of a [`Landing`] at most: the rest of a block, then blocks with their headers.
pub const MOST_SLICES: usize = 1 + 2 * MOST_BLOCKS;

/// A peer that sent something else is read this many times in the usual way: one that downloads, too, sends other
/// messages now and then, and gathering costs more than copying.
const UNSTEADY: u8 = 8;
