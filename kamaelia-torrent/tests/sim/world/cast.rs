//! Who plays: nodes that are torrents with a disk and a line, and peers that follow a script.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use kamaelia_torrent::proto::{
    BlockRequest, Fetch, Geometry,
    buffer::{BufferPool, PartBuf},
    handshake::Reserved,
    limit::{Limiter, Limits},
    torrent::{PeerError, PeerKey, Torrent, TorrentConfig},
};
use sha1::{Digest, Sha1};

/// What everybody shares.
pub(crate) struct Payload {
    pub(crate) geometry: Geometry,
    pub(crate) data: Vec<u8>,
    pub(super) hashes: Vec<[u8; 20]>,
}

impl Payload {
    pub(crate) fn new(len: usize, piece_len: u32) -> Payload {
        let mut data = vec![0; len];
        fastrand::Rng::with_seed(len as u64).fill(&mut data);
        let hashes = data.chunks(piece_len as usize).map(|piece| Sha1::digest(piece).into()).collect();
        Payload { geometry: Geometry::new(len as u64, piece_len).unwrap(), data, hashes }
    }

    pub(crate) fn range(&self, block: &BlockRequest) -> std::ops::Range<usize> {
        let start = self.geometry.piece_offset(block.piece) as usize + block.begin as usize;
        start..start + block.len as usize
    }
}

/// A peer that follows a script instead of the rules.
pub(crate) trait Script {
    /// What it offers in its handshake.
    fn reserved(&self) -> Reserved {
        Reserved::OURS
    }
    /// Bytes sent at once after the handshakes.
    fn open(&mut self) -> Vec<u8> {
        Vec::new()
    }
    /// Answers to bytes.
    fn receive(&mut self, _payload: &Payload, _data: &[u8]) -> Vec<u8> {
        Vec::new()
    }
    /// Bytes sent at this interval.
    fn every(&mut self, _payload: &Payload) -> Option<(Duration, Vec<u8>)> {
        None
    }
}

pub(crate) struct NodeConfig {
    /// Bytes per second out of the node.
    pub(crate) bandwidth: f64,
    pub(crate) latency: Duration,
    pub(crate) disk: Duration,
    /// One disk write in so many fails; 0 for none.
    pub(crate) disk_faults: u32,
    pub(crate) budget: usize,
    /// Memory shared with other nodes, instead of that budget.
    pub(crate) memory: Option<Memory>,
    pub(crate) have: bool,
    pub(crate) limits: Limits,
    pub(crate) tweak: fn(&mut TorrentConfig),
}

impl Default for NodeConfig {
    fn default() -> NodeConfig {
        NodeConfig {
            bandwidth: 10e6,
            latency: Duration::from_millis(10),
            disk: Duration::from_millis(2),
            disk_faults: 0,
            budget: 16 << 20,
            memory: None,
            have: false,
            limits: Limits::NONE,
            tweak: |_| {},
        }
    }
}

/// Memory for pieces.
pub(crate) type Memory = Rc<RefCell<BufferPool>>;

pub(crate) fn memory(budget: usize) -> Memory {
    Rc::new(RefCell::new(BufferPool::new(budget)))
}

pub(crate) struct Node {
    pub(crate) cfg: NodeConfig,
    pub(crate) torrent: Torrent,
    pub(crate) pool: Memory,
    /// How often it could not read for want of a buffer.
    pub(crate) thirsts: usize,
    pub(crate) data: Vec<u8>,
    pub(crate) completed: Option<Instant>,
    pub(crate) lost: Vec<(SocketAddr, PeerError)>,
    pub(crate) banned: Vec<SocketAddr>,
    pub(crate) writes: usize,
    pub(crate) disk_errors: usize,
    pub(crate) reads: Vec<u32>,
    pub(super) down: Limiter,
    pub(super) up: Limiter,
    pub(super) deal_at: Option<Instant>,
    pub(super) unwritten: HashMap<Fetch, Vec<u8>>,
    pub(super) in_flight_writes: Vec<Option<PartBuf>>,
    pub(super) busy_until: Instant,
    pub(super) conns: HashMap<PeerKey, usize>,
    pub(super) tick_at: Option<Instant>,
}

impl Node {
    pub(super) fn new(torrent: TorrentConfig, data: Vec<u8>, cfg: NodeConfig, now: Instant) -> Node {
        Node {
            torrent: Torrent::new(torrent, now),
            pool: cfg.memory.clone().unwrap_or_else(|| memory(cfg.budget)),
            thirsts: 0,
            data,
            completed: None,
            lost: Vec::new(),
            banned: Vec::new(),
            writes: 0,
            disk_errors: 0,
            reads: Vec::new(),
            down: Limiter::default(),
            up: Limiter::default(),
            deal_at: None,
            unwritten: HashMap::new(),
            in_flight_writes: Vec::new(),
            busy_until: now,
            conns: HashMap::new(),
            tick_at: None,
            cfg,
        }
    }
}
