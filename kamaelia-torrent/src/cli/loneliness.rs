//! Says what a torrent without any peer waits for.

use std::time::{Duration, Instant};

use kamaelia_torrent::components::StatusSnapshot;
use kamaelia_torrent::engine::State;

/// Follows one torrent.
pub(crate) struct Loneliness {
    has_sources: bool,
    since: Option<Instant>,
    told: Option<(Instant, String)>,
}

impl Loneliness {
    /// `has_sources`: whether a tracker will be asked, or a peer is known.
    pub(crate) fn new(has_sources: bool) -> Self {
        Self { has_sources, since: None, told: None }
    }

    /// What to tell the user now, if anything: the reason, when it is known for a while or has changed.
    pub(crate) fn look(&mut self, s: &StatusSnapshot, now: Instant) -> Option<String> {
        if s.peers > 0 || s.state != State::Downloading || s.is_complete() {
            (self.since, self.told) = (None, None);
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if self.has_sources && now.duration_since(since) < PATIENCE {
            return None;
        }
        let reason = self.reason(s);
        if let Some((at, told)) = &self.told
            && (*told == reason || now.duration_since(*at) < PAUSE)
        {
            return None;
        }
        self.told = Some((now, reason.clone()));
        Some(reason)
    }

    fn reason(&self, s: &StatusSnapshot) -> String {
        if !self.has_sources {
            return match s.listen {
                Some(addr) => {
                    format!("no tracker and no --peer to ask; waiting for peers to connect to {addr}")
                }
                None => "no tracker, no --peer and no address to listen on: no peer can be found".into(),
            };
        }
        let mut reason = "no peers yet".to_string();
        if let Some(tracker) = &s.tracker_message {
            reason += &format!("; the tracker: {tracker}");
        }
        if let Some(peer) = &s.peer_message {
            reason += &format!("; the last peer was {peer}");
        }
        reason + "; going on trying"
    }
}

/// Time for trackers to answer and for connections to come about before anybody is told that there are none.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time between two changed reasons.
const PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn status(peers: usize) -> StatusSnapshot {
        StatusSnapshot {
            state: State::Downloading,
            name: "x".into(),
            fraction_done: 0.0,
            verified: 0,
            total: 10,
            wanted: 10,
            wanted_left: 10,
            downloaded: 0,
            uploaded: 0,
            figures: Default::default(),
            wasted: 0,
            down_rate: 0,
            up_rate: 0,
            peers,
            seeds: 0,
            pieces_have: 0,
            piece_count: 1,
            save_path: "x".into(),
            tracker_message: None,
            peer_message: Some("1.2.3.4:5: refused".into()),
            listen: Some(([127, 0, 0, 1], 7).into()),
            disk_message: None,
        }
    }

    #[test]
    fn who_has_nobody_to_ask_hears_at_once_and_only_once() {
        let (mut l, t) = (Loneliness::new(false), Instant::now());
        assert!(l.look(&status(0), t).unwrap().contains("127.0.0.1:7"));
        assert_eq!(l.look(&status(0), t + PAUSE * 2), None);
    }

    #[test]
    fn others_hear_after_a_while_and_again_when_the_reason_changes() {
        let (mut l, t) = (Loneliness::new(true), Instant::now());
        assert_eq!(l.look(&status(0), t), None);
        assert!(l.look(&status(0), t + PATIENCE).unwrap().contains("1.2.3.4:5: refused"));
        let changed = StatusSnapshot { tracker_message: Some("gone".into()), ..status(0) };
        assert_eq!(l.look(&changed, t + PATIENCE * 2), None);
        assert!(l.look(&changed, t + PATIENCE + PAUSE).unwrap().contains("gone"));
        assert_eq!(l.look(&status(1), t + PAUSE * 3), None);
        assert_eq!(l.look(&status(0), t + PAUSE * 3), None);
    }
}
