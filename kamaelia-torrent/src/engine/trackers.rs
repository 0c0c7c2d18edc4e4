//! Asking trackers.

use std::time::Instant;

use super::Engine;
use super::event::Event;
use super::slot::Phase;
use crate::net::http::{HttpRequest, Want};
use crate::proto::announce::AnnounceOutcome;
use crate::proto::torrent::{PeerSource, Torrent};

impl Engine {
    /// Sends the requests of a torrent to trackers that are due.
    pub(super) fn announce(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        let Some(announcer) = &mut slot.announcer else { return };
        if slot.swarm.as_ref().is_some_and(Torrent::wants_connections) {
            announcer.want_peers(now);
        }
        // Figures cost something to gather, and most of the time nothing is due.
        if announcer.deadline().is_none_or(|at| at > now) {
            return;
        }
        let stats = slot.announce_stats(now);
        while let Some(request) = slot.announcer.as_mut().and_then(|announcer| announcer.poll(now, stats)) {
            self.last_token += 1;
            self.asking.insert(self.last_token, (slot.id, request.id));
            log::debug!("torrent {}: asking {}", slot.id, request.tracker);
            let (token, url, timeout) = (self.last_token, request.url, request.timeout);
            self.http.get(HttpRequest { token, url, timeout, want: Want::Announce });
        }
    }

    /// Takes what the HTTP workers have brought.
    pub(super) fn take_tracker_answers(&mut self, now: Instant) {
        while let Ok(answer) = self.http_answers.try_recv() {
            let Some((id, request)) = self.asking.remove(&answer.token) else { continue };
            let Some(&t) = self.by_id.get(&id) else { continue };
            let slot = &mut self.torrents[t];
            let Some(announcer) = &mut slot.announcer else { continue };
            let body = answer.result.as_deref().map_err(Clone::clone);
            let (url, result) = match announcer.response(now, request, body) {
                AnnounceOutcome::Ok { tracker, peers, warning, .. } => {
                    slot.tracker_message = warning;
                    if let (Some(swarm), Phase::Running) = (&mut slot.swarm, &slot.phase) {
                        swarm.add_candidates(now, &peers, PeerSource::Tracker);
                    }
                    (tracker, Ok(peers.len()))
                }
                AnnounceOutcome::Failed { tracker, reason, .. } => {
                    slot.tracker_message = Some(reason.clone());
                    (tracker, Err(reason))
                }
                AnnounceOutcome::Ignored => continue,
            };
            self.emit(Event::Tracker { id, url, result });
            self.touch(t);
        }
    }
}
