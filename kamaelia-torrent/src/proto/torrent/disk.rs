//! Answers of the disk: pieces that are good, bad or could not be written.

use std::time::{Duration, Instant};

use super::{CheckResult, Message, PeerError, PieceIndex, SourceId, Torrent, TorrentOutput};
use crate::proto::geometry::Fetch;
use crate::proto::picker::PieceState;

impl Torrent {
    /// The disk's verdict on a piece whose last part was handed out, or a failure before that. One on a fetching that has
    /// ended counts for nothing.
    pub fn piece_checked(&mut self, now: Instant, fetch: Fetch, result: CheckResult) {
        let piece = fetch.piece;
        let Some(&at) = self.by_piece.get(&piece) else { return };
        let Some(partial) = self.partials.get(at).filter(|partial| partial.fetch() == fetch) else { return };
        let failed = matches!(result, CheckResult::Failed(_));
        if !partial.is_checking() && !failed {
            return;
        }
        let senders: Vec<SourceId> = partial.senders().collect();
        let (received, old_news) = (partial.received_bytes(), partial.before_retry);
        if failed && !partial.is_checking() {
            // Nothing more of it will come to the disk.
            self.outputs.push_back(TorrentOutput::Abandon(piece));
        }
        self.drop_partial(now, at, !matches!(result, CheckResult::Good));
        match result {
            CheckResult::Good => self.verified(now, piece, &senders),
            CheckResult::Bad(hashes) => self.bad(now, piece, senders, hashes),
            CheckResult::Failed(error) => {
                self.waste.given_up += received;
                self.picker.set_state(piece, PieceState::Wanted);
                self.urgent_afresh(piece);
                self.news += 1;
                self.wake_at(now);
                if !old_news {
                    self.disk_failed(now, error);
                }
            }
        }
    }

    /// A name for the fetching of a piece that begins.
    pub(super) fn next_fetch(&mut self, piece: PieceIndex) -> Fetch {
        self.attempts = self.attempts.wrapping_add(1);
        Fetch { piece, attempt: u64::from(self.cfg.generation) << 32 | u64::from(self.attempts) }
    }

    /// The fetching of a piece that goes on.
    #[cfg(test)]
    pub(super) fn fetch_of(&self, piece: PieceIndex) -> Fetch {
        self.partials[self.by_piece[&piece]].fetch()
    }

    /// SHA-1 of each block of a verified piece, after [`TorrentOutput::WantBlockHashes`].
    pub fn block_hashes(&mut self, now: Instant, piece: PieceIndex, hashes: &[[u8; 20]]) {
        for guilty in self.sources.convict(piece, hashes) {
            self.ban(now, guilty);
        }
    }

    /// Goes on downloading after [`TorrentOutput::DiskFailed`]. What the disk still has to refuse of what it was given
    /// before says nothing about the disk as it is now, and is only fetched again.
    pub fn retry_disk(&mut self, now: Instant) {
        for (_, partial) in &mut self.partials {
            partial.before_retry |= partial.was_handed_out();
        }
        self.news += 1;
        self.wake_at(now);
        self.disk_rests = None;
    }

    fn verified(&mut self, now: Instant, piece: PieceIndex, senders: &[SourceId]) {
        let size = u64::from(self.cfg.geometry.piece_size(piece));
        if self.have.get(piece) {
            self.waste.unwanted += size;
            return;
        }
        self.kept += size;
        if let Some(one) = only(senders)
            && let Some(source) = self.sources.get_mut(one)
        {
            source.parole = false;
        }
        if self.sources.wants_hashes(piece) {
            self.outputs.push_back(TorrentOutput::WantBlockHashes(piece));
        }
        self.regain(now, piece);
    }

    fn bad(&mut self, now: Instant, piece: PieceIndex, senders: Vec<SourceId>, hashes: Vec<[u8; 20]>) {
        self.failed_pieces += 1;
        self.waste.bad += u64::from(self.cfg.geometry.piece_size(piece));
        self.picker.set_state(piece, PieceState::Wanted);
        self.retry.push(piece);
        self.urgent_afresh(piece);
        self.news += 1;
        self.wake_at(now);
        match only(&senders) {
            Some(one) => self.ban(now, one),
            None => self.sources.failed(piece, hashes, &senders),
        }
    }

    /// Ends a partial. With `purge`, requests for its blocks are taken back: the piece will be asked for afresh.
    pub(super) fn drop_partial(&mut self, now: Instant, at: usize, purge: bool) {
        let Some(partial) = self.partials.try_remove(at) else { return };
        self.free_blocks -= partial.free();
        let piece = partial.piece;
        self.by_piece.remove(&piece);
        if !purge {
            return;
        }
        let slots: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            if let Some(arriving) = peer.arriving.as_mut().filter(|arriving| arriving.partial == at) {
                (arriving.keep, arriving.counted) = (false, false);
            }
            let void: Vec<_> =
                peer.asked.iter().filter(|asked| asked.block.piece == piece).copied().collect();
            peer.asked.retain(|asked| asked.block.piece != piece);
            peer.late = peer.late.saturating_add(void.len() as u32);
            for asked in void {
                self.send(now, slot, &Message::Cancel(asked.block));
            }
        }
    }

    /// One that has all it wants and one that has everything have nothing to say to each other.
    pub(super) fn part_if_both_complete(&mut self, now: Instant, slot: usize) {
        if self.wants_nothing() && self.peers.get(slot).is_some_and(|peer| peer.has.is_full()) {
            self.disconnect(now, slot, PeerError::Useless);
        }
    }
}

fn only(senders: &[SourceId]) -> Option<SourceId> {
    let (first, rest) = senders.split_first()?;
    rest.iter().all(|sender| sender == first).then_some(*first)
}

/// After a disk error nothing is asked for during this time; a full disk may have room again.
pub(super) const DISK_RESTS: Duration = Duration::from_secs(600);
