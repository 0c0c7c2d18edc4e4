//! One torrent of an engine: its phase, swarm, storage and announcer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{AddTorrent, State, TorrentId, TorrentStatus};
use super::places::Ops;
use super::queue::Seat;
use super::read_blocks::Cached;
use super::rules::Watch;
use super::stats::{Times, Wire};
use super::trouble::{Doubt, Trouble};
use crate::disk::{CheckHandle, Storage, Totals};
use crate::proto::announce::{AnnounceStats, Announcer};
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::Geometry;
use crate::proto::info_hash::InfoHash;
use crate::proto::metainfo::Metainfo;
use crate::proto::selection::{Priority, Selection, len_of};
use crate::proto::torrent::{PeerKey, Torrent, TorrentStats};

/// Where a torrent is in its life.
pub(super) enum Phase {
    /// Its resume record is read.
    Loading,
    /// Its data is hashed.
    Checking(Box<Check>),
    /// It has a swarm.
    Running,
    /// It is paused or waits for its turn. `settled`: nothing is under way any more, it may start again.
    Resting { settled: bool },
    /// Trackers are told, and work under way at the disk is awaited; then its record is saved.
    Stopping {
        /// When trackers are no longer waited for.
        until: Instant,
        /// The last request to the disk was sent.
        closing: bool,
    },
    /// It stopped because of an error.
    Failed,
}

/// A check that goes on.
pub(super) struct Check {
    pub(super) handle: CheckHandle,
    pub(super) have: Bitfield,
    pub(super) checked: u32,
    pub(super) total: u32,
    pub(super) error: Option<String>,
    /// It is to rest: the workers leave off.
    pub(super) pausing: bool,
}

/// A torrent.
pub(super) struct Slot {
    pub(super) id: TorrentId,
    pub(super) metainfo: Metainfo,
    pub(super) storage: Arc<Storage>,
    pub(super) settings: AddTorrent,
    pub(super) phase: Phase,
    /// Its swarm, while it runs and does not [sleep](super::sleep).
    pub(super) swarm: Option<Box<Torrent>>,
    pub(super) announcer: Option<Box<Announcer>>,
    /// Verified pieces, when there is no swarm that knows.
    pub(super) have: Option<Bitfield>,
    /// Which files are wanted; `None` if all are, and are equally urgent.
    pub(super) selection: Option<Box<Selection>>,
    /// Requests that move data out of the part file and are not answered yet.
    pub(super) settling: u32,
    /// What is wanted is complete, which is told when it is where it belongs.
    pub(super) completes: bool,
    /// Priorities that were changed before the resume record was read.
    pub(super) early_priorities: Vec<(usize, Priority)>,
    /// Its connections.
    pub(super) links: Vec<PeerKey>,
    /// Addresses that were known when it came to rest; those of the user are in its settings.
    pub(super) early_peers: Vec<SocketAddr>,
    /// Requests to the disk that are not answered yet.
    pub(super) jobs: usize,
    /// A resume record is being written.
    pub(super) saving: bool,
    /// Number of pieces and payload in the record as it was last written or read; `None` if they are not known to be
    /// in it.
    pub(super) saved: Option<(u32, Totals)>,
    /// When the next record is due.
    pub(super) save_at: Option<Instant>,
    /// The earliest deadline of this torrent among the timers.
    pub(super) scheduled: Option<Instant>,
    /// It is in the list of torrents to settle at the end of the turn.
    pub(super) touched: bool,
    /// It is in the list of those to which something happened.
    pub(super) changed: bool,
    /// It is in the list of those that wait for buffers.
    pub(super) hungry: bool,
    /// Figures when the swarm ended.
    pub(super) last_stats: TorrentStats,
    pub(super) tracker_message: Option<String>,
    pub(super) error: Option<String>,
    /// Payload of the runs before this one.
    pub(super) before: Totals,
    /// It would dial if there were fewer connections.
    pub(super) waiting_to_dial: bool,
    /// Those of `jobs` that only read, for peers or for somebody here.
    pub(super) reads: usize,
    /// Whether the system has in memory what peers ask for.
    pub(super) cached: Cached,
    /// The files are being moved, renamed or checked.
    pub(super) ops: Option<Box<Ops>>,
    /// Pieces that are hashed again, because their files changed.
    pub(super) doubt: Option<Box<Doubt>>,
    /// What is wrong at the disk.
    pub(super) trouble: Option<Box<Trouble>>,
    /// When the files are looked at for changes by others.
    pub(super) look_at: Option<Instant>,
    /// It was told that records cannot be saved.
    pub(super) unsaved: bool,
    /// It would ask a tracker if fewer requests were under way.
    pub(super) waiting_to_announce: bool,
    /// It waits in front of those that do not stop.
    pub(super) stop_waits: bool,
    /// Its place in the order of all torrents.
    pub(super) rank: i64,
    /// Whether it has its turn.
    pub(super) seat: Seat,
    /// Pieces that have to be hashed before it can run.
    pub(super) to_check: Option<Box<Bitfield>>,
    /// What is known of it while it rests is in its record.
    pub(super) recorded: bool,
    /// A stop rule was reached; it counts no more until there is a new one.
    pub(super) sated: bool,
    /// What has to be looked at now and then while it runs.
    pub(super) watch: Option<Box<Watch>>,
    pub(super) times: Times,
    pub(super) wire: Wire,
    /// Payload received and sent before its trackers were told `started` last.
    pub(super) untold: (u64, u64),
    /// Upload slots that it has of those for all torrents, if they are limited.
    pub(super) slot_cap: usize,
}

impl Slot {
    pub(super) fn info_hash(&self) -> InfoHash {
        self.metainfo.info_hash()
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.metainfo.geometry()
    }

