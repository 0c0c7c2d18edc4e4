//! Limits of rates, connections and upload slots, shared among torrents.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use super::event::TorrentId;
use super::slot::Slot;
use super::timers::Timer;
use super::{Engine, index_of};
use crate::proto::limit::{Limiter, Limits};

/// The engine has no torrent of this number.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no torrent {0}")]
pub struct UnknownTorrent(pub TorrentId);

/// How many connections and upload slots there may be; see [`Settings`](super::Settings) for each.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Most connections in all. 0: none. More than the descriptors of the process allow is as many as they do.
    pub max_connections: usize,
    /// Most connections of one torrent. 0: none.
    pub max_peers_per_torrent: usize,
    /// Most peers served at a time in all. 0: nobody is served. `None`: no limit.
    pub upload_slots: Option<usize>,
    /// Peers of one torrent that are served at a time. 0: nobody. `None`: follows what the line carries.
    pub upload_slots_per_torrent: Option<usize>,
}

impl ConnectionLimits {
    /// Upload slots of a torrent by itself. Where nobody is to be served, there are no gifts of single pieces either.
    pub(super) fn slots_of_a_torrent(&self) -> Option<usize> {
        if self.upload_slots == Some(0) { Some(0) } else { self.upload_slots_per_torrent }
    }
}

/// What is transferred under limits, and who has how many upload slots.
#[derive(Default)]
pub(super) struct Throttle {
    pub(super) down: Limiter,
    pub(super) up: Limiter,
    /// When the timers look again.
    deal_at: Option<Instant>,
    /// Torrents with peers that want something, each with the slots that it would fill.
    demands: BTreeMap<usize, usize>,
    /// The slots were shared under other demands.
    stale: bool,
    /// When they were shared, how often they went round, and when last.
    shared_at: Option<Instant>,
    round: usize,
    rotated_at: Option<Instant>,
    /// When the timers look again.
    share_at: Option<Instant>,
}

impl Engine {
    /// Limits what a torrent may transfer, or with `None` all of them together, from now on. A limit may be any number:
    /// the lowest still makes progress, and one that no machine reaches is none.
    ///
    /// # Errors
    ///
    /// There is no torrent of this number.
    pub fn set_limits(&mut self, torrent: Option<TorrentId>, limits: Limits) -> Result<(), UnknownTorrent> {
        let now = Instant::now();
        match torrent {
            None => {
                (self.settings.down_limit, self.settings.up_limit) = (limits.down, limits.up);
                self.throttle.down.set_total(now, limits.down);
                self.throttle.up.set_total(now, limits.up);
                for t in self.by_id.values().copied().collect::<Vec<_>>() {
                    self.tell_limits(now, t);
                }
            }
            Some(id) => {
                let t = *self.by_id.get(&id).ok_or(UnknownTorrent(id))?;
                let slot = &mut self.torrents[t];
                (slot.settings.down_limit, slot.settings.up_limit) = (limits.down, limits.up);
                self.throttle.down.set_lane(now, t, limits.down);
                self.throttle.up.set_lane(now, t, limits.up);
                self.tell_limits(now, t);
                self.remember(id);
            }
        }
        self.deal(now);
        self.schedule_deal(now);
        Ok(())
    }

    /// The limits of a torrent, or with `None` those of all of them together. `None` if there is no such torrent.
    pub fn limits(&self, torrent: Option<TorrentId>) -> Option<Limits> {
        Some(match torrent {
            None => Limits { down: self.settings.down_limit, up: self.settings.up_limit },
            Some(id) => self.torrents[*self.by_id.get(&id)?].limits(),
        })
    }

