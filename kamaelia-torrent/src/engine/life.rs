//! How a torrent begins, goes on and ends.

use std::time::Instant;

use super::event::{AddError, AddTorrent, CheckPolicy, Event, PauseCause, TorrentId};
use super::places::Op;
use super::queue::{Activity, Seat};
use super::read_blocks::Cached;
use super::slot::{Phase, Slot};
use super::stats::{Times, Wire};
use super::{Engine, index_of};
use crate::disk::{StorageKey, Totals};
use crate::proto::announce::{AnnounceContext, Announcer};
use crate::proto::bitfield::Bitfield;
use crate::proto::selection::Selection;
use crate::proto::torrent::TorrentStats;

impl Engine {
    /// Adds a torrent. Its data is looked at first, then it starts.
    ///
    /// # Errors
    ///
    /// [`AddError::Duplicate`] if one with the same info hash is here; [`AddError::Priorities`] if there are some, but
    /// not one for each file.
    pub fn add(&mut self, add: AddTorrent) -> Result<TorrentId, AddError> {
        let id = self.take_in(add)?;
        self.remember(id);
        Ok(id)
    }

    /// Adds a torrent that is remembered already, or not to be.
    pub(super) fn take_in(&mut self, add: AddTorrent) -> Result<TorrentId, AddError> {
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
        add.stop_rule.unwrap_or_default().check()?;
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
            early_peers: Vec::new(),
            settings: add,
            jobs: 0,
            saving: false,
            saved: None,
            save_at: None,
            scheduled: None,
            touched: false,
            changed: false,
            hungry: false,
            last_stats: TorrentStats::default(),
            tracker_message: None,
            error: None,
            before: Totals::default(),
            waiting_to_dial: false,
            reads: 0,
            cached: Cached::default(),
            ops: None,
            doubt: None,
            trouble: None,
            look_at: None,
            unsaved: false,
            waiting_to_announce: false,
            stop_waits: false,
            rank: 0,
            seat: Seat::Out,
            to_check: None,
            recorded: false,
            sated: false,
            watch: None,
            times: Times::default(),
            wire: Wire::default(),
            untold: (0, 0),
            slot_cap: 0,
        });
        self.torrents[t].rank = self.queue.push(t);
        if self.torrents[t].settings.paused {
            self.emit(Event::Paused { id, cause: PauseCause::User });
        }
        self.by_id.insert(id, t);
        self.by_hash.insert(info_hash, t);
        self.begin_limits(Instant::now(), t);
        // Whatever is believed of it: the record also says where the files are and what they are called.
        let slot = &mut self.torrents[t];
        slot.jobs += 1;
        let also = slot.settings.move_on_complete.clone();
        self.disk.load_resume(&slot.storage, also);
        self.touch(t);
        Ok(id)
    }

    /// Stops a torrent in order and forgets it; its files stay. [`Event::Stopped`] follows. False if there is none of
    /// this number.
    pub fn remove(&mut self, id: TorrentId) -> bool {
        let Some(&t) = self.by_id.get(&id) else { return false };
        if self.disk.has_state() {
            let slot = &mut self.torrents[t];
            slot.jobs += 1;
            self.disk.forget(&slot.storage);
        }
        self.begin_stop(Instant::now(), t);
        true
    }

    /// Stops a torrent in order as if the engine stopped: a later [`restore`](Engine::restore) brings it back.
    /// [`Event::Stopped`] follows. False if there is none of this number.
    pub fn unload(&mut self, id: TorrentId) -> bool {
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

    /// The resume record is read: what is believed, and what has to be hashed.
    pub(super) fn loaded(&mut self, now: Instant, t: usize, have: Bitfield, recheck: Bitfield) {
        let slot = &self.torrents[t];
        let count = slot.geometry().piece_count();
        match slot.settings.check {
            CheckPolicy::Resume => self.start_check(now, t, have, recheck),
            CheckPolicy::Full => self.start_check(now, t, Bitfield::new(count), Bitfield::full(count)),
            CheckPolicy::Trust => self.start_check(now, t, Bitfield::full(count), Bitfield::new(count)),
        }
    }

    /// Hashes what is not vouched for.
    pub(super) fn start_check(&mut self, now: Instant, t: usize, have: Bitfield, recheck: Bitfield) {
        let slot = &mut self.torrents[t];
        if !matches!(slot.phase, Phase::Loading) {
            return;
        }
        slot.have = Some(have);
        slot.phase = Phase::Resting { settled: true };
        if recheck.is_empty_set() {
            slot.recorded = true;
            self.known(t);
        } else {
            slot.to_check = Some(Box::new(recheck));
        }
        self.enlist(now, t);
    }

    /// Reports what is there.
    pub(super) fn known(&mut self, t: usize) {
        let slot = &self.torrents[t];
        let (id, total) = (slot.id, slot.geometry().piece_count());
        let have = slot.have().map_or(0, Bitfield::count);
        self.emit(Event::Checked { id, have, total });
    }

    /// It is known what is there.
    pub(super) fn check_ended(&mut self, now: Instant, t: usize) {
        let slot = &mut self.torrents[t];
        let Phase::Checking(check) = std::mem::replace(&mut slot.phase, Phase::Resting { settled: true })
        else {
            return;
        };
        if !check.have.is_empty_set() {
            // What the check found is worth keeping: it saves the next one.
            slot.save_at = Some(now + self.settings.save_interval);
        }
        slot.have = Some(check.have);
        slot.recorded = false;
        self.known(t);
        self.stand_up(t);
        self.enlist(now, t);
        let slot = &mut self.torrents[t];
        if let Phase::Resting { settled } = &mut slot.phase {
            // It waits: its record is written at once and its files are closed.
            (*settled, slot.save_at) = (false, None);
        }
        self.touch(t);
        self.balance(now, Activity::Check);
    }

    pub(super) fn start(&mut self, now: Instant, t: usize, have: Bitfield) {
        let slot = &mut self.torrents[t];
        let id = slot.id;
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
        self.make_swarm(now, t, have);
        let slot = &mut self.torrents[t];
        slot.phase = Phase::Running;
        slot.recorded = false;
        slot.untold = (slot.last_stats.downloaded, slot.last_stats.uploaded);
        let seeds = slot.activity() == Activity::Seed;
        slot.times.change(now, true, seeds);
        if let Some(announcer) = &mut slot.announcer {
            // The trackers have not all been told yet that it had stopped.
            announcer.start(now);
        } else if slot.settings.trackers && !slot.metainfo.trackers().is_empty() {
            let context = AnnounceContext {
                info_hash: slot.metainfo.info_hash(),
                peer_id: self.peer_id.0,
                port: self.local_addr.map_or(0, |addr| addr.port()),
                key: self.rng.u32(..),
                numwant: self.settings.numwant,
            };
            let mut announcer = Announcer::new(slot.metainfo.trackers(), context, self.rng.fork());
            announcer.start(now);
            slot.announcer = Some(Box::new(announcer));
        }
        self.start_limits(now, t);
        self.emit(Event::Started { id });
        self.hurry_again(now, id);
        self.watch(now, t);
        if self.torrents[t].is_finished() && self.torrents[t].settling == 0 {
            self.move_completed(t);
        }
        self.touch(t);
    }

    /// Everything that is wanted is there: brings it to where complete torrents go, if it is to go anywhere.
    pub(super) fn move_completed(&mut self, t: usize) {
        if let Some(dir) = self.torrents[t].settings.move_on_complete.clone() {
            self.queue_op(t, Op::Move(dir));
        }
    }

    /// Stops a torrent because of an error. It stays in the table, so that one can see why.
    pub(super) fn fail(&mut self, now: Instant, t: usize, error: String) {
        let slot = &mut self.torrents[t];
        if !slot.is_controllable() {
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
        if let Some(activity) = self.stand_up(t) {
            self.balance(now, activity);
        }
    }

    fn begin_stop(&mut self, now: Instant, t: usize) {
        let slot = &self.torrents[t];
        if matches!(slot.phase, Phase::Stopping { .. }) {
            return;
        }
        let id = slot.id;
        self.end_reads(id, "the torrent was closed");
        self.quiet(now, t, "torrent stopped");
        self.drop_ops(t);
        let until = now + self.settings.stop_timeout;
        let slot = &mut self.torrents[t];
        if slot.to_check.take().is_some() {
            // Half a check: a record would say that the rest is missing.
            slot.have = None;
        }
        slot.phase = Phase::Stopping { until, closing: false };
        self.touch(t);
        if let Some(activity) = self.stand_up(t) {
            self.balance(now, activity);
        }
    }

    /// Ends the swarm of a torrent and lets its trackers know.
    pub(super) fn quiet(&mut self, now: Instant, t: usize, reason: &str) {
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
        self.give_up_unfinished(t);
        let slot = &mut self.torrents[t];
        if let Some(doubt) = slot.doubt.take() {
            // Looked at before it goes on.
            slot.to_check = Some(Box::new(doubt.leave_off()));
        }
        (slot.trouble, slot.look_at) = (None, None);
        if slot.runs() {
            slot.keep_stats(now);
            slot.times.change(now, false, false);
            slot.watch = None;
        }
        if let Some(swarm) = slot.swarm.take() {
            slot.have = Some(swarm.have().clone());
            slot.early_peers = swarm.addresses(KEPT_PEERS);
        }
        self.touch(t);
    }

    /// Takes the next step of stopping, if it can be taken: trackers and the disk are awaited, then the record is saved,
    /// then the files are closed.
    pub(super) fn go_on_stopping(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        let Phase::Stopping { until, closing } = &mut slot.phase else { return };
        let told = slot.announcer.as_deref().is_none_or(Announcer::is_stopped);
        if *closing || slot.jobs > 0 || !(told || now >= *until) {
            return;
        }
        *closing = true;
        // A torrent that failed keeps the record that it had; of one that has nothing there is nothing to tell.
        let empty = slot.have.as_ref().is_none_or(Bitfield::is_empty_set);
        let totals = slot.totals(&slot.last_stats);
        // Of most torrents nothing new is to be told: ten thousand records would hold up the end. Beside the data each
        // costs two flushes, which times alone are not worth.
        let have = slot.have.as_ref().map_or(0, Bitfield::count);
        let known = slot.saved.is_some_and(|(count, saved)| {
            let payload = (saved.uploaded, saved.downloaded) == (totals.uploaded, totals.downloaded);
            count == have && payload && (saved == totals || !self.disk.has_state())
        });
        let untouched = empty && totals == Totals::default() && slot.selection.is_none();
        let nothing = untouched || (known && slot.save_at.is_none());
        if slot.error.is_none() && !slot.recorded && !nothing {
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
            let now = Instant::now();
            self.stand_up(t);
            self.queue.remove(self.torrents[t].rank);
            self.give_up_late(t);
            let slot = self.torrents.remove(t);
            self.session.removed += slot.figures(now);
            self.forget_limits(t);
            self.by_hash.remove(&slot.info_hash());
            if self.changed.len() > 2 * self.torrents.len() + 64 {
                // Nobody asks for them.
                self.changed.retain(|id| self.by_id.contains_key(id));
            }
            self.emit(Event::Stopped { id });
        }
    }
}

/// Peers remembered of a torrent that rests, so that it need not wait for its trackers later.
const KEPT_PEERS: usize = 50;
