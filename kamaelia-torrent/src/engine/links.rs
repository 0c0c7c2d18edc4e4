//! Connections: accepting, dialling, bytes out, and their end.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::{Interest, Token};

use super::event::{Event, TorrentId};
use super::timers::Timer;
use super::{Engine, index_of, key_of};
use crate::net::conn::{Conn, Progress};
use crate::net::listen;
use crate::proto::handshake::{Handshake, HandshakeReader};
use crate::proto::torrent::{Direction, PeerKey};

/// A connection and what is known about it.
pub(super) struct Link {
    pub(super) key: PeerKey,
    pub(super) addr: SocketAddr,
    pub(super) direction: Direction,
    pub(super) conn: Conn,
    pub(super) stage: Stage,
    /// The torrent, as soon as it is known.
    pub(super) torrent: Option<usize>,
    /// When it is closed unless it is up by then.
    pub(super) deadline: Option<Instant>,
    /// The socket may have something to read.
    pub(super) readable: bool,
    /// The peer has said that no more will come; there may be bytes before that end.
    pub(super) hung_up: bool,
    /// The socket may take something.
    pub(super) writable: bool,
    /// The swarm has protocol bytes for it.
    pub(super) output: bool,
    /// The swarm does not want to read more for now.
    pub(super) paused: bool,
    /// It waits for its turn to be read, because of a limit.
    pub(super) held: bool,
    /// Bytes that may be read in this turn of the loop, if there is a limit.
    pub(super) leave: u32,
    /// It is in the queue of those with something to do.
    pub(super) queued: bool,
}

/// How far a connection has come.
pub(super) enum Stage {
    /// The system is opening it.
    Connecting,
    /// The peer's handshake is awaited. `answered`: ours is sent.
    Handshake { reader: HandshakeReader, answered: bool },
    /// Both handshakes are done.
    Up,
}

impl Link {
    /// Whether both handshakes are done.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up)
    }
}

impl Engine {
    pub(super) fn accept_now(&self) -> bool {
        self.accept_ready && self.listener.is_some()
    }

