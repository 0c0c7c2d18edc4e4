//! An engine on a thread of its own, and peers that follow a script.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use kamaelia_torrent::engine::{AddTorrent, Engine, Event, Settings, TorrentId, TorrentStatus};

/// Longest time that anything in a test may take. It ends tests that hang; a slow and busy machine comes nowhere near.
pub const LIMIT: Duration = Duration::from_secs(180);

type Command = Box<dyn FnOnce(&mut Engine) + Send>;

/// An engine that runs until it is dropped or stopped.
pub struct Node {
    commands: Option<mpsc::Sender<Command>>,
    waker: Arc<mio::Waker>,
    pub addr: SocketAddr,
    events: mpsc::Receiver<Event>,
    /// Events that somebody waited past.
    pub seen: Vec<Event>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Settings for a test: loopback, any port.
pub fn settings() -> Settings {
    Settings { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), ..Settings::default() }
}

impl Node {
    pub fn start(settings: Settings) -> Node {
        let mut engine = Engine::new(settings).expect("an engine");
        let waker = engine.waker();
        let addr = engine.local_addr().unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let (commands, inbox) = mpsc::channel::<Command>();
        let (out, events) = mpsc::channel();
        let thread = thread::spawn(move || {
            loop {
                engine.turn(None).expect("polling");
                while let Some(event) = engine.next_event() {
                    let _ = out.send(event);
                }
                loop {
                    match inbox.try_recv() {
                        Ok(command) => command(&mut engine),
                        Err(mpsc::TryRecvError::Empty) => break,
                        Err(mpsc::TryRecvError::Disconnected) => return,
                    }
                }
                if engine.is_stopped() {
                    while let Some(event) = engine.next_event() {
                        let _ = out.send(event);
                    }
                    return;
                }
            }
        });
        Node { commands: Some(commands), waker, addr, events, seen: Vec::new(), thread: Some(thread) }
    }

    /// Runs something on the engine's thread.
    pub fn call<T: Send + 'static>(&self, f: impl FnOnce(&mut Engine) -> T + Send + 'static) -> T {
        let (answer, result) = mpsc::channel();
        let command: Command = Box::new(move |engine| {
            let _ = answer.send(f(engine));
        });
        self.commands.as_ref().unwrap().send(command).expect("a running engine");
        self.waker.wake().unwrap();
        result.recv_timeout(LIMIT).expect("an answer of the engine")
    }

    pub fn add(&self, add: AddTorrent) -> TorrentId {
        self.call(move |engine| engine.add(add)).expect("a new torrent")
    }

    pub fn status(&self, id: TorrentId) -> TorrentStatus {
        self.call(move |engine| engine.status(id)).expect("a known torrent")
    }

    /// Waits for an event and returns it; those before it go to `seen`.
    pub fn wait(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        let end = Instant::now() + LIMIT;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if wanted(&event) {
                        return event;
                    }
                }
                Err(e) => {
                    let last: Vec<_> = self.seen.iter().rev().take(20).rev().collect();
                    let status =
                        self.call(|engine| engine.ids().map(|id| engine.status(id)).collect::<Vec<_>>());
                    panic!("waiting for {what}: {e}; last events {last:#?}; {status:#?}")
                }
            }
        }
    }

    pub fn wait_started(&mut self, id: TorrentId) {
        self.wait("start", |e| *e == Event::Started { id });
    }

    pub fn wait_completed(&mut self, id: TorrentId) {
        self.wait("completion", |e| *e == Event::Completed { id });
    }

    /// Number of pieces of a torrent that were verified so far.
    pub fn verified(&mut self, id: TorrentId) -> usize {
        while let Ok(event) = self.events.try_recv() {
            self.seen.push(event);
        }
        self.seen.iter().filter(|e| matches!(e, Event::PieceVerified { id: i, .. } if *i == id)).count()
    }

    /// Stops in order and waits for the end.
    pub fn stop(mut self) -> Vec<Event> {
        self.call(|engine| engine.stop());
        self.thread.take().unwrap().join().expect("an engine that ends");
        let mut seen = std::mem::take(&mut self.seen);
        seen.extend(self.events.try_iter());
        seen
    }
}

