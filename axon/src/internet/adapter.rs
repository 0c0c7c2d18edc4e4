//! A connection as a component (Kamaelia: `Kamaelia/Internet/ConnectedSocketAdapter.py`).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Socket;
use super::messages::{ConnectionNotice, HowDied, SelectorRequest, ShutdownCsa};
use super::park::park;
use super::selector::SelectorServices;
use super::tls::TlsLayer;
use crate::boxes::Mailbox;
use crate::component::{Component, ComponentRef, Cx, Instance, Microprocess, Service};
use crate::ipc::{Ipc, Notify};
use crate::message::Message;

crate::ports! {
    /// Boxes of a [`ConnectedSocketAdapter`].
    pub struct AdapterPorts {
        in  { /// What to send to the peer.
              inbox: Vec<u8>,
              /// Shutdown requests.
              control: Ipc,
              /// From the selector: there is something to read.
              read_ready as "ReadReady": Socket,
              /// From the selector: something can be written.
              send_ready as "SendReady": Socket,
              /// Any message: speak TLS from here on.
              makessl: Message }
        out { /// What the peer sent.
              outbox: Vec<u8>,
              /// To the creator: the peer has finished, the connection is closed.
              creator_feedback as "CreatorFeedback": ConnectionNotice,
              /// `shutdownCSA` at the end.
              signal: Ipc,
              /// To the selector.
              _selector_signal as "_selectorSignal": SelectorRequest,
              /// TLS is spoken now.
              sslready: () }
    }
}

/// How much a connection holds, and for how long it waits.
///
/// ```
/// use axon::internet::AdapterOptions;
/// let small = AdapterOptions { send_queue: 4, receive_ahead: 1, ..AdapterOptions::default() };
/// assert!(small.linger < small.patience);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterOptions {
    /// Messages that its inbox holds; a sender finds it full then. 256 by default.
    pub send_queue: usize,
    /// Messages that may wait at the receiver before it stops reading from the socket. 16 by default, of 32 KiB each
    /// at most. A receiver whose inbox has a smaller bound sets that.
    pub receive_ahead: usize,
    /// How long it waits for a peer that takes nothing of what is left to send at the end, and for an owner that does
    /// not react when the peer has finished. 30 s by default.
    pub patience: Duration,
    /// How long, at most, it waits for the peer to close after everything was sent. Closing at once could destroy
    /// what is still on its way: the system answers late data of the peer with a reset. 2 s by default.
    pub linger: Duration,
    /// After a `producerFinished`, goes on to receive until the peer closes, in place of dropping what still comes.
    pub receive_until_closed: bool,
    /// When the peer has finished, lets the owner answer and waits for its `producerFinished`, in place of closing once
    /// what is queued was sent. Servers want that.
    pub answer_after_end: bool,
}

impl Default for AdapterOptions {
    fn default() -> Self {
        Self {
            send_queue: 256,
            receive_ahead: 16,
            patience: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            receive_until_closed: false,
            answer_after_end: false,
        }
    }
}

