//! What an engine is told at the start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use super::queue::QueueLimits;
use super::rules::StopRule;
use crate::disk::{Allocation, DiskHook};
use crate::proto::buffer;

/// Settings of an [`Engine`](super::Engine). [`Default`] is right for a program that shares a few torrents.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen for peers; port 0 takes any free one. `None`: nobody can dial us. Default: all IPv4 addresses,
    /// any port.
    pub listen: Option<SocketAddr>,
    /// Address from which connections are opened. Default: that of `listen` if it is a specific one, else the system
    /// chooses.
    pub outgoing_bind: Option<IpAddr>,
    /// Most connections in all, established or not; for a moment up to four more, until it is known whether a newcomer
    /// is of more use than one of those; see also [`possible_connections`](Settings::possible_connections). Default 200.
    pub max_connections: usize,
    /// Most connections of one torrent. Default 100.
    pub max_peers_per_torrent: usize,
    /// Connections being opened at the same time. Default 32.
    pub max_half_open: usize,
    /// Peers that are served at a time, of all torrents together, which share them evenly. `None`: no
    /// limit. 0: nothing is sent.
    pub upload_slots: Option<usize>,
    /// Peers of one torrent that are served at a time; `None` adapts the number to what the line carries.
    pub upload_slots_per_torrent: Option<usize>,
    /// Most bytes per second from peers, of all torrents together. `None`: no limit.
    pub down_limit: Option<NonZeroU64>,
    /// Most bytes per second to peers, of all torrents together. `None`: no limit.
    pub up_limit: Option<NonZeroU64>,
    /// Memory for pieces in the making, of all torrents, bytes. Default 12 MiB.
    pub memory: usize,
    /// Threads that read, write and hash. `None`: the number of cores, at most 4.
    pub disk_workers: Option<usize>,
    /// Files kept open at the same time. Default 64.
    pub open_files: usize,
    /// How room for files is taken, unless a torrent says otherwise. Default: as data comes.
    pub allocation: Allocation,
    /// Torrents that download at a time; `None`: all, which is the default; 0: none.
    pub active_downloads: Option<usize>,
    /// Torrents that seed at a time; `None`: all, which is the default; 0: none.
    pub active_seeds: Option<usize>,
    /// Checks of existing data at a time. Default 1, since each uses all disk workers.
    pub active_checks: Option<usize>,
    /// Whether a torrent that moves less than `slow_rate` is not counted among the active ones, so that it does not
    /// keep others waiting. Default on.
    pub dont_count_slow: bool,
    /// Payload in both directions below which a torrent is slow, bytes per second. Default 2 KiB.
    pub slow_rate: u64,
    /// Time for which that must be so. Default 60 s.
    pub slow_after: Duration,
    /// When a complete torrent is paused that has no rule of its own. Default: never.
    pub stop_rule: StopRule,
    /// Start of our peer id, at most 12 bytes of it are used; the rest is random. Default `-KT0100-`.
    pub peer_id_prefix: String,
    /// Folder in which torrents and their resume records are kept, so that [`Engine::restore`](super::Engine::restore)
    /// brings them back in a later run. It belongs to one process at a time. `None`: torrents are not kept, and
    /// resume records lie beside the torrent's data, as hidden files.
    pub state_dir: Option<PathBuf>,
    /// Peers asked of a tracker at a time. Default 80.
    pub numwant: u32,
    /// Time for a connection to be established. Default 10 s.
    pub connect_timeout: Duration,
    /// Time for both handshakes. Default 10 s.
    pub handshake_timeout: Duration,
    /// How long after a piece was verified the resume record is written. Default 5 s.
    pub save_interval: Duration,
    /// How often the files of a torrent that is read from are looked at for changes by others. Those that were read are
    /// looked at a second later at most, but for some of a torrent that is read in many files at once. Default 10 s.
    pub look_interval: Duration,
    /// How long trackers may take to be told that we stopped. Default 3 s.
    pub stop_timeout: Duration,
    /// Seed of every random choice; `None` takes one from the system. The peer id is random in any case.
    pub seed: Option<u64>,
    /// What happens before each access to a file, for benchmarks and tests: a slow disk, or one that fails.
    #[doc(hidden)]
    pub disk_hook: Option<DiskHook>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)),
            outgoing_bind: None,
            max_connections: 200,
            max_peers_per_torrent: 100,
            max_half_open: 32,
            upload_slots: None,
            upload_slots_per_torrent: None,
            down_limit: None,
            up_limit: None,
            memory: buffer::DEFAULT_BUDGET,
            disk_workers: None,
            open_files: 64,
            allocation: Allocation::Sparse,
            active_downloads: None,
            active_seeds: None,
            active_checks: Some(1),
            dont_count_slow: true,
            slow_rate: 2048,
            slow_after: Duration::from_secs(60),
            stop_rule: StopRule::default(),
            peer_id_prefix: "-KT0100-".to_owned(),
            state_dir: None,
            numwant: 80,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            save_interval: Duration::from_secs(5),
            look_interval: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(3),
            seed: None,
            disk_hook: None,
        }
    }
}

impl Settings {
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        let Settings { active_downloads, active_seeds, active_checks, .. } = *self;
        QueueLimits { downloads: active_downloads, seeds: active_seeds, checks: active_checks }
    }

    /// The address from which connections are opened.
    pub(crate) fn bind_address(&self) -> Option<IpAddr> {
        let listen = self.listen.map(|addr| addr.ip()).filter(|ip| !ip.is_unspecified());
        self.outgoing_bind.or(listen)
    }
}
