//! Several pieces fetched from one peer in turn, a part of each.
//!
//! What several pieces cost together when they are hashed is much less than what each costs alone, but only while what
//! came of them is still in the caches. So a fast peer is asked for the first part of each of some pieces, then for the
//! second part of each, and so on. Slow ones are not: their pieces would be complete late. Nor is anybody
//! while a slow disk wants neighbours together.

use std::time::Instant;

use super::{PieceIndex, Torrent, partial::Partial};
use crate::proto::{
    buffer::{BufferPool, PART_LEN},
    geometry::BlockRequest,
};

/// The pieces that a peer works on.
#[derive(Debug, Default)]
pub(crate) struct Stripe {
    /// Their places, and what was there: a place may have become another's.
    pieces: Vec<(usize, PieceIndex)>,
    /// Whose turn it is.
    turn: usize,
    /// Nothing but the first part of each was asked for yet: there may be more of them.
    grows: bool,
}

impl Torrent {
    /// The first block of the next part to ask a fast peer for.
    pub(super) fn next_part(
        &mut self,
        now: Instant,
        slot: usize,
        pool: &BufferPool,
    ) -> Option<(usize, BlockRequest)> {
        let width = self.stripe_width(now, slot, pool);
        let peer = self.peers.get_mut(slot)?;
        if peer.stripe.grows && peer.stripe.pieces.len() < width {
            let found = self.add_to_stripe(now, slot, pool);
            if found.is_some() {
                return found;
            }
        }
        self.peers.get_mut(slot)?.stripe.grows = false;
        if let Some(found) = self.take_turn(now, slot, pool) {
            return Some(found);
        }
        // What was begun comes first.
        let pieces = self.left_over(slot, width);
        self.peers.get_mut(slot)?.stripe = Stripe { pieces, turn: 0, grows: false };
        if let Some(found) = self.take_turn(now, slot, pool) {
            return Some(found);
        }
        self.peers.get_mut(slot)?.stripe = Stripe { grows: true, ..Stripe::default() };
        self.add_to_stripe(now, slot, pool)
    }

    /// How many pieces a peer may work on.
    fn stripe_width(&self, now: Instant, slot: usize, pool: &BufferPool) -> usize {
        let piece_len = self.cfg.geometry.piece_len();
        // Whoever reads along wants the first piece first, and other peers the first ones soon.
        let hurries = self.cfg.sequential || self.urgent.is_some() || self.is_new();
        if hurries || pool.keeps_together() || piece_len <= PART_LEN {
            return 1;
        }
        let rate = self.peers.get(slot).map_or(0.0, |peer| peer.down.at(now));
        ((rate * LONGEST_SECS / f64::from(piece_len)) as usize).clamp(1, self.cfg.side_by_side.max(1))
    }

    /// Begins another piece.
    fn add_to_stripe(
        &mut self,
        now: Instant,
        slot: usize,
        pool: &BufferPool,
    ) -> Option<(usize, BlockRequest)> {
        if self.picker.pickable() == 0 {
            return None;
        }
        let peer = self.peers.get(slot)?;
        let (has, last) = (peer.has.clone(), peer.last_piece);
        let at = self.start_piece(now, slot, false, &has, last, |piece| has.get(piece))?;
        let found = self.take_ahead(now, at, slot, pool)?;
        self.peers.get_mut(slot)?.stripe.pieces.push((at, found.1.piece));
        Some(found)
    }

    /// A block of the next piece of which there is one.
    fn take_turn(&mut self, now: Instant, slot: usize, pool: &BufferPool) -> Option<(usize, BlockRequest)> {
        for _ in 0..self.peers.get(slot)?.stripe.pieces.len() {
            let stripe = &mut self.peers.get_mut(slot)?.stripe;
            stripe.turn %= stripe.pieces.len();
            let (at, piece) = stripe.pieces[stripe.turn];
            stripe.turn += 1;
            if self.partials.get(at).is_some_and(|p| p.piece == piece && is_for(p, slot))
                && let Some(found) = self.take_ahead(now, at, slot, pool)
            {
                return Some(found);
            }
        }
        None
    }

    /// Pieces that were begun and that the peer can go on with.
    fn left_over(&self, slot: usize, most: usize) -> Vec<(usize, PieceIndex)> {
        let Some(peer) = self.peers.get(slot).filter(|_| self.free_blocks > 0) else { return Vec::new() };
        let usable = |p: &Partial| peer.has.get(p.piece) && is_for(p, slot) && p.may_take_ahead(slot);
        let usable = self.partials.iter().filter(|(_, p)| usable(p));
        usable.map(|(at, p)| (at, p.piece)).take(most).collect()
    }
}