/// Sends what it is sent to a connected socket, and what comes from there out of its outbox.
///
/// [`TcpClient`](super::TcpClient) and [`TcpServer`](super::TcpServer) make them; few programs do.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `Vec<u8>` | what to send; bounded, see [`AdapterOptions::send_queue`] |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | `ReadReady`, `SendReady` | [`Socket`] | from the selector |
/// | `makessl` | [`Message`] | speak TLS from here on |
/// | `outbox` | `Vec<u8>` | what came, up to 32768 bytes a message |
/// | `CreatorFeedback` | [`ConnectionNotice`] | `PeerFinished` and, at the end, `Shutdown` |
/// | `signal` | [`Ipc`] | a [`ShutdownCsa`] at the end, as [`Ipc::Notify`] |
/// | `sslready` | `()` | TLS is spoken now |
///
/// # How it works
/// It reads and writes until the system says that it would block, and then asks the selector to be told. Messages that
/// wait are written together. After some 256 KiB it lets others run.
///
/// Back-pressure is real in both directions. While the receiver has not taken what it was sent, nothing is read, and
/// so the peer cannot send; while the peer does not read, nothing is taken from the inbox, and so senders find it
/// full. What one connection holds is bounded by its [`AdapterOptions`] and the system's buffers.
///
/// # Shutdown
/// * `producerFinished`: everything that was sent to it is flushed, however long the peer takes as long as it takes
///   some; then this end is closed, and the socket once the peer has closed too or some time has passed. (The original
///   flushes only as far as one pass allows.)
/// * `shutdownMicroprocess`: the socket is closed now; what is queued is dropped.
/// * The peer finishes: `PeerFinished` goes to the creator. Then what is queued is flushed and the socket closed; or,
///   if the owner [may answer](AdapterOptions::answer_after_end), that happens when it says `producerFinished`. (In
///   the original a half closed connection is closed, and the answer lost.)
/// * An error: the socket is closed.
///
/// In each case the creator is told how it died, also when the component is stopped or fails. An orderly end and an
/// abrupt one can be told apart: [`HowDied::is_orderly`].
pub struct ConnectedSocketAdapter {
    socket: Socket,
    selector: SelectorServices,
    options: AdapterOptions,
    server_name: Option<String>,
}

impl ConnectedSocketAdapter {
    /// Works on a connected socket, with that selector.
    pub fn new(socket: Socket, selector: SelectorServices) -> Self {
        Self { socket, selector, options: AdapterOptions::default(), server_name: None }
    }

    /// Sets limits and times.
    #[must_use]
    pub fn options(mut self, options: AdapterOptions) -> Self {
        self.options = options;
        self
    }

    /// The name that the peer has to prove if TLS is asked for; else it is the address.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}

impl Component for ConnectedSocketAdapter {
    type Ports = AdapterPorts;

    /// Bounds the inbox.
    fn create(self) -> Instance<AdapterPorts> {
        let bound = self.options.send_queue.max(1);
        let instance = Instance::create(self);
        instance.inbox.set_bound(bound);
        instance
    }

    async fn main(self, cx: Cx<AdapterPorts>) {
        let linked = cx.link(&cx._selector_signal, &self.selector.notify);
        let mut connection = Connection::new(cx.clone(), self);
        match linked {
            Ok(_) => connection.run().await,
            Err(e) => {
                connection.died =
                    Some(HowDied::Failed { kind: ErrorKind::NotFound, text: e.to_string().into() });
            }
        }
        // Its end is told by its drop, which happens however the component ends.
    }
}

/// A connection at work.
struct Connection {
    cx: Cx<AdapterPorts>,
    socket: Socket,
    me: ComponentRef,
    read_target: Service,
    send_target: Service,
    options: AdapterOptions,
    server_name: Option<String>,
    /// TLS, once it is spoken.
    tls: Option<Box<TlsLayer>>,
    /// TLS that was asked for, and how many messages of the inbox go out before it.
    tls_next: Option<(Box<TlsLayer>, usize)>,
    /// What is being written; the first `sent` bytes of its first message are through.
    queue: VecDeque<Vec<u8>>,
    sent: usize,
    /// Read, and refused by a full receiver.
    held: Option<Vec<u8>>,
    /// The receiver has enough; this wakes us when it takes some.
    blocked: Option<Mailbox<Vec<u8>>>,
    /// As far as is known there is something to read, something can be written.
    readable: bool,
    writable: bool,
    /// The selector was asked.
    read_watched: bool,
    send_watched: bool,
    /// Nothing more will be asked of us: flush and close, for this reason.
    finishing: Option<HowDied>,
    /// When our end was closed.
    fin_sent: Option<Instant>,
    peer_finished: bool,
    /// When something last moved, as far as times depend on it.
    progress: Instant,
    died: Option<HowDied>,
}

impl Connection {
    fn new(cx: Cx<AdapterPorts>, adapter: ConnectedSocketAdapter) -> Self {
        Self {
            socket: adapter.socket,
            me: cx.reference(),
            read_target: cx.service("ReadReady"),
            send_target: cx.service("SendReady"),
            options: adapter.options,
            server_name: adapter.server_name,
            tls: None,
            tls_next: None,
            queue: VecDeque::new(),
            sent: 0,
            held: None,
            blocked: None,
            readable: true,
            writable: true,
            read_watched: false,
            send_watched: false,
            finishing: None,
            fin_sent: None,
            peer_finished: false,
            progress: cx.core().now(),
            died: None,
            cx,
        }
    }