    /// Changes how many connections and upload slots there may be, from now on. What is too much is cut, what is of
    /// least use first.
    pub fn set_connection_limits(&mut self, limits: ConnectionLimits) {
        let now = Instant::now();
        let before = self.connection_limits();
        self.settings.max_connections = self.settings.possible(limits.max_connections);
        self.settings.max_peers_per_torrent = limits.max_peers_per_torrent;
        self.settings.upload_slots = limits.upload_slots;
        self.settings.upload_slots_per_torrent = limits.upload_slots_per_torrent;
        for t in self.by_id.values().copied().collect::<Vec<_>>() {
            let Some(swarm) = &mut self.torrents[t].swarm else { continue };
            if limits.max_peers_per_torrent != before.max_peers_per_torrent {
                swarm.set_max_peers(now, limits.max_peers_per_torrent);
            }
            if limits.slots_of_a_torrent() != before.slots_of_a_torrent() {
                swarm.set_upload_slots(now, limits.slots_of_a_torrent());
            }
            if limits.upload_slots.is_none() {
                swarm.set_slot_cap(now, None);
            }
            self.pump(now, t);
            self.touch(t);
        }
        self.throttle.demands.clear();
        for (t, slot) in &self.torrents {
            let demand = slot.swarm.as_ref().map_or(0, |swarm| swarm.slot_demand());
            if demand > 0 && limits.upload_slots.is_some() {
                self.throttle.demands.insert(t, demand);
            }
        }
        self.share_slots(now);
        self.shed(now);
    }

