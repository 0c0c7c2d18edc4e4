//! When a torrent has been shared enough, and which torrents are too slow to count.

use std::time::{Duration, Instant};

use super::Engine;
use super::event::PauseCause;
use super::queue::{Activity, Seat};
use super::slot::{Phase, Slot};

/// When a complete torrent is paused: as soon as any of these is reached, and half a second later if it has peers, so
/// that they get what was sent last. The default is never.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct StopRule {
    /// Payload sent in all runs, as a multiple of the torrent's size; 0 pauses it as soon as it is complete.
    pub ratio: Option<f64>,
    /// Time for which it was complete and ran, in all runs.
    pub time: Option<Duration>,
    /// Time for which nothing was sent, in this run.
    pub idle: Option<Duration>,
}

/// A stop rule that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ratio of {0} makes no sense: it is a number of at least 0")]
pub struct StopRuleError(pub String);

impl StopRule {
    /// Whether it never stops anything.
    pub fn is_empty(&self) -> bool {
        *self == StopRule::default()
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    ///
    /// The ratio is negative, infinite or not a number.
    pub fn check(&self) -> Result<(), StopRuleError> {
        match self.ratio {
            Some(ratio) if !ratio.is_finite() || ratio < 0.0 => Err(StopRuleError(ratio.to_string())),
            _ => Ok(()),
        }
    }
}

/// What is looked at of a running torrent now and then; only torrents with a rule or in a limited lane have one.
#[derive(Debug)]
pub(super) struct Watch {
    rule: StopRule,
    /// Payload to be sent since it was added until the ratio is reached.
    enough: u64,
    uploaded: u64,
    last_upload: Instant,
    /// The rule is reached: why, and when it is paused.
    reached: Option<(PauseCause, Instant)>,
    /// Since when the payload is counted by which slowness is judged, and how much there was then.
    slow_since: Option<(Instant, u64)>,
    /// When to look at the latest.
    pub(super) due: Option<Instant>,
}

impl Engine {
    /// Begins to watch a torrent that starts, or changes from one activity to another.
    pub(super) fn watch(&mut self, now: Instant, t: usize) {
        let slot = &mut self.torrents[t];
        let activity = slot.activity();
        let seeds = activity == Activity::Seed && !slot.sated;
        let rule = if seeds {
            slot.settings.stop_rule.unwrap_or(self.settings.stop_rule)
        } else {
            StopRule::default()
        };
        let slow = self.settings.dont_count_slow && self.queue.is_limited(activity);
        if !slot.runs() || (!slow && rule.is_empty()) {
            slot.watch = None;
            return;
        }
        let (down, uploaded) = slot.payload();
        let enough = rule.ratio.map_or(u64::MAX, |ratio| {
            // Saturates: what cannot be counted is never reached.
            let all = (ratio * slot.geometry().total_len() as f64).ceil() as u64;
            all.saturating_sub(slot.before.uploaded)
        });
        slot.watch = Some(Box::new(Watch {
            rule,
            enough,
            uploaded,
            last_upload: now,
            reached: None,
            slow_since: slow.then_some((now, down + uploaded)),
            due: Some(now),
        }));
        self.touch(t);
    }

    /// Sees to it that a running torrent has the turn that fits what it does, and looks after its rule.
    pub(super) fn mind(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        if !matches!(slot.phase, Phase::Running) {
            return;
        }
        let activity = slot.activity();
        if let Seat::Active { activity: before, .. } = slot.seat
            && before != activity
        {
            slot.times.change(now, true, activity == Activity::Seed);
            slot.seat = Seat::Active { activity, counted: true };
            let rank = slot.rank;
            self.queue.leave(rank);
            self.queue.count(activity, rank, t);
            self.watch(now, t);
            self.balance(now, before);
            self.balance(now, activity);
        }
        self.look(now, t);
    }

    fn look(&mut self, now: Instant, t: usize) {
        let (rate, span) = (self.settings.slow_rate, self.settings.slow_after);
        let Some(slot) = self.torrents.get_mut(t) else { return };
        let (down, up) = slot.payload();
        let Some(watch) = &mut slot.watch else { return };
        if up != watch.uploaded {
            (watch.uploaded, watch.last_upload) = (up, now);
        }
        let mut cause = (up >= watch.enough).then_some(PauseCause::Ratio);
        let mut due = None;
        let mut at_latest = |at: Option<Instant>| due = due.into_iter().chain(at).min();
        if let Some(time) = watch.rule.time {
            let so_far = Duration::from_secs(slot.before.seeding_secs) + slot.times.seeding(now);
            match time.checked_sub(so_far).filter(|left| !left.is_zero()) {
                // Longer than the clock can count is never.
                Some(left) => at_latest(now.checked_add(left)),
                None => cause = cause.or(Some(PauseCause::Time)),
            }
        }
        if let Some(idle) = watch.rule.idle {
            let at = watch.last_upload.checked_add(idle);
            if at.is_some_and(|at| at <= now) {
                cause = cause.or(Some(PauseCause::Idle));
            } else {
                at_latest(at);
            }
        }
        if let Some(cause) = cause {
            // What was sent last is still on its way: a connection that is cut now may lose it.
            let alone = slot.swarm.as_ref().is_none_or(|swarm| swarm.peer_count() == 0);
            let grace = if alone { Duration::ZERO } else { LAST_WORDS };
            let (cause, end) = *watch.reached.get_or_insert((cause, now + grace));
            if end <= now {
                return self.stop_by_rule(now, t, cause);
            }
            at_latest(Some(end));
        }
        let mut turn = None;
        if let (Some((since, before)), Seat::Active { activity, counted }) =
            (&mut watch.slow_since, slot.seat)
        {
            if counted {
                let mut end = since.checked_add(span);
                if end.is_some_and(|end| end <= now) {
                    let moved = (down + up).saturating_sub(*before) as f64;
                    if moved < rate as f64 * now.saturating_duration_since(*since).as_secs_f64() {
                        (turn, end) = (Some((activity, false)), None);
                    } else {
                        end = now.checked_add(span.max(SHORTEST_SPAN));
                    }
                    (*since, *before) = (now, down + up);
                }
                at_latest(end);
            } else if slot.swarm.as_ref().is_some_and(|swarm| swarm.rate(now) >= rate as f64)
                && down + up > *before
            {
                // Looked at only when something happens: a torrent that is slow and idle costs nothing.
                (*since, *before) = (now, down + up);
                turn = Some((activity, true));
                at_latest(now.checked_add(span.max(SHORTEST_SPAN)));
            }
        }
        watch.due = due;
        if let Some((activity, counted)) = turn {
            slot.seat = Seat::Active { activity, counted };
            let rank = slot.rank;
            if counted {
                self.queue.count(activity, rank, t);
            } else {
                self.queue.leave(rank);
            }
            self.balance(now, activity);
        }
    }

    fn stop_by_rule(&mut self, now: Instant, t: usize, cause: PauseCause) {
        if let Some(slot) = self.torrents.get_mut(t) {
            slot.watch = None;
            self.set_paused(now, t, cause);
        }
    }
}

impl Slot {
    /// What it would do if it had its turn.
    pub(super) fn activity(&self) -> Activity {
        match (&self.to_check, self.have()) {
            (Some(_), _) => Activity::Check,
            (None, Some(_)) if self.is_finished() => Activity::Seed,
            _ => Activity::Download,
        }
    }
}

/// How long a torrent with peers goes on after its rule was reached.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Slowness is not judged more often than this, whatever the settings say.
const SHORTEST_SPAN: Duration = Duration::from_millis(10);