    async fn run(&mut self) {
        while self.died.is_none() {
            self.hear();
            let more = match self.work() {
                Ok(more) => more,
                Err(e) => {
                    self.died.get_or_insert(HowDied::failed(&e));
                    return;
                }
            };
            self.look_at_times();
            if self.died.is_some() {
                return;
            }
            if more {
                self.cx.yield_now().await;
            } else {
                self.ask_selector();
                park(&self.cx, self.deadline()).await;
            }
        }
    }

    /// Reads the boxes that steer it.
    fn hear(&mut self) {
        while self.cx.read_ready.try_recv().is_some() {
            (self.readable, self.read_watched) = (true, false);
        }
        while self.cx.send_ready.try_recv().is_some() {
            (self.writable, self.send_watched) = (true, false);
        }
        while let Some(message) = self.cx.control.try_recv() {
            if message.is_shutdown_microprocess() {
                self.died = Some(self.finishing.take().unwrap_or(HowDied::ShutdownMicroprocess));
                return;
            }
            if message.is_producer_finished() && self.finishing.is_none() {
                let how = if self.peer_finished { HowDied::ClosedByPeer } else { HowDied::ProducerFinished };
                self.finish(how);
            }
        }
        while let Some(message) = self.cx.makessl.try_recv() {
            if self.tls.is_some() || self.tls_next.is_some() {
                log::warn!("TLS was asked for twice on one connection");
                continue;
            }
            match TlsLayer::start(message, self.server_name.as_deref()) {
                Ok(tls) => {
                    let before = if tls.is_after_queued() { self.cx.inbox.len() } else { 0 };
                    self.tls_next = Some((Box::new(tls), before));
                }
                Err(text) => {
                    self.died = Some(HowDied::Failed { kind: ErrorKind::Unsupported, text: text.into() });
                }
            }
        }
    }

    fn finish(&mut self, how: HowDied) {
        self.finishing = Some(how);
        self.progress = self.cx.core().now();
    }

    /// Reads and writes; true if there is more to do at once.
    fn work(&mut self) -> io::Result<bool> {
        if self.died.is_some() {
            return Ok(false);
        }
        let more_to_write = self.flush()?;
        let more_to_read = self.receive()?;
        if self.fin_sent.is_some() && self.peer_finished {
            self.died = self.finishing.clone();
        }
        let tls = self.tls.as_mut();
        if let Some(tls) = tls
            && tls.is_ready_now()
        {
            let _ = self.cx.sslready.send(());
            return Ok(true);
        }
        // The peer may have finished just now, with nothing left to send; or TLS has to answer it.
        let waits_for_peer = self.tls.as_ref().is_some_and(|t| t.is_handshaking() && !t.wants_write());
        let close_now = self.finishing.is_some() && self.fin_sent.is_none() && !waits_for_peer;
        let answer = self.tls.as_ref().is_some_and(|t| t.wants_write());
        Ok(more_to_write || more_to_read || self.writable && (close_now || answer))
    }

