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
    buffer::{BufferPool, PART_LEN, PartBuf, RUN_LEN},
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
        self.take_in(now, key, pool, |torrent, slot, decoder, pool| {
            torrent.take_landed(now, slot, decoder, landing, (count, overflow), pool)
        })
    }

    fn take_landed(
        &mut self,
        now: Instant,
        slot: usize,
        decoder: &mut Decoder,
        landing: &Landing,
        (count, overflow): (usize, &[u8]),
        pool: &mut BufferPool,
    ) -> Result<(), PeerError> {
        let mut left = count;
        let mut heads = landing.heads.iter();
        for (i, expected) in landing.blocks.iter().enumerate() {
            if expected.headed {
                let Some(head) = heads.next() else { break };
                if left < head.len() {
                    return self.decode(now, slot, decoder, &head[..left], pool);
                }
                if *head != block_header(&expected.block) {
                    let gathered = self.gather(landing, i, left, overflow);
                    if let Some(peer) = self.peers.get_mut(slot) {
                        peer.unsteadiness = (2 * peer.unsteadiness).clamp(1, UNSTEADIEST);
                        peer.unsteady = peer.unsteadiness;
                    }
                    return self.decode(now, slot, decoder, &gathered, pool);
                }
                left -= head.len();
                self.block_start(now, slot, expected.block, pool)?;
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
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.unsteadiness /= 2;
        }
        self.decode(now, slot, decoder, &overflow[..left.min(overflow.len())], pool)
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
const MOST_BLOCKS: usize = (RUN_LEN / BLOCK_LEN) as usize;

/// Places of a [`Landing`] at most: the rest of a block, then blocks with their headers.
pub const MOST_SLICES: usize = 1 + 2 * MOST_BLOCKS;

/// A peer that sent something else is read in the usual way once, then twice, and so on up to this many times, as
/// long as it goes on like that: gathering costs more than copying, and one that downloads, too, sends other messages
/// all the time.
const UNSTEADIEST: u8 = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::proto::{
        geometry::{Geometry, PieceIndex},
        torrent::{
            CheckResult, Direction, TorrentOutput,
            testing::{connect, encoded, settings},
        },
        wire::{Event, Message},
    };

    const KEY: PeerKey = PeerKey(1);
    const TOTAL: usize = 1_000_000;

    /// What the peer does beside answering in order.
    #[derive(Copy, Clone, Debug)]
    enum Habit {
        InOrder,
        SaysHave,
        SwapsBlocks,
        /// Sends everything twice.
        Repeats,
    }

    fn payload() -> Vec<u8> {
        let mut data = vec![0; TOTAL];
        fastrand::Rng::with_seed(1).fill(&mut data);
        data
    }

    fn message(out: &mut Vec<u8>, geometry: &Geometry, payload: &[u8], block: &BlockRequest) {
        let start = geometry.piece_offset(block.piece) as usize + block.begin as usize;
        out.extend_from_slice(&block_header(block));
        out.extend_from_slice(&payload[start..start + block.len as usize]);
    }

    /// Downloads everything in reads of at most these lengths; answers what was written and the part of the bytes
    /// that went straight to their places.
    fn download(habit: Habit, lengths: &[usize]) -> (Vec<u8>, f64) {
        let now = Instant::now();
        // Two parts and a bit; the last block of a piece is short.
        let cfg = settings(TOTAL as u64, 600_000);
        let (geometry, payload) = (cfg.geometry, payload());
        let mut torrent = Torrent::new(cfg, now);
        connect(&mut torrent, now, KEY, Direction::Outgoing);
        let mut pool = BufferPool::new(2 << 20);
        let mut stream = encoded(&[Message::HaveAll, Message::Unchoke]);
        let (mut written, mut decoder, mut landing) = (vec![0; TOTAL], Decoder::new(2), Landing::default());
        let (mut direct, mut lengths) = (0, lengths.iter().cycle());
        let mut parts = BTreeMap::new();
        while !torrent.is_seed() && !stream.is_empty() {
            let mut rest = std::mem::take(&mut stream);
            while !rest.is_empty() {
                let most = rest.len().min(*lengths.next().unwrap());
                let after = rest.split_off(most);
                if torrent.land(KEY, &mut landing) {
                    let mut left = &rest[..];
                    landing.for_each_slice(|place| {
                        let (here, tail) = left.split_at(left.len().min(place.len()));
                        place[..here.len()].copy_from_slice(here);
                        left = tail;
                    });
                    direct += rest.len() - left.len();
                    torrent.landed(now, KEY, &mut landing, rest.len(), left, &mut pool).unwrap();
                } else {
                    torrent.receive(now, KEY, &rest, &mut pool).unwrap();
                }
                torrent.assert_consistent();
                rest = after;
                while let Some(output) = torrent.poll() {
                    let TorrentOutput::Write { fetch, offset, data, last } = output else { continue };
                    let piece = fetch.piece;
                    let start = geometry.piece_offset(piece) as usize + offset as usize;
                    written[start..start + data.len()].copy_from_slice(&data);
                    *parts.entry(piece).or_insert(0) += data.len();
                    pool.give(data);
                    if last {
                        assert_eq!(parts[&piece], geometry.piece_size(piece) as usize);
                        torrent.piece_checked(now, fetch, CheckResult::Good);
                    }
                }
            }
            torrent.fill(now, &mut pool);
            let mut out = Vec::new();
            torrent.take_output(now, KEY, &mut out);
            let (mut asked, mut blocks) = (&out[..], Vec::new());
            while let Some(event) = decoder.next(&mut asked).unwrap() {
                if let Event::Message(Message::Request(block)) = event {
                    blocks.push(block);
                }
            }
            if matches!(habit, Habit::SwapsBlocks) {
                blocks.chunks_mut(2).for_each(|two| two.reverse());
            }
            for (n, block) in blocks.iter().enumerate() {
                if matches!(habit, Habit::SaysHave) && n % 3 == 1 {
                    Message::Have(PieceIndex(0)).encode(&mut stream);
                }
                message(&mut stream, &geometry, &payload, block);
                if matches!(habit, Habit::Repeats) && n == 5 {
                    message(&mut stream, &geometry, &payload, block);
                }
            }
        }
        (written, direct as f64 / TOTAL as f64)
    }

    #[test]
    fn nearly_all_blocks_that_come_in_order_go_straight_to_their_places() {
        for lengths in [&[150_000][..], &[300_000], &[7, 16_390, 40_000]] {
            let (written, direct) = download(Habit::InOrder, lengths);
            assert!(written == payload());
            assert!(direct > 0.9, "{direct} in reads of {lengths:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn nothing_is_lost_whatever_comes(
            habit in prop::sample::select(vec![
                Habit::InOrder, Habit::SaysHave, Habit::SwapsBlocks, Habit::Repeats,
            ]),
            lengths in prop::collection::vec(prop_oneof![1..40usize, 10_000..40_000usize, 100_000..300_000usize], 1..6),
        ) {
            prop_assume!(lengths.iter().max() > Some(&5_000));
            let (written, _) = download(habit, &lengths);
            prop_assert!(written == payload());
        }
    }
}
