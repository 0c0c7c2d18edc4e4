//! Verified pieces that are no longer certain: their files were changed, cut or deleted by somebody else.
//!
//! A piece in doubt is not offered, not served and not fetched until it was hashed again. BEP 3 knows no way to take a
//! `have` back, so peers that were told of such a piece have their requests for it refused; they are not told a second
//! time when it is there again (that would count as a flood with some). Whoever connects meanwhile is told the truth.

use std::time::Instant;

use super::{Bitfield, Message, PeerError, PieceIndex, Torrent, TorrentOutput, disk::DISK_RESTS};
use crate::proto::picker::PieceState;

/// Pieces that were verified once and are not there now.
#[derive(Debug)]
pub(super) struct Lost {
    /// To be hashed again.
    doubted: Bitfield,
    /// To be fetched again, or in doubt.
    lost: Bitfield,
    /// Connections older than this were told that we have these pieces.
    since: Instant,
}

impl Torrent {
    /// Takes pieces out of what we have until [`found_again`](Torrent::found_again) says what is there. Pieces that we
    /// do not have are left as they are. Answers those that were taken out.
    pub fn doubt(&mut self, now: Instant, pieces: &Bitfield) -> Bitfield {
        let mut taken = Bitfield::new(self.have.len());
        for piece in pieces.iter_ones().filter(|piece| self.have.get(*piece)).collect::<Vec<_>>() {
            self.have.clear(piece);
            self.verified -= u64::from(self.cfg.geometry.piece_size(piece));
            self.picker.set_state(piece, PieceState::Active);
            taken.set(piece);
        }
        if taken.is_empty_set() {
            return taken;
        }
        // Everybody knows of them, so that it need not be remembered who does.
        self.tell_all(now);
        let count = self.have.len();
        let old = self.lost.take();
        if let Some(since) = old.as_ref().map(|old| old.since) {
            // They were told of some and not of others, which is more than is remembered.
            let between = self.peers.iter().filter(|(_, peer)| peer.since >= since);
            for slot in between.map(|(slot, _)| slot).collect::<Vec<_>>() {
                self.disconnect(now, slot, PeerError::Outdated);
            }
        }
        let mut all = match old {
            Some(old) => *old,
            None => Lost { doubted: Bitfield::new(count), lost: Bitfield::new(count), since: now },
        };
        all.since = now;
        for piece in taken.iter_ones() {
            all.doubted.set(piece);
            all.lost.set(piece);
        }
        self.lost = Some(Box::new(all));
        for slot in self.peers.iter().map(|(slot, _)| slot).collect::<Vec<_>>() {
            self.refuse_lost(now, slot, &taken);
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            let more =
                taken.iter_ones().filter(|piece| peer.has.get(*piece) && self.picker.is_wanted(*piece));
            peer.wanted += more.count() as u32;
            self.update_interest(now, slot);
        }
        self.candidates.due(now);
        self.wake_at(now);
        taken
    }

    /// A piece was hashed: it is there, as before or as a surprise, or has to be fetched (again).
    pub fn found_again(&mut self, now: Instant, piece: PieceIndex, good: bool) {
        let doubted = self.lost.as_mut().is_some_and(|lost| lost.doubted.clear(piece));
        // What is being fetched is left to those who fetch it.
        if good && (doubted || self.picker.state(piece) == PieceState::Wanted) {
            self.regain(now, piece);
        } else if doubted {
            self.picker.set_state(piece, PieceState::Wanted);
            self.news += 1;
            self.wake_at(now);
        }
    }

    /// The disk refused something: nothing is asked for during 10 minutes, or until
    /// [`retry_disk`](Torrent::retry_disk). [`TorrentOutput::DiskFailed`] tells the first time.
    pub fn disk_failed(&mut self, now: Instant, error: String) {
        if self.disk_rests.is_none() {
            let until = now + DISK_RESTS;
            self.disk_rests = Some(until);
            self.wake_at(until);
            self.outputs.push_back(TorrentOutput::DiskFailed(error));
        }
    }

    /// Whether nothing is asked for because the disk refused something.
    pub fn rests_at_disk(&self) -> bool {
        self.disk_rests.is_some()
    }

    /// A piece is there: as new, or again.
    pub(super) fn regain(&mut self, now: Instant, piece: PieceIndex) {
        if !self.have.set(piece) {
            return;
        }
        self.verified += u64::from(self.cfg.geometry.piece_size(piece));
        let wanted = self.picker.is_wanted(piece);
        let chosen = wanted && !self.is_only_urgent(piece);
        self.picker.set_state(piece, PieceState::Have);
        self.urgent_done(now, piece);
        self.outputs.push_back(TorrentOutput::Verified(piece));
        let mut told_before = None;
        if let Some(lost) = &mut self.lost {
            lost.doubted.clear(piece);
            if lost.lost.clear(piece) {
                told_before = Some(lost.since);
            }
            if lost.lost.is_empty_set() {
                self.lost = None;
            }
        }
        let slots: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in &slots {
            let Some(peer) = self.peers.get_mut(*slot) else { continue };
            // Others know it from before.
            let news = told_before.is_some_and(|since| peer.since >= since);
            if wanted && peer.has.get(piece) {
                peer.wanted = peer.wanted.saturating_sub(1);
                if peer.wanted == 0 {
                    self.update_interest(now, *slot);
                }
            }
            if news {
                self.send(now, *slot, &Message::Have(piece));
            }
        }
        if told_before.is_none() {
            self.tell(now, piece);
        }
        // Everything may be there only because of a piece that is no longer wanted: worth telling, too.
        if (chosen && self.is_finished()) || self.have.is_full() {
            self.finished(now);
        }
    }

    /// Whether the piece waits to be hashed again.
    pub(super) fn is_doubted(&self, piece: PieceIndex) -> bool {
        self.lost.as_ref().is_some_and(|lost| lost.doubted.get(piece))
    }

    /// What a peer asked for of pieces that are lost is refused (BEP 6), or it is cut: it would wait for ever.
    fn refuse_lost(&mut self, now: Instant, slot: usize, lost: &Bitfield) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let (void, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut peer.queue).into_iter().partition(|block| lost.get(block.piece));
        peer.queue = kept.into();
        if void.is_empty() {
            return;
        }
        if !peer.fast {
            return self.disconnect(now, slot, PeerError::ReadFailed);
        }
        void.into_iter().for_each(|block| self.send(now, slot, &Message::Reject(block)));
    }
}