    fn flush(&mut self) -> io::Result<bool> {
        if self.fin_sent.is_some() {
            while self.cx.inbox.try_recv().is_some() {} // too late
            return Ok(false);
        }
        for _ in 0..TURN {
            if !self.writable {
                return Ok(false);
            }
            self.fill_queue();
            if self.queue.is_empty() {
                if let Some((tls, 0)) = self.tls_next.take_if(|(_, before)| *before == 0) {
                    self.tls = Some(tls);
                }
                if let Some(tls) = &mut self.tls {
                    if self.finishing.is_some() && !tls.is_handshaking() {
                        tls.finish();
                    }
                    if tls.wants_write() {
                        self.flush_tls()?;
                        continue;
                    }
                    if tls.is_handshaking() {
                        return Ok(false);
                    }
                }
                if self.finishing.is_some() {
                    // What it says is of no use: the peer may have gone already.
                    let _ = self.socket.shutdown(Shutdown::Write);
                    self.fin_sent = Some(self.cx.core().now());
                }
                return Ok(false);
            }
            self.write_some()?;
        }
        Ok(true)
    }

    fn fill_queue(&mut self) {
        // What is sent after TLS was asked for waits until it is spoken.
        let mut allowed = match (&self.tls, &self.tls_next) {
            (_, Some((_, before))) => *before,
            (Some(tls), None) if tls.is_handshaking() => 0,
            _ => usize::MAX,
        };
        while self.queue.len() < MAX_SLICES
            && allowed > 0
            && let Some(bytes) = self.cx.inbox.try_recv()
        {
            allowed -= 1;
            if let Some((_, before)) = &mut self.tls_next {
                *before -= 1;
            }
            if !bytes.is_empty() {
                self.queue.push_back(bytes);
            }
        }
    }

    fn flush_tls(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        match tls.flush(&self.socket) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable = false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(()) => self.note_progress(),
        }
        Ok(())
    }

    fn note_progress(&mut self) {
        if self.finishing.is_some() || self.peer_finished {
            self.progress = self.cx.core().now();
        }
    }