/// Whether a peer may ask for parts of a piece ahead.
fn is_for(partial: &Partial, slot: usize) -> bool {
    partial.owner.is_none_or(|owner| owner == slot) && !partial.urgent && partial.allows(slot)
}

/// All pieces of a stripe are complete after about this time.
const LONGEST_SECS: f64 = 0.1;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proto::{
        torrent::{
            CheckResult, Direction, PeerKey, TorrentConfig, TorrentOutput,
            testing::{block_of_sevens, connect, encoded, settings},
        },
        wire::{Decoder, Event, Message},
    };

    const PARTS: u32 = 4;

    /// Downloads everything from a peer of this rate, bytes a second; answers which part of which piece came after which.
    fn parts_in_order(rate: f64, tweak: impl FnOnce(&mut TorrentConfig, &mut BufferPool)) -> Vec<(u32, u32)> {
        let key = PeerKey(1);
        let mut now = Instant::now();
        let piece_len = PARTS * PART_LEN;
        let mut cfg = settings(u64::from(piece_len) * 80, piece_len);
        let mut pool = BufferPool::new(2 << 20);
        tweak(&mut cfg, &mut pool);
        let mut torrent = Torrent::new(cfg, now);
        connect(&mut torrent, now, key, Direction::Outgoing);
        torrent.receive(now, key, &encoded(&[Message::HaveAll, Message::Unchoke]), &mut pool).unwrap();
        let (mut decoder, mut asked, mut parts) = (Decoder::new(80), Vec::new(), Vec::new());
        while !torrent.is_seed() {
            torrent.fill(now, &mut pool);
            torrent.tick(now, &mut pool);
            let mut out = Vec::new();
            torrent.take_output(now, key, &mut out);
            let mut out = &out[..];
            while let Some(event) = decoder.next(&mut out).unwrap() {
                if let Event::Message(Message::Request(block)) = event {
                    asked.push(block);
                }
            }
            let block = asked.remove(0);
            parts.push((block.piece.0, block.begin / PART_LEN));
            now += Duration::from_secs_f64(f64::from(block.len) / rate);
            assert!(torrent.room(now, key, &mut pool) > block.len as usize);
            torrent.receive(now, key, &block_of_sevens(&block), &mut pool).unwrap();
            torrent.assert_consistent();
            while let Some(output) = torrent.poll() {
                if let TorrentOutput::Write { fetch, data, last, .. } = output {
                    pool.give(data);
                    if last {
                        torrent.piece_checked(now, fetch, CheckResult::Good);
                    }
                }
            }
        }
        parts.dedup();
        assert_eq!(parts.len() as u32, 80 * PARTS, "each part in one run");
        parts
    }

    /// How many pieces are under way at a time at most.
    fn most_begun(parts: &[(u32, u32)]) -> usize {
        let begun = |at: usize| {
            let (first, rest) = parts.split_at(at);
            let left = |piece| rest.iter().any(|part| part.0 == piece);
            first.iter().filter(|(piece, part)| *part == 0 && left(*piece)).count()
        };
        (0..parts.len()).map(begun).max().unwrap()
    }

    #[test]
    fn a_fast_peer_is_asked_for_parts_of_several_pieces_in_turn() {
        let parts = parts_in_order(400e6, |_, _| {});
        assert_eq!(most_begun(&parts), 16);
        // After the first pieces, hardly ever are two parts of a piece neighbours.
        let later = &parts[parts.len() / 2..];
        let neighbours = later.windows(2).filter(|two| two[0].0 == two[1].0).count();
        assert!(neighbours < later.len() / 8, "{neighbours} of {later:?}");
        assert_eq!(most_begun(&parts_in_order(400e6, |cfg, _| cfg.side_by_side = 3)), 3);
    }

    #[test]
    fn the_slower_a_peer_the_fewer_pieces_it_works_on() {
        // A tenth of a second is two pieces and a half.
        assert_eq!(most_begun(&parts_in_order(13e6, |_, _| {})), 2);
        assert_eq!(most_begun(&parts_in_order(3e6, |_, _| {})), 1);
    }

    #[test]
    fn who_reads_along_gets_one_piece_after_the_other() {
        let parts = parts_in_order(400e6, |cfg, _| cfg.sequential = true);
        let expected: Vec<_> = (0..80).flat_map(|piece| (0..PARTS).map(move |part| (piece, part))).collect();
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_slow_disk_gets_one_piece_after_the_other() {
        let parts = parts_in_order(400e6, |_, pool| pool.keep_together(true));
        assert_eq!(most_begun(&parts), 1);
    }
}