    /// Verified pieces as far as they are known.
    pub(super) fn have(&self) -> Option<&Bitfield> {
        match (&self.swarm, &self.phase) {
            (Some(swarm), _) => Some(swarm.have()),
            (None, Phase::Checking(check)) => Some(&check.have),
            (None, _) => self.have.as_ref(),
        }
    }

    pub(super) fn stats(&self, now: Instant) -> TorrentStats {
        let last = &self.last_stats;
        let Some(swarm) = &self.swarm else { return last.clone() };
        let mut stats = swarm.stats(now);
        stats.downloaded += last.downloaded;
        stats.uploaded += last.uploaded;
        stats.wasted += last.wasted;
        stats.waste += last.waste;
        stats.failed_pieces += last.failed_pieces;
        stats
    }

    /// Payload of all runs.
    pub(super) fn totals(&self, stats: &TorrentStats) -> Totals {
        let now = Instant::now();
        Totals {
            active_secs: self.before.active_secs.saturating_add(self.times.active(now).as_secs()),
            seeding_secs: self.before.seeding_secs.saturating_add(self.times.seeding(now).as_secs()),
            uploaded: self.before.uploaded.saturating_add(stats.uploaded),
            downloaded: self.before.downloaded.saturating_add(stats.downloaded),
        }
    }

    /// What a tracker is told.
    pub(super) fn announce_stats(&self, now: Instant) -> AnnounceStats {
        let (figures, (downloaded, uploaded)) = (self.figures(now), self.untold);
        AnnounceStats {
            uploaded: figures.uploaded - uploaded,
            downloaded: figures.downloaded - downloaded,
            left: self.left(),
        }
    }

    /// Whether it may be paused, resumed and moved: it is not at its end.
    pub(super) fn is_controllable(&self) -> bool {
        !matches!(self.phase, Phase::Stopping { .. } | Phase::Failed)
    }

    /// Whether it has its turn, and nothing that is there has to be checked first.
    pub(super) fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// Bytes of verified pieces.
    pub(super) fn verified(&self) -> u64 {
        self.have().map_or(0, |have| len_of(&self.geometry(), have))
    }

    pub(super) fn left(&self) -> u64 {
        self.geometry().total_len() - self.verified()
    }

    pub(super) fn state(&self) -> State {
        match &self.phase {
            Phase::Stopping { .. } => State::Stopped,
            Phase::Failed => State::Failed,
            _ if self.settings.paused => State::Paused,
            Phase::Loading => State::Checking,
            Phase::Checking(check) if !check.pausing => State::Checking,
            Phase::Checking(_) | Phase::Resting { .. } => State::Queued,
            Phase::Running if self.recheck_progress().is_some() => State::Checking,
            Phase::Running if self.is_finished() && self.settling == 0 => State::Seeding,
            Phase::Running => State::Downloading,
        }
    }

    /// Pieces looked at and to look at while everything is hashed again.
    fn recheck_progress(&self) -> Option<(u32, u32)> {
        self.doubt.as_ref()?.progress()
    }

    pub(super) fn status(&self, now: Instant) -> TorrentStatus {
        let stats = self.stats(now);
        let geometry = self.geometry();
        let verified = self.verified();
        let (wanted, wanted_left) = self.wanted();
        let progress = match &self.phase {
            Phase::Checking(check) if check.total > 0 => f64::from(check.checked) / f64::from(check.total),
            _ => match self.recheck_progress() {
                Some((checked, total)) => f64::from(checked) / f64::from(total.max(1)),
                None if wanted == 0 => 1.0,
                None => (wanted - wanted_left) as f64 / wanted as f64,
            },
        };
        TorrentStatus {
            id: self.id,
            name: self.metainfo.name().to_owned(),
            info_hash: self.info_hash(),
            state: self.state(),
            progress,
            verified,
            total: geometry.total_len(),
            left: self.left(),
            wanted,
            wanted_left,
            downloaded: stats.downloaded,
            uploaded: stats.uploaded,
            totals: self.totals(&stats),
            figures: self.figures(now),
            wasted: stats.wasted,
            down_rate: stats.down_rate,
            up_rate: stats.up_rate,
            peers: stats.peers,
            seeds: stats.seeds,
            pieces_have: self.have().map_or(0, Bitfield::count),
            piece_count: geometry.piece_count(),
            save_path: self.storage.save_path(),
            tracker_message: self.tracker_message.clone(),
            error: self.error.clone(),
            disk_error: self.trouble.as_ref().map(|trouble| trouble.error.clone()),
        }
    }

    /// When something of this torrent is due; `now` everything that was due has been done.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let swarm = self.swarm.as_deref().and_then(Torrent::deadline).map(|at| {
            // It may be due to dial, which waits for a free connection: that must not keep the loop turning.
            if self.waiting_to_dial { at.max(now + DIAL_PAUSE) } else { at }
        });
        let announcer = self.announcer.as_deref().and_then(Announcer::deadline);
        // In the queue of those that would ask it is thought of without a timer.
        let announcer = announcer.filter(|at| !self.waiting_to_announce || *at > now);
        let stop = match &self.phase {
            // Later than that only the disk is awaited, which rings.
            Phase::Stopping { until, closing: false } => Some(*until).filter(|until| *until > now),
            _ => None,
        };
        let save = self.save_at.filter(|_| !self.saving && self.ops.is_none());
        let watch = self.watch.as_ref().and_then(|watch| watch.due);
        [swarm, announcer, stop, save, watch, self.look_at].into_iter().flatten().min()
    }
}

/// How soon a swarm looks again that would dial if there were fewer connections.
const DIAL_PAUSE: Duration = Duration::from_millis(100);
