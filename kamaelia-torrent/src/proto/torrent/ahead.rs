//! Asking for more than there is memory for.
//!
//! On a long fast line more is under way than the budget for buffers holds. A peer that is fast enough is asked *ahead*:
//! for whole parts without a buffer, one after the other, each of this peer alone. A part gets its buffer when its first
//! block is next to be read; if there is none, the connection is not read until one comes back from the disk. So nothing
//! that came is dropped.
//!
//! Why all goes on: a part that is begun is at the head of its peer's requests and needs no second buffer. All other
//! requests go for parts that have buffers, never behind those made ahead (but for deadlines and the end game); and while
//! anything is asked for ahead, they leave a quarter of the memory alone. What the peer does nevertheless (blocks in
//! another order, requests lost) can jam it; then what lies idle longest is [given up](Torrent::break_jam).

use std::time::{Duration, Instant};

use super::{PeerKey, Torrent, TorrentOutput, requests::RECLAIM};
use crate::proto::{
    buffer::{BufferPool, PART_LEN},
    geometry::{BLOCK_LEN, BlockRequest, PieceIndex},
    wire::BLOCK_HEADER_LEN,
};

impl Torrent {
    /// How many bytes may be read from a connection, so that all blocks among them have a place; 0 if none can be read
    /// until buffers come back: then [`TorrentOutput::Resume`] follows a [`fill`](Torrent::fill) or
    /// [`tick`](Torrent::tick). Call it before every read.
    pub fn room(&mut self, now: Instant, key: PeerKey, pool: &mut BufferPool) -> usize {
        let Some(&slot) = self.by_key.get(&key) else { return usize::MAX };
        if self.peers.get(slot).is_none_or(|peer| !peer.ahead) {
            return usize::MAX;
        }
        let room = self.bind_next(slot, pool);
        if room == 0
            && let Some(peer) = self.peers.get_mut(slot)
            && peer.thirsty.is_none()
        {
            peer.thirsty = Some(now);
            self.thirsty.push_back(key);
            self.wake_at(now + LOOK);
        }
        room
    }

    /// Gives buffers to the parts that a peer sends next; answers how many bytes have a place.
    fn bind_next(&mut self, slot: usize, pool: &mut BufferPool) -> usize {
        let Some(peer) = self.peers.get_mut(slot) else { return usize::MAX };
        let mut room = peer.decoder.block_left().unwrap_or(0) as usize;
        for asked in &peer.asked {
            if room > FORESEEN {
                return usize::MAX;
            }
            let partial = self.partials.get_mut(asked.partial as usize);
            if let Some(partial) = partial.filter(|p| p.piece == asked.block.piece)
                && !partial.is_received(asked.number())
                && !partial.bind(asked.number(), pool)
            {
                return room;
            }
            room += BLOCK_HEADER_LEN + asked.block.len as usize;
        }
        // All that was asked for has its place.
        self.leave_ahead(slot);
        usize::MAX
    }

    /// Lets peers be read again for whose next blocks there are buffers now, those first that wait longest.
    pub(super) fn quench(&mut self, now: Instant, pool: &mut BufferPool) {
        for _ in 0..self.thirsty.len() {
            let Some(key) = self.thirsty.pop_front() else { return };
            let Some(&slot) = self.by_key.get(&key) else { continue };
            if self.bind_next(slot, pool) == 0 {
                self.thirsty.push_back(key);
                continue;
            }
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            let Some(since) = peer.thirsty.take() else { continue };
            peer.was_unread(now, since);
            let deadline = peer.deadline();
            self.wake_at(deadline);
            self.outputs.push_back(TorrentOutput::Resume(key));
        }
    }

    /// Blocks that a peer may have open although there is no memory for them yet; 0 if that is not for it.
    pub(super) fn ahead_share(&self, now: Instant, slot: usize, pool: &BufferPool) -> u32 {
        let Some(peer) = self.peers.get(slot) else { return 0 };
        let givers = self.givers.max(1);
        if peer.choking_us
            || peer.disorderly
            || peer.pipeline.is_snubbed()
            || self.pace.is_some()
            || self.sources.on_parole(peer.source)
            // Each of them may have begun two parts.
            || givers * 2 * PART_LEN as usize > pool.budget()
        {
            return 0;
        }
        let rate = peer.down.at(now);
        if rate < FAST {
            return 0;
        }
        // Saturates; the rate is finite and not negative.
        let by_rate = (rate * WINDOW.as_secs_f64() / f64::from(BLOCK_LEN)) as u32;
        by_rate.min(MOST_AHEAD / givers as u32)
    }

