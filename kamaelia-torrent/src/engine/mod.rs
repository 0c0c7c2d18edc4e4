//! The event loop: sockets, timers, disk answers and trackers around the swarms of any number of torrents.
//!
//! An [`Engine`] belongs to one thread, which calls [`Engine::turn`] again and again and then takes what happened from
//! [`Engine::next_event`]. Nothing in it waits but `turn` itself, and that in one place: files are read, written and
//! hashed by the disk workers, names are looked up and trackers are asked by the HTTP workers, and both ring the
//! [waker](Engine::waker) when they have something. In one turn a connection gets a bounded share of work, so that no peer can keep
//! the others waiting; nothing in a turn grows with the number of idle torrents or connections.

mod crowd;
mod descriptors;
mod event;
mod files;
mod hand_over;
mod late;
mod life;
mod limits;
mod links;
mod places;
mod queue;
mod read_blocks;
mod reader;
mod receive;
mod rest;
mod restore;
mod rules;
mod selection;
mod settings;
mod sleep;
mod slot;
mod stats;
mod stream;
mod swarm;
mod timers;
mod trackers;
mod trouble;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use crate::disk::{Disk, DiskConfig};
use crate::net::http::{HttpDone, HttpPool};
use crate::net::listen;
use crate::proto::announce::Turns;
use crate::proto::buffer::BufferPool;
use crate::proto::handshake::PeerId;
use crate::proto::info_hash::InfoHash;
use crate::proto::torrent::{Landing, PeerKey, PeerSource, PeerStats, Torrent, Uploads};

use hand_over::HandOver;
use links::Link;
use queue::Queue;
use slot::Slot;
use stats::Session;
use timers::{Timer, Timers};
use trackers::Asking;

pub use event::{
    AddError, AddTorrent, CheckPolicy, EngineError, Event, PauseCause, RequestError, State, TorrentId,
    TorrentStatus,
};
pub use limits::{ConnectionLimits, UnknownTorrent};
pub use queue::{Activity, QueueLimits};
pub use reader::FileReader;
pub use rest::ControlError;
pub use rules::{StopRule, StopRuleError};
pub use selection::{FileStatus, SelectionError};
pub use settings::Settings;
pub use stats::{Figures, SessionStats};
pub use stream::{DEFAULT_AHEAD, FileChunk, FileRange, ReadError, ReadId};

pub use crate::proto::limit::Limits;

/// Any number of torrents, their peers, files and trackers.
pub struct Engine {
    settings: Settings,
    peer_id: PeerId,
    rng: fastrand::Rng,
    poll: Poll,
    polled: Events,
    waker: Arc<Waker>,
    listener: Option<TcpListener>,
    local_addr: Option<SocketAddr>,
    /// Connections wait to be accepted.
    accept_ready: bool,
    links: Slab<Link>,
    /// Makes a key of a link differ from those of others that had its place before.
    serial: u32,
    /// Links with something to do, each at most once.
    ready: VecDeque<usize>,
    half_open: usize,
    /// Incoming connections that have not said what they want.
    unnamed: usize,
    banned: HashSet<IpAddr>,
    torrents: Slab<Slot>,
    by_id: BTreeMap<TorrentId, usize>,
    by_hash: HashMap<InfoHash, usize>,
    last_id: u32,
    /// Torrents to look after at the end of the turn.
    touched: Vec<usize>,
    /// Torrents that would dial if there were fewer half-open connections.
    waiting_to_dial: VecDeque<usize>,
    timers: Timers,
    pool: BufferPool,
    /// Torrents to which buffers that came back are offered, in turn.
    hungry: VecDeque<usize>,
    /// Buffers for reads of blocks, to be used again.
    spare: Vec<Vec<u8>>,
    /// What is read ahead for the peers of all torrents.
    uploads: Uploads,
    /// Swarms that were made, of all torrents.
    swarms: u32,
    hand_over: HandOver,
    read_buf: Box<[u8]>,
    landing: Landing,
    disk: Disk,
    http: HttpPool,
    http_answers: Receiver<HttpDone>,
    /// Requests to trackers under way.
    asking: HashMap<u64, Asking>,
    /// Which torrent may ask next.
    turns: Turns<TorrentId>,
    last_token: u64,
    events: VecDeque<Event>,
    /// Torrents to which something happened since somebody asked.
    changed: Vec<TorrentId>,
    /// Pieces that were at the disk when their swarm ended.
    late: late::Late,
    /// Torrents brought back by the call under way.
    restored: usize,
    /// Who reads files while they come.
    streams: stream::Streams,
    queue: Queue,
    session: Session,
    throttle: limits::Throttle,
    crowd: crowd::Crowd,
    stopping: bool,
}