    /// How many connections and upload slots there may be.
    pub fn connection_limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            max_connections: self.settings.max_connections,
            max_peers_per_torrent: self.settings.max_peers_per_torrent,
            upload_slots: self.settings.upload_slots,
            upload_slots_per_torrent: self.settings.upload_slots_per_torrent,
        }
    }

    /// A torrent was added: its own limits count from the start.
    pub(super) fn begin_limits(&mut self, now: Instant, t: usize) {
        let limits = self.torrents[t].limits();
        if limits != Limits::NONE {
            self.throttle.down.set_lane(now, t, limits.down);
            self.throttle.up.set_lane(now, t, limits.up);
        }
    }

    /// A torrent is gone, and its place may be used by another.
    pub(super) fn forget_limits(&mut self, t: usize) {
        self.throttle.down.remove_lane(t);
        self.throttle.up.remove_lane(t);
        self.throttle.stale |= self.throttle.demands.remove(&t).is_some();
    }

    /// Tells the swarm of a torrent what it may transfer.
    pub(super) fn tell_limits(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        let own = slot.limits();
        let lower = |a: Option<NonZeroU64>, b: Option<NonZeroU64>| a.into_iter().chain(b).min();
        let down = lower(own.down, self.settings.down_limit).filter(|_| self.throttle.down.meters(t));
        let up = lower(own.up, self.settings.up_limit).filter(|_| self.throttle.up.meters(t));
        if let Some(swarm) = &mut slot.swarm {
            swarm.set_limits(now, Limits { down, up });
            self.pump(now, t);
            self.touch(t);
        }
    }

    /// A torrent has a swarm from now on.
    pub(super) fn start_limits(&mut self, now: Instant, t: usize) {
        if self.throttle.down.meters(t) || self.throttle.up.meters(t) {
            self.tell_limits(now, t);
        }
        if self.settings.upload_slots.is_some() {
            // Until it gets its share.
            self.set_cap(now, t, 0);
        }
    }

    /// How much of a limited connection may be read now; `None` if it has to wait for its turn.
    pub(super) fn leave_to_read(&mut self, now: Instant, index: usize, t: usize) -> Option<usize> {
        let link = self.links.get_mut(index)?;
        let leave = std::mem::take(&mut link.leave);
        if leave > 0 {
            // What is really read is counted when that is known.
            self.throttle.down.give_back(t, leave);
            return Some(leave as usize);
        }
        self.hold_if_more(now, index, t);
        self.links.get(index).filter(|link| !link.held).map(|_| usize::MAX)
    }

    /// Lets a connection wait for its turn if there is more to be read, and if it is blocks that come.
    pub(super) fn hold_if_more(&mut self, now: Instant, index: usize, t: usize) {
        let Some(swarm) = self.torrents.get_mut(t).and_then(|slot| slot.swarm.as_mut()) else { return };
        let Some(link) = self.links.get_mut(index) else { return };
        if link.readable && link.is_up() && !link.paused && !link.held && swarm.expects_blocks(link.key) {
            link.held = true;
            self.throttle.down.ask(t, link.key);
            swarm.hold(now, link.key, self.throttle.down.pace(t));
        }
    }

    /// Hands out what the limits allow by now.
    pub(super) fn deal(&mut self, now: Instant) {
        for _ in 0..GRANTS_PER_TURN {
            let Some(grant) = self.throttle.down.next(now) else { break };
            let swarm = self.torrents.get_mut(grant.lane).and_then(|slot| slot.swarm.as_mut());
            let link = self.links.get_mut(index_of(grant.key)).filter(|link| link.key == grant.key);
            match (swarm, link) {
                (Some(swarm), Some(link)) => {
                    (link.held, link.leave) = (false, grant.bytes);
                    swarm.let_go(now, grant.key);
                    self.enqueue(index_of(grant.key));
                }
                _ => self.throttle.down.give_back(grant.lane, grant.bytes),
            }
        }
        for _ in 0..GRANTS_PER_TURN {
            let Some(grant) = self.throttle.up.next(now) else { break };
            self.throttle.up.give_back(grant.lane, grant.bytes);
            let Some(swarm) = self.torrents.get_mut(grant.lane).and_then(|slot| slot.swarm.as_mut()) else {
                continue;
            };
            let sent = swarm.send_some(now, grant.key, grant.bytes);
            // A whole block even where the limit is less: it is paid for before the next one.
            self.throttle.up.spend(grant.lane, sent);
            self.pump(now, grant.lane);
            self.touch(grant.lane);
        }
    }

    /// Sees to it that the loop turns when the limits allow more.
    pub(super) fn schedule_deal(&mut self, now: Instant) {
        let due = [&self.throttle.down, &self.throttle.up].into_iter().filter_map(|l| l.deadline(now)).min();
        if let Some(due) = due
            && self.throttle.deal_at.is_none_or(|at| due < at)
        {
            self.throttle.deal_at = Some(due);
            self.timers.add(due, Timer::Limits);
        }
    }

    /// The timer of the limits.
    pub(super) fn limits_due(&mut self, now: Instant, at: Instant) {
        if self.throttle.deal_at == Some(at) {
            self.throttle.deal_at = None;
        }
        self.deal(now);
    }

    /// Notes whether the peers of a torrent want more or fewer slots than before.
    pub(super) fn note_demand(&mut self, now: Instant, t: usize) {
        if self.settings.upload_slots.is_none() {
            return;
        }
        let swarm = self.torrents.get(t).and_then(|slot| slot.swarm.as_ref());
        let demand = swarm.map_or(0, |swarm| swarm.slot_demand());
        if demand == self.throttle.demands.get(&t).copied().unwrap_or(0) {
            return;
        }
        if demand == 0 {
            self.throttle.demands.remove(&t);
            self.set_cap(now, t, 0);
        } else {
            self.throttle.demands.insert(t, demand);
        }
        self.throttle.stale = true;
    }

    /// Shares the slots if the demands have changed, but not again and again within a moment.
    pub(super) fn share_slots_if_stale(&mut self, now: Instant) {
        if !self.throttle.stale {
            return;
        }
        match self.throttle.shared_at.map(|at| at + SHARE_PAUSE).filter(|at| *at > now) {
            None => self.share_slots(now),
            Some(at) => self.share_again_at(at),
        }
    }

    /// The timer of the slots.
    pub(super) fn slots_due(&mut self, now: Instant, at: Instant) {
        if self.throttle.share_at == Some(at) {
            self.throttle.share_at = None;
            self.share_slots(now);
        }
    }

    fn share_again_at(&mut self, at: Instant) {
        if self.throttle.share_at.is_none_or(|planned| at < planned) {
            self.throttle.share_at = Some(at);
            self.timers.add(at, Timer::Slots);
        }
    }

    fn share_slots(&mut self, now: Instant) {
        let Some(total) = self.settings.upload_slots else { return };
        self.throttle.stale = false;
        self.throttle.shared_at = Some(now);
        let rotated = *self.throttle.rotated_at.get_or_insert(now);
        if now.saturating_duration_since(rotated) >= SHARE_ROUND {
            self.throttle.round = self.throttle.round.wrapping_add(1);
            self.throttle.rotated_at = Some(now);
        }
        let demands: Vec<(usize, usize)> = self.throttle.demands.iter().map(|(t, d)| (*t, *d)).collect();
        let shares = share(total, &demands, self.throttle.round);
        // First those who give up slots, so that there are never more than allowed.
        for (t, slots) in &shares {
            let served = self.torrents.get(*t).map_or(0, |slot| slot.slot_cap);
            if *slots < served {
                self.set_cap(now, *t, *slots);
            }
        }
        shares.iter().for_each(|(t, slots)| self.set_cap(now, *t, *slots));
        let wanted: usize = demands.iter().map(|(_, demand)| *demand).fold(0, usize::saturating_add);
        if wanted > total && total > 0 {
            self.share_again_at(now + SHARE_ROUND);
        }
    }

    fn set_cap(&mut self, now: Instant, t: usize, slots: usize) {
        if let Some(slot) = self.torrents.get_mut(t)
            && let Some(swarm) = &mut slot.swarm
        {
            slot.slot_cap = slots;
            swarm.set_slot_cap(now, Some(slots));
            self.pump(now, t);
        }
    }
}

