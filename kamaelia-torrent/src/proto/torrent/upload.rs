//! Serving: who may ask, and reading what they ask for in runs.

use std::time::Instant;

use super::{BLOCK_LEN, Message, PeerError, PeerKey, Torrent, TorrentOutput};
use crate::proto::{
    buffer::RUN_LEN,
    choker::{Candidate, ROUND},
    extension::REQUEST_QUEUE,
    geometry::BlockRequest,
};

impl Torrent {
    /// Whether the connection should be read. When false, stop until [`TorrentOutput::Resume`] names it.
    ///
    /// It is false while the peer has asked for more than is being served: its further requests wait in the
    /// network, and none is ever dropped.
    pub fn can_receive(&self, key: PeerKey) -> bool {
        self.by_key.get(&key).and_then(|slot| self.peers.get(*slot)).is_none_or(|peer| !peer.paused)
    }

    /// The blocks of one [`TorrentOutput::Read`] are handed to the network: `bytes` of payload.
    pub fn blocks_sent(&mut self, now: Instant, key: PeerKey, _blocks: u32, bytes: u64) {
        let Some(&slot) = self.by_key.get(&key) else { return };
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.reading.end(bytes);
        peer.up.add(now, bytes);
        peer.turn_sent += bytes;
        peer.sent_at = now;
        self.up.add(now, bytes);
        self.serve(now, slot);
    }

    /// The disk has read the blocks of one [`TorrentOutput::Read`]; so many before them are not sent yet. Costs nothing to
    /// leave out where reading takes no time.
    ///
    /// If there are none, the connection ran dry while the disk was at it: then more is read ahead.
    pub fn blocks_read(&mut self, now: Instant, key: PeerKey, waiting: usize) {
        let Some(&slot) = self.by_key.get(&key) else { return };
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if waiting >= LEAST_READS as usize {
            peer.reads = (peer.reads - 1).max(LEAST_READS);
        } else if waiting == 0
            && peer.reading.count() >= peer.reads
            && !peer.queue.is_empty()
            && self.cfg.uploads.has_plenty()
        {
            peer.reads = (peer.reads + 1).min(MOST_READS);
            self.serve(now, slot);
        }
    }

    /// One [`TorrentOutput::Read`] failed. The peer is told (BEP 6) or cut.
    pub fn read_failed(&mut self, now: Instant, key: PeerKey, blocks: &[BlockRequest]) {
        let Some(&slot) = self.by_key.get(&key) else { return };
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.reading.end(blocks.iter().map(|block| u64::from(block.len)).sum());
        if !peer.fast {
            return self.disconnect(now, slot, PeerError::ReadFailed);
        }
        for block in blocks {
            self.send(now, slot, &Message::Reject(*block));
        }
        self.serve(now, slot);
    }

    /// A peer asks for a block.
    pub(super) fn requested(
        &mut self,
        now: Instant,
        slot: usize,
        block: BlockRequest,
    ) -> Result<(), PeerError> {
        // Longer requests than 16 KiB are a thing of the past; libtorrent and Transmission cut at them too.
        if !self.cfg.geometry.contains(&block) || block.len > BLOCK_LEN {
            return Err(PeerError::BadRequest(block));
        }
        let has = self.have.get(block.piece);
        let closed = self.choker.is_closed();
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        let gift = !closed
            && peer.choked
            && peer.allowed.contains(&block.piece)
            && peer.allowed_left >= u64::from(block.len);
        if has && (!peer.choked || gift) {
            if gift {
                peer.allowed_left -= u64::from(block.len);
            }
            peer.queue.push_back(block);
            peer.paused |= peer.queue.len() >= MOST_QUEUED;
            return Ok(());
        }
        // It did not know of the choke yet, or does not care.
        if !peer.floods.request.take(now) {
            return Err(PeerError::Flood("request"));
        }
        if peer.fast {
            self.send(now, slot, &Message::Reject(block));
        } else if !peer.choked {
            // It would wait for ever for a piece that we do not have.
            return Err(PeerError::BadRequest(block));
        }
        Ok(())
    }

