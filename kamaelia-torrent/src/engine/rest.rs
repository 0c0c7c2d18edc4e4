//! Pausing, resuming and taking turns: how a torrent comes to rest and how it goes on.
//!
//! A torrent that rests has no swarm, no connection and no open file; its trackers are told that it stopped; what was
//! verified is in its record. It rests because it is paused or because it waits for its turn. What it does next is
//! decided by its seat in the [queue](super::queue).

use std::time::Instant;

use super::Engine;
use super::event::{Event, PauseCause, TorrentId};
use super::queue::{Activity, Move, QueueLimits, Seat};
use super::rules::{StopRule, StopRuleError};
use super::slot::{Check, Phase};
use crate::disk::Totals;
use crate::proto::announce::Announcer;
use crate::proto::bitfield::Bitfield;

/// Why a request about a torrent was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is none of this number.
    #[error("there is no torrent {0}")]
    Unknown(TorrentId),
    /// It is being removed, or the engine stops.
    #[error("torrent {0} is stopping")]
    Stopping(TorrentId),
    /// It stopped because of an error; remove it and add it again.
    #[error("torrent {0} has failed")]
    Failed(TorrentId),
    /// The rule makes no sense.
    #[error(transparent)]
    Rule(#[from] StopRuleError),
}

impl Engine {
    /// Pauses a torrent: it leaves its peers, tells its trackers that it stopped, saves its record and closes its files.
    /// A check stops where it is and goes on from there later. [`Event::Paused`] follows unless it was paused already.
    /// It keeps its place in the queue, and another may take its turn.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if there is none of this number, or it is at its end.
    pub fn pause(&mut self, id: TorrentId) -> Result<(), ControlError> {
        let t = self.controllable(id)?;
        self.set_paused(Instant::now(), t, PauseCause::User);
        Ok(())
    }

    /// Lets a paused torrent go on as soon as it is its turn. One that a stop rule had paused goes on without a rule
    /// until it gets a new one. Resuming one that is not paused changes nothing.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if there is none of this number, or it is at its end.
    pub fn resume(&mut self, id: TorrentId) -> Result<(), ControlError> {
        let t = self.controllable(id)?;
        let now = Instant::now();
        if self.unpause(t) {
            self.enlist(now, t);
        }
        Ok(())
    }

    /// Pauses all torrents.
    pub fn pause_all(&mut self) {
        let now = Instant::now();
        let all: Vec<usize> = self.by_id.values().copied().collect();
        // All flags first: otherwise each that leaves would let the next one start.
        for t in &all {
            let slot = &mut self.torrents[*t];
            if slot.is_controllable() && !std::mem::replace(&mut slot.settings.paused, true) {
                let id = slot.id;
                self.stand_up(*t);
                self.rest(now, *t);
                self.remember(id);
                self.emit(Event::Paused { id, cause: PauseCause::User });
            }
        }
    }

    /// Resumes all torrents that are paused.
    pub fn resume_all(&mut self) {
        let now = Instant::now();
        let all: Vec<usize> = self.by_id.values().copied().collect();
        let resumed: Vec<usize> = all.into_iter().filter(|t| self.unpause(*t)).collect();
        for t in resumed {
            self.enlist(now, t);
        }
    }

    /// Moves a torrent in the queue: 0 is the front, a position beyond the end is the end. If others are active that are
    /// behind it now, it takes the turn of the last of them.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if there is none of this number, or it is at its end.
    pub fn set_queue_position(&mut self, id: TorrentId, position: usize) -> Result<(), ControlError> {
        let t = self.controllable(id)?;
        let (seat, rank) = (self.torrents[t].seat, self.torrents[t].rank);
        self.queue.leave(rank);
        let new = self.queue.place(rank, position).or_else(|| {
            let torrents = &mut self.torrents;
            self.queue.renumber(|t, rank| torrents[t].rank = rank);
            self.queue.place(torrents[t].rank, position)
        });
        let slot = &mut self.torrents[t];
        slot.rank = new.unwrap_or(slot.rank);
        let rank = slot.rank;
        match seat {
            Seat::Out | Seat::Active { counted: false, .. } => {}
            Seat::Waiting(activity) => self.queue.wait(activity, rank, t),
            Seat::Active { activity, .. } => self.queue.count(activity, rank, t),
        }
        if let Seat::Waiting(activity) | Seat::Active { activity, .. } = seat {
            self.balance(Instant::now(), activity);
        }
        Ok(())
    }

