//! A world in one thread: nodes, lines and disks under virtual time. The same seed gives the same run.

mod cast;
mod lines;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

pub(crate) use cast::{Node, NodeConfig, Payload, Script, memory};
use kamaelia_torrent::proto::{
    BLOCK_LEN, Bitfield, BlockRequest, Fetch, InfoHash, PieceIndex, Priority,
    handshake::{Handshake, PeerId, Reserved},
    limit::Limits,
    torrent::{CheckResult, Direction, Landing, PeerKey, PeerSource, Torrent, TorrentConfig, TorrentOutput},
    wire::block_header,
};
use sha1::{Digest, Sha1};

enum Actor {
    Node(Box<Node>),
    Script(Box<dyn Script>),
}

struct End {
    actor: usize,
    key: PeerKey,
    held: VecDeque<Vec<u8>>,
    paused: bool,
    /// It waits for its turn under a limit.
    waits: bool,
}

struct Conn {
    ends: [End; 2],
    open: bool,
}

enum Event {
    Tick(usize),
    Deal(usize),
    Connected(usize, SocketAddr),
    Deliver { conn: usize, end: usize, data: Vec<u8> },
    Sent { conn: usize, end: usize, blocks: u32, bytes: u64 },
    Closed { conn: usize, end: usize },
    ReadDone { conn: usize, end: usize, blocks: Vec<BlockRequest> },
    Written { node: usize, slot: usize, fetch: Fetch, last: bool },
    Hashes { node: usize, piece: PieceIndex },
    Script { conn: usize, end: usize, data: Vec<u8>, again: Duration },
}

struct Timed(Instant, u64, Event);

impl PartialEq for Timed {
    fn eq(&self, other: &Timed) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Timed {}
impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Timed) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timed {
    fn cmp(&self, other: &Timed) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub(crate) struct World {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) payload: Payload,
    pub(crate) events: u64,
    planned: u64,
    settled: u64,
    actors: Vec<Actor>,
    conns: Vec<Conn>,
    queue: BinaryHeap<Reverse<Timed>>,
    rng: fastrand::Rng,
    /// Nodes that do not speak the extension protocol.
    pub(crate) plain: Vec<usize>,
    /// By which way bytes come in: a source of its own, so that all else is as without it.
    ways: fastrand::Rng,
    landing: Landing,
    /// Deliveries that went straight to their places.
    pub(crate) landed: u64,
}

pub(crate) const INFO_HASH: InfoHash = InfoHash([0x5a; 20]);

pub(crate) fn address(actor: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (actor >> 8) as u8, actor as u8], 6881))
}

fn peer_id(actor: usize) -> PeerId {
    let mut id = [b'-'; 20];
    id[..8].copy_from_slice(&actor.to_be_bytes());
    PeerId(id)
}

impl World {
    pub(crate) fn new(payload: Payload, seed: u64) -> World {
        let start = Instant::now();
        World {
            start,
            now: start,
            payload,
            events: 0,
            planned: 0,
            settled: 0,
            actors: Vec::new(),
            conns: Vec::new(),
            queue: BinaryHeap::new(),
            rng: fastrand::Rng::with_seed(seed),
            plain: Vec::new(),
            ways: fastrand::Rng::with_seed(seed),
            landing: Landing::default(),
            landed: 0,
        }
    }

    pub(crate) fn add(&mut self, cfg: NodeConfig) -> usize {
        let id = self.actors.len();
        let mut torrent = TorrentConfig::new(INFO_HASH, peer_id(id), self.payload.geometry);
        torrent.seed = self.rng.u64(..);
        if cfg.have {
            torrent.have = Bitfield::full(self.payload.geometry.piece_count());
        }
        (cfg.tweak)(&mut torrent);
        let mut data = vec![0; self.payload.data.len()];
        for piece in torrent.have.iter_ones() {
            let start = self.payload.geometry.piece_offset(piece) as usize;
            let end = start + self.payload.geometry.piece_size(piece) as usize;
            data[start..end].copy_from_slice(&self.payload.data[start..end]);
        }
        let node = Node::new(torrent, data, cfg, self.now);
        let limits = node.cfg.limits;
        self.actors.push(Actor::Node(Box::new(node)));
        self.set_limits(id, limits);
        id
    }

