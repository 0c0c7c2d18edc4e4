//! Which blocks to ask of whom, and taking them in.
//!
//! A peer works on one piece at a time and keeps it to itself while it is fast enough: runs of blocks are good for
//! disks, and a bad piece has one sender. Every block asked for has its place in a buffer already, but for those that
//! fast peers are asked for [ahead](super::ahead); while the budget is used up, the other peers share the pieces that
//! have buffers, so the half-filled are always finished first.

use std::time::{Duration, Instant};

use super::{
    BLOCK_LEN, Message, PeerError, PieceIndex, Torrent, TorrentOutput,
    pace::LOOK_AGAIN,
    partial::{Partial, Take},
};
use crate::proto::{
    buffer::{BufferPool, PART_LEN},
    geometry::BlockRequest,
    peer::{Arriving, Asked},
    picker::{Order, PieceState},
};

impl Torrent {
    /// Whether peers or requests wait for buffers; then call [`fill`](Torrent::fill) after buffers came back to the pool.
    pub fn wants_buffers(&self) -> bool {
        self.hungry || !self.thirsty.is_empty()
    }

    /// Reads peers and sends requests that waited for buffers.
    pub fn fill(&mut self, now: Instant, pool: &mut BufferPool) {
        // What is under way comes before what is not asked for yet.
        self.quench(now, pool);
        if std::mem::take(&mut self.hungry) {
            self.news += 1;
            self.ask_all(now, pool);
        }
    }

    /// Asks everybody who has room for more requests. Nobody is always first.
    pub(super) fn ask_all(&mut self, now: Instant, pool: &mut BufferPool) {
        let mut slots: Vec<usize> =
            self.peers.iter().filter(|(_, peer)| peer.may_ask()).map(|(slot, _)| slot).collect();
        if !slots.is_empty() {
            let first = self.rng.usize(..slots.len());
            slots.rotate_left(first);
        }
        slots.into_iter().for_each(|slot| self.ask(now, slot, pool));
    }

    /// Asks a peer for as many blocks as its pipeline has room for.
    pub(super) fn ask(&mut self, now: Instant, slot: usize, pool: &mut BufferPool) {
        let share = self.share(pool).min(self.paced_share(slot));
        let ahead = self.ahead_share(now, slot, pool);
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.asked.is_empty() {
            peer.ahead = None;
        }
        let waits = peer.retry_at.is_some_and(|at| at > now) || peer.nothing_at == Some(self.news);
        if !peer.may_ask() || waits || self.disk_rests.is_some() {
            return;
        }
        let depth = peer.pipeline.depth().min(share.max(ahead));
        // In batches, so that the other side can read runs of blocks.
        let batch = (depth / 4).clamp(1, PART_LEN / BLOCK_LEN);
        // No more than its share.
        let open = peer.open(if depth < peer.pipeline.depth() { 0 } else { batch });
        if open > 0 && open + batch > depth {
            return;
        }
        if self.has_enough_open() {
            return self.wake_at(now + LOOK_AGAIN);
        }
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if open == 0 {
            peer.progress = now;
            if !peer.pipeline.is_snubbed() {
                peer.useful = now;
            }
        }
        for n in open..depth {
            let found = self.next_block(now, slot, (n < share, ahead > 0), pool);
            let Some((partial, block)) = found else { break };
            self.request(now, slot, partial, block);
        }
        let idle = self.peers.get(slot).is_some_and(|peer| peer.asked.is_empty());
        if idle && self.is_end_game() {
            self.duplicate(now, slot, pool);
        }
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.asked.len() < depth as usize {
            peer.nothing_at = Some(self.news);
        }
        if open == 0 && !peer.asked.is_empty() {
            let deadline = peer.deadline();
            self.wake_at(deadline);
        }
    }

    /// Blocks that one peer may have open, so that all get their part of the memory.
    fn share(&self, pool: &BufferPool) -> u32 {
        let blocks = pool.budget() / BLOCK_LEN as usize;
        // Room is left for those who come next, and for what is at the disk.
        let few = blocks * 3 / 4 / self.givers.max(1);
        (few.max(blocks / (self.givers + 1)) as u32).max(LEAST_SHARE)
    }

    /// Whether next to nothing is there yet.
    pub(super) fn is_new(&self) -> bool {
        self.have.count() < FIRST_PIECES
    }