    /// A peer takes a request back: honoured unless the disk is reading it already.
    pub(super) fn cancelled(
        &mut self,
        now: Instant,
        slot: usize,
        block: BlockRequest,
    ) -> Result<(), PeerError> {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        let Some(at) = peer.queue.iter().rposition(|queued| *queued == block) else { return Ok(()) };
        peer.queue.remove(at);
        if peer.fast {
            // BEP 6: a request is answered by a block or a reject, cancelled or not.
            self.send(now, slot, &Message::Reject(block));
        }
        Ok(())
    }

    /// Hands the next requests to the disk, in runs.
    pub(super) fn serve(&mut self, now: Instant, slot: usize) {
        if self.metered {
            self.unpause(now, slot);
            self.ask_leave(slot);
        } else {
            self.serve_up_to(now, slot, u32::MAX);
        }
    }

    /// Hands requests for about `leave` bytes to the disk, at least one; answers for how many they are.
    pub(super) fn serve_up_to(&mut self, now: Instant, slot: usize, leave: u32) -> u64 {
        let Some(peer) = self.peers.get_mut(slot) else { return 0 };
        let mut handed = 0;
        // A slow peer gets short runs: two of them wait in memory for it.
        let most = (peer.up.at(now) as u64).clamp(SHORT_RUN.into(), RUN_LEN.into()) as u32;
        let most = most.min(leave);
        while peer.reading.count() < peer.reads
            && handed < u64::from(leave)
            && let Some(first) = peer.queue.pop_front()
        {
            let most = most.min(self.cfg.uploads.longest_run());
            let mut run = vec![first];
            let (mut last, mut len) = (first, first.len);
            while let Some(next) = peer.queue.front()
                && len + next.len <= most
                && follows(&self.cfg.geometry, &last, next)
            {
                (last, len) = (*next, len + next.len);
                run.push(last);
                peer.queue.pop_front();
            }
            if peer.reading.count() == 0 {
                // The time that the peer has for reading begins.
                peer.sent_at = now;
            }
            peer.reading.begin(len);
            handed += u64::from(len) + run.len() as u64 * BLOCK_HEADER_LEN;
            self.outputs.push_back(TorrentOutput::Read { peer: peer.key, blocks: run });
        }
        let reading = (peer.reading.count() > 0).then(|| peer.deadline());
        self.unpause(now, slot);
        if let Some(deadline) = reading {
            self.wake_at(deadline);
        }
        handed
    }

    /// Reads a peer again that had too many requests open.
    fn unpause(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.paused && peer.queue.len() <= MOST_QUEUED / 2 {
            peer.paused = false;
            peer.heard = now;
            self.outputs.push_back(TorrentOutput::Resume(peer.key));
        }
    }

