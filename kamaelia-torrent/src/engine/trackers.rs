//! Asking trackers.

use std::time::Instant;

use super::Engine;
use super::event::Event;
use super::slot::Phase;
use crate::net::http::HttpRequest;
use crate::proto::announce::AnnounceOutcome;
use crate::proto::torrent::PeerSource;

impl Engine {
    /// Sends the next request of a torrent to a tracker, if one is due.
    pub(super) fn announce(&mut self, now: Instant, t: usize) {
        let Some(slot) = self.torrents.get_mut(t) else { return };
        let stats = slot.announce_stats(now);
        let Some(announcer) = &mut slot.announcer else { return };
        if let Some(swarm) = &slot.swarm {
            Engine::want_peers(announcer, swarm, now);
        }
        if slot.announcing {
            return;
        }
        let Some(request) = announcer.poll(now, stats) else { return };
        slot.announcing = true;
        self.last_token += 1;
        self.asking.insert(self.last_token, (slot.id, request.id));
        log::debug!("torrent {}: asking {}", slot.id, request.tracker);
        self.http.get(HttpRequest { token: self.last_token, url: request.url, timeout: request.timeout });
    }

    /// Takes what the HTTP workers have brought.
    pub(super) fn take_tracker_answers(&mut self, now: Instant) {
        while let Ok(answer) = self.http_answers.try_recv() {
            let Some((id, request)) = self.asking.remove(&answer.token) else { continue };
            let Some(&t) = self.by_id.get(&id) else { continue };
            let slot = &mut self.torrents[t];
            slot.announcing = false;
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