    /// Accepts a few connections.
    pub(super) fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPT_BUDGET {
            if !self.accept_now() {
                return;
            }
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, addr)) => {
                    let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
                    // Closed at once rather than left in the backlog, so that the peer knows where it stands.
                    if self.unnamed >= MAX_UNNAMED
                        || self.banned.contains(&addr.ip())
                        || self.stopping
                        || !self.may_add(now, None)
                    {
                        continue;
                    }
                    match listen::prepare(stream) {
                        Ok(stream) => {
                            let stage = Stage::Handshake { reader: HandshakeReader::new(), answered: false };
                            self.unnamed += 1;
                            let deadline = now + self.settings.handshake_timeout;
                            self.add_link(now, stream, addr, Direction::Incoming, stage, None, deadline);
                        }
                        Err(e) => log::debug!("cannot use a connection from {addr}: {e}"),
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.accept_ready = false,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if listen::is_exhausted(&e) => {
                    log::warn!("cannot accept connections for now: {e}");
                    self.accept_ready = false;
                    self.timers.add(now + EXHAUSTED_PAUSE, Timer::Accept);
                }
                // The peer gave up while it was waiting; the next may be fine.
                Err(e) => log::debug!("accept failed: {e}"),
            }
        }
    }

    /// Opens the connections that a swarm wants, as far as the budgets allow.
    pub(super) fn dial(&mut self, now: Instant, t: usize) {
        loop {
            let full = self.half_open >= self.settings.max_half_open || !self.may_add(now, Some(t));
            let Some(slot) = self.torrents.get_mut(t) else { return };
            let Some(swarm) = &mut slot.swarm else { return };
            if full {
                let due = swarm.deadline().is_some_and(|at| at <= now);
                if due && !std::mem::replace(&mut slot.waiting_to_dial, true) {
                    self.waiting_to_dial.push_back(t);
                }
                return;
            }
            let Some(addr) = swarm.next_connect(now) else { return };
            if self.banned.contains(&addr.ip()) {
                swarm.connect_failed(now, addr);
                continue;
            }
            match listen::dial(addr, self.settings.bind_address()) {
                Ok(stream) => {
                    self.half_open += 1;
                    slot.wire.tried += 1;
                    self.session.wire.tried += 1;
                    let deadline = now + self.settings.connect_timeout;
                    let direction = Direction::Outgoing;
                    self.add_link(now, stream, addr, direction, Stage::Connecting, Some(t), deadline);
                }
                Err(e) => {
                    log::debug!("cannot dial {addr}: {e}");
                    swarm.connect_failed(now, addr);
                    slot.wire.tried += 1;
                    self.session.wire.tried += 1;
                    self.dial_failed(t);
                    let id = self.torrents[t].id;
                    self.emit(Event::DialFailed { id, addr, reason: e.to_string() });
                    if listen::is_exhausted(&e) {
                        return;
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a link, in one place")]
    fn add_link(
        &mut self,
        now: Instant,
        stream: mio::net::TcpStream,
        addr: SocketAddr,
        direction: Direction,
        stage: Stage,
        torrent: Option<usize>,
        deadline: Instant,
    ) {
        self.serial = self.serial.wrapping_add(1);
        let entry = self.links.vacant_entry();
        let index = entry.key();
        let key = key_of(self.serial, index);
        let mut conn = Conn::new(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(conn.stream_mut(), Token(index), interest);
        let incoming = direction == Direction::Incoming;
        entry.insert(Link {
            key,
            addr,
            direction,
            conn,
            stage,
            torrent,
            deadline: Some(deadline),
            readable: incoming,
            hung_up: false,
            writable: incoming,
            output: false,
            paused: false,
            held: false,
            leave: 0,
            queued: false,
        });
        if let Some(t) = torrent {
            self.torrents[t].links.push(key);
        }
        if let Err(e) = registered {
            self.close(now, index, &e.to_string());
            return;
        }
        self.timers.add(deadline, Timer::Link(key));
    }

    /// The link of a key, if it is still there.
    pub(super) fn link(&mut self, key: PeerKey) -> Option<&mut Link> {
        self.links.get_mut(index_of(key)).filter(|link| link.key == key)
    }

    /// Puts a link into the queue of those with something to do.
    pub(super) fn enqueue(&mut self, index: usize) {
        if let Some(link) = self.links.get_mut(index)
            && !std::mem::replace(&mut link.queued, true)
        {
            self.ready.push_back(index);
        }
    }

    pub(super) fn link_timed_out(&mut self, now: Instant, key: PeerKey) {
        if let Some(link) = self.link(key)
            && link.deadline.is_some_and(|at| at <= now)
        {
            self.close(now, index_of(key), "timed out");
        }
    }

    /// Gives a link its share of work: one read, and writing what waits.
    pub(super) fn work(&mut self, now: Instant, index: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        // Still counted as queued, so that nothing done here puts it there once more.
        if matches!(link.stage, Stage::Connecting) {
            if !link.writable {
                link.queued = false;
                return;
            }
            match link.conn.connected() {
                None => {
                    link.writable = false;
                    link.queued = false;
                    return;
                }
                Some(Err(e)) => return self.close(now, index, &e.to_string()),
                Some(Ok(())) => self.open(now, index),
            }
        }
        if let Err(reason) = self.read(now, index).and_then(|()| self.write(now, index)) {
            return self.close(now, index, &reason);
        }
        let Some(link) = self.links.get_mut(index) else { return };
        let to_write = link.output || link.conn.queued() > 0;
        link.queued = (link.readable && !link.paused && !link.held) || (link.writable && to_write);
        if link.queued {
            self.ready.push_back(index);
        }
    }

    /// A dialled connection is there: we speak first.
    fn open(&mut self, now: Instant, index: usize) {
        let deadline = now + self.settings.handshake_timeout;
        let Some(link) = self.links.get_mut(index) else { return };
        self.half_open -= 1;
        link.stage = Stage::Handshake { reader: HandshakeReader::new(), answered: true };
        link.deadline = Some(deadline);
        let key = link.key;
        if let Some(t) = link.torrent {
            let ours = Handshake::new(self.torrents[t].info_hash(), self.peer_id);
            link.conn.tail().extend_from_slice(&ours.encode());
        }
        self.timers.add(deadline, Timer::Link(key));
    }

    /// Sends what waits, up to a bounded amount.
    fn write(&mut self, now: Instant, index: usize) -> Result<(), String> {
        let mut sent_blocks = Vec::new();
        let mut result = Ok(());
        for _ in 0..WRITES_PER_TURN {
            let Some(link) = self.links.get_mut(index) else { return Ok(()) };
            let key = link.key;
            if std::mem::take(&mut link.output)
                && let Some(t) = link.torrent
                && let Some(swarm) = &mut self.torrents[t].swarm
            {
                let tail = link.conn.tail();
                let before = tail.len();
                swarm.take_output(now, key, tail);
                if self.throttle.up.is_on() {
                    self.throttle.up.charge(now, t, (tail.len() - before) as u64);
                }
            }
            if !link.writable {
                break;
            }
            let spare = &mut self.spare;
            let progress = link.conn.flush(|sent| {
                if sent.blocks > 0 {
                    sent_blocks.push((sent.blocks, sent.payload));
                    if spare.len() < MAX_SPARE {
                        spare.push(sent.buf);
                    }
                }
            });
            let (written, torrent) = (link.conn.take_written(), link.torrent);
            self.session.wire.sent += written;
            match torrent {
                Some(t) => self.torrents[t].wire.sent += written,
                None => self.session.strangers.1 += written,
            }
            let link = &mut self.links[index];
            match progress {
                Ok(Progress::More) => {}
                // Nothing is left, or no room.
                Ok(_) => {
                    link.writable = link.conn.queued() == 0;
                    break;
                }
                Err(e) => {
                    result = Err(e.to_string());
                    break;
                }
            }
            if link.conn.queued() == 0 && !link.output {
                break;
            }
        }
        let Some(link) = self.links.get(index) else { return result };
        let key = link.key;
        if let Some(t) = link.torrent
            && !sent_blocks.is_empty()
            && let Some(swarm) = &mut self.torrents[t].swarm
        {
            for (blocks, payload) in sent_blocks {
                swarm.blocks_sent(now, key, blocks, payload);
            }
            self.pump(now, t);
            self.touch(t);
        }
        result
    }

    pub(super) fn dial_failed(&mut self, t: usize) {
        self.torrents[t].wire.failed += 1;
        self.session.wire.failed += 1;
    }

    /// Ends a link and tells everybody concerned.
    pub(super) fn close(&mut self, now: Instant, index: usize, reason: &str) {
        let Some(link) = self.links.try_remove(index) else { return };
        let (key, addr, direction) = (link.key, link.addr, link.direction);
        let was_up = matches!(link.stage, Stage::Up);
        match link.stage {
            Stage::Connecting => self.half_open -= 1,
            Stage::Handshake { answered: false, .. } => self.unnamed -= 1,
            _ => {}
        }
        let mut conn = link.conn;
        if let Err(e) = self.poll.registry().deregister(conn.stream_mut()) {
            log::debug!("deregistering {addr}: {e}");
        }
        log::debug!("connection with {addr} ended: {reason}");
        drop(conn);
        let Some(t) = link.torrent else { return };
        let slot = &mut self.torrents[t];
        slot.links.retain(|other| *other != key);
        if let Some(swarm) = &mut slot.swarm {
            if was_up {
                swarm.peer_closed(now, key);
            } else if direction == Direction::Outgoing {
                swarm.connect_failed(now, addr);
            }
        }
        let id = slot.id;
        if was_up {
            self.emit(Event::PeerGone { id, addr, reason: reason.to_owned() });
        } else if direction == Direction::Outgoing {
            self.dial_failed(t);
            self.emit(Event::DialFailed { id, addr, reason: reason.to_owned() });
        }
        self.touch(t);
    }

    /// Reports the end of a link of which the swarm knows already.
    pub(super) fn gone(&mut self, t: usize, index: usize, reason: &str) {
        let id: TorrentId = self.torrents[t].id;
        if let Some(link) = self.links.get(index) {
            let addr = link.addr;
            self.emit(Event::PeerGone { id, addr, reason: reason.to_owned() });
            self.touch(t);
        }
    }
}

/// Connections accepted in one turn, so that a flood of them does not hold up those that are there.
const ACCEPT_BUDGET: usize = 16;
/// Accepted connections that have not named a torrent yet; strangers get no more than this.
const MAX_UNNAMED: usize = 64;
/// How long nothing is accepted after the system ran out of descriptors.
const EXHAUSTED_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// Writes to one connection in one turn; each is up to two reads of blocks.
const WRITES_PER_TURN: usize = 2;
/// Read buffers kept for later use: two for each of eight peers that are served.
const MAX_SPARE: usize = 16;
