//! How a torrent begins, goes on and ends.

use std::time::Instant;

use super::event::{AddError, AddTorrent, CheckPolicy, Event, TorrentId};
use super::slot::{Check, Phase, Slot};
use super::{Engine, index_of};
use crate::disk::{StorageKey, Totals};
use crate::proto::announce::{AnnounceContext, Announcer};
use crate::proto::bitfield::Bitfield;
use crate::proto::selection::Selection;
use crate::proto::torrent::{PeerSource, Torrent, TorrentConfig, TorrentStats};

impl Engine {
    /// Adds a torrent. Its data is looked at first, then it starts.
    ///
    /// # Errors
    ///
    /// [`AddError::Duplicate`] if one with the same info hash is here; [`AddError::Priorities`] if there are some, but
    /// not one for each file.
    pub fn add(&mut self, add: AddTorrent) -> Result<TorrentId, AddError> {
        if self.stopping {
            return Err(AddError::Stopping);
        }
        let info_hash = add.metainfo.info_hash();
        if let Some(&t) = self.by_hash.get(&info_hash) {
            return Err(AddError::Duplicate(self.torrents[t].id));
        }
        let (got, files) = (add.priorities.len(), add.metainfo.files().len());
        if got > 0 && got != files {
            return Err(AddError::Priorities { got, files });
        }
        self.last_id = self.last_id.checked_add(1).ok_or(AddError::Numbers)?;
        let id = TorrentId(self.last_id);
        let storage = self.disk.open_with(
            StorageKey(id.0),
            add.metainfo.clone(),
            add.dir.clone(),
            add.allocation.unwrap_or(self.settings.allocation),
            &add.priorities,
        );
        let selection = Selection::new(&add.metainfo, &add.priorities).map(Box::new);
        let geometry = add.metainfo.geometry();
        let policy = add.check;
        let t = self.torrents.insert(Slot {
            id,
            metainfo: add.metainfo.clone(),
            storage,
            phase: Phase::Loading,
            swarm: None,
            announcer: None,
            have: None,
            selection,
            settling: 0,
            completes: false,
            early_priorities: Vec::new(),
            links: Vec::new(),
            early_peers: add.peers.clone(),
            settings: add,
            jobs: 0,
            saving: false,
            save_at: None,
            scheduled: None,
            touched: false,
            last_stats: TorrentStats::default(),
            tracker_message: None,
            error: None,
            before: Totals::default(),
            waiting_to_dial: false,
            slot_cap: 0,
        });
        self.by_id.insert(id, t);
        self.by_hash.insert(info_hash, t);
        let now = Instant::now();
        self.begin_limits(now, t);
        match policy {
            // A full check reads the record too, for what is remembered beside the pieces.
            CheckPolicy::Resume | CheckPolicy::Full => {
                let slot = &mut self.torrents[t];
                slot.jobs += 1;
                self.disk.load_resume(&slot.storage, self.settings.state_dir.clone());
            }
            CheckPolicy::Trust => self.start(now, t, Bitfield::full(geometry.piece_count())),
        }
        self.touch(t);
        Ok(id)
    }

    /// Stops a torrent in order; its files stay. [`Event::Stopped`] follows. False if there is none of this number.
    pub fn remove(&mut self, id: TorrentId) -> bool {
        let Some(&t) = self.by_id.get(&id) else { return false };
        self.begin_stop(Instant::now(), t);
        true
    }

    /// Stops everything in order: trackers are told, resume records are saved, files are closed. Go on with
    /// [`turn`](Engine::turn) until [`is_stopped`](Engine::is_stopped), which takes at most about 5 s unless the disk is
    /// slow.
    pub fn stop(&mut self) {
        self.stopping = true;
        let now = Instant::now();
        for t in self.by_id.values().copied().collect::<Vec<_>>() {
            self.begin_stop(now, t);
        }
        // Who dials us from now on is refused by the system.
        if let Some(mut listener) = self.listener.take()
            && let Err(e) = self.poll.registry().deregister(&mut listener)
        {
            log::debug!("deregistering the listener: {e}");
        }
        for index in self.links.iter().map(|(index, _)| index).collect::<Vec<_>>() {
            self.close(now, index, "stopping");
        }
    }

    /// The resume record is read: hashes what it does not vouch for.
    pub(super) fn start_check(&mut self, now: Instant, t: usize, have: Bitfield, recheck: Bitfield) {
        let slot = &mut self.torrents[t];
        if !matches!(slot.phase, Phase::Loading) {
            return;
        }
        let total = recheck.count();
        if total == 0 {
            slot.have = Some(have);
            return self.check_ended(now, t);
        }
        slot.jobs += 1;
        let handle = self.disk.check(&slot.storage, recheck);
        slot.phase = Phase::Checking(Check { handle, have, checked: 0, total, error: None });
        let id = slot.id;
        self.emit(Event::Checking { id, checked: 0, total });
    }

    /// It is known what is there.
    pub(super) fn check_ended(&mut self, now: Instant, t: usize) {
        let slot = &mut self.torrents[t];
        let Some(have) = slot.have().cloned() else { return };
        if matches!(slot.phase, Phase::Checking(_)) && !have.is_empty_set() {
            // What the check found is worth keeping: it saves the next one.
            slot.save_at = Some(now + self.settings.save_interval);
        }
        self.start(now, t, have);
    }