    /// Number of torrents before this one in the queue. Costs as much as there are.
    pub fn queue_position(&self, id: TorrentId) -> Option<usize> {
        let t = *self.by_id.get(&id)?;
        Some(self.queue.position(self.torrents[t].rank))
    }

    /// How many torrents may be active at a time.
    pub fn queue_limits(&self) -> QueueLimits {
        self.queue.limits()
    }

    /// Changes how many torrents may be active at a time; those over a lower limit wait from now on.
    pub fn set_queue_limits(&mut self, limits: QueueLimits) {
        let now = Instant::now();
        self.queue.set_limits(limits);
        let running = |slot: &super::slot::Slot| matches!(slot.phase, Phase::Running);
        let running: Vec<usize> = self.torrents.iter().filter(|(_, s)| running(s)).map(|(t, _)| t).collect();
        for t in running {
            let slot = &mut self.torrents[t];
            if let Seat::Active { activity, counted: counted @ false } = &mut slot.seat {
                *counted = true;
                let (activity, rank) = (*activity, slot.rank);
                self.queue.count(activity, rank, t);
            }
            self.watch(now, t);
        }
        for activity in [Activity::Check, Activity::Download, Activity::Seed] {
            self.balance(now, activity);
        }
    }

    /// Sets when a torrent has been shared enough; `None`: by the rule of the settings. A torrent that a rule has paused
    /// stays paused until it is resumed.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if there is none of this number, it is at its end, or the rule makes no sense.
    pub fn set_stop_rule(&mut self, id: TorrentId, rule: Option<StopRule>) -> Result<(), ControlError> {
        let t = self.controllable(id)?;
        rule.unwrap_or_default().check()?;
        let slot = &mut self.torrents[t];
        slot.settings.stop_rule = rule;
        slot.sated = false;
        if matches!(slot.phase, Phase::Running) {
            self.watch(Instant::now(), t);
        }
        self.remember(id);
        Ok(())
    }

    fn controllable(&self, id: TorrentId) -> Result<usize, ControlError> {
        let t = *self.by_id.get(&id).ok_or(ControlError::Unknown(id))?;
        match self.torrents[t].phase {
            Phase::Stopping { .. } => Err(ControlError::Stopping(id)),
            Phase::Failed => Err(ControlError::Failed(id)),
            _ => Ok(t),
        }
    }

    pub(super) fn set_paused(&mut self, now: Instant, t: usize, cause: PauseCause) {
        let slot = &mut self.torrents[t];
        if std::mem::replace(&mut slot.settings.paused, true) {
            return;
        }
        slot.sated |= cause != PauseCause::User;
        let id = slot.id;
        let activity = self.stand_up(t);
        self.rest(now, t);
        self.remember(id);
        self.emit(Event::Paused { id, cause });
        if let Some(activity) = activity {
            self.balance(now, activity);
        }
    }

    fn unpause(&mut self, t: usize) -> bool {
        let slot = &mut self.torrents[t];
        let id = slot.id;
        let paused = slot.is_controllable() && std::mem::replace(&mut slot.settings.paused, false);
        if paused {
            self.remember(id);
        }
        paused
    }

    /// Takes a torrent's seat away; tells which lane has room now. The caller lets the others move up.
    pub(super) fn stand_up(&mut self, t: usize) -> Option<Activity> {
        let slot = &mut self.torrents[t];
        match std::mem::replace(&mut slot.seat, Seat::Out) {
            Seat::Out => None,
            Seat::Waiting(activity) | Seat::Active { activity, .. } => {
                self.queue.leave(slot.rank);
                Some(activity)
            }
        }
    }

    /// Gives a torrent that rests a place among those that wait, unless it is paused, and starts it if it is its turn.
    pub(super) fn enlist(&mut self, now: Instant, t: usize) {
        let slot = &mut self.torrents[t];
        if slot.settings.paused || slot.seat != Seat::Out || !matches!(slot.phase, Phase::Resting { .. }) {
            return;
        }
        let activity = slot.activity();
        slot.seat = Seat::Waiting(activity);
        let (id, rank) = (slot.id, slot.rank);
        self.queue.wait(activity, rank, t);
        self.balance(now, activity);
        if matches!(self.torrents[t].seat, Seat::Waiting(_)) {
            self.emit(Event::Queued { id, activity });
        }
    }