    /// Whether every block that is still wanted was asked of somebody.
    pub(super) fn is_end_game(&self) -> bool {
        self.free_blocks == 0
            && self.picker.pickable() == 0
            && self.urgent_unstarted() == 0
            && self.picker.missing() > 0
    }

    pub(super) fn request(&mut self, now: Instant, slot: usize, partial: usize, block: BlockRequest) {
        self.send(now, slot, &Message::Request(block));
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.asked.push_back(Asked { block, partial: partial as u32, released: false, unsure: false });
        }
    }

    /// The next block to ask a peer for: with a buffer (`bound`), or `ahead` without.
    fn next_block(
        &mut self,
        now: Instant,
        slot: usize,
        (bound, ahead): (bool, bool),
        pool: &mut BufferPool,
    ) -> Option<(usize, BlockRequest)> {
        if self.urgent.is_some()
            && let Some(found) = self.urgent_block(now, slot, pool)
        {
            return Some(found);
        }
        if ahead && let Some(found) = self.ahead_block(now, slot, pool) {
            return Some(found);
        }
        let peer = self.peers.get(slot)?;
        if !bound || peer.ahead.is_some() {
            // What has a buffer must not wait behind what has none.
            return None;
        }
        if let Some(current) = peer.current
            && self.partials.get(current).is_some_and(|p| {
                Some(p.piece) == peer.last_piece
                    && p.allows(slot)
                    && (!peer.choking_us || peer.allowed_us.contains(&p.piece))
            })
            && let Some(found) = self.take_from(now, slot, current, pool)
        {
            return Some(found);
        }
        let found = self.choose(now, slot, pool)?;
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.current = Some(found.0);
            peer.last_piece = Some(found.1.piece);
        }
        Some(found)
    }

    pub(super) fn take_from(
        &mut self,
        now: Instant,
        slot: usize,
        partial: usize,
        pool: &mut BufferPool,
    ) -> Option<(usize, BlockRequest)> {
        match self.partials.get_mut(partial)?.take_free(now, slot, pool) {
            Take::Block(block) => {
                self.block_taken(now);
                Some((partial, block))
            }
            Take::NoneFree => None,
            Take::NoMemory => {
                self.go_hungry(now);
                None
            }
        }
    }

    /// A block that was free is about to be asked for.
    pub(super) fn block_taken(&mut self, now: Instant) {
        self.free_blocks -= 1;
        if self.is_end_game() {
            // Those without work may join in from now on.
            self.news += 1;
            self.wake_at(now);
        }
    }

    pub(super) fn go_hungry(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.hungry, true) {
            self.wake_at(now + RECLAIM);
        }
    }

    fn choose(&mut self, now: Instant, slot: usize, pool: &mut BufferPool) -> Option<(usize, BlockRequest)> {
        let peer = self.peers.get(slot)?;
        let (has, rate, last) = (peer.has.clone(), peer.down.at(now), peer.last_piece);
        let allowed = peer.choking_us.then(|| peer.allowed_us.clone());
        let parole = self.sources.on_parole(peer.source);
        let fits = |piece: PieceIndex| {
            has.get(piece) && allowed.as_ref().is_none_or(|allowed| allowed.contains(&piece))
        };
        // What is urgent was looked at before, and is left to those who are in time.
        let usable = |p: &Partial| p.free() > 0 && fits(p.piece) && p.allows(slot) && !p.urgent;
        if !parole && self.free_blocks > 0 {
            // What nobody works on, and what its owner would take too long for; nearly complete pieces first.
            let early = self.is_new();
            let joins = |p: &Partial| usable(p) && (early || self.wants_help(now, p, rate));
            let mut found: Vec<(u32, usize)> =
                self.partials.iter().filter(|(_, p)| joins(p)).map(|(at, p)| (p.left(), at)).collect();
            found.sort_unstable();
            for (_, at) in found {
                if let Some(block) = self.take_from(now, slot, at, pool) {
                    self.adopt(at, slot);
                    return Some(block);
                }
            }
        }
        if self.picker.pickable() > 0 {
            if !pool.has_room(self.cfg.geometry.piece_len().min(PART_LEN) as usize) {
                self.go_hungry(now);
            } else if let Some(at) = self.start_piece(now, slot, parole, &has, last, fits) {
                return self.take_from(now, slot, at, pool);
            }
        }
        if self.free_blocks == 0 {
            return None;
        }
        // Anything at all. One who is on parole only takes what nobody else works on.
        let anything = |p: &Partial| usable(p) && (!parole || p.owner.is_none());
        let found: Vec<usize> = self.partials.iter().filter(|(_, p)| anything(p)).map(|(at, _)| at).collect();
        for at in found {
            if let Some(block) = self.take_from(now, slot, at, pool) {
                self.adopt(at, slot);
                return Some(block);
            }
        }
        None
    }

    /// Begins a piece that the peer has; it belongs to the peer.
    pub(super) fn start_piece(
        &mut self,
        now: Instant,
        slot: usize,
        parole: bool,
        has: &super::Bitfield,
        last: Option<PieceIndex>,
        fits: impl Fn(PieceIndex) -> bool,
    ) -> Option<usize> {
        let wanted = |piece: &PieceIndex| {
            fits(*piece) && self.picker.state(*piece) == PieceState::Wanted && self.picker.is_wanted(*piece)
        };
        let again = self.retry.iter().position(wanted);
        let piece = if let Some(at) = again {
            self.retry.swap_remove(at)
        } else if self.peers.get(slot)?.choking_us {
            self.peers.get(slot)?.allowed_us.iter().copied().find(wanted)?
        } else {
            let order = match self.have.count() {
                _ if self.cfg.sequential => Order::Sequential,
                0..FIRST_PIECES => Order::Random,
                _ => Order::RarestAfter(last),
            };
            self.picker.pick(has, order)?
        };
        let fetch = self.next_fetch(piece);
        let mut partial = Partial::new(now, &self.cfg.geometry, fetch);
        partial.owner = Some(slot);
        partial.exclusive = parole || again.is_some();
        Some(self.insert_partial(partial))
    }

    /// A piece is being fetched from now on; answers its place.
    pub(super) fn insert_partial(&mut self, partial: Partial) -> usize {
        let piece = partial.piece;
        self.free_blocks += partial.free();
        self.picker.set_state(piece, PieceState::Active);
        let at = self.partials.insert(partial);
        self.by_piece.insert(piece, at);
        at
    }

    /// Whether a piece has no owner, or one that needs too long compared with a peer of this rate.
    fn wants_help(&self, now: Instant, partial: &Partial, rate: f64) -> bool {
        let Some(owner) = partial.owner.and_then(|owner| self.peers.get(owner)) else { return true };
        let known = now.saturating_duration_since(owner.since) >= KNOWN_AFTER;
        let theirs = owner.down.at(now);
        known && theirs < rate && theirs * WHOLE_PIECE.as_secs_f64() < f64::from(partial.left())
    }

    pub(super) fn adopt(&mut self, partial: usize, slot: usize) {
        if let Some(partial) = self.partials.get_mut(partial) {
            partial.owner.get_or_insert(slot);
        }
    }

    /// End game: asks an idle peer for blocks that another was asked for and will be the last to deliver.
    fn duplicate(&mut self, now: Instant, slot: usize, pool: &mut BufferPool) {
        let Some(peer) = self.peers.get(slot) else { return };
        let (has, parole) = (peer.has.clone(), self.sources.on_parole(peer.source));
        if peer.choking_us || parole {
            return;
        }
        // Peers that never sent anything must not use up the chances of one that does.
        let most = if peer.down.total() > 0 { MOST_ASKED } else { 2 };
        let free = |asked: &Asked| {
            self.partials.get(asked.partial as usize).is_some_and(|p| {
                p.piece == asked.block.piece
                    && has.get(p.piece)
                    && p.allows(slot)
                    && !p.is_received(asked.number())
                    && p.requests(asked.number()) < most
            })
        };
        let wait = |asked: usize, rate: f64| asked as f64 / (rate + 1.0);
        let others = self.peers.iter().filter(|(other, _)| *other != slot);
        let slowest = others.filter(|(_, other)| other.asked.iter().any(free)).max_by(|(_, a), (_, b)| {
            wait(a.asked.len(), a.down.at(now)).total_cmp(&wait(b.asked.len(), b.down.at(now)))
        });
        let Some((_, slowest)) = slowest else { return };
        let blocks: Vec<Asked> =
            slowest.asked.iter().rev().filter(|asked| free(asked)).take(DUPLICATES).copied().collect();
        for asked in blocks {
            if let Some(partial) = self.partials.get_mut(asked.partial as usize)
                && partial.share(asked.number(), pool)
            {
                partial.ask(asked.number());
                self.request(now, slot, asked.partial as usize, asked.block);
            }
        }
    }

    /// A block begins to arrive.
    pub(super) fn block_start(
        &mut self,
        now: Instant,
        slot: usize,
        block: BlockRequest,
        pool: &mut BufferPool,
    ) -> Result<(), PeerError> {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        // Peers answer in order, nearly always.
        let asked =
            peer.asked.iter().position(|asked| asked.block == block).and_then(|at| peer.asked.remove(at));
        if asked.is_some_and(|asked| !asked.unsure) {
            self.give_up_unsure(now, slot);
        }
        let at = match asked {
            Some(asked) => asked.partial as usize,
            None => {
                self.unasked(now, slot)?;
                self.by_piece.get(&block.piece).copied().unwrap_or(usize::MAX)
            }
        };
        let mut arriving = Arriving { partial: at, block, offset: 0, keep: false, counted: false };
        let number = block.begin / BLOCK_LEN;
        let partial =
            self.partials.get_mut(at).filter(|p| p.piece == block.piece && p.block(number) == block);
        let (mut bound_now, mut dropped) = (false, false);
        if let Some(partial) = partial {
            arriving.counted = asked.is_some_and(|asked| !asked.released);
            if asked.is_some() && !partial.is_received(number) && !partial.is_bound(number) {
                // Not what came next by the order of the requests.
                dropped = !partial.bind(number, slot, |len| pool.take_out_of_turn(len));
                bound_now = partial.is_bound(number);
            }
            arriving.keep = (asked.is_some() || partial.allows(slot)) && partial.begin(number, slot);
        }
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.arriving = Some(arriving);
            peer.disorderly |= dropped;
        }
        if bound_now {
            self.expect_bound(slot);
        }
        Ok(())
    }

    /// Bytes of the block that is arriving; without `data` they are in place already.
    pub(super) fn block_came(
        &mut self,
        now: Instant,
        slot: usize,
        len: u32,
        data: Option<&[u8]>,
        last: bool,
    ) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.down.add(now, len.into());
        self.down.add(now, len.into());
        let Some(arriving) = &mut peer.arriving else { return };
        let (at, number, offset) = (arriving.partial, arriving.block.begin / BLOCK_LEN, arriving.offset);
        let partial = self.partials.get_mut(at).filter(|p| p.piece == arriving.block.piece);
        arriving.keep = arriving.keep
            && partial.is_some_and(|p| match data {
                Some(data) => p.write(number, slot, offset, data),
                None => p.is_landing(number, slot),
            });
        arriving.offset += len;
        if !last {
            return;
        }
        let done = *arriving;
        peer.arriving = None;
        (peer.progress, peer.useful) = (now, now);
        peer.rejects = 0;
        let rate = peer.down.at(now);
        peer.pipeline.received(now, rate);
        let source = peer.source;
        if !done.keep {
            self.waste.unwanted += u64::from(done.block.len);
            self.end_arrival(slot, &done);
            return;
        }
        let Some(partial) = self.partials.get_mut(at) else { return };
        let before = partial.free();
        let finished = partial.received(now, number, source);
        if done.counted {
            partial.release(number);
        }
        self.free_blocks -= before - partial.free();
        let others = partial.requests(number) > 0;
        if partial.is_checking() {
            (partial.owner, partial.exclusive) = (None, false);
        }
        if let Some(part) = finished {
            let (fetch, offset, data, last) = (partial.fetch(), part.offset, part.data, part.last);
            self.outputs.push_back(TorrentOutput::Write { fetch, offset, data, last });
        }
        if others {
            self.cancel_elsewhere(now, &done.block);
        }
    }

    /// A block was had from somebody: the others need not send it.
    fn cancel_elsewhere(&mut self, now: Instant, block: &BlockRequest) {
        let slots: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            let Some(at) = peer.asked.iter().position(|asked| asked.block == *block) else { continue };
            let Some(asked) = peer.asked.remove(at) else { continue };
            peer.late += 1;
            self.release_asked(slot, &asked);
            self.send(now, slot, &Message::Cancel(*block));
            // Without requests left it has room for other work.
            self.wake_at(now);
        }
    }

    /// Something came that was not asked for, or not any more.
    pub(super) fn unasked(&mut self, now: Instant, slot: usize) -> Result<(), PeerError> {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        if peer.late > 0 {
            peer.late -= 1;
        } else if !peer.floods.unsolicited.take(now) {
            return Err(PeerError::Unsolicited);
        }
        Ok(())
    }

    /// A request will not be answered: others may be asked.
    pub(super) fn release_asked(&mut self, slot: usize, asked: &Asked) {
        if asked.released {
            return;
        }
        let end = Arriving {
            partial: asked.partial as usize,
            block: asked.block,
            offset: 0,
            keep: false,
            counted: true,
        };
        self.end_arrival(slot, &end);
    }

    fn end_arrival(&mut self, slot: usize, arriving: &Arriving) {
        let number = arriving.block.begin / BLOCK_LEN;
        let Some(partial) = self.partials.get_mut(arriving.partial) else { return };
        if partial.piece != arriving.block.piece {
            return;
        }
        let before = partial.free();
        if arriving.keep {
            partial.abandon(number, slot);
        }
        if arriving.counted {
            partial.release(number);
        }
        if partial.free() > before {
            self.free_blocks += partial.free() - before;
            self.news += 1;
            self.urgent_again(arriving.block.piece);
        }
    }

    /// Gives everything that a peer was asked for to others; what still comes of it is welcome if it is not late.
    pub(super) fn release_all(&mut self, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let asked = std::mem::take(&mut peer.asked);
        peer.late = peer.late.saturating_add(asked.len() as u32);
        asked.iter().for_each(|asked| self.release_asked(slot, asked));
        self.abandon_arrival(slot);
    }

    /// A peer is late: others may be asked for the same blocks, and what it still sends is welcome. If it was late
    /// before, its requests are taken back: it may have lost them, and is asked for one block again.
    pub(super) fn release_late(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.progress = now;
        if peer.pipeline.is_snubbed() {
            let lost: Vec<BlockRequest> = peer.asked.iter().map(|asked| asked.block).collect();
            peer.nothing_at = None;
            self.release_all(slot);
            lost.into_iter().for_each(|block| self.send(now, slot, &Message::Cancel(block)));
            return;
        }
        peer.pipeline.snub();
        let mut asked = std::mem::take(&mut peer.asked);
        for asked in &mut asked {
            self.release_asked(slot, asked);
            asked.released = true;
        }
        self.abandon_arrival(slot);
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.asked = asked;
        }
        self.leave_partials(slot);
    }

    fn abandon_arrival(&mut self, slot: usize) {
        let Some(arriving) = self.peers.get_mut(slot).and_then(|peer| peer.arriving.as_mut()) else { return };
        let copy = *arriving;
        (arriving.keep, arriving.counted) = (false, false);
        self.end_arrival(slot, &copy);
    }

    /// What a peer worked on is open to all.
    pub(super) fn leave_partials(&mut self, slot: usize) {
        for (_, partial) in &mut self.partials {
            if partial.owner == Some(slot) {
                (partial.owner, partial.exclusive) = (None, false);
            }
        }
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.current = None;
        }
        self.news += 1;
    }

    /// Counts those who send to us.
    pub(super) fn count_givers(&mut self) {
        self.givers = self.peers.iter().filter(|(_, peer)| peer.interesting && !peer.choking_us).count();
    }

    /// Gives back buffers that wait for blocks that nobody was asked for, while others need memory.
    pub(super) fn reclaim(&mut self, now: Instant, pool: &mut BufferPool) {
        let mut free_again = Vec::new();
        for (_, partial) in &mut self.partials {
            if now.saturating_duration_since(partial.touched) >= RECLAIM {
                let before = partial.free();
                self.waste.given_up += partial.give_up_idle_parts(pool);
                self.free_blocks += partial.free() - before;
                free_again.extend((partial.free() > before).then_some(partial.piece));
            }
        }
        free_again.into_iter().for_each(|piece| self.urgent_again(piece));
    }
}

/// Until so many pieces are there, pieces are picked at random and all peers finish them together.
const FIRST_PIECES: u32 = 4;

/// A peer keeps a piece to itself if it needs less than this for it; libtorrent's threshold.
const WHOLE_PIECE: Duration = Duration::from_secs(20);

/// Before this time a connection's rate says nothing.
const KNOWN_AFTER: Duration = Duration::from_secs(5);

/// Each peer may have this many blocks open however many peers there are.
const LEAST_SHARE: u32 = 2;

/// End game: most peers asked for one block, and blocks that an idle peer is asked for at a time.
const MOST_ASKED: u8 = 4;
const DUPLICATES: usize = 8;

/// A part that waits for nobody gives up its buffer after this time if memory is short.
pub(super) const RECLAIM: Duration = Duration::from_secs(5);
