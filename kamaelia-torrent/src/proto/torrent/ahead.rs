//! Asking for more than there is memory for.
//!
//! On a long fast line more is under way than the budget for buffers holds. A peer that is fast enough is asked *ahead*:
//! for whole parts without a buffer, each of this peer alone. A part gets its buffer when its first block is next to be
//! read; if there is none, the connection is not read until one comes back from the disk: its peer is *thirsty*. So
//! nothing is dropped of what comes in order, and the system's TCP slows the peer down.
//!
//! Why nobody is thirsty for ever: thirst is for the buffers that are [taken when data
//! comes](BufferPool::take_on_arrival), which nothing else uses. Each is at the disk, or belongs to a part of which only
//! one peer was asked for anything, and what that peer was asked for and has its buffer comes first among its requests:
//! so the peer is read, and goes on, or is late and loses the part. To be asked of a second peer, or behind something
//! without a buffer, a part needs a buffer of the [other kind](Partial::share).

use std::time::{Duration, Instant};

use super::{PeerKey, Torrent, TorrentOutput, partial::Partial};
use crate::proto::{
    buffer::{BufferPool, PART_LEN, RUN_LEN},
    geometry::{BLOCK_LEN, BlockRequest},
    peer::Asked,
    wire::BLOCK_HEADER_LEN,
};

impl Torrent {
    /// How many bytes may be read from a connection, so that all blocks among them have a place; 0 if none can be read
    /// until buffers come back: then [`TorrentOutput::Resume`] follows a [`fill`](Torrent::fill) or
    /// [`tick`](Torrent::tick). Call it before every read.
    pub fn room(&mut self, now: Instant, key: PeerKey, pool: &mut BufferPool) -> usize {
        let Some(&slot) = self.by_key.get(&key) else { return usize::MAX };
        if self.peers.get(slot).is_none_or(|peer| peer.ahead.is_none()) {
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
                && !partial.bind(asked.number(), slot, |len| pool.take_on_arrival(len))
            {
                return room;
            }
            room += BLOCK_HEADER_LEN + asked.block.len as usize;
        }
        // All that was asked for has its place.
        peer.ahead = None;
        peer.nothing_at = None;
        usize::MAX
    }

    /// A block came before its turn and its part got a buffer: what else has one is expected next, too.
    pub(super) fn expect_bound(&mut self, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let partials = &self.partials;
        let is_bound = |asked: &Asked| {
            let partial = partials.get(asked.partial as usize).filter(|p| p.piece == asked.block.piece);
            partial.is_none_or(|partial| partial.is_bound(asked.number()))
        };
        peer.asked.make_contiguous().sort_by_key(|asked| !is_bound(asked));
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
            || peer.down.at(now) < FAST
        {
            return 0;
        }
        MOST_AHEAD / givers as u32
    }

    /// The next block of a part that the peer has for itself.
    pub(super) fn ahead_block(
        &mut self,
        now: Instant,
        slot: usize,
        pool: &BufferPool,
    ) -> Option<(usize, BlockRequest)> {
        let peer = self.peers.get(slot)?;
        let within = peer.asked.back().is_some_and(|last| {
            let end = last.block.begin + last.block.len;
            !end.is_multiple_of(PART_LEN) && end < self.cfg.geometry.piece_size(last.block.piece)
        });
        let current = peer.current.filter(|at| {
            let is_same = |p: &Partial| Some(p.piece) == peer.last_piece && p.allows(slot);
            within && self.partials.get(*at).is_some_and(is_same)
        });
        if let Some(found) = current.and_then(|at| self.take_ahead(now, at, slot, pool)) {
            return Some(found);
        }
        let (at, block) = self.next_part(now, slot, pool)?;
        self.adopt(at, slot);
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.current = Some(at);
            peer.last_piece = Some(block.piece);
        }
        Some((at, block))
    }

    pub(super) fn take_ahead(
        &mut self,
        now: Instant,
        at: usize,
        slot: usize,
        pool: &BufferPool,
    ) -> Option<(usize, BlockRequest)> {
        let peer = self.peers.get_mut(slot)?;
        let partial = self.partials.get_mut(at)?;
        // Nothing without a buffer may come between the blocks of a part: they get theirs together.
        let last = peer.asked.back().filter(|last| last.block.piece == partial.piece);
        let last = last.map(|last| last.block.begin / PART_LEN);
        let all_bound = peer.ahead.is_none();
        let block = partial.take_ahead(now, slot, |part| all_bound || last == Some(part))?;
        if !partial.is_bound(block.begin / BLOCK_LEN) {
            peer.ahead.get_or_insert_with(|| pool.await_more());
        }
        self.block_taken(now);
        Some((at, block))
    }
}

/// A peer is asked ahead if it fills two parts (256 KiB) in a twentieth of a second.
const FAST: f64 = 5.0 * 1024.0 * 1024.0;

/// Blocks asked for ahead, all peers of a torrent together: 64 MiB.
const MOST_AHEAD: u32 = 64 * 1024 * 1024 / BLOCK_LEN;

/// Beyond this nothing is read at once: a read is at most the rest of a block, as many blocks as are expected at a time,
/// and 4 KiB, or 256 KiB.
const FORESEEN: usize = RUN_LEN as usize + 4 * BLOCK_LEN as usize;

/// How often it is looked whether there are buffers, apart from when some came back.
pub(super) const LOOK: Duration = Duration::from_secs(1);
