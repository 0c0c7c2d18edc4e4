//! What must always hold, for tests and fuzz targets.

use std::collections::HashMap;

use super::Torrent;
use crate::proto::{geometry::BLOCK_LEN, peer::Asked, picker::PieceState};

impl Torrent {
    /// Compares everything that is counted with what there is to count. Slow: for tests.
    ///
    /// # Panics
    ///
    /// If the bookkeeping is wrong.
    #[doc(hidden)]
    pub fn assert_consistent(&self) {
        let free: u32 = self.partials.iter().map(|(_, partial)| partial.free()).sum();
        assert_eq!(self.free_blocks, free, "free blocks");
        assert_eq!(self.by_piece.len(), self.partials.len());
        assert_eq!(self.by_key.len(), self.peers.len());
        // How often each block was asked for, or is arriving after it was.
        let mut open: HashMap<_, usize> = HashMap::new();
        for (_, peer) in &self.peers {
            let asked = peer.asked.iter().filter(|asked| !asked.released);
            let asked = asked.map(|asked| (asked.partial as usize, asked.block));
            let arriving = peer.arriving.filter(|a| a.counted).map(|a| (a.partial, a.block));
            for (at, block) in asked.chain(arriving) {
                *open.entry((at, block.piece, block.begin)).or_default() += 1;
            }
        }
        for (at, partial) in &self.partials {
            assert_eq!(self.by_piece.get(&partial.piece), Some(&at));
            assert!(partial.owner.is_none_or(|owner| self.peers.contains(owner)));
            partial.assert_consistent(|number| {
                open.get(&(at, partial.piece, number * BLOCK_LEN)).copied().unwrap_or(0)
            });
        }
        for piece in self.cfg.geometry.pieces() {
            let state = match self.by_piece.contains_key(&piece) || self.is_doubted(piece) {
                _ if self.have.get(piece) => PieceState::Have,
                true => PieceState::Active,
                false if self.is_urgent(piece) => PieceState::Active,
                false => PieceState::Wanted,
            };
            assert_eq!(self.picker.state(piece), state, "piece {piece}");
            let has = self.peers.iter().filter(|(_, peer)| peer.has.get(piece)).count();
            assert_eq!(self.picker.availability(piece) as usize, has, "availability of piece {piece}");
        }
        for (slot, peer) in &self.peers {
            let wanted = peer.has.iter_ones().filter(|piece| self.picker.is_wanted(*piece)).count();
            assert_eq!(peer.wanted as usize, wanted, "pieces wanted of a peer");
            assert_eq!(peer.interesting, wanted > 0);
            assert_eq!(peer.out_since.is_some(), !peer.out.is_empty());
            assert_eq!(self.by_key.get(&peer.key), Some(&slot));
            assert!(peer.asked.is_empty() || peer.fast || !peer.choking_us, "asked although choked");
            let served = peer.reading.count() > 0 || peer.asks_leave;
            assert!(served || peer.queue.is_empty(), "requests lie about");
        }
        for (slot, peer) in &self.peers {
            let place = |asked: &Asked| {
                let partial = self.partials.get(asked.partial as usize)?;
                // What came meanwhile in answer to an earlier request needs no place any more.
                let needs_place = partial.piece == asked.block.piece && !partial.is_received(asked.number());
                needs_place.then(|| partial.place(asked.number()))
            };
            let places = peer.asked.iter().filter(|asked| !asked.released).filter_map(place);
            let mut unbound = false;
            for (asker, late) in places {
                unbound |= late.is_none();
                assert!(late.is_some() || peer.ahead.is_some(), "peer {slot} was asked ahead unnoticed");
                assert!(late == Some(false) || asker == slot, "peer {slot} was asked for what another began");
                assert!(late != Some(true) || !unbound, "peer {slot} holds memory and may wait for it");
            }
            assert!(peer.thirsty.is_none() || self.thirsty.contains(&peer.key), "peer {slot} waits for ever");
        }
        self.assert_urgent_consistent();
        let givers = self.peers.iter().filter(|(_, peer)| peer.interesting && !peer.choking_us).count();
        assert_eq!(self.givers, givers);
        let interested = self.peers.iter().filter(|(_, peer)| peer.interested).count();
        assert_eq!(self.interested, interested);
        let verified: u64 =
            self.have.iter_ones().map(|piece| u64::from(self.cfg.geometry.piece_size(piece))).sum();
        assert_eq!(self.verified, verified);
        let (kept, wasted, unfinished) = self.accounts();
        assert_eq!(
            self.down.total(),
            kept + wasted + unfinished,
            "{kept} kept, {wasted} wasted, {unfinished} neither"
        );
    }
}
