//! Any number of peers in one thread, each with an address of its own, that serve a synthetic torrent from memory or
//! fetch it into nowhere, as fast as the other side goes, or misbehave.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kamaelia_torrent::proto::handshake::{Handshake, HandshakeReader, PeerId, Reserved};
use kamaelia_torrent::proto::info_hash::InfoHash;
use kamaelia_torrent::proto::metainfo::Metainfo;
use kamaelia_torrent::proto::wire::{Decoder, Event, Message, block_header};
use kamaelia_torrent::proto::{BlockRequest, Geometry, PieceIndex};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Socket, Type};

use super::Outcome;
use super::options::Options;
use super::{many, synthetic};

pub(crate) fn run(options: &Options) -> Outcome {
    let Served { info_hashes, geometry, piece } = Served::new(options)?;
    let fetch = options.get::<u64>("fetch")?;
    let role = match (fetch, options.is_set("hostile")) {
        (_, true) => Role::Spoil,
        (Some(_), false) => Role::Fetch,
        (None, false) => Role::Serve { all_have_all: options.is_set("all-have-all") },
    };
    let mut crowd = Crowd {
        poll: Poll::new()?,
        peers: Vec::new(),
        shared: Shared { role, info_hashes, piece, geometry, fetched: 0, asked: false, served: false },
        scratch: vec![0; 256 * 1024],
        serial: 0,
    };
    let waker = Waker::new(crowd.poll.registry(), WAKER)?;
    let ended = std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        waker.wake()
    });
    let mut listener = match options.get::<SocketAddr>("listen")? {
        Some(addr) => Some(TcpListener::bind(addr)?),
        None => None,
    };
    if let Some(listener) = &mut listener {
        crowd.poll.registry().register(listener, LISTENER, Interest::READABLE)?;
        println!("{{\"event\":\"listening\",\"address\":\"{}\"}}", listener.local_addr()?);
    }
    let dial = options.get::<SocketAddr>("dial")?;
    let net = options.get::<String>("net")?.unwrap_or_else(|| "127.77".to_owned());
    let wanted = if dial.is_some() { options.get("peers")?.unwrap_or(1) } else { 0 };
    let mut events = Events::with_capacity(1024);
    let (start, mut said_connected) = (Instant::now(), false);
    while !ended.is_finished() {
        // A hostile peer that was cut comes back under another address.
        let up = crowd.peers.iter().flatten().count();
        let dialled = if role == Role::Spoil { up } else { crowd.serial as usize };
        let more = dialled < wanted;
        if let (Some(addr), true) = (dial, more) {
            crowd.dial(addr, &net)?;
        } else if dial.is_some() && !std::mem::replace(&mut said_connected, true) {
            println!("{{\"event\":\"connected\",\"seconds\":{:.4}}}", start.elapsed().as_secs_f64());
        }
        let wait = match (more, role) {
            (true, Role::Spoil) => Some(Duration::from_millis(20)),
            (true, _) => Some(Duration::ZERO),
            (false, _) => None,
        };
        crowd.poll.poll(&mut events, wait)?;
        for event in &events {
            match event.token() {
                WAKER => {}
                LISTENER => {
                    while let Some(Ok((stream, _))) = listener.as_ref().map(TcpListener::accept) {
                        crowd.add(stream)?;
                    }
                }
                Token(index) => crowd.work(index),
            }
        }
        if fetch.is_some_and(|bytes| crowd.shared.fetched >= bytes) {
            let (bytes, seconds) = (crowd.shared.fetched, start.elapsed().as_secs_f64());
            println!("{{\"event\":\"fetched\",\"bytes\":{bytes},\"seconds\":{seconds:.4}}}");
            return Ok(());
        }
    }
    Ok(())
}

/// What the peers are for: one torrent of a file, or the first of many, which all have the same shape and content. Of
/// these each peer takes the next.
struct Served {
    info_hashes: Vec<InfoHash>,
    geometry: Geometry,
    piece: Vec<u8>,
}

impl Served {
    fn new(options: &Options) -> Outcome<Served> {
        let parse = |bytes: &[u8]| Metainfo::parse(bytes);
        if let Some(count) = options.get::<usize>("torrents")? {
            let info_hash = |i| Ok(parse(&many::torrent(&format!("t{i}"), None))?.info_hash());
            let info_hashes = (0..count.max(1)).map(info_hash).collect::<Outcome<_>>()?;
            let geometry = parse(&many::torrent("t0", None))?.geometry();
            return Ok(Served { info_hashes, geometry, piece: vec![0; geometry.piece_len() as usize] });
        }
        let metainfo = parse(&std::fs::read(options.word(0, "a .torrent file")?)?)?;
        let geometry = metainfo.geometry();
        let piece = synthetic::piece(geometry.piece_len() as usize);
        Ok(Served { info_hashes: vec![metainfo.info_hash()], geometry, piece })
    }
}

