//! Which pieces are needed by when: those ahead of reads, and those named by hand.

use std::time::{Duration, Instant};

use super::{Engine, ReadError, ReadId, Streams};
use crate::engine::event::TorrentId;
use crate::proto::geometry::PieceIndex;

impl Engine {
    /// Says when a piece is needed: it is fetched before those without a deadline, even if nobody wanted it. A second
    /// call moves the deadline.
    ///
    /// At most 1,024 pieces of a torrent have deadlines at a time; the latest are dropped.
    ///
    /// # Errors
    ///
    /// [`ReadError`], if there is no such torrent or piece, or the torrent has stopped.
    pub fn set_piece_deadline(
        &mut self,
        id: TorrentId,
        piece: PieceIndex,
        at: Instant,
    ) -> Result<(), ReadError> {
        let t = self.readable(id)?;
        let count = self.torrents[t].geometry().piece_count();
        if piece.0 >= count {
            return Err(ReadError::NoSuchPiece { piece: piece.0, count });
        }
        if self.torrents[t].have().is_some_and(|have| have.get(piece)) {
            return Ok(());
        }
        let by_hand = self.streams.by_hand.entry(id).or_default();
        by_hand.insert(piece, at);
        if by_hand.len() > MAX_BY_HAND
            && let Some((&latest, _)) = by_hand.iter().max_by_key(|(_, at)| **at)
        {
            by_hand.remove(&latest);
        }
        if let Some(swarm) = &mut self.torrents[t].swarm {
            swarm.set_deadline(Instant::now(), piece, at);
        }
        self.touch(t);
        Ok(())
    }

    /// Takes back all deadlines set with [`set_piece_deadline`](Engine::set_piece_deadline); those of reads stay.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchTorrent`].
    pub fn clear_piece_deadlines(&mut self, id: TorrentId) -> Result<(), ReadError> {
        let &t = self.by_id.get(&id).ok_or(ReadError::NoSuchTorrent(id))?;
        let now = Instant::now();
        for piece in self.streams.by_hand.remove(&id).unwrap_or_default().into_keys() {
            let read = self.streams.covers(id, piece, None);
            if let (false, Some(swarm)) = (read, &mut self.torrents[t].swarm) {
                swarm.clear_deadline(now, piece);
            }
        }
        self.touch(t);
        Ok(())
    }

    /// A torrent has a swarm again, or pieces that have to be fetched again, which knows nothing of deadlines yet.
    pub(in crate::engine) fn hurry_again(&mut self, now: Instant, id: TorrentId) {
        let Some(&t) = self.by_id.get(&id) else { return };
        if let (Some(by_hand), Some(swarm)) = (self.streams.by_hand.get(&id), &mut self.torrents[t].swarm) {
            for (piece, at) in by_hand {
                swarm.set_deadline(now, *piece, *at);
            }
        }
        for read in self.streams.by_torrent.get(&id).into_iter().flatten() {
            if let Some(read) = self.streams.reads.get_mut(read) {
                read.hurried = 0;
            }
        }
        self.read_on(now, id);
    }

    /// Sets the deadlines of the pieces that a read will need next.
    pub(super) fn hurry(&mut self, now: Instant, id: ReadId, t: usize) {
        let slot = &mut self.torrents[t];
        let (Some(read), Some(swarm)) = (self.streams.reads.get_mut(&id), &mut slot.swarm) else { return };
        let piece_len = read.piece_len;
        let ahead = read.ahead.clamp(piece_len, MAX_AHEAD.max(piece_len));
        let first = piece_at(read.pos, piece_len);
        let next = piece_at(read.end.min(read.pos.saturating_add(ahead)) - 1, piece_len) + 1;
        let next = next.min(first.saturating_add(MAX_HURRIED));
        if next <= read.hurried {
            return;
        }
        for piece in first.max(read.hurried)..next {
            let far = (u64::from(piece) * piece_len).saturating_sub(read.pos);
            let at = now + LEAD.mul_f64(far as f64 / ahead as f64);
            let piece = PieceIndex(piece);
            if swarm.deadline_of(piece).is_none_or(|before| at < before) {
                swarm.set_deadline(now, piece, at);
            }
        }
        read.hurried = next;
        self.touch(t);
    }

    /// Takes back the deadlines of a read, but for those that others want, too.
    pub(super) fn calm(&mut self, now: Instant, id: ReadId) {
        let Some(read) = self.streams.reads.get_mut(&id) else { return };
        let torrent = read.torrent;
        let hurried = std::mem::take(&mut read.hurried);
        let Some(&t) = self.by_id.get(&torrent) else { return };
        let slot = &mut self.torrents[t];
        let Some(swarm) = &mut slot.swarm else { return };
        for piece in (piece_at(read.pos, read.piece_len)..hurried).map(PieceIndex) {
            if self.streams.covers(torrent, piece, Some(id)) {
                continue;
            }
            match self.streams.by_hand.get(&torrent).and_then(|by_hand| by_hand.get(&piece)) {
                Some(at) => {
                    swarm.set_deadline(now, piece, *at);
                }
                None => swarm.clear_deadline(now, piece),
            }
        }
        self.touch(t);
    }
}

impl Streams {
    /// Whether somebody else's deadlines reach over a piece.
    fn covers(&self, torrent: TorrentId, piece: PieceIndex, but: Option<ReadId>) -> bool {
        let reads = self.by_torrent.get(&torrent).into_iter().flatten();
        reads
            .filter(|id| Some(**id) != but)
            .filter_map(|id| self.reads.get(id))
            .any(|read| read.active && (piece_at(read.pos, read.piece_len)..read.hurried).contains(&piece.0))
    }
}

/// The piece at an offset of the torrent's stream; there are fewer than 2^32.
pub(super) fn piece_at(offset: u64, piece_len: u64) -> u32 {
    u32::try_from(offset / piece_len).unwrap_or(u32::MAX)
}

/// Longest look ahead, bytes and pieces.
const MAX_AHEAD: u64 = 1024 * 1024 * 1024;
const MAX_HURRIED: u32 = 1024;

/// The last piece ahead is expected after this time; those before it sooner.
const LEAD: Duration = Duration::from_secs(10);

/// Deadlines set by hand that are kept for one torrent.
const MAX_BY_HAND: usize = 1024;
