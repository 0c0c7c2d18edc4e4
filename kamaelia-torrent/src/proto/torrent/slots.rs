//! A torrent's part of the upload slots and connections of a whole program.

use std::time::Instant;

use super::{PeerError, PeerKey, Torrent, timers::REPLACEABLE};
use crate::proto::peer::Peer;

impl Torrent {
    /// Slots that the torrent would fill if it alone had to decide.
    pub fn slot_demand(&self) -> usize {
        self.interested.min(self.choker.wanted())
    }

    /// Serves no more than so many peers at a time, from now on; `None` leaves the number to the torrent itself.
    pub fn set_slot_cap(&mut self, now: Instant, cap: Option<usize>) {
        if self.choker.set_cap(cap) {
            self.fit_slots(now);
        }
    }

    /// Serves this number of peers at a time, from now on; `None` adapts it to what the line carries.
    pub fn set_upload_slots(&mut self, now: Instant, slots: Option<usize>) {
        self.choker.set_slots(slots);
        self.fit_slots(now);
    }

    fn fit_slots(&mut self, now: Instant) {
        self.slots = self.choker.slots(&self.choke_candidates(now));
        let mut served: Vec<usize> =
            self.peers.iter().filter(|(_, peer)| !peer.choked).map(|(slot, _)| slot).collect();
        if served.len() > self.slots {
            let seeding = self.wants_nothing();
            // Who gives least goes; at a seed, who had its turn for longest.
            served.sort_by(|a, b| {
                let (a, b) = (&self.peers[*a], &self.peers[*b]);
                let gives = |peer: &Peer| if seeding { 0.0 } else { peer.down.at(now) };
                (a.interested.cmp(&b.interested))
                    .then(gives(a).total_cmp(&gives(b)))
                    .then(a.choke_changed.cmp(&b.choke_changed))
            });
            let surplus = served.len() - self.slots;
            served.into_iter().take(surplus).for_each(|slot| self.set_choked(now, slot, true));
        } else {
            self.refill_slots(now);
        }
    }

    /// Takes at most this many connections, from now on; those of least use are cut.
    pub fn set_max_peers(&mut self, now: Instant, most: usize) {
        self.cfg.max_peers = most;
        let surplus = self.peers.len().saturating_sub(most);
        if surplus > 0 {
            let mut all: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
            all.sort_by(|a, b| use_of(&self.peers[*a], now).total_cmp(&use_of(&self.peers[*b], now)));
            all.truncate(surplus);
            all.into_iter().for_each(|slot| self.disconnect(now, slot, PeerError::Replaced));
        }
        self.candidates.due(now);
    }

    /// Whether neither side has wanted anything of the other for a while.
    pub fn is_idle(&self, now: Instant, key: PeerKey) -> bool {
        let peer = self.by_key.get(&key).and_then(|slot| self.peers.get(*slot));
        peer.is_some_and(|peer| idle(peer, now))
    }

    /// The connection that the torrent would miss least. Costs as much as there are connections.
    pub fn least_useful(&self, now: Instant) -> Option<PeerKey> {
        let all = self.peers.iter().map(|(_, peer)| peer);
        all.min_by(|a, b| use_of(a, now).total_cmp(&use_of(b, now))).map(|peer| peer.key)
    }

    /// Cuts a connection to make room for another.
    pub fn replace(&mut self, now: Instant, key: PeerKey) {
        if let Some(&slot) = self.by_key.get(&key) {
            self.disconnect(now, slot, PeerError::Replaced);
        }
    }
}

pub(super) fn idle(peer: &Peer, now: Instant) -> bool {
    !peer.interested && !peer.interesting && now.saturating_duration_since(peer.relevant) >= REPLACEABLE
}

/// What a connection is worth: first whether either side wants anything, then what it transfers.
fn use_of(peer: &Peer, now: Instant) -> f64 {
    let wanted = f64::from(u8::from(peer.interesting) + u8::from(peer.interested));
    let transfers = peer.down.at(now) + peer.up.at(now);
    // A newcomer had no chance yet to show what it is worth.
    let newcomer = now.saturating_duration_since(peer.since) < NEWCOMER;
    if newcomer && wanted > 0.0 { f64::MAX } else { wanted + transfers }
}

/// Who is connected for less than this is not cut for its low rate.
const NEWCOMER: std::time::Duration = std::time::Duration::from_secs(60);
