//! The swarm of one torrent: peers, pieces, who is asked for what and who is served.
//!
//! A [`Torrent`] is told what happens (bytes, closed connections, answers of the disk, time) and answers through
//! [`Torrent::poll`]. After every call that changes something, call `poll` until it answers `None`; then take
//! [`Torrent::deadline`] and call [`Torrent::tick`] when that time has come (an earlier or additional call is
//! harmless).

mod ahead;
mod candidates;
mod check;
mod connect;
mod disk;
mod dormant;
mod doubt;
mod haves;
mod landing;
mod leave;
mod messages;
mod pace;
mod partial;
mod requests;
mod select;
mod slots;
mod sources;
mod stripe;
#[cfg(test)]
mod testing;
mod timers;
mod types;
mod unsure;
mod upload;
mod uploads;
mod urgent;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use candidates::Candidates;
pub use landing::{Landing, MOST_SLICES};
use partial::Partial;
use slab::Slab;
pub(crate) use sources::SourceId;
use sources::Sources;
pub(crate) use stripe::Stripe;
pub use types::{
    CheckResult, Direction, PeerError, PeerKey, PeerSource, PeerStats, Refusal, TorrentConfig, TorrentOutput,
    TorrentStats, Waste,
};
pub(crate) use upload::LEAST_READS;
pub(crate) use uploads::Reads;
pub use uploads::Uploads;
use urgent::Urgent;

use super::{
    bitfield::Bitfield,
    choker::Choker,
    geometry::{BLOCK_LEN, PieceIndex},
    peer::Peer,
    picker::Picker,
    rate::Rate,
    wire::Message,
};

/// The swarm of one torrent; see the [module](self) for how it is driven.
#[derive(Debug)]
pub struct Torrent {
    cfg: TorrentConfig,
    have: Bitfield,
    /// What peers have that have everything, or nothing.
    everything: Arc<Bitfield>,
    nothing: Arc<Bitfield>,

    peers: Slab<Peer>,
    by_key: HashMap<PeerKey, usize>,
    candidates: Candidates,
    sources: Sources,

    picker: Picker,
    partials: Slab<Partial>,
    /// Fetchings of pieces that were begun.
    attempts: u32,
    by_piece: HashMap<PieceIndex, usize>,
    /// Blocks of `partials` that are neither here nor asked for.
    free_blocks: u32,
    /// Rises whenever a block can be asked for that could not be before.
    news: u64,
    /// Pieces that failed: fetched before all others, each from one peer.
    retry: Vec<PieceIndex>,
    /// Pieces with a deadline, if there are any.
    urgent: Option<Box<Urgent>>,
    /// Peers that send to us, for their share of memory.
    givers: usize,
    hungry: bool,
    /// Peers that are not read for want of buffers, in the order in which they stopped.
    thirsty: VecDeque<PeerKey>,
    disk_rests: Option<Instant>,
    /// Pieces that were verified and are not there now; rare.
    lost: Option<Box<doubt::Lost>>,

    choker: Choker,
    slots: usize,
    /// Peers that want something of us.
    interested: usize,
    /// Blocks are sent only with leave.
    metered: bool,
    /// What may come in, bytes per second, if that is limited.
    pace: Option<u64>,
    next_round: Option<Instant>,

    untold: haves::News,

    outputs: VecDeque<TorrentOutput>,
    wake: Option<Instant>,
    rng: fastrand::Rng,

    down: Rate,
    up: Rate,
    waste: Waste,
    /// Payload received that became verified pieces, bytes.
    kept: u64,
    failed_pieces: u64,
    verified: u64,
}

impl Torrent {
    /// A torrent without connections.
    ///
    /// # Panics
    ///
    /// If `cfg.have` or `cfg.priorities` is not for as many pieces as `cfg.geometry`.
    pub fn new(mut cfg: TorrentConfig, now: Instant) -> Torrent {
        let pieces = cfg.geometry.piece_count();
        assert_eq!(cfg.have.len(), pieces, "bitfield and geometry of different torrents");
        let mut rng = fastrand::Rng::with_seed(cfg.seed);
        let have = std::mem::replace(&mut cfg.have, Bitfield::new(0));
        let mut choker = Choker::new(cfg.upload_slots, rng.fork());
        let verified = have.iter_ones().map(|piece| u64::from(cfg.geometry.piece_size(piece))).sum();
        let mut picker = Picker::new(&have, rng.fork());
        let priorities = std::mem::take(&mut cfg.priorities);
        if !priorities.is_empty() {
            picker.set_priorities(&priorities);
        }
        Torrent {
            everything: Arc::new(Bitfield::full(pieces)),
            nothing: Arc::new(Bitfield::new(pieces)),
            peers: Slab::new(),
            by_key: HashMap::new(),
            candidates: Candidates::new(now),
            sources: Sources::default(),
            picker,
            partials: Slab::new(),
            attempts: 0,
            by_piece: HashMap::new(),
            free_blocks: 0,
            news: 0,
            retry: Vec::new(),
            urgent: None,
            givers: 0,
            hungry: false,
            thirsty: VecDeque::new(),
            disk_rests: None,
            lost: None,
            slots: choker.slots(&[]),
            choker,
            interested: 0,
            metered: false,
            pace: None,
            next_round: None,
            untold: haves::News::default(),
            outputs: VecDeque::new(),
            wake: None,
            rng,
            down: Rate::new(now),
            up: Rate::new(now),
            waste: Waste::default(),
            kept: 0,
            failed_pieces: 0,
            verified,
            have,
            cfg,
        }
    }