    pub(super) fn set_interested(&mut self, now: Instant, slot: usize, interested: bool) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.interested == interested {
            return;
        }
        peer.interested = interested;
        self.interested = if interested { self.interested + 1 } else { self.interested - 1 };
        peer.relevant = now;
        let deadline = peer.deadline();
        self.wake_at(deadline);
        if self.next_round.is_none() {
            self.next_round = Some(now + ROUND);
            self.wake_at(now + ROUND);
        }
        self.refill_slots(now);
    }

    /// Unchokes interested peers at once while there are free slots: nobody waits for the next round without need.
    pub(super) fn refill_slots(&mut self, now: Instant) {
        let served = self.peers.iter().filter(|(_, peer)| !peer.choked).count();
        let may = |at: Option<Instant>| at.is_none_or(|at| now.saturating_duration_since(at) >= ROUND);
        let next: Vec<usize> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.choked && peer.interested && may(peer.choke_changed))
            .map(|(slot, _)| slot)
            .take(self.slots.saturating_sub(served))
            .collect();
        next.into_iter().for_each(|slot| self.set_choked(now, slot, false));
    }

    /// One round of the choker; answers when the next is due.
    pub(super) fn choke_round(&mut self, now: Instant) -> Option<Instant> {
        let candidates = self.choke_candidates(now);
        let served = self.choker.round(now, self.wants_nothing(), &candidates);
        self.slots = self.choker.slots(&candidates);
        let slots: Vec<(usize, bool)> = self.peers.iter().map(|(slot, peer)| (slot, peer.choked)).collect();
        let mut active = !candidates.is_empty();
        for (slot, choked) in slots {
            let serve = served.contains(&slot);
            active |= serve || !choked;
            if serve == choked {
                self.set_choked(now, slot, !serve);
            }
            if serve {
                self.mark_served(now, slot);
            }
        }
        active.then(|| now + ROUND)
    }

    /// The peers that want something, as the choker sees them.
    pub(super) fn choke_candidates(&self, now: Instant) -> Vec<Candidate> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.interested)
            .map(|(id, peer)| Candidate {
                id,
                down_rate: if peer.pipeline.is_snubbed() { 0.0 } else { peer.down.at(now) },
                up_rate: peer.up.at(now),
                unchoked: !peer.choked,
                changed: peer.choke_changed,
                since: peer.since,
                served: self.sources.get(peer.source).and_then(|source| source.served),
                sent: peer.turn_sent,
                busy: !peer.queue.is_empty() || peer.reading.count() > 0,
            })
            .collect()
    }

    fn mark_served(&mut self, now: Instant, slot: usize) {
        let source = self.peers.get(slot).map(|peer| peer.source);
        if let Some(source) = source.and_then(|source| self.sources.get_mut(source)) {
            source.served = Some(now);
        }
    }

    pub(super) fn set_choked(&mut self, now: Instant, slot: usize, choked: bool) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.choked = choked;
        peer.choke_changed = Some(now);
        peer.turn_sent = 0;
        let fast = peer.fast;
        if !choked {
            self.send(now, slot, &Message::Unchoke);
            self.mark_served(now, slot);
            return;
        }
        // BEP 3: a choke voids what was asked for. BEP 6: it is rejected one by one, except the allowed fast set.
        let (kept, void) = std::mem::take(&mut peer.queue)
            .into_iter()
            .partition(|block| fast && peer.allowed.contains(&block.piece));
        peer.queue = kept;
        let void: Vec<BlockRequest> = Vec::from(void);
        self.send(now, slot, &Message::Choke);
        if fast {
            void.iter().for_each(|block| self.send(now, slot, &Message::Reject(*block)));
        }
        self.serve(now, slot);
    }
}

/// Whether `next` lies right behind `last`, be it in the following piece.
fn follows(geometry: &crate::proto::geometry::Geometry, last: &BlockRequest, next: &BlockRequest) -> bool {
    let position = |block: &BlockRequest| geometry.piece_offset(block.piece) + u64::from(block.begin);
    position(last) + u64::from(last.len) == position(next)
}

/// Reads of one peer that may be under way at a time: one is being sent while the next is being read.
pub(crate) const LEAST_READS: u32 = 2;

/// So many if the peer takes them faster than one after the other comes from the disk; 2 MiB at most.
const MOST_READS: u32 = 8;

/// Bytes of a `piece` message besides the block.
const BLOCK_HEADER_LEN: u64 = 13;

/// A run covers a second at the peer's rate, at least this many bytes and at most 256 KiB.
const SHORT_RUN: u32 = 64 * 1024;

/// A peer with this many requests open is not read until half of them are served: what we told it (BEP 10), but what
/// is beyond waits instead of being dropped (rtorrent asks for tens of thousands and cannot be told about a drop).
const MOST_QUEUED: usize = REQUEST_QUEUE as usize;
