//! Who stays when there are as many connections as there may be.
//!
//! A newcomer then takes the place of a connection that neither side has had a use for, or of the least useful one of
//! the torrent with the most, if its own has fewer. So each torrent that wants connections comes to its fair share, and
//! nobody is pushed out for nothing: places only move towards those who have fewer.

use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use super::{Engine, index_of};
use crate::proto::torrent::PeerKey;

/// What is known of the connections while all places are taken; looked up at most once a second.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    looked: Option<Instant>,
    /// Connections that neither side has a use for.
    idle: Vec<PeerKey>,
    /// The torrent with the most connections, and how many it has.
    largest: Option<(usize, usize)>,
    /// How many the torrent with the fewest has.
    fewest: usize,
}

impl Engine {
    /// Whether there may be one more connection: there is room, or one for the torrent `t` would be worth more than one
    /// that is there. Without `t` it is for any torrent; which one is known after its handshake.
    pub(super) fn may_add(&mut self, now: Instant, t: Option<usize>) -> bool {
        let most = self.settings.max_connections;
        if self.links.len() < most {
            return true;
        }
        if most == 0 || self.links.len() >= most.saturating_add(NEWCOMERS) {
            return false;
        }
        if self.crowd.looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK) {
            self.look_at_crowd(now);
        }
        let has = match t {
            Some(t) => self.torrents.get(t).map_or(0, |slot| slot.links.len()),
            None => self.crowd.fewest,
        };
        !self.crowd.idle.is_empty() || self.crowd.largest.is_some_and(|(_, most)| most > has + 1)
    }

    /// A newcomer of the torrent `t` is up: ends another connection if there are too many now. False if none is worth
    /// less than the newcomer.
    pub(super) fn make_room(&mut self, now: Instant, t: usize, newcomer: PeerKey) -> bool {
        if self.links.len() <= self.settings.max_connections {
            return true;
        }
        while let Some(key) = self.crowd.idle.pop() {
            if key != newcomer && self.replace(now, key, |swarm, key| swarm.is_idle(now, key)) {
                return true;
            }
        }
        let has = self.torrents.get(t).map_or(0, |slot| slot.links.len());
        let Some((largest, _)) = self.crowd.largest else { return false };
        let Some(slot) = self.torrents.get(largest) else { return false };
        // The newcomer is counted already.
        if largest == t || slot.links.len() <= has {
            return false;
        }
        let victim = slot.swarm.as_ref().and_then(|swarm| swarm.least_useful(now));
        self.crowd.largest = Some((largest, slot.links.len() - 1));
        victim.is_some_and(|key| self.replace(now, key, |_, _| true))
    }

    /// Ends connections until there are no more than allowed, those of the torrents with the most first.
    pub(super) fn shed(&mut self, now: Instant) {
        let surplus = |engine: &Engine| engine.links.len().saturating_sub(engine.settings.max_connections);
        if surplus(self) == 0 {
            return;
        }
        let unproven: Vec<usize> = self.links.iter().filter(|(_, l)| !l.is_up()).map(|(i, _)| i).collect();
        for index in unproven.into_iter().take(surplus(self)) {
            self.close(now, index, "too many connections");
        }
        let mut most: BinaryHeap<(usize, usize)> =
            self.torrents.iter().map(|(t, slot)| (slot.links.len(), t)).filter(|(n, _)| *n > 0).collect();
        while surplus(self) > 0
            && let Some((n, t)) = most.pop()
        {
            let victim = self.torrents.get(t).and_then(|slot| slot.swarm.as_ref()?.least_useful(now));
            if victim.is_some_and(|key| self.replace(now, key, |_, _| true)) && n > 1 {
                most.push((n - 1, t));
            }
        }
    }

    fn look_at_crowd(&mut self, now: Instant) {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        self.crowd.idle.clear();
        for (_, link) in &self.links {
            let Some(t) = link.torrent else { continue };
            *counts.entry(t).or_default() += 1;
            let swarm = self.torrents.get(t).and_then(|slot| slot.swarm.as_ref());
            if swarm.is_some_and(|swarm| swarm.is_idle(now, link.key)) {
                self.crowd.idle.push(link.key);
            }
        }
        self.crowd.looked = Some(now);
        self.crowd.largest = counts.iter().map(|(t, n)| (*t, *n)).max_by_key(|(_, n)| *n);
        let some_have_none = counts.len() < self.torrents.len();
        self.crowd.fewest = if some_have_none { 0 } else { counts.values().copied().min().unwrap_or(0) };
    }

    /// Ends a connection of a swarm if it is still what it was thought to be.
    fn replace(
        &mut self,
        now: Instant,
        key: PeerKey,
        still: impl Fn(&crate::proto::torrent::Torrent, PeerKey) -> bool,
    ) -> bool {
        let link = self.links.get(index_of(key)).filter(|link| link.key == key);
        let Some(t) = link.and_then(|link| link.torrent) else { return false };
        let Some(swarm) = self.torrents.get_mut(t).and_then(|slot| slot.swarm.as_mut()) else { return false };
        if !still(swarm, key) {
            return false;
        }
        swarm.replace(now, key);
        self.pump(now, t);
        self.touch(t);
        true
    }
}

/// Connections beyond the limit that may be in the making at a time, until it is known what they are worth.
const NEWCOMERS: usize = 4;

/// How long it is believed who is idle and who has most.
const LOOK: Duration = Duration::from_secs(1);