/// What the peers do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Role {
    /// Answer requests. Only the first has everything unless all have: the others lack one piece, so that they are
    /// told of each piece that is there, as leeches are.
    Serve { all_have_all: bool },
    /// Ask for one piece after the other.
    Fetch,
    /// Break the rules, each in its own way.
    Spoil,
}

struct Crowd {
    poll: Poll,
    peers: Vec<Option<Peer>>,
    shared: Shared,
    scratch: Vec<u8>,
    /// Peers so far.
    serial: u32,
}

struct Shared {
    role: Role,
    info_hashes: Vec<InfoHash>,
    piece: Vec<u8>,
    geometry: Geometry,
    fetched: u64,
    /// Somebody was asked for a block.
    asked: bool,
    /// A block went out.
    served: bool,
}

struct Peer {
    stream: TcpStream,
    serial: u32,
    reader: HandshakeReader,
    decoder: Option<Decoder>,
    out: Vec<u8>,
    sent: usize,
    asked: VecDeque<BlockRequest>,
    /// Next block to ask for, counted through the torrent.
    cursor: u64,
    open_requests: usize,
    may_ask: bool,
}

impl Crowd {
    fn dial(&mut self, addr: SocketAddr, net: &str) -> Outcome {
        let n = self.serial;
        let ip: Ipv4Addr = format!("{net}.{}.{}", (n / 250) % 250, 2 + n % 250).parse()?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(IpAddr::V4(ip), 0).into())?;
        // On loopback this waits only while the other side's queue is full.
        match socket.connect(&addr.into()) {
            Ok(()) => {}
            // A hostile peer is not surprised.
            Err(_) if self.shared.role == Role::Spoil => {
                self.serial += 1;
                return Ok(());
            }
            Err(e) => return Err(format!("{addr}: {e}").into()),
        }
        socket.set_nonblocking(true)?;
        self.add(TcpStream::from_std(socket.into()))
    }

    fn add(&mut self, mut stream: TcpStream) -> Outcome {
        let _ = stream.set_nodelay(true);
        let free = self.peers.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.peers.push(None);
            self.peers.len() - 1
        });
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), both)?;
        let serial = self.serial;
        self.serial += 1;
        let mut peer = Peer {
            stream,
            serial,
            reader: HandshakeReader::new(),
            decoder: None,
            out: Vec::new(),
            sent: 0,
            asked: VecDeque::new(),
            cursor: u64::from(serial).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20,
            open_requests: 0,
            may_ask: false,
        };
        peer.open(&self.shared);
        self.peers[index] = Some(peer);
        self.work(index);
        Ok(())
    }

    fn work(&mut self, index: usize) {
        if let Some(Some(peer)) = self.peers.get_mut(index)
            && peer.work(&mut self.shared, &mut self.scratch).is_err()
        {
            let _ = self.poll.registry().deregister(&mut peer.stream);
            self.peers[index] = None;
        }
    }
}

impl Peer {
    /// What is said before anything was heard.
    fn open(&mut self, shared: &Shared) {
        if shared.role == Role::Spoil && self.serial.is_multiple_of(4) {
            // Anything but a handshake.
            self.out = (0..200).map(|i| (i * 31 + self.serial as usize) as u8).collect();
            return;
        }
        let mut id = *b"-XX0000-000000000000";
        id[8..].copy_from_slice(format!("{:012}", self.serial).as_bytes());
        // Without BEP 6, a peer that is choked knows that its requests are gone.
        let reserved = if shared.role == Role::Fetch { [0; 8] } else { [0, 0, 0, 0, 0, 0x10, 0, 4] };
        let reserved = Reserved(reserved);
        let info_hash = shared.info_hashes[self.serial as usize % shared.info_hashes.len()];
        let handshake = Handshake { reserved, ..Handshake::new(info_hash, PeerId(id)) };
        self.out = handshake.encode().to_vec();
    }

