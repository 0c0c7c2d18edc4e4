//! What happens because time passes.

use std::time::{Duration, Instant};

use super::{Message, Torrent, ahead::LOOK, requests::RECLAIM};
use crate::proto::buffer::BufferPool;

impl Torrent {
    /// When [`tick`](Torrent::tick) or [`next_connect`](Torrent::next_connect) has to be called next; `None` for a
    /// torrent that waits for others only.
    pub fn deadline(&self) -> Option<Instant> {
        let dial = if self.wants_to_dial() { self.candidates.deadline() } else { None };
        self.wake.into_iter().chain(dial).min()
    }

    /// Does what is due at `now`: costs nothing if that is nothing, else as much as there are connections.
    pub fn tick(&mut self, now: Instant, pool: &mut BufferPool) {
        if self.wake.is_none_or(|at| at > now) {
            return;
        }
        self.wake = None;
        let slots: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in &slots {
            self.tick_peer(now, *slot);
        }
        if self.next_round.is_some_and(|at| at <= now) {
            self.next_round = self.choke_round(now);
        }
        if self.disk_rests.is_some_and(|until| until <= now) {
            self.retry_disk(now);
        }
        if pool.is_short() || self.wants_buffers() {
            self.reclaim(now, pool);
            self.hungry = false;
            self.news += 1;
        }
        self.quench(now, pool);
        if self.urgent.is_some() {
            self.look_after_urgent(now, pool);
        }
        if self.is_end_game() {
            // Blocks change hands until all have come.
            self.news += 1;
        }
        let untold = self.tell_if_due(now);
        // What became due by the above is done by this; it may itself find that the end game begins.
        self.wake = None;
        self.ask_all(now, pool);
        let deadlines = self.peers.iter().map(|(_, peer)| peer.deadline()).min();
        let reclaim = self.hungry.then(|| now + RECLAIM);
        // Without peers nothing else would make it look whether others need its memory.
        let holds = (pool.is_short() || self.peers.is_empty())
            && self.partials.iter().any(|(_, partial)| partial.buffered() > 0);
        let share = holds.then(|| now + RECLAIM);
        let end_game = (self.is_end_game() && self.givers > 0).then(|| now + END_GAME);
        let urgent = self.urgent_look();
        let thirst = (!self.thirsty.is_empty()).then(|| now + LOOK);
        let all = [
            self.wake,
            deadlines,
            self.next_round,
            self.disk_rests,
            reclaim,
            share,
            end_game,
            urgent,
            thirst,
            untold,
        ];
        self.wake = all.into_iter().flatten().min();
    }

    fn tick_peer(&mut self, now: Instant, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if let Some(why) = peer.overdue(now) {
            return self.disconnect(now, slot, why);
        }
        if peer.retry_at.is_some_and(|at| at <= now) {
            peer.retry_at = None;
            peer.nothing_at = None;
        }
        let (late, keep_alive) = (peer.is_late(now), peer.wants_keep_alive(now));
        if late && !self.give_up_unsure(now, slot) {
            self.release_late(now, slot);
        }
        if keep_alive {
            self.send(now, slot, &Message::KeepAlive);
        }
    }
}

/// A connection of no use to either side may make room for another after this time.
pub(super) const REPLACEABLE: Duration = Duration::from_secs(60);

/// How often idle peers look for blocks of others near the end.
const END_GAME: Duration = Duration::from_secs(1);