impl Slot {
    /// The torrent's own limits.
    pub(super) fn limits(&self) -> Limits {
        Limits { down: self.settings.down_limit, up: self.settings.up_limit }
    }
}

/// Shares `total` slots among torrents by name and demand, as evenly as the demands allow. What cannot be divided, and
/// slots that are fewer than torrents, go to others in each `round`.
fn share(total: usize, demands: &[(usize, usize)], round: usize) -> Vec<(usize, usize)> {
    let mut shares: Vec<(usize, usize)> = demands.iter().map(|(name, _)| (*name, 0)).collect();
    let mut open: Vec<usize> = (0..demands.len()).collect();
    let mut left = total;
    while left >= open.len() && !open.is_empty() {
        let each = left / open.len();
        for &i in &open {
            let more = each.min(demands[i].1 - shares[i].1);
            shares[i].1 += more;
            left -= more;
        }
        open.retain(|i| shares[*i].1 < demands[*i].1);
    }
    if !open.is_empty() {
        let first = (round % open.len()).wrapping_mul(left.max(1)) % open.len();
        open.rotate_left(first);
        open.iter().take(left).for_each(|i| shares[*i].1 += 1);
    }
    shares
}

/// Turns given in one turn of the loop, in each direction.
const GRANTS_PER_TURN: usize = 256;

/// Slots are not shared anew within this time.
const SHARE_PAUSE: Duration = Duration::from_secs(1);

/// While there are too few slots for all, they go round among the torrents after this time.
const SHARE_ROUND: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(total: usize, demands: &[usize], round: usize) -> Vec<usize> {
        let named: Vec<_> = demands.iter().copied().enumerate().collect();
        share(total, &named, round).into_iter().map(|(_, slots)| slots).collect()
    }

    #[test]
    fn slots_are_shared_evenly_and_what_one_cannot_use_goes_to_others() {
        assert_eq!(slots(10, &[100, 100], 0), [5, 5]);
        assert_eq!(slots(10, &[1, 100, 100], 0).iter().sum::<usize>(), 10);
        assert_eq!(slots(10, &[1, 4, 100], 0), [1, 4, 5]);
        assert_eq!(slots(10, &[3, 3], 0), [3, 3]);
        assert_eq!(slots(0, &[3, 3], 5), [0, 0]);
        assert_eq!(slots(usize::MAX, &[usize::MAX, 3], 0)[1], 3);
        assert!(slots(5, &[], 1).is_empty());
    }

    #[test]
    fn every_torrent_gets_a_slot_in_its_turn() {
        for (total, torrents) in [(3, 10), (1, 2), (4, 6), (5, 5), (7, 100)] {
            let mut had = vec![0; torrents];
            for round in 0..torrents {
                let given = slots(total, &vec![5; torrents], round);
                assert_eq!(given.iter().sum::<usize>(), total);
                given.iter().zip(&mut had).for_each(|(given, had)| *had += given);
            }
            assert!(had.iter().all(|had| *had > 0), "{total} among {torrents}: {had:?}");
        }
    }
}
