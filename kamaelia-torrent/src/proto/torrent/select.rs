//! Changing one's mind about which pieces are wanted.

use std::time::Instant;

use super::{Torrent, TorrentOutput};
use crate::proto::{picker::PieceState, selection::Priority};

impl Torrent {
    /// Changes the priority of every piece. What is being fetched and no longer wanted is given up, unless all of it
    /// was handed to the disk. Costs a pass over the pieces, and one over their bits for each connection.
    ///
    /// If nothing that is wanted is missing any more, [`TorrentOutput::Completed`] follows.
    ///
    /// # Panics
    ///
    /// If there is not one priority for each piece.
    pub fn set_priorities(&mut self, now: Instant, priorities: &[Priority]) {
        let (finished, wanted_nothing) = (self.is_finished(), self.wants_nothing());
        self.picker.set_priorities(priorities);
        self.urgent_reprioritised();
        let given_up: Vec<usize> = self
            .partials
            .iter()
            .filter(|(_, partial)| !self.picker.is_wanted(partial.piece) && !partial.is_checking())
            .map(|(at, _)| at)
            .collect();
        for at in given_up {
            let Some(partial) = self.partials.get(at) else { continue };
            let piece = partial.piece;
            self.waste.given_up += partial.received_bytes();
            if partial.was_handed_out() {
                self.outputs.push_back(TorrentOutput::Abandon(piece));
            }
            self.drop_partial(now, at, true);
            self.picker.set_state(piece, PieceState::Wanted);
        }
        let wanted = self.picker.wanted();
        let slots: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            let both = |at| (peer.has.word(at) & wanted.word(at)).count_ones();
            peer.wanted = (0..wanted.word_count()).map(both).sum();
            self.update_interest(now, slot);
        }
        self.news += 1;
        self.wake_at(now);
        if wanted_nothing && !self.wants_nothing() {
            // Those who have everything were of no use before, and were parted from.
            self.candidates.recall(now);
        }
        if !finished && self.is_finished() {
            self.finished(now);
        }
    }

    /// Whether nothing that is wanted is missing. A piece that is fetched only because it has a deadline does not count.
    pub fn is_finished(&self) -> bool {
        self.picker.missing() as usize == self.urgent_unwanted()
    }

    /// Whether nothing is to be fetched, for whatever reason.
    pub(super) fn wants_nothing(&self) -> bool {
        self.picker.missing() == 0
    }

    /// Whether nothing more will be written unless somebody wants more.
    pub fn is_written(&self) -> bool {
        self.wants_nothing() && self.partials.is_empty()
    }

    /// Nothing that is wanted is missing any more.
    pub(super) fn finished(&mut self, now: Instant) {
        // Those from whom we part should know why.
        self.tell_all(now);
        self.outputs.push_back(TorrentOutput::Completed);
        let slots: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
        slots.into_iter().for_each(|slot| self.part_if_both_complete(now, slot));
    }
}
