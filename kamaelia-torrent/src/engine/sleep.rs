//! Complete torrents of which nobody wants anything: they run, but have no swarm.
//!
//! Of ten thousand torrents that are seeded most have no peer most of the time. A swarm that knows nobody and fetches
//! nothing says no more than which pieces are there, which is all of them, and a few totals. So it is not kept: the
//! torrent sleeps, and gets a swarm when somebody comes. To the outside nothing differs.

use std::time::Instant;

use super::Engine;
use super::slot::Slot;
use crate::disk::Disk;
use crate::proto::bitfield::Bitfield;
use crate::proto::torrent::{PeerSource, Torrent, TorrentConfig, TorrentStats};

impl Engine {
    /// Gives a torrent that starts its swarm, or lets it sleep at once.
    pub(super) fn make_swarm(&mut self, now: Instant, t: usize, have: Bitfield) {
        let slot = &mut self.torrents[t];
        let early = std::mem::take(&mut slot.early_peers);
        if have.is_full() && slot.settings.peers.is_empty() && early.is_empty() {
            slot.have = Some(have);
            return;
        }
        let mut swarm = self.new_swarm(now, t, have);
        let slot = &mut self.torrents[t];
        swarm.add_candidates(now, &slot.settings.peers, PeerSource::User);
        swarm.add_candidates(now, &early, PeerSource::Resume);
        (slot.swarm, slot.have) = (Some(Box::new(swarm)), None);
    }

    /// The swarm of a torrent that runs, made if it sleeps; `None` if it does not run.
    pub(super) fn wake_swarm(&mut self, now: Instant, t: usize) -> Option<&mut Torrent> {
        if self.torrents.get(t)?.sleeps()
            && let Some(have) = self.torrents[t].have.take()
        {
            let swarm = self.new_swarm(now, t, have);
            self.torrents[t].swarm = Some(Box::new(swarm));
            self.start_limits(now, t);
        }
        self.torrents[t].swarm.as_deref_mut()
    }

    /// Lets a torrent sleep of which nobody wants anything.
    pub(super) fn doze(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        let idle = slot.links.is_empty()
            && slot.jobs == 0
            && slot.settling == 0
            && slot.ops.is_none()
            && slot.doubt.is_none()
            && slot.trouble.is_none()
            && slot.runs();
        if idle && slot.swarm.as_deref().is_some_and(Torrent::is_dormant) {
            slot.keep_stats(now);
            slot.have = slot.swarm.take().map(|swarm| swarm.have().clone());
        }
    }

    fn new_swarm(&mut self, now: Instant, t: usize, have: Bitfield) -> Torrent {
        self.swarms = self.swarms.wrapping_add(1);
        let slot = &self.torrents[t];
        let mut config = TorrentConfig::new(slot.metainfo.info_hash(), self.peer_id, slot.geometry());
        config.have = have;
        config.private = slot.metainfo.private();
        config.seed = self.rng.u64(..);
        config.max_peers = self.settings.max_peers_per_torrent;
        config.upload_slots = self.connection_limits().slots_of_a_torrent();
        config.uploads = self.uploads.clone();
        config.generation = self.swarms;
        config.side_by_side = Disk::side_by_side();
        config.sequential = slot.settings.sequential;
        if let Some(selection) = &slot.selection {
            config.priorities = selection.pieces(&slot.metainfo);
        }
        Torrent::new(config, now)
    }
}

impl Slot {
    /// Whether it runs without a swarm.
    pub(super) fn sleeps(&self) -> bool {
        self.swarm.is_none() && self.runs()
    }

    /// Its swarm is about to end: what it counted stays.
    pub(super) fn keep_stats(&mut self, now: Instant) {
        self.last_stats = TorrentStats { down_rate: 0, up_rate: 0, peers: 0, seeds: 0, ..self.stats(now) };
    }

    /// Payload received and sent since the torrent was added, bytes.
    pub(super) fn payload(&self) -> (u64, u64) {
        let (down, up) = self.swarm.as_ref().map_or((0, 0), |swarm| swarm.payload());
        (self.last_stats.downloaded + down, self.last_stats.uploaded + up)
    }
}