    fn greet(&mut self, shared: &Shared) {
        let count = shared.geometry.piece_count();
        let lacks_one = |out: &mut Vec<u8>| {
            let mut bits = vec![0xff; count.div_ceil(8) as usize];
            let last = count - 1;
            for bit in last..count.next_multiple_of(8) {
                bits[bit as usize / 8] &= !(0x80 >> (bit % 8));
            }
            Message::Bitfield(bits).encode(out);
        };
        match shared.role {
            Role::Serve { all_have_all } => {
                // BEP 10: any number of requests may be open.
                Message::Extended(0, b"d1:mde4:reqqi100000ee".to_vec()).encode(&mut self.out);
                if all_have_all || self.serial == 0 {
                    // A bitfield, which a peer without BEP 6 understands as well.
                    let mut bits = vec![0xff; count.div_ceil(8) as usize];
                    if !count.is_multiple_of(8)
                        && let Some(last) = bits.last_mut()
                    {
                        *last = 0xff << (8 - count % 8);
                    }
                    Message::Bitfield(bits).encode(&mut self.out);
                } else {
                    lacks_one(&mut self.out);
                }
                Message::Unchoke.encode(&mut self.out);
            }
            Role::Fetch => Message::Interested.encode(&mut self.out),
            Role::Spoil => match self.serial % 4 {
                // A message of 4 GiB.
                1 => self.out.extend_from_slice(&[0xff; 64]),
                // Offers everything and sends rubbish.
                2 => {
                    Message::HaveAll.encode(&mut self.out);
                    Message::Unchoke.encode(&mut self.out);
                }
                // Asks for what is not there, many times.
                _ => {
                    Message::HaveNone.encode(&mut self.out);
                    let nonsense = BlockRequest { piece: PieceIndex(u32::MAX), begin: 7, len: u32::MAX };
                    (0..1000).for_each(|_| Message::Request(nonsense).encode(&mut self.out));
                }
            },
        }
    }

    /// Reads, answers and writes as long as the system goes along.
    fn work(&mut self, shared: &mut Shared, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            let (mut idle, n) = match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Ok(n) => (false, n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => (true, 0),
                Err(e) => return Err(e),
            };
            self.take(shared, &scratch[..n])?;
            if shared.role == Role::Fetch {
                self.ask(shared);
            }
            loop {
                self.fill(shared);
                if self.sent == self.out.len() {
                    break;
                }
                match self.stream.write(&self.out[self.sent..]) {
                    Ok(n) => {
                        self.sent += n;
                        idle = false;
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
                if shared.asked && !std::mem::replace(&mut shared.served, true) {
                    say_time("served");
                }
            }
            if idle {
                return Ok(());
            }
        }
    }

    fn take(&mut self, shared: &mut Shared, mut data: &[u8]) -> io::Result<()> {
        if self.decoder.is_none() {
            match self.reader.feed(&mut data) {
                Ok(Some(_)) => {
                    self.decoder = Some(Decoder::new(shared.geometry.piece_count()));
                    self.greet(shared);
                }
                Ok(None) => return Ok(()),
                Err(e) => return Err(io::Error::new(io::ErrorKind::InvalidData, e)),
            }
        }
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        loop {
            match decoder.next(&mut data).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
                Some(Event::Message(Message::Request(block))) if shared.geometry.contains(&block) => {
                    if !std::mem::replace(&mut shared.asked, true) {
                        say_time("asked");
                    }
                    self.asked.push_back(block);
                }
                Some(Event::Message(Message::Cancel(block))) => self.asked.retain(|asked| *asked != block),
                Some(Event::Message(Message::Unchoke)) => self.may_ask = true,
                Some(Event::Message(Message::Choke)) => {
                    self.may_ask = false;
                    self.open_requests = 0;
                }
                Some(Event::BlockData { data, last }) => {
                    shared.fetched += data.len() as u64;
                    self.open_requests = self.open_requests.saturating_sub(usize::from(last));
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    fn ask(&mut self, shared: &Shared) {
        let geometry = shared.geometry;
        let blocks = u64::from(geometry.block_count(PieceIndex(0)));
        while self.may_ask && self.open_requests < PIPELINE {
            let piece = (self.cursor / blocks) % u64::from(geometry.piece_count());
            let piece = PieceIndex(piece as u32);
            let block = (self.cursor % blocks) as u32 % geometry.block_count(piece);
            Message::Request(geometry.block(piece, block)).encode(&mut self.out);
            self.cursor += 1;
            self.open_requests += 1;
        }
    }

    /// Puts answers into the buffer when it has been sent.
    fn fill(&mut self, shared: &Shared) {
        if self.sent < self.out.len() || self.asked.is_empty() {
            return;
        }
        self.out.clear();
        self.sent = 0;
        while self.out.len() < BATCH
            && let Some(block) = self.asked.pop_front()
        {
            self.out.extend_from_slice(&block_header(&block));
            let start = block.begin as usize;
            self.out.extend_from_slice(&shared.piece[start..start + block.len as usize]);
            if shared.role == Role::Spoil
                && let Some(last) = self.out.last_mut()
            {
                *last ^= 1;
            }
        }
    }
}

/// Says when something happened, in seconds since 1970: others compare it with their own clock.
fn say_time(event: &str) {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    println!("{{\"event\":\"{event}\",\"at\":{at:.6}}}");
}

/// Requests that a fetching peer keeps open.
const PIPELINE: usize = 64;
/// Bytes written at a time.
const BATCH: usize = 256 * 1024;
const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
