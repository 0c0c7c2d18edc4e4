//! Pieces that were at the disk when their swarm ended. Each is worth keeping or was in vain, and is counted once.

use std::collections::BTreeSet;

use super::Engine;
use super::event::{Event, TorrentId};
use super::slot::{Phase, Slot};
use crate::disk::PieceResult;
use crate::proto::geometry::PieceIndex;

/// Pieces of all torrents whose verdict comes after the end of the swarm that fetched them.
pub(super) type Late = BTreeSet<(TorrentId, PieceIndex)>;

impl Engine {
    /// The swarm of a torrent ends: counts what is unfinished, and remembers what the disk has yet to judge.
    pub(super) fn give_up_unfinished(&mut self, t: usize) {
        let slot = &mut self.torrents[t];
        let id = slot.id;
        if let Some(swarm) = &mut slot.swarm {
            self.late.extend(swarm.give_up_unfinished().into_iter().map(|piece| (id, piece)));
        }
    }

    /// The verdict on a piece whose swarm has ended: it is kept if it is good. The last piece that is wanted is fetched
    /// again, so that the end of a download is always seen.
    pub(super) fn take_late_piece(&mut self, t: usize, piece: PieceIndex, result: &PieceResult) {
        let slot = &mut self.torrents[t];
        let id = slot.id;
        if self.late.is_empty() || !self.late.remove(&(id, piece)) {
            return;
        }
        let size = u64::from(slot.geometry().piece_size(piece));
        match result {
            PieceResult::Good if slot.keeps_late(piece) => self.emit(Event::PieceVerified { id, piece }),
            PieceResult::Bad { .. } => {
                slot.last_stats.failed_pieces += 1;
                slot.last_stats.waste.bad += size;
                slot.last_stats.wasted += size;
            }
            PieceResult::Good | PieceResult::Failed(_) => slot.gave_up(size),
        }
    }

    /// Nothing is under way at the disk any more: what it was not asked to judge was in vain.
    pub(super) fn give_up_late(&mut self, t: usize) {
        if self.late.is_empty() {
            return;
        }
        let slot = &mut self.torrents[t];
        let id = slot.id;
        let pieces = (id, PieceIndex(0))..=(id, PieceIndex(u32::MAX));
        for late in self.late.range(pieces).copied().collect::<Vec<_>>() {
            self.late.remove(&late);
            slot.gave_up(u64::from(slot.geometry().piece_size(late.1)));
        }
    }
}

impl Slot {
    fn gave_up(&mut self, bytes: u64) {
        self.last_stats.waste.given_up += bytes;
        self.last_stats.wasted += bytes;
    }

    /// Adds a piece to what is there, unless that is of no use or completes what is wanted.
    fn keeps_late(&mut self, piece: PieceIndex) -> bool {
        if !matches!(self.phase, Phase::Resting { .. } | Phase::Stopping { .. }) {
            return false;
        }
        let finished = self.is_finished();
        let Some(have) = self.have.as_mut().filter(|have| !have.get(piece)) else { return false };
        have.set(piece);
        if finished || !self.is_finished() {
            return true;
        }
        if let Some(have) = &mut self.have {
            have.clear(piece);
        }
        false
    }
}