    pub(crate) fn add_script(&mut self, script: impl Script + 'static) -> usize {
        self.actors.push(Actor::Script(Box::new(script)));
        self.actors.len() - 1
    }

    pub(crate) fn node(&self, id: usize) -> &Node {
        match &self.actors[id] {
            Actor::Node(node) => node,
            Actor::Script(_) => panic!("actor {id} is a script"),
        }
    }

    pub(crate) fn node_mut(&mut self, id: usize) -> &mut Node {
        match &mut self.actors[id] {
            Actor::Node(node) => node,
            Actor::Script(_) => panic!("actor {id} is a script"),
        }
    }

    /// Tells a node's torrent something, and does what follows.
    pub(crate) fn tell(&mut self, node: usize, what: impl FnOnce(&mut Torrent, Instant)) {
        let now = self.now;
        what(&mut self.node_mut(node).torrent, now);
        self.settle(node);
    }

    /// Tells a node of others, as a tracker would.
    pub(crate) fn introduce(&mut self, node: usize, others: &[usize]) {
        let addrs: Vec<_> = others.iter().map(|other| address(*other)).collect();
        let now = self.now;
        self.node_mut(node).torrent.add_candidates(now, &addrs, PeerSource::Tracker);
        self.settle(node);
    }

    /// Opens a connection from one actor to another.
    pub(crate) fn connect(&mut self, from: usize, to: usize) {
        let fast = |actor: &Actor| match actor {
            Actor::Node(_) => Reserved::OURS,
            Actor::Script(script) => script.reserved(),
        };
        let conn = self.conns.len();
        let key = PeerKey(conn as u64);
        let end = |actor| End { actor, key, held: VecDeque::new(), paused: false, waits: false };
        self.conns.push(Conn { ends: [end(from), end(to)], open: true });
        let mut accepted = true;
        for (me, other, direction) in [(from, to, Direction::Outgoing), (to, from, Direction::Incoming)] {
            let plain = Reserved([0, 0, 0, 0, 0, 0, 0, 4]);
            let handshake = Handshake {
                reserved: if self.plain.contains(&other) { plain } else { fast(&self.actors[other]) },
                info_hash: INFO_HASH,
                peer_id: peer_id(other),
            };
            let port = if direction == Direction::Incoming { 40_000 + conn as u16 % 20_000 } else { 6881 };
            let addr = SocketAddr::new(address(other).ip(), port);
            let now = self.now;
            if let Actor::Node(node) = &mut self.actors[me] {
                let taken = node.torrent.peer_connected(now, key, addr, direction, &handshake);
                accepted &= taken.is_ok();
                if taken.is_ok() {
                    node.conns.insert(key, conn);
                }
            }
        }
        if !accepted {
            self.close(conn, None);
        }
        for (end, actor) in [from, to].into_iter().enumerate() {
            self.settle(actor);
            if let Actor::Script(script) = &mut self.actors[actor] {
                let data = script.open();
                let again = script.every(&self.payload);
                self.transmit(conn, end, data, None);
                if let Some((again, data)) = again {
                    self.at(again, Event::Script { conn, end, data, again });
                }
            }
        }
    }

    /// Cuts all connections of an actor, as if its line went down.
    pub(crate) fn unplug(&mut self, actor: usize) {
        for conn in 0..self.conns.len() {
            if self.conns[conn].open && self.conns[conn].ends.iter().any(|end| end.actor == actor) {
                self.close(conn, None);
            }
        }
    }

    /// Runs until `done` or for this long.
    pub(crate) fn run(&mut self, most: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + most;
        while !done(self) {
            let Some(Reverse(Timed(at, _, _))) = self.queue.peek() else { return done(self) };
            if *at > end {
                self.now = end;
                return done(self);
            }
            let Some(Reverse(Timed(at, _, event))) = self.queue.pop() else { return false };
            self.now = self.now.max(at);
            self.events += 1;
            self.handle(event);
        }
        true
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.at_time(self.now + after, event);
    }