    fn start(&mut self, now: Instant, t: usize, have: Bitfield) {
        let upload_slots = self.connection_limits().slots_of_a_torrent();
        let slot = &mut self.torrents[t];
        let id = slot.id;
        let (count, total) = (have.count(), slot.geometry().piece_count());
        if !have.is_full() || slot.storage.may_have_parts() {
            slot.jobs += 1;
            if slot.storage.may_be_unsettled() {
                slot.settling += 1;
                slot.completes = match &slot.selection {
                    None => have.is_full(),
                    Some(selection) => !selection.wanted().any_and_not(&have),
                };
            }
            self.disk.prepare(&slot.storage);
        }
        let mut config = TorrentConfig::new(slot.metainfo.info_hash(), self.peer_id, slot.geometry());
        config.have = have;
        config.private = slot.metainfo.private();
        config.seed = self.rng.u64(..);
        config.max_peers = self.settings.max_peers_per_torrent;
        config.upload_slots = upload_slots;
        config.sequential = slot.settings.sequential;
        if let Some(selection) = &slot.selection {
            config.priorities = selection.pieces(&slot.metainfo);
        }
        let mut swarm = Torrent::new(config, now);
        swarm.add_candidates(now, &std::mem::take(&mut slot.early_peers), PeerSource::User);
        slot.swarm = Some(swarm);
        slot.have = None;
        slot.phase = Phase::Running;
        if slot.settings.trackers && !slot.metainfo.trackers().is_empty() {
            let context = AnnounceContext {
                info_hash: slot.metainfo.info_hash(),
                peer_id: self.peer_id.0,
                port: self.local_addr.map_or(0, |addr| addr.port()),
                key: self.rng.u32(..),
                numwant: self.settings.numwant,
            };
            let mut announcer = Announcer::new(slot.metainfo.trackers(), context, self.rng.fork());
            announcer.start(now);
            slot.announcer = Some(announcer);
        }
        self.start_limits(now, t);
        self.emit(Event::Checked { id, have: count, total });
        self.emit(Event::Started { id });
        self.hurry_again(now, id);
        self.touch(t);
    }

    /// Stops a torrent because of an error. It stays in the table, so that one can see why.
    pub(super) fn fail(&mut self, now: Instant, t: usize, error: String) {
        let slot = &mut self.torrents[t];
        if !matches!(slot.phase, Phase::Loading | Phase::Checking(_) | Phase::Running) {
            return;
        }
        log::warn!("torrent {} failed: {error}", slot.id);
        let id = slot.id;
        slot.error = Some(error.clone());
        slot.save_at = None;
        self.end_reads(id, &error);
        self.quiet(now, t, "torrent failed");
        let slot = &mut self.torrents[t];
        slot.phase = Phase::Failed;
        self.disk.release(&slot.storage);
        self.emit(Event::Failed { id, error });
    }

    fn begin_stop(&mut self, now: Instant, t: usize) {
        let slot = &self.torrents[t];
        if matches!(slot.phase, Phase::Stopping { .. }) {
            return;
        }
        let id = slot.id;
        self.end_reads(id, "the torrent was closed");
        self.quiet(now, t, "torrent stopped");
        let until = now + self.settings.stop_timeout;
        self.torrents[t].phase = Phase::Stopping { until, closing: false };
        self.touch(t);
    }

    /// Ends the swarm of a torrent and lets its trackers know.
    fn quiet(&mut self, now: Instant, t: usize, reason: &str) {
        let slot = &mut self.torrents[t];
        if let Phase::Checking(check) = &mut slot.phase {
            check.handle.cancel();
            // What is known so far is of no use without the rest: a record would say that the others are missing.
            slot.have = None;
        }
        if let Some(announcer) = &mut slot.announcer {
            announcer.stop(now);
        }
        for key in std::mem::take(&mut slot.links) {
            self.close(now, index_of(key), reason);
        }
        let slot = &mut self.torrents[t];
        if let Some(swarm) = slot.swarm.take() {
            slot.last_stats =
                TorrentStats { down_rate: 0, up_rate: 0, peers: 0, seeds: 0, ..swarm.stats(now) };
            slot.have = Some(swarm.have().clone());
        }
        self.touch(t);
    }

    /// Takes the next step of stopping, if it can be taken: trackers and the disk are awaited, then the record is saved,
    /// then the files are closed.
    pub(super) fn go_on_stopping(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        let Phase::Stopping { until, closing } = &mut slot.phase else { return };
        let told = slot.announcer.as_ref().is_none_or(Announcer::is_stopped);
        if *closing || slot.jobs > 0 || !(told || now >= *until) {
            return;
        }
        *closing = true;
        // A torrent that failed keeps the record that it had; of one that has nothing there is nothing to tell.
        let empty = slot.have.as_ref().is_none_or(Bitfield::is_empty_set);
        if slot.error.is_none() && !(empty && slot.totals(&slot.last_stats) == Totals::default()) {
            self.save(now, t);
        }
        let slot = &mut self.torrents[t];
        slot.jobs += 1;
        self.disk.close(&slot.storage);
    }

    /// The last answer for a torrent: forgets it.
    pub(super) fn closed(&mut self, key: StorageKey) {
        let id = TorrentId(key.0);
        if let Some(t) = self.by_id.remove(&id) {
            let slot = self.torrents.remove(t);
            self.forget_limits(t);
            self.by_hash.remove(&slot.info_hash());
            self.emit(Event::Stopped { id });
        }
    }
}