    /// The next block of a part that the peer has for itself.
    pub(super) fn ahead_block(&mut self, now: Instant, slot: usize) -> Option<(usize, BlockRequest)> {
        let peer = self.peers.get(slot)?;
        let current = peer.current.filter(|at| {
            self.partials.get(*at).is_some_and(|p| Some(p.piece) == peer.last_piece && p.allows(slot))
        });
        let (has, last) = (peer.has.clone(), peer.last_piece);
        if let Some(at) = current
            && let Some(found) = self.take_ahead(now, at, slot)
        {
            return Some(found);
        }
        let fits = |piece: PieceIndex| has.get(piece);
        let mut left = Vec::new();
        if self.free_blocks > 0 {
            let open = self.partials.iter().filter(|(_, p)| {
                p.owner.is_none_or(|owner| owner == slot) && !p.urgent && fits(p.piece) && p.allows(slot)
            });
            left.extend(open.filter(|(_, p)| p.may_take_ahead(slot)).map(|(at, _)| at));
        }
        let mut found = None;
        for at in left {
            found = self.take_ahead(now, at, slot);
            if found.is_some() {
                break;
            }
        }
        if found.is_none() && self.picker.pickable() > 0 {
            let at = self.start_piece(now, slot, false, &has, last, fits)?;
            found = self.take_ahead(now, at, slot);
        }
        let found = found?;
        let at = found.0;
        self.adopt(at, slot);
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.current = Some(at);
            peer.last_piece = Some(found.1.piece);
        }
        Some(found)
    }

    fn take_ahead(&mut self, now: Instant, at: usize, slot: usize) -> Option<(usize, BlockRequest)> {
        let block = self.partials.get_mut(at)?.take_ahead(now, slot)?;
        self.block_taken(now);
        Some((at, block))
    }

    /// What a peer is asked for has no buffer yet.
    pub(super) fn go_ahead(&mut self, slot: usize) {
        if let Some(peer) = self.peers.get_mut(slot) {
            self.ahead += usize::from(!std::mem::replace(&mut peer.ahead, true));
        }
    }

    /// All that a peer was asked for has its buffer, or it is asked for nothing.
    pub(super) fn leave_ahead(&mut self, slot: usize) {
        if let Some(peer) = self.peers.get_mut(slot)
            && std::mem::replace(&mut peer.ahead, false)
        {
            self.ahead -= 1;
            peer.nothing_at = None;
        }
    }

    /// Memory that is left for what was asked for ahead, bytes.
    pub(super) fn reserve(&self, pool: &BufferPool) -> usize {
        if self.ahead > 0 { pool.budget() / 4 } else { 0 }
    }

    /// Whether a part may get a buffer before its blocks are asked for.
    pub(super) fn has_room(&self, pool: &BufferPool, len: u32) -> bool {
        pool.has_room(len.min(PART_LEN) as usize, self.reserve(pool))
    }

    /// Peers that could go on wait for memory, and it lies with parts on which nothing happens: gives up the one that
    /// was idle longest. It is asked for again, and only a peer that sends something else than it was asked for, or
    /// nothing, brings it to that.
    pub(super) fn break_jam(&mut self, now: Instant, pool: &mut BufferPool) {
        let first = self.thirsty.front().and_then(|key| self.by_key.get(key));
        let since = first.and_then(|slot| self.peers.get(*slot)).and_then(|peer| peer.thirsty);
        let Some(since) = since else { return };
        let held: u64 = self.partials.iter().map(|(_, partial)| partial.buffered()).sum();
        // What is at the disk comes back by itself, however slow the disk is.
        let patience = if 2 * held as usize > pool.in_use() { RECLAIM } else { JAM };
        if now.saturating_duration_since(since) < patience {
            return;
        }
        let idle =
            |p: &super::Partial| p.buffered() > 0 && now.saturating_duration_since(p.touched) >= RECLAIM;
        let oldest = self.partials.iter_mut().filter(|(_, p)| idle(p)).min_by_key(|(_, p)| p.touched);
        let Some((_, partial)) = oldest else { return };
        let before = partial.free();
        self.waste.given_up += partial.give_up_parts(pool);
        let piece = partial.piece;
        self.free_blocks += partial.free() - before;
        self.news += 1;
        self.urgent_again(piece);
        log::debug!("gave up what was there of piece {piece}: peers wait for memory");
    }
}

/// A peer is asked ahead if it fills a part (256 KiB) in a twentieth of a second.
const FAST: f64 = 5.0 * 1024.0 * 1024.0;

/// Requests made ahead cover this much time at the present rate. The rate lags behind while a connection is young.
const WINDOW: Duration = Duration::from_secs(1);

/// Blocks asked for ahead, all peers of a torrent together: 64 MiB.
const MOST_AHEAD: u32 = 64 * 1024 * 1024 / BLOCK_LEN;

/// Beyond this nothing is read at once: a read is at most the rest of a block, the blocks of a part, and 4 KiB, or
/// 256 KiB.
const FORESEEN: usize = PART_LEN as usize + 4 * BLOCK_LEN as usize;

/// How often it is looked whether there are buffers, apart from when some came back.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Peers wait this long for memory that others have.
const JAM: Duration = Duration::from_secs(30);