    fn write_some(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            // rustls takes some 64 KiB before it wants them to be sent.
            if let Some(first) = self.queue.front() {
                let taken = tls.write(&first[self.sent..])?;
                self.took(taken);
            }
            return self.flush_tls();
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (mut count, mut total) = (0, 0);
        for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(&bytes[if count == 0 { self.sent } else { 0 }..]);
            total += slice.len();
            count += 1;
        }
        match self.socket.write_vectored(&slices[..count]) {
            Ok(written) => {
                // A part of it: the system's buffer is full.
                self.writable = written == total;
                self.took(written);
                self.note_progress();
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable = false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// So many bytes of the queue are through.
    fn took(&mut self, bytes: usize) {
        self.sent += bytes;
        while let Some(first) = self.queue.front()
            && self.sent >= first.len()
        {
            self.sent -= first.len();
            self.queue.pop_front();
        }
    }

    fn receive(&mut self) -> io::Result<bool> {
        // A connection that is being closed is read all the same: what is not read makes the system reset it.
        let deliver = self.finishing.is_none() || self.options.receive_until_closed;
        if deliver {
            if let Some(held) = self.held.take()
                && let Err(held) = self.deliver(held)
            {
                self.held = Some(held);
                return Ok(false);
            }
        } else {
            self.held = None;
        }
        self.blocked = None;
        for _ in 0..TURN {
            if !self.readable || self.peer_finished {
                return Ok(false);
            }
            if deliver
                && (self.cx.outbox.is_full() || self.cx.outbox.len() >= self.options.receive_ahead.max(1))
            {
                self.wait_for_receiver();
                return Ok(false);
            }
            let read: io::Result<_> = SCRATCH.with_borrow_mut(|scratch| {
                scratch.resize(READ_SIZE, 0);
                let n = match &mut self.tls {
                    Some(tls) => tls.read(&self.socket, scratch)?,
                    None => self.socket.read(scratch)?,
                };
                Ok((n, if deliver { scratch[..n].to_vec() } else { Vec::new() }))
            });
            match read {
                Ok((0, _)) => self.peer_has_finished(),
                Ok((n, bytes)) => {
                    // Less than there was room for: that was all, and asking the selector finds what comes later.
                    self.readable = n == READ_SIZE || self.tls.is_some();
                    if deliver && let Err(bytes) = self.deliver(bytes) {
                        self.held = Some(bytes);
                        return Ok(false);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    fn deliver(&mut self, bytes: Vec<u8>) -> Result<(), Vec<u8>> {
        match self.cx.outbox.send(bytes) {
            Ok(()) => Ok(()),
            Err(e) if e.is_full() => {
                self.wait_for_receiver();
                Err(e.into_message())
            }
            Err(e) => {
                log::warn!("what a peer sent was dropped: {e}");
                Ok(())
            }
        }
    }

    fn wait_for_receiver(&mut self) {
        self.blocked = self.cx.outbox.mailbox();
        if let Some(receiver) = &self.blocked {
            receiver.wake_when_collected(self.cx.process());
        }
    }

    fn peer_has_finished(&mut self) {
        (self.readable, self.peer_finished) = (false, true);
        self.progress = self.cx.core().now();
        if self.finishing.is_some() {
            return;
        }
        let notice = ConnectionNotice::PeerFinished { adapter: self.me.clone() };
        if let Err(e) = self.cx.creator_feedback.send(notice) {
            log::warn!("a creator was not told of the end of what its peer sends: {e}");
        }
        if !self.options.answer_after_end {
            self.finish(HowDied::ClosedByPeer);
        }
    }

    fn ask_selector(&mut self) {
        let caller = self.me.id();
        if !self.readable && !self.read_watched && !self.peer_finished {
            self.read_watched = true;
            let (target, socket) = (self.read_target.clone(), self.socket.clone());
            self.send_request(SelectorRequest::NewReader { caller, target, socket });
        }
        if !self.writable && !self.send_watched && self.fin_sent.is_none() {
            self.send_watched = true;
            let (target, socket) = (self.send_target.clone(), self.socket.clone());
            self.send_request(SelectorRequest::NewWriter { caller, target, socket });
        }
    }

    fn send_request(&self, request: SelectorRequest) {
        if let Err(e) = self.cx._selector_signal.send(request) {
            log::error!("the selector was not reached: {e}");
        }
    }

    /// When something has to happen though nobody wakes us.
    fn deadline(&self) -> Option<Instant> {
        match (self.fin_sent, &self.finishing) {
            (Some(_), _) if self.options.receive_until_closed => None,
            (Some(at), _) => Some(at + self.options.linger),
            (None, Some(_)) => Some(self.progress + self.options.patience),
            (None, None) if self.peer_finished => Some(self.progress + self.options.patience),
            (None, None) => None,
        }
    }

    fn look_at_times(&mut self) {
        let Some(deadline) = self.deadline() else { return };
        if self.cx.core().now() < deadline {
            return;
        }
        if self.fin_sent.is_some() {
            self.died = self.finishing.clone();
        } else if self.finishing.is_some() {
            self.died = Some(HowDied::Stalled);
        } else {
            self.finish(HowDied::ClosedByPeer);
        }
    }
}

/// The original's `stop`: however it ends, the socket is closed and the creator told.
impl Drop for Connection {
    fn drop(&mut self) {
        let how_died = self.died.take().unwrap_or(HowDied::Stopped);
        self.socket.close();
        let notice = ConnectionNotice::Shutdown { adapter: self.me.clone(), how_died: how_died.clone() };
        if let Err(e) = self.cx.creator_feedback.send(notice) {
            log::warn!("a creator was not told of the end of a connection: {e}");
        }
        let end = ShutdownCsa { adapter: self.me.clone(), socket: self.socket.clone(), how_died };
        let Ipc::Other(object) = Ipc::other(end) else { return };
        let _ = self.cx.signal.send(Ipc::Notify(Arc::new(Notify { caller: self.me.id(), object })));
    }
}

thread_local! {
    /// Where reads go first: idle connections, of which there are many, need no buffer of their own.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes of one message at most.
const READ_SIZE: usize = 32768;
/// Reads and writes of a connection before the others get their turn.
const TURN: usize = 8;
/// Messages given to the system at once.
const MAX_SLICES: usize = 64;