    /// The next thing to do; `None` when all is said.
    pub fn poll(&mut self) -> Option<TorrentOutput> {
        self.outputs.pop_front()
    }

    /// Appends protocol bytes for a connection to `out`. Call it after [`TorrentOutput::OutputReady`] as soon as the
    /// connection has room; what is not taken waits.
    pub fn take_output(&mut self, now: Instant, key: PeerKey, out: &mut Vec<u8>) {
        let Some(peer) = self.by_key.get(&key).and_then(|slot| self.peers.get_mut(*slot)) else { return };
        out.extend_from_slice(&peer.out);
        peer.out.clear();
        // Thousands of idle connections should not each keep the memory of their busiest moment.
        peer.out.shrink_to(KEPT_OUTPUT);
        peer.out_since = None;
        peer.sent_at = now;
    }

    /// Gives back memory that is of use only while somebody is connected: of ten thousand torrents most rest.
    fn rest(&mut self) {
        self.picker.rest();
        self.by_key.shrink_to_fit();
        self.by_piece.shrink_to_fit();
        self.peers.shrink_to_fit();
        self.partials.shrink_to_fit();
        self.outputs.shrink_to_fit();
    }

    /// Pieces that are verified and written.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Whether everything is there.
    pub fn is_seed(&self) -> bool {
        self.have.is_full()
    }

    /// Whether peers come from the tracker alone (BEP 27).
    pub fn is_private(&self) -> bool {
        self.cfg.private
    }

    /// Figures at `now`. Costs as much as there are connections, known addresses and unfinished pieces.
    pub fn stats(&self, now: Instant) -> TorrentStats {
        let peers = || self.peers.iter().map(|(_, peer)| peer);
        TorrentStats {
            downloaded: self.down.total(),
            uploaded: self.up.total(),
            wasted: self.waste.total(),
            waste: self.waste,
            down_rate: self.down.at(now) as u64,
            up_rate: self.up.at(now) as u64,
            peers: self.peers.len(),
            seeds: peers().filter(|peer| peer.has.is_full()).count(),
            unchoked: peers().filter(|peer| !peer.choked).count(),
            candidates: self.candidates.waiting(),
            verified: self.verified,
            left: self.cfg.geometry.total_len().saturating_sub(self.verified),
            pieces: self.have.count(),
            buffered: self.partials.iter().map(|(_, partial)| partial.buffered()).sum(),
            requests: peers().map(|peer| peer.asked.len()).sum(),
            failed_pieces: self.failed_pieces,
        }
    }

    /// Payload received and sent, bytes. Costs nothing.
    pub fn payload(&self) -> (u64, u64) {
        (self.down.total(), self.up.total())
    }

    /// Payload that was of no use so far.
    pub fn waste(&self) -> Waste {
        self.waste
    }

    /// Pieces that did not match their hash so far.
    pub fn failed_pieces(&self) -> u64 {
        self.failed_pieces
    }

    /// Number of connections.
    pub fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// Payload in both directions, bytes per second.
    pub fn rate(&self, now: Instant) -> f64 {
        self.down.at(now) + self.up.at(now)
    }

    /// Addresses that may be dialled again later: those that answered a dial and those not tried yet, at most `most`.
    pub fn addresses(&self, most: usize) -> Vec<std::net::SocketAddr> {
        self.candidates.good().take(most).collect()
    }

    /// Figures of the connections.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = PeerStats> + '_ {
        self.peers.iter().map(move |(_, peer)| peer.stats(now))
    }

    fn send(&mut self, now: Instant, slot: usize, message: &Message) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.send(now, message) {
            self.outputs.push_back(TorrentOutput::OutputReady(peer.key));
        }
    }

    /// `tick` has something to do at `at`.
    fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

/// Room for output that an idle connection keeps, bytes.
const KEPT_OUTPUT: usize = 1024;
