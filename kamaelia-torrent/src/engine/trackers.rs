//! Asking trackers.
//!
//! Ten thousand torrents that start, or stop, at once must not ask ten thousand times at once: so many requests would
//! time out while they wait for one another. As many are under way as there are threads to carry them;
//! [`Turns`](crate::proto::announce::Turns) says whose turn it is.

use std::time::{Duration, Instant};

use super::Engine;
use super::event::{Event, TorrentId};
use crate::net::http::{HttpRequest, Want};
use crate::proto::announce::{AnnounceOutcome, Server, Step, Turn};
use crate::proto::torrent::{PeerSource, Torrent};

/// A request to a tracker that is under way.
pub(super) struct Asking {
    id: TorrentId,
    /// The announcer's number of it.
    request: u64,
    server: Server,
    since: Instant,
}

impl Engine {
    /// Sends the requests of a torrent to trackers that are due.
    pub(super) fn announce(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        let Some(announcer) = &mut slot.announcer else { return };
        if slot.swarm.as_deref().is_some_and(Torrent::wants_connections) {
            announcer.want_peers(now);
        }
        // Figures cost something to gather, and most of the time nothing is due.
        if announcer.deadline().is_none_or(|at| at > now) {
            return;
        }
        let leaving = announcer.is_leaving();
        if slot.waiting_to_announce && (slot.stop_waits || !leaving) {
            return;
        }
        let (id, stats) = (slot.id, slot.announce_stats(now));
        loop {
            let Some(announcer) = self.torrents.get_mut(t).and_then(|slot| slot.announcer.as_mut()) else {
                return;
            };
            let turns = &mut self.turns;
            let (mut asks, mut waits) = (None, false);
            let step = announcer.poll(now, stats, |tracker| {
                let turn = turns.turn(now, tracker, id, leaving);
                match turn {
                    Turn::Ask(server) => asks = Some(server),
                    Turn::Wait => waits = true,
                    Turn::PutOff(_) => {}
                }
                turn
            });
            let slot = &mut self.torrents[t];
            slot.waiting_to_announce |= waits;
            slot.stop_waits |= waits && leaving;
            match (step, asks) {
                (Some(Step::Ask(request)), Some(server)) => {
                    self.last_token += 1;
                    let (token, url, timeout) = (self.last_token, request.url, request.timeout);
                    self.asking.insert(token, Asking { id, request: request.id, server, since: now });
                    log::debug!("torrent {id}: asking {}", request.tracker);
                    self.http.get(HttpRequest { token, url, timeout, want: Want::Announce });
                }
                (Some(Step::PutOff { tracker, reason }), _) => {
                    slot.tracker_message = Some(reason.to_owned());
                    self.emit(Event::Tracker { id, url: tracker, result: Err(reason.to_owned()) });
                }
                (_, _) => return,
            }
        }
    }

    /// Lets the torrents ask that wait for their turn.
    pub(super) fn announce_waiting(&mut self, now: Instant) {
        while let Some(id) = self.turns.next_turn() {
            let Some(&t) = self.by_id.get(&id) else { continue };
            let slot = &mut self.torrents[t];
            (slot.waiting_to_announce, slot.stop_waits) = (false, false);
            self.announce(now, t);
            self.go_on_resting(now, t);
            self.go_on_stopping(now, t);
            self.schedule(now, t);
        }
    }

    /// Takes what the HTTP workers have brought.
    pub(super) fn take_tracker_answers(&mut self, now: Instant) {
        while let Ok(answer) = self.http_answers.try_recv() {
            let Some(asked) = self.asking.remove(&answer.token) else { continue };
            let prompt = now.saturating_duration_since(asked.since) < SLOW;
            self.turns.done(now, asked.server, asked.since, prompt || answer.result.is_ok());
            if let Some(&t) = self.by_id.get(&asked.id) {
                self.answered(now, t, asked.request, answer.result);
            }
        }
    }

    fn answered(&mut self, now: Instant, t: usize, request: u64, answer: Result<Vec<u8>, String>) {
        let slot = &mut self.torrents[t];
        let Some(announcer) = &mut slot.announcer else { return };
        let (url, result) = match announcer.response(now, request, answer.as_deref().map_err(Clone::clone)) {
            AnnounceOutcome::Ok { tracker, peers, warning, .. } => {
                slot.tracker_message = warning;
                if !peers.is_empty()
                    && let Some(swarm) = self.wake_swarm(now, t)
                {
                    swarm.add_candidates(now, &peers, PeerSource::Tracker);
                }
                (tracker, Ok(peers.len()))
            }
            AnnounceOutcome::Failed { tracker, reason, .. } => {
                slot.tracker_message = Some(reason.clone());
                (tracker, Err(reason))
            }
            AnnounceOutcome::Ignored => return,
        };
        let id = self.torrents[t].id;
        self.emit(Event::Tracker { id, url, result });
        self.touch(t);
    }
}

/// A request that failed after this time was not refused but kept waiting.
const SLOW: Duration = Duration::from_secs(4);