    /// Starts and rests torrents until those at the front are active.
    pub(super) fn balance(&mut self, now: Instant, activity: Activity) {
        if self.stopping {
            return;
        }
        while let Some(change) = self.queue.next_move(activity) {
            match change {
                Move::Start(t) => {
                    self.torrents[t].seat = Seat::Active { activity, counted: true };
                    self.launch(now, t);
                }
                Move::Rest(t) => {
                    let slot = &mut self.torrents[t];
                    slot.seat = Seat::Waiting(activity);
                    let id = slot.id;
                    self.rest(now, t);
                    self.emit(Event::Queued { id, activity });
                }
            }
        }
    }

    /// Starts what a torrent has its turn for, if it has come to rest.
    fn launch(&mut self, now: Instant, t: usize) {
        let slot = &mut self.torrents[t];
        // What the disk still has to do for it belongs to its former life.
        let busy = slot.jobs > 0 || slot.ops.is_some();
        if !matches!(slot.phase, Phase::Resting { settled: true }) || busy {
            return self.touch(t);
        }
        self.give_up_late(t);
        let slot = &mut self.torrents[t];
        let have = slot.have.take().unwrap_or_else(|| Bitfield::new(slot.metainfo.geometry().piece_count()));
        let Some(wanted) = slot.to_check.take() else { return self.start(now, t, have) };
        let (id, total) = (slot.id, wanted.count());
        slot.jobs += 1;
        let handle = self.disk.check(&slot.storage, *wanted);
        let check = Check { handle, have, checked: 0, total, error: None, pausing: false };
        slot.phase = Phase::Checking(Box::new(check));
        self.emit(Event::Checking { id, checked: 0, total });
    }

    /// Ends what a torrent is doing; what has to be done before it may start again is done by
    /// [`go_on_resting`](Engine::go_on_resting).
    fn rest(&mut self, now: Instant, t: usize) {
        let slot = &mut self.torrents[t];
        match &mut slot.phase {
            Phase::Checking(check) => {
                check.handle.pause();
                check.pausing = true;
            }
            Phase::Running => {
                self.quiet(now, t, "torrent paused");
                let slot = &mut self.torrents[t];
                slot.phase = Phase::Resting { settled: false };
                slot.save_at = None;
            }
            _ => {}
        }
        self.touch(t);
    }

    /// A check has ended because its torrent was told to rest.
    pub(super) fn check_left_off(&mut self, now: Instant, t: usize) {
        let slot = &mut self.torrents[t];
        let Phase::Checking(check) = std::mem::replace(&mut slot.phase, Phase::Resting { settled: false })
        else {
            return;
        };
        let rest = check.handle.rest();
        slot.have = Some(check.have);
        if !rest.is_empty_set() {
            slot.to_check = Some(Box::new(rest));
            return self.enlist(now, t);
        }
        // It had come to its end after all: its seat among those that check is of no use any more.
        slot.recorded = false;
        self.known(t);
        let activity = self.stand_up(t);
        self.enlist(now, t);
        if let Some(activity) = activity {
            self.balance(now, activity);
        }
    }

    /// Takes the next step of coming to rest, or of starting again after it.
    pub(super) fn go_on_resting(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        let Phase::Resting { settled } = &mut slot.phase else { return };
        if slot.announcer.as_deref().is_some_and(Announcer::is_stopped) {
            slot.announcer = None;
        }
        if slot.jobs > 0 || slot.ops.is_some() {
            return;
        }
        if !std::mem::replace(settled, true) {
            // Of a torrent with nothing there is nothing to tell, and of half a check the truth cannot be told.
            let empty = slot.have.as_ref().is_none_or(Bitfield::is_empty_set);
            let nothing = empty && slot.totals(&slot.last_stats) == Totals::default();
            if !slot.recorded && slot.to_check.is_none() && !nothing {
                self.save(now, t);
            }
            let slot = &mut self.torrents[t];
            slot.recorded = slot.to_check.is_none();
            self.disk.release(&slot.storage);
        }
        let slot = &self.torrents[t];
        if matches!(slot.seat, Seat::Active { .. }) && slot.jobs == 0 {
            self.launch(now, t);
        }
    }
}
