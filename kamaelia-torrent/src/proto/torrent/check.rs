//! What must always hold, for tests and fuzz targets.

use super::Torrent;
use crate::proto::{geometry::BLOCK_LEN, picker::PieceState};

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
        for (at, partial) in &self.partials {
            assert_eq!(self.by_piece.get(&partial.piece), Some(&at));
            assert!(partial.owner.is_none_or(|owner| self.peers.contains(owner)));
            partial.assert_consistent(|number| {
                let asked = self.peers.iter().flat_map(|(_, peer)| &peer.asked).filter(|asked| {
                    asked.block == partial.block(number) && asked.partial as usize == at && !asked.released
                });
                let arriving = self.peers.iter().filter_map(|(_, peer)| peer.arriving).filter(|a| {
                    a.counted
                        && a.partial == at
                        && a.block.piece == partial.piece
                        && a.block.begin == number * BLOCK_LEN
                });
                asked.count() + arriving.count()
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
            let served = peer.reading > 0 || peer.asks_leave;
            assert!(served || peer.queue.is_empty(), "requests lie about");
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
