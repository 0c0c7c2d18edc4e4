//! Asking trackers.
//!
//! Ten thousand torrents that start, or stop, at once must not ask ten thousand times at once: so many requests would
//! time out while they wait for one another. As many are under way as there are threads to carry them; other
//! torrents wait in a queue, those that stop in front. A server that does not answer costs a thread the whole time-out;
//! for a while after that nobody asks it, so that one that is dead does not hold up those that are not.

use std::time::{Duration, Instant};

use super::Engine;
use super::event::{Event, TorrentId};
use super::slot::Phase;
use crate::net::http::{HttpRequest, Want};
use crate::proto::announce::{AnnounceOutcome, AnnounceRequest};
use crate::proto::torrent::{PeerSource, Torrent};

/// A request to a tracker that is under way.
pub(super) struct Asking {
    id: TorrentId,
    /// The announcer's number of it.
    request: u64,
    host: String,
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
        if self.asking.len() >= MAX_ASKING {
            let stopping = matches!(slot.phase, Phase::Stopping { .. });
            if stopping && !std::mem::replace(&mut slot.stop_waits, true) {
                slot.waiting_to_announce = true;
                self.waiting_to_announce.push_front(t);
            } else if !std::mem::replace(&mut slot.waiting_to_announce, true) {
                self.waiting_to_announce.push_back(t);
            }
            return;
        }
        let (id, stats) = (slot.id, slot.announce_stats(now));
        while let Some(request) = self.next_request(now, t, stats) {
            let host = host_of(&request.tracker).to_owned();
            if self.silent.get(&host).is_some_and(|until| *until > now) {
                self.answered(
                    now,
                    t,
                    request.id,
                    Err("did not answer another request a moment ago".to_owned()),
                );
                continue;
            }
            self.last_token += 1;
            self.asking.insert(self.last_token, Asking { id, request: request.id, host, since: now });
            log::debug!("torrent {id}: asking {}", request.tracker);
            let (token, url, timeout) = (self.last_token, request.url, request.timeout);
            self.http.get(HttpRequest { token, url, timeout, want: Want::Announce });
        }
    }

    fn next_request(
        &mut self,
        now: Instant,
        t: usize,
        stats: crate::proto::announce::AnnounceStats,
    ) -> Option<AnnounceRequest> {
        self.torrents.get_mut(t)?.announcer.as_mut()?.poll(now, stats)
    }

    /// Lets the torrents ask that wait for their turn.
    pub(super) fn announce_waiting(&mut self, now: Instant) {
        while self.asking.len() < MAX_ASKING
            && let Some(t) = self.waiting_to_announce.pop_front()
        {
            if let Some(slot) = self.torrents.get_mut(t) {
                (slot.waiting_to_announce, slot.stop_waits) = (false, false);
                self.announce(now, t);
                self.go_on_stopping(now, t);
                self.schedule(now, t);
            }
        }
    }

    /// Takes what the HTTP workers have brought.
    pub(super) fn take_tracker_answers(&mut self, now: Instant) {
        while let Ok(answer) = self.http_answers.try_recv() {
            let Some(asked) = self.asking.remove(&answer.token) else { continue };
            if answer.result.is_ok() {
                self.silent.remove(&asked.host);
            } else if now.saturating_duration_since(asked.since) >= SLOW {
                self.silent.retain(|_, until| *until > now);
                self.silent.insert(asked.host, now + REST);
            }
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

/// The server in a tracker's URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Requests under way at a time: one for each thread, and one for each that is about to be free.
const MAX_ASKING: usize = 2 * super::HTTP_THREADS;

/// A request that failed after this time was not refused but kept waiting.
const SLOW: Duration = Duration::from_secs(4);

/// How long a server that does not answer is left alone; shorter than the shortest wait of an announcer, so that a
/// torrent that is alone with it does not notice.
const REST: Duration = Duration::from_secs(10);