impl Drop for Node {
    /// Ends the engine without any order, as a crash would.
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            if !thread::panicking() {
                result.expect("an engine that does not panic");
            }
        }
    }
}

/// A seed of a torrent whose data lies in `dir`.
pub fn seed(
    metainfo: &kamaelia_torrent::proto::metainfo::Metainfo,
    dir: &std::path::Path,
) -> (Node, TorrentId) {
    let mut node = Node::start(settings());
    let id = node.add(AddTorrent::new(metainfo.clone(), dir));
    node.wait_started(id);
    assert_eq!(node.status(id).left, 0, "the seed has everything");
    (node, id)
}

/// What a scripted peer does with a request: the data to be sent, or nothing.
pub type Script = Arc<dyn Fn(u32, u32, u32) -> Option<Vec<u8>> + Send + Sync>;

/// A peer that says it has everything and answers requests by a script, to any number of connections.
pub fn scripted_seed(info_hash: [u8; 20], pieces: u32, script: Script) -> (SocketAddr, Arc<Mutex<u64>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let served = Arc::new(Mutex::new(0));
    let count = Arc::clone(&served);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, count) = (Arc::clone(&script), Arc::clone(&count));
            // Ends when the other side closes.
            thread::spawn(move || serve(stream.unwrap(), info_hash, pieces, &script, &count));
        }
    });
    (addr, served)
}

fn serve(stream: TcpStream, info_hash: [u8; 20], pieces: u32, script: &Script, count: &Mutex<u64>) {
    let mut peer = Peer { stream };
    if peer.handshake(info_hash, *b"-XX0000-scriptedseed").is_none() {
        return;
    }
    let mut bits = vec![0xff; pieces.div_ceil(8) as usize];
    if !pieces.is_multiple_of(8) {
        *bits.last_mut().unwrap() = 0xff << (8 - pieces % 8);
    }
    peer.send(5, &bits);
    peer.send(1, &[]);
    while let Some((id, body)) = peer.message() {
        if id != Some(6) {
            continue;
        }
        let field = |i: usize| u32::from_be_bytes(body[4 * i..4 * i + 4].try_into().unwrap());
        if let Some(data) = script(field(0), field(1), field(2)) {
            *count.lock().unwrap() += 1;
            let mut payload = body[..8].to_vec();
            payload.extend(data);
            peer.send(7, &payload);
        }
    }
}

/// The other end of a connection, driven by hand.
pub struct Peer {
    pub stream: TcpStream,
}

impl Peer {
    pub fn dial(addr: SocketAddr) -> Peer {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Peer { stream }
    }

    /// Sends our handshake and reads theirs; `None` if the connection is closed instead.
    pub fn handshake(&mut self, info_hash: [u8; 20], peer_id: [u8; 20]) -> Option<[u8; 68]> {
        let mut ours = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
        ours.extend(info_hash);
        ours.extend(peer_id);
        self.stream.write_all(&ours).ok()?;
        let mut theirs = [0; 68];
        self.stream.read_exact(&mut theirs).ok()?;
        Some(theirs)
    }

    pub fn send(&mut self, id: u8, body: &[u8]) {
        let mut message = (body.len() as u32 + 1).to_be_bytes().to_vec();
        message.push(id);
        message.extend(body);
        // A closed connection shows at the next read.
        let _ = self.stream.write_all(&message);
    }

    /// The next message; `None` when the connection is closed.
    pub fn message(&mut self) -> Option<(Option<u8>, Vec<u8>)> {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len).ok()?;
        let mut body = vec![0; u32::from_be_bytes(len) as usize];
        self.stream.read_exact(&mut body).ok()?;
        if body.is_empty() {
            return Some((None, body));
        }
        let id = body.remove(0);
        Some((Some(id), body))
    }

    /// Whether the other side closes the connection within the limit.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(e) => e.kind() != std::io::ErrorKind::WouldBlock && e.kind() != std::io::ErrorKind::TimedOut,
        }
    }
}
