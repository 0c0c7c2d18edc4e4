//! The end of a swarm: what came and is in no verified piece was in vain, and is counted as such.

use super::{PieceIndex, Torrent};

impl Torrent {
    /// Gives up what is unfinished, before the swarm is dropped; only its figures are of use afterwards. Answers the
    /// pieces that came whole and of which the disk has yet to tell whether they are good: the caller counts those.
    pub fn give_up_unfinished(&mut self) -> Vec<PieceIndex> {
        for (_, peer) in &mut self.peers {
            self.waste.cut_off += peer.arriving.take().map_or(0, |arriving| u64::from(arriving.offset));
        }
        let (whole, parts): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.partials).into_iter().partition(|(_, partial)| partial.is_checking());
        self.waste.given_up += parts.iter().map(|(_, partial)| partial.received_bytes()).sum::<u64>();
        self.by_piece.clear();
        self.free_blocks = 0;
        whole.into_iter().map(|(_, partial)| partial.piece).collect()
    }

    /// Payload that became verified pieces, that was in vain, and that is neither yet, bytes. Together they are what
    /// was received.
    pub(super) fn accounts(&self) -> (u64, u64, u64) {
        let blocks: u64 = self.partials.iter().map(|(_, partial)| partial.received_bytes()).sum();
        let arriving = self.peers.iter().filter_map(|(_, peer)| peer.arriving);
        (self.kept, self.waste.total(), blocks + arriving.map(|block| u64::from(block.offset)).sum::<u64>())
    }
}