impl Engine {
    /// Binds the listening socket and starts the workers.
    ///
    /// # Errors
    ///
    /// [`EngineError::Listen`] names the address that cannot be had, [`EngineError::State`] the folder of state.
    pub fn new(mut settings: Settings) -> Result<Engine, EngineError> {
        settings.max_connections = settings.possible(settings.max_connections);
        settings.stop_rule.check().map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listener = None;
        let mut local_addr = None;
        if let Some(addr) = settings.listen {
            let error = |source| EngineError::Listen { addr, source };
            let mut socket = listen::listen(addr).map_err(error)?;
            local_addr = Some(socket.local_addr().map_err(error)?);
            poll.registry().register(&mut socket, LISTENER, Interest::READABLE)?;
            listener = Some(socket);
        }
        let config = DiskConfig {
            workers: settings.disk_workers.unwrap_or(DiskConfig::default().workers),
            open_files: settings.open_files,
            state_dir: settings.state_dir.clone(),
            // Parts kept for their turn come out of the same budget as those in the making.
            ahead_bytes: settings.memory / 8,
            hook: settings.disk_hook.clone(),
        };
        let ring = Arc::clone(&waker);
        let disk = Disk::new(config, Arc::new(move || wake(&ring))).map_err(EngineError::from_disk)?;
        let (done, http_answers) = crossbeam_channel::unbounded();
        let ring = Arc::clone(&waker);
        let http = HttpPool::new(HTTP_THREADS, settings.bind_address(), move |answer| {
            // Refused only when the engine is gone.
            let _ = done.send(answer);
            wake(&ring);
        });
        let mut throttle = limits::Throttle::default();
        throttle.down.set_total(Instant::now(), settings.down_limit);
        throttle.up.set_total(Instant::now(), settings.up_limit);
        Ok(Engine {
            peer_id: peer_id(&settings.peer_id_prefix),
            rng: settings.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
            poll,
            polled: Events::with_capacity(1024),
            waker,
            listener,
            local_addr,
            // A connection may have come between bind and registration.
            accept_ready: true,
            links: Slab::new(),
            serial: 0,
            ready: VecDeque::new(),
            half_open: 0,
            unnamed: 0,
            banned: HashSet::new(),
            torrents: Slab::new(),
            by_id: BTreeMap::new(),
            by_hash: HashMap::new(),
            last_id: 0,
            touched: Vec::new(),
            waiting_to_dial: VecDeque::new(),
            timers: Timers::default(),
            pool: BufferPool::new(settings.memory),
            hungry: VecDeque::new(),
            spare: Vec::new(),
            uploads: Uploads::default(),
            swarms: 0,
            hand_over: HandOver::default(),
            read_buf: vec![0; READ_LEN].into_boxed_slice(),
            landing: Landing::default(),
            disk,
            http,
            http_answers,
            asking: HashMap::new(),
            turns: Turns::new(HTTP_THREADS),
            last_token: 0,
            events: VecDeque::new(),
            changed: Vec::new(),
            late: late::Late::default(),
            restored: 0,
            streams: stream::Streams::default(),
            queue: Queue::new(settings.queue_limits()),
            session: Session::new(),
            throttle,
            crowd: crowd::Crowd::default(),
            stopping: false,
            settings,
        })
    }