    fn at_time(&mut self, at: Instant, event: Event) {
        // What is due at the same time comes in the order in which it was planned.
        self.planned += 1;
        self.queue.push(Reverse(Timed(at, self.planned, event)));
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Tick(id) => {
                let node = self.node_mut(id);
                node.tick_at = None;
                node.torrent.tick(now, &mut node.pool.borrow_mut());
                self.settle(id);
            }
            Event::Deal(id) => {
                self.node_mut(id).deal_at = None;
                self.settle(id);
            }
            Event::Connected(from, addr) => {
                let to = self.actors.len().min(usize::from(addr_actor(addr)));
                if to < self.actors.len() {
                    self.connect(from, to);
                } else {
                    self.node_mut(from).torrent.connect_failed(now, addr);
                    self.settle(from);
                }
            }
            Event::Deliver { conn, end, data } => self.deliver(conn, end, data),
            Event::Sent { conn, end, blocks, bytes } => {
                let End { actor, key, .. } = self.conns[conn].ends[end];
                if self.conns[conn].open {
                    self.node_mut(actor).torrent.blocks_sent(now, key, blocks, bytes);
                    self.settle(actor);
                }
            }
            Event::Closed { conn, end } => {
                let End { actor, key, .. } = self.conns[conn].ends[end];
                if let Actor::Node(node) = &mut self.actors[actor] {
                    node.conns.remove(&key);
                    node.torrent.peer_closed(now, key);
                    self.settle(actor);
                }
            }
            Event::ReadDone { conn, end, blocks } => {
                let actor = self.conns[conn].ends[end].actor;
                let mut bytes = Vec::new();
                let mut len = 0;
                for block in &blocks {
                    let range = self.payload.range(block);
                    bytes.extend_from_slice(&block_header(block));
                    bytes.extend_from_slice(&self.node(actor).data[range]);
                    len += u64::from(block.len);
                }
                self.transmit(conn, end, bytes, Some((blocks.len() as u32, len)));
            }
            Event::Written { node: id, slot, fetch, last } => {
                let piece = fetch.piece;
                let hash = self.payload.hashes[piece.as_usize()];
                let whole = BlockRequest { piece, begin: 0, len: self.payload.geometry.piece_size(piece) };
                let range = self.payload.range(&whole);
                let faulty = {
                    let faults = self.node(id).cfg.disk_faults;
                    faults > 0 && self.rng.u32(..faults) == 0
                };
                let node = self.node_mut(id);
                if let Some(buffer) = node.in_flight_writes[slot].take() {
                    node.pool.borrow_mut().give(buffer);
                }
                if faulty {
                    node.disk_errors += 1;
                    node.unwritten.remove(&fetch);
                    node.torrent.piece_checked(now, fetch, CheckResult::Failed("no space left".into()));
                } else if last && let Some(data) = node.unwritten.remove(&fetch) {
                    let result = if <[u8; 20]>::from(Sha1::digest(&data)) == hash {
                        node.data[range].copy_from_slice(&data);
                        CheckResult::Good
                    } else {
                        CheckResult::Bad(block_hashes(&data))
                    };
                    node.torrent.piece_checked(now, fetch, result);
                }
                self.feed(id);
                self.settle(id);
            }
            Event::Hashes { node: id, piece } => {
                let len = self.payload.geometry.piece_size(piece);
                let range = self.payload.range(&BlockRequest { piece, begin: 0, len });
                let node = self.node_mut(id);
                let hashes = block_hashes(&node.data[range]);
                node.torrent.block_hashes(now, piece, &hashes);
                self.settle(id);
            }
            Event::Script { conn, end, data, again } => {
                if self.conns[conn].open {
                    self.transmit(conn, end, data, None);
                    let actor = self.conns[conn].ends[end].actor;
                    let next = match &mut self.actors[actor] {
                        Actor::Script(script) => script.every(&self.payload),
                        Actor::Node(_) => None,
                    };
                    let (again, data) = next.unwrap_or((again, Vec::new()));
                    self.at(again, Event::Script { conn, end, data, again });
                }
            }
        }
    }

    /// Offers buffers that came back to all whose memory they are, each first in its turn.
    fn feed(&mut self, id: usize) {
        let (now, pool) = (self.now, Rc::clone(&self.node(id).pool));
        let shares = |actor: &Actor| matches!(actor, Actor::Node(node) if Rc::ptr_eq(&node.pool, &pool));
        let mut nodes: Vec<usize> = (0..self.actors.len()).filter(|id| shares(&self.actors[*id])).collect();
        let first = self.planned as usize % nodes.len();
        nodes.rotate_left(first);
        for id in nodes {
            let node = self.node_mut(id);
            if node.torrent.wants_buffers() {
                node.torrent.fill(now, &mut pool.borrow_mut());
                self.settle(id);
            }
        }
    }

    fn carry_out(&mut self, id: usize) {
        let now = self.now;
        // The whole bookkeeping, now and then: it takes long.
        self.settled += 1;
        let check = self.settled.is_multiple_of(64);
        loop {
            let node = self.node_mut(id);
            assert!(node.pool.borrow().used() <= node.pool.borrow().budget());
            if check {
                node.torrent.assert_consistent();
            }
            let Some(output) = node.torrent.poll() else { break };
            let disk = node.cfg.disk;
            let conn_of = |key: &PeerKey| node.conns.get(key).copied();
            match output {
                TorrentOutput::Write { fetch, offset, data, last } => {
                    node.writes += 1;
                    let place = node.unwritten.entry(fetch).or_default();
                    let end = offset as usize + data.len();
                    if place.len() < end {
                        place.resize(end, 0);
                    }
                    place[offset as usize..end].copy_from_slice(&data);
                    node.in_flight_writes.push(Some(data));
                    let slot = node.in_flight_writes.len() - 1;
                    self.at(disk, Event::Written { node: id, slot, fetch, last });
                }
                TorrentOutput::Read { peer, blocks } => {
                    let len: u32 = blocks.iter().map(|block| block.len).sum();
                    node.reads.push(len);
                    if let Some(conn) = conn_of(&peer) {
                        let end = self.end_of(conn, id);
                        self.at(disk, Event::ReadDone { conn, end, blocks });
                    }
                }
                TorrentOutput::WantBlockHashes(piece) => self.at(disk, Event::Hashes { node: id, piece }),
                TorrentOutput::WantsToSend(key) => node.up.ask(0, key),
                TorrentOutput::OutputReady(key) => {
                    let mut out = Vec::new();
                    let conn = conn_of(&key);
                    node.torrent.take_output(now, key, &mut out);
                    node.up.charge(now, 0, out.len() as u64);
                    if let Some(conn) = conn {
                        let end = self.end_of(conn, id);
                        self.transmit(conn, end, out, None);
                    }
                }
                TorrentOutput::Resume(key) => {
                    if let Some(conn) = conn_of(&key) {
                        let end = self.end_of(conn, id);
                        self.conns[conn].ends[end].paused = false;
                        let held = std::mem::take(&mut self.conns[conn].ends[end].held);
                        for data in held {
                            self.deliver(conn, end, data);
                        }
                    }
                }
                TorrentOutput::Disconnect(key, why) => {
                    if let Some(conn) = node.conns.remove(&key) {
                        let end = self.end_of(conn, id);
                        let other = self.conns[conn].ends[1 - end].actor;
                        self.node_mut(id).lost.push((address(other), why));
                        self.close(conn, Some(end));
                    }
                }
                TorrentOutput::Ban(ip) => node.banned.push(SocketAddr::new(ip, 6881)),
                TorrentOutput::Verified(_) => {}
                TorrentOutput::Completed => node.completed = Some(now),
                TorrentOutput::Abandon(piece) => {
                    node.unwritten.retain(|fetch, _| fetch.piece != piece);
                }
                TorrentOutput::DiskFailed(_) => {}
            }
        }
        while let Some(addr) = self.node_mut(id).torrent.next_connect(now) {
            self.at(Duration::from_millis(20), Event::Connected(id, addr));
        }
        let node = self.node_mut(id);
        if let Some(at) = node.torrent.deadline()
            && node.tick_at.is_none_or(|tick| at < tick)
        {
            node.tick_at = Some(at);
            self.at_time(at, Event::Tick(id));
        }
    }

    /// Changes the limits of a node.
    pub(crate) fn set_limits(&mut self, id: usize, limits: Limits) {
        let now = self.now;
        let node = self.node_mut(id);
        node.down.set_total(now, limits.down);
        node.up.set_total(now, limits.up);
        node.torrent.set_limits(now, limits);
        self.settle(id);
    }

    /// Bytes that have come to a node and were not read yet.
    pub(crate) fn unread(&self, id: usize) -> usize {
        let ends = self.conns.iter().flat_map(|conn| &conn.ends).filter(|end| end.actor == id);
        ends.flat_map(|end| &end.held).map(Vec::len).sum()
    }

    /// Gives the connections of a node what its limits allow by now.
    fn deal(&mut self, id: usize) {
        let now = self.now;
        while let Some(grant) = self.node_mut(id).down.next(now) {
            let node = self.node_mut(id);
            node.down.give_back(0, grant.bytes);
            node.torrent.let_go(now, grant.key);
            let Some(conn) = node.conns.get(&grant.key).copied() else { continue };
            let end = self.end_of(conn, id);
            let there = &mut self.conns[conn].ends[end];
            there.waits = false;
            if there.paused {
                continue;
            }
            let Actor::Node(node) = &mut self.actors[id] else { return };
            let most =
                (grant.bytes as usize).min(node.torrent.room(now, grant.key, &mut node.pool.borrow_mut()));
            if most == 0 {
                node.thirsts += 1;
                there.paused = true;
                continue;
            }
            let mut data = Vec::new();
            while let Some(first) = there.held.front_mut()
                && data.len() < most
            {
                let rest = first.split_off(first.len().min(most - data.len()));
                data.append(first);
                there.held.pop_front();
                if !rest.is_empty() {
                    there.held.push_front(rest);
                }
            }
            let node = self.node_mut(id);
            node.down.charge(now, 0, data.len() as u64);
            let result = node.torrent.receive(now, grant.key, &data, &mut node.pool.borrow_mut());
            if let Err(error) = result {
                let other = self.conns[conn].ends[1 - end].actor;
                self.node_mut(id).lost.push((address(other), error));
                self.node_mut(id).conns.remove(&grant.key);
                self.close(conn, Some(end));
            }
            self.carry_out(id);
            // What is left asks for its next turn.
            let held = std::mem::take(&mut self.conns[conn].ends[end].held);
            if !held.is_empty() {
                self.conns[conn].ends[end].held = held;
                let node = self.node_mut(id);
                node.down.ask(0, grant.key);
                node.torrent.hold(now, grant.key, node.down.pace(0));
                self.conns[conn].ends[end].waits = true;
            }
        }
        while let Some(grant) = self.node_mut(id).up.next(now) {
            let node = self.node_mut(id);
            node.up.give_back(0, grant.bytes);
            let sent = node.torrent.send_some(now, grant.key, grant.bytes);
            node.up.spend(0, sent);
            self.carry_out(id);
        }
        let node = self.node_mut(id);
        let due = [&node.down, &node.up].into_iter().filter_map(|l| l.deadline(now)).min();
        if let Some(at) = due
            && node.deal_at.is_none_or(|deal| at < deal)
        {
            node.deal_at = Some(at);
            self.at_time(at, Event::Deal(id));
        }
    }

    fn end_of(&self, conn: usize, actor: usize) -> usize {
        usize::from(self.conns[conn].ends[0].actor != actor)
    }
}

fn addr_actor(addr: SocketAddr) -> u16 {
    match addr {
        SocketAddr::V4(addr) => u16::from_be_bytes([addr.ip().octets()[2], addr.ip().octets()[3]]),
        SocketAddr::V6(_) => u16::MAX,
    }
}

fn block_hashes(data: &[u8]) -> Vec<[u8; 20]> {
    data.chunks(BLOCK_LEN as usize).map(|block| Sha1::digest(block).into()).collect()
}
