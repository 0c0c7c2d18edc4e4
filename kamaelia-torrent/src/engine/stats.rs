//! Figures of the session, made so that they add up: what the session says is the sum over its torrents, those that are
//! gone included, and what belongs to none.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

use super::Engine;
use super::event::State;
use super::slot::Slot;
use crate::proto::torrent::Waste;

/// What a torrent, or all of them, did since it was added, and since the engine was made.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Payload received, bytes, with what was of no use.
    pub downloaded: u64,
    /// Payload sent, bytes.
    pub uploaded: u64,
    /// Everything that came in on connections with peers, bytes: payload, protocol and handshakes.
    pub received: u64,
    /// Everything that went out on them, bytes.
    pub sent: u64,
    /// Payload received in vain, by reason; it is part of `downloaded`.
    pub waste: Waste,
    /// Pieces that did not match their hash.
    pub hash_failures: u64,
    /// Connections that we tried to open. Each is `made` or has `failed` or is still being opened.
    pub tried: u64,
    /// Connections that we opened and on which a peer of the torrent answered.
    pub made: u64,
    /// Connections that did not come about.
    pub failed: u64,
    /// Connections that peers opened and that came about.
    pub accepted: u64,
    /// Time in which it took and opened connections; of all torrents: the sum.
    pub active: Duration,
    /// Time in which it did so and was complete.
    pub seeding: Duration,
}

impl Figures {
    /// Bytes received that are not payload.
    pub fn protocol_received(&self) -> u64 {
        self.received.saturating_sub(self.downloaded)
    }

    /// Bytes sent that are not payload.
    pub fn protocol_sent(&self) -> u64 {
        self.sent.saturating_sub(self.uploaded)
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.downloaded += other.downloaded;
        self.uploaded += other.uploaded;
        self.received += other.received;
        self.sent += other.sent;
        self.waste += other.waste;
        self.hash_failures += other.hash_failures;
        self.tried += other.tried;
        self.made += other.made;
        self.failed += other.failed;
        self.accepted += other.accepted;
        self.active += other.active;
        self.seeding += other.seeding;
    }
}

/// All torrents of an engine at one moment; see [`Engine::session_stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Time since the engine was made.
    pub uptime: Duration,
    /// What all torrents did, those that were removed included. `received`, `sent` and the connections are counted at the
    /// sockets, everything else by the torrents.
    pub figures: Figures,
    /// Part of `figures.received` and `figures.sent` of connections that belonged to no torrent yet, bytes: handshakes of
    /// peers that dialled us, as far as they came in pieces or named no torrent that runs here.
    pub strangers: (u64, u64),
    /// Part of `figures` that torrents did that were removed.
    pub removed: Figures,
    /// Payload coming in, bytes per second.
    pub down_rate: u64,
    /// Payload going out, bytes per second.
    pub up_rate: u64,
    /// Connections with peers that are up.
    pub peers: usize,
    /// Connections in all, those included that are being opened or have not named a torrent.
    pub connections: usize,
    /// Torrents in all.
    pub torrents: usize,
    /// Torrents of which existing data is looked at.
    pub checking: usize,
    /// Torrents that download.
    pub downloading: usize,
    /// Torrents that are complete and share.
    pub seeding: usize,
    /// Torrents that wait for their turn.
    pub queued: usize,
    /// Torrents that are paused.
    pub paused: usize,
    /// Torrents that failed.
    pub failed: usize,
}

/// What the engine counts itself.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) since: Instant,
    /// At the sockets: `received`, `sent` and connections only.
    pub(super) wire: Wire,
    pub(super) strangers: (u64, u64),
    pub(super) removed: Figures,
}

impl Session {
    pub(super) fn new() -> Session {
        Session {
            since: Instant::now(),
            wire: Wire::default(),
            strangers: (0, 0),
            removed: Figures::default(),
        }
    }
}

/// What passes the sockets.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Wire {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) tried: u64,
    pub(super) made: u64,
    pub(super) failed: u64,
    pub(super) accepted: u64,
}

/// How long a torrent has run, and seeded.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Times {
    active: Duration,
    active_since: Option<Instant>,
    seeding: Duration,
    seeding_since: Option<Instant>,
}

impl Times {
    /// From now on it runs, or not, and seeds, or not.
    pub(super) fn change(&mut self, now: Instant, active: bool, seeding: bool) {
        (self.active, self.seeding) = (self.active(now), self.seeding(now));
        self.active_since = active.then_some(now);
        self.seeding_since = (active && seeding).then_some(now);
    }

    pub(super) fn active(&self, now: Instant) -> Duration {
        self.active + self.active_since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }

    pub(super) fn seeding(&self, now: Instant) -> Duration {
        self.seeding + self.seeding_since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }
}

impl Slot {
    pub(super) fn figures(&self, now: Instant) -> Figures {
        let (mut downloaded, mut uploaded) = (self.last_stats.downloaded, self.last_stats.uploaded);
        let (mut waste, mut hash_failures) = (self.last_stats.waste, self.last_stats.failed_pieces);
        if let Some(swarm) = &self.swarm {
            let (down, up) = swarm.payload();
            downloaded += down;
            uploaded += up;
            waste += swarm.waste();
            hash_failures += swarm.failed_pieces();
        }
        let Wire { received, sent, tried, made, failed, accepted } = self.wire;
        let (active, seeding) = (self.times.active(now), self.times.seeding(now));
        Figures {
            downloaded,
            uploaded,
            received,
            sent,
            waste,
            hash_failures,
            tried,
            made,
            failed,
            accepted,
            active,
            seeding,
        }
    }
}

impl Engine {
    /// Figures of everything since the engine was made. Costs as much as there are torrents and connections.
    pub fn session_stats(&self) -> SessionStats {
        let now = Instant::now();
        let mut stats = SessionStats {
            uptime: now.saturating_duration_since(self.session.since),
            figures: self.session.removed,
            strangers: self.session.strangers,
            removed: self.session.removed,
            connections: self.links.len(),
            torrents: self.torrents.len(),
            ..SessionStats::default()
        };
        for (_, slot) in &self.torrents {
            stats.figures += slot.figures(now);
            if let Some(swarm) = &slot.swarm {
                let swarm = swarm.stats(now);
                stats.down_rate += swarm.down_rate;
                stats.up_rate += swarm.up_rate;
                stats.peers += swarm.peers;
            }
            match slot.state() {
                State::Checking => stats.checking += 1,
                State::Downloading => stats.downloading += 1,
                State::Seeding => stats.seeding += 1,
                State::Queued => stats.queued += 1,
                State::Paused => stats.paused += 1,
                State::Failed => stats.failed += 1,
                State::Stopped => {}
            }
        }
        // Counted where the bytes pass, so that it can be seen whether the torrents' sums are right.
        let Wire { received, sent, tried, made, failed, accepted } = self.session.wire;
        stats.figures = Figures { received, sent, tried, made, failed, accepted, ..stats.figures };
        stats
    }
}