    /// The address on which peers reach us, with the port that was really taken.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Who we are on the wire.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Any thread may ring it: [`turn`](Engine::turn) returns soon after.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Waits until something happens, `timeout` has passed, something is due or the waker rings; then does all that
    /// follows from it and returns.
    ///
    /// # Errors
    ///
    /// The system's polling failed, which leaves nothing to go on with.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let wait = if !self.ready.is_empty() || !self.touched.is_empty() || self.accept_now() {
            Some(Duration::ZERO)
        } else {
            let due = self.timers.next().into_iter().chain(self.hand_over.due()).min();
            let due = due.map(|at| at.saturating_duration_since(Instant::now()));
            match (timeout, due) {
                (Some(timeout), Some(due)) => Some(timeout.min(due)),
                (timeout, due) => timeout.or(due),
            }
        };
        match self.poll.poll(&mut self.polled, wait) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(e) => return Err(e),
        }
        let now = Instant::now();
        for event in &self.polled {
            match event.token() {
                WAKER => {}
                LISTENER => self.accept_ready = true,
                Token(index) => {
                    // The link may be gone: it was closed after the system had noted the event.
                    if let Some(link) = self.links.get_mut(index) {
                        link.hung_up |= event.is_read_closed() || event.is_error();
                        link.readable |= event.is_readable() || link.hung_up;
                        link.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
                        if !std::mem::replace(&mut link.queued, true) {
                            self.ready.push_back(index);
                        }
                    }
                }
            }
        }
        self.take_disk_answers(now);
        self.take_tracker_answers(now);
        self.take_read_orders(now);
        self.run_timers(now);
        self.accept(now);
        // Each link once; those that are not through are at the end of the queue in the next turn.
        for _ in 0..self.ready.len() {
            if let Some(index) = self.ready.pop_front() {
                self.work(now, index);
            }
        }
        self.hand_over(now);
        self.deal(now);
        self.settle(now);
        self.schedule_deal(now);
        Ok(())
    }

    /// The next thing that happened. Take them after every turn: if more than 65,536 wait, reports about single pieces,
    /// peers and trackers are dropped.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Dials these peers of a torrent, or as soon as it has been checked. An unknown torrent is ignored.
    pub fn add_peers(&mut self, id: TorrentId, peers: &[SocketAddr]) {
        let now = Instant::now();
        if let Some(&t) = self.by_id.get(&id) {
            match self.wake_swarm(now, t) {
                Some(swarm) => swarm.add_candidates(now, peers, PeerSource::User),
                None => {
                    let slot = &mut self.torrents[t];
                    let room = MAX_EARLY_PEERS.saturating_sub(slot.settings.peers.len());
                    slot.settings.peers.extend(peers.iter().take(room));
                }
            }
            self.touch(t);
        }
    }

    /// A torrent at this moment; `None` if there is none of this number.
    pub fn status(&self, id: TorrentId) -> Option<TorrentStatus> {
        let slot = &self.torrents[*self.by_id.get(&id)?];
        Some(slot.status(Instant::now()))
    }

    /// The connections of a torrent.
    pub fn peers(&self, id: TorrentId) -> Vec<PeerStats> {
        let swarm = self.by_id.get(&id).and_then(|t| self.torrents[*t].swarm.as_deref());
        swarm.map_or_else(Vec::new, |swarm: &Torrent| swarm.peers(Instant::now()).collect())
    }

    /// The numbers of all torrents, in order.
    pub fn ids(&self) -> impl Iterator<Item = TorrentId> + '_ {
        self.by_id.keys().copied()
    }

    /// The number of the torrent with this info hash.
    pub fn find(&self, info_hash: InfoHash) -> Option<TorrentId> {
        self.by_hash.get(&info_hash).map(|t| self.torrents[*t].id)
    }

    /// Whether everything has stopped after [`stop`](Engine::stop).
    pub fn is_stopped(&self) -> bool {
        self.stopping && self.torrents.is_empty()
    }

    fn emit(&mut self, event: Event) {
        let minor = matches!(
            event,
            Event::PieceVerified { .. }
                | Event::PeerConnected { .. }
                | Event::DialFailed { .. }
                | Event::PeerGone { .. }
                | Event::Tracker { .. }
                | Event::Checking { .. }
        );
        if !minor || self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    /// The torrents to which something happened since the last call, each once: of all others the
    /// [status](Engine::status) is as it was, but that rates fade. Costs nothing for torrents that are idle.
    pub fn take_changed(&mut self) -> Vec<TorrentId> {
        for id in &self.changed {
            if let Some(t) = self.by_id.get(id) {
                self.torrents[*t].changed = false;
            }
        }
        std::mem::take(&mut self.changed)
    }

    /// Makes sure that a torrent is looked after at the end of the turn.
    fn touch(&mut self, t: usize) {
        let slot = &mut self.torrents[t];
        if !std::mem::replace(&mut slot.touched, true) {
            self.touched.push(t);
        }
        if !std::mem::replace(&mut slot.changed, true) {
            self.changed.push(slot.id);
        }
    }

    fn run_timers(&mut self, now: Instant) {
        while let Some((at, timer)) = self.timers.pop(now) {
            match timer {
                Timer::Torrent(t) => {
                    let Some(slot) = self.torrents.get_mut(t) else { continue };
                    if slot.scheduled == Some(at) {
                        slot.scheduled = None;
                        if let Some(swarm) = &mut slot.swarm
                            && swarm.deadline().is_some_and(|due| due <= now)
                        {
                            swarm.tick(now, &mut self.pool);
                        }
                        self.touch(t);
                    }
                }
                Timer::Link(key) => self.link_timed_out(now, key),
                Timer::Accept => self.accept_ready = true,
                Timer::Limits => self.limits_due(now, at),
                Timer::Slots => self.slots_due(now, at),
            }
        }
    }

    /// Looks after the torrents to which something happened: outputs, dials, trackers, records, deadlines.
    fn settle(&mut self, now: Instant) {
        for t in std::mem::take(&mut self.touched) {
            let Some(slot) = self.torrents.get_mut(t) else { continue };
            slot.touched = false;
            self.pump(now, t);
            self.dial(now, t);
            self.announce(now, t);
            self.mind(now, t);
            self.save_if_due(now, t);
            self.look_if_due(now, t);
            self.go_on_with_ops(now, t);
            self.go_on_resting(now, t);
            self.go_on_stopping(now, t);
            self.note_demand(now, t);
            self.doze(now, t);
            self.schedule(now, t);
        }
        self.announce_waiting(now);
        self.share_slots_if_stale(now);
        while self.half_open < self.settings.max_half_open
            && self.links.len() < self.settings.max_connections
            && let Some(t) = self.waiting_to_dial.pop_front()
        {
            if let Some(slot) = self.torrents.get_mut(t) {
                slot.waiting_to_dial = false;
                self.dial(now, t);
                self.schedule(now, t);
            }
        }
    }

    fn schedule(&mut self, now: Instant, t: usize) {
        if let Some(slot) = self.torrents.get_mut(t)
            && let Some(due) = slot.deadline(now)
            && slot.scheduled.is_none_or(|at| due < at)
        {
            slot.scheduled = Some(due);
            self.timers.add(due, Timer::Torrent(t));
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("local_addr", &self.local_addr)
            .field("torrents", &self.torrents.len())
            .field("connections", &self.links.len())
            .finish_non_exhaustive()
    }
}

fn wake(waker: &Waker) {
    if let Err(e) = waker.wake() {
        // The loop finds the answer at its next turn.
        log::warn!("cannot wake the event loop: {e}");
    }
}

/// A peer id: the prefix, then random letters and digits, fresh for each engine.
fn peer_id(prefix: &str) -> PeerId {
    let mut rng = fastrand::Rng::new();
    let mut id = [0; 20];
    id.iter_mut().for_each(|byte| *byte = rng.alphanumeric() as u8);
    let prefix = &prefix.as_bytes()[..prefix.len().min(MAX_PREFIX)];
    id[..prefix.len()].copy_from_slice(prefix);
    PeerId(id)
}

/// The key under which a swarm knows a link.
fn key_of(serial: u32, index: usize) -> PeerKey {
    PeerKey(u64::from(serial) << 32 | index as u64)
}

/// The place of a link in the table.
fn index_of(key: PeerKey) -> usize {
    (key.0 & u64::from(u32::MAX)) as usize
}

const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
/// Bytes read from a connection at a time: larger reads cost less for each byte up to here.
const READ_LEN: usize = 256 * 1024;
/// Reports that may wait; a caller that never takes them must not fill the memory.
const MAX_EVENTS: usize = 65_536;
/// Addresses kept for a torrent that is still being checked; as many as a tracker may send.
const MAX_EARLY_PEERS: usize = 1000;
/// Tracker requests at a time; they mostly wait.
const HTTP_THREADS: usize = 16;
/// What is left of a peer id must be enough to tell clients apart.
const MAX_PREFIX: usize = 12;
