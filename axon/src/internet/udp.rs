//! Datagrams (Kamaelia: `Kamaelia/Internet/UDP.py`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::Socket;
use super::messages::SelectorRequest;
use super::options::SocketOptions;
use super::park::{own_waker, park};
use super::resolve::Lookup;
use super::selector::Selector;
use crate::boxes::{Inbox, Mailbox, Outbox};
use crate::component::{Component, Cx, Instance, Microprocess, Service};
use crate::ipc::Ipc;

/// A datagram that was received: its data, and who sent it.
pub type Datagram = (Vec<u8>, SocketAddr);

crate::ports! {
    /// Boxes of a [`SimplePeer`].
    pub struct SimplePeerPorts {
        in  { /// Datagrams for the receiver.
              inbox: Vec<u8>,
              /// Shutdown requests.
              control: Ipc,
              /// From the selector: something has come.
              read_ready as "ReadReady": Socket,
              /// From the selector: something can be sent.
              send_ready as "SendReady": Socket }
        out { /// Datagrams that came.
              outbox: Datagram,
              /// The address that it is bound to, once.
              listening: SocketAddr,
              /// The message that ended it, or what went wrong if it cannot bind.
              signal: Ipc,
              /// To the selector.
              _selector_signal as "_selectorSignal": SelectorRequest }
    }
}

crate::ports! {
    /// Boxes of a [`TargettedPeer`].
    pub struct TargettedPeerPorts {
        in  { /// Datagrams for the current target.
              inbox: Vec<u8>,
              /// A new target: host and port.
              target: (String, u16),
              /// Shutdown requests.
              control: Ipc,
              /// From the selector: something has come.
              read_ready as "ReadReady": Socket,
              /// From the selector: something can be sent.
              send_ready as "SendReady": Socket }
        out { /// Datagrams that came.
              outbox: Datagram,
              /// The address that it is bound to, once.
              listening: SocketAddr,
              /// The message that ended it, or what went wrong if it cannot bind.
              signal: Ipc,
              /// To the selector.
              _selector_signal as "_selectorSignal": SelectorRequest }
    }
}

crate::ports! {
    /// Boxes of a [`PostboxPeer`].
    pub struct PostboxPeerPorts {
        in  { /// Datagrams: host, port and data.
              inbox: (String, u16, Vec<u8>),
              /// Shutdown requests.
              control: Ipc,
              /// From the selector: something has come.
              read_ready as "ReadReady": Socket,
              /// From the selector: something can be sent.
              send_ready as "SendReady": Socket }
        out { /// Datagrams that came.
              outbox: Datagram,
              /// The address that it is bound to, once.
              listening: SocketAddr,
              /// The message that ended it, or what went wrong if it cannot bind.
              signal: Ipc,
              /// To the selector.
              _selector_signal as "_selectorSignal": SelectorRequest }
    }
}

/// Sends what it is sent as datagrams to one receiver, and passes on what comes, from whomever.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `Vec<u8>` | datagrams for the receiver; holds 256 |
/// | `control` | [`Ipc`] | see Shutdown |
/// | `outbox` | [`Datagram`] | what came, up to 1024 bytes unless [said otherwise](SimplePeer::datagram_size), and from where |
/// | `listening` | [`SocketAddr`] | the address that it is bound to, once |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// Two peers; the one says a word, the other hears it:
/// ```
/// use axon::internet::{Datagram, SimplePeer};
/// use axon::prelude::*;
/// use axon::util::{OneShot, PureTransformer};
///
/// let hearing = SimplePeer::new("127.0.0.1:0".parse()?);
/// let port = hearing.local_addr()?.port();
/// ports! { struct EarPorts { in { inbox: Datagram, control: Ipc } out { outbox: Message, signal: Ipc } } }
/// struct Ear;
/// impl Component for Ear {
///     type Ports = EarPorts;
///     async fn main(self, cx: Cx<EarPorts>) {
///         assert_eq!(cx.inbox.recv().await.0, b"hello");
///         cx.stop_scheduler();
///     }
/// }
/// Pipeline::new().then(OneShot::new(b"hello".to_vec())).then(SimplePeer::any().receiver("127.0.0.1", port)).activate();
/// Pipeline::new().then(hearing).then(Ear).run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # How it works
/// It is bound at its construction, and sleeps until the selector says that something came, where the original looks
/// in every pass. Names are looked up in a thread, in the order of the datagrams, and remembered for a minute. What
/// its receiver has not taken is not read from the system, which drops datagrams when its buffer is full.
///
/// # Shutdown
/// The original never ends. Here `shutdownMicroprocess` does end it, at once; it is passed on. `producerFinished` is
/// ignored, since replies may still come, unless it was made with
/// [`end_when_finished`](SimplePeer::end_when_finished): then it sends what is queued, passes the message on and ends.
///
/// # Errors
/// An address that cannot be bound: an `errorInformation` and a `shutdownMicroprocess` on `signal`. A datagram that
/// the system refuses, or whose receiver is unknown, is logged and dropped.
pub struct SimplePeer(Peer);

/// Sends what it is sent as datagrams to a receiver that can be changed, and passes on what comes.
///
/// # Boxes
/// As a [`SimplePeer`]; besides, `target` takes `(String, u16)`: host and port of the receiver from now on. A target
/// counts for all datagrams that are taken after it; those that wait when it arrives go to it as well.
///
/// # Shutdown
/// As a [`SimplePeer`].
///
/// # Errors
/// As a [`SimplePeer`].
pub struct TargettedPeer(Peer);

/// Sends datagrams, each to its own receiver, and passes on what comes.
///
/// # Boxes
/// As a [`SimplePeer`], but `inbox` takes `(String, u16, Vec<u8>)`: host, port and data.
///
/// # Shutdown
/// As a [`SimplePeer`].
///
/// # Errors
/// As a [`SimplePeer`].
pub struct PostboxPeer(Peer);

/// What the three have in common.
struct Peer {
    socket: io::Result<Socket>,
    target: (String, u16),
    datagram_size: usize,
    end_when_finished: bool,
}

impl Peer {
    fn bind(local: SocketAddr, options: &SocketOptions) -> Self {
        let target = ("0.0.0.0".to_string(), 0);
        Self { socket: options.udp(local), target, datagram_size: 1024, end_when_finished: false }
    }
}

macro_rules! peer {
    ($name:ident, $ports:ident) => {
        impl $name {
            /// Bound to an address; port 0 takes any free one.
            pub fn new(local: SocketAddr) -> Self {
                Self::with_options(local, &SocketOptions::default())
            }

            /// Bound to any free port of all IPv4 interfaces.
            pub fn any() -> Self {
                Self::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
            }

            /// Bound to an address, with settings of the socket.
            pub fn with_options(local: SocketAddr, options: &SocketOptions) -> Self {
                Self(Peer::bind(local, options))
            }

            /// Takes datagrams of up to so many bytes; what is longer is cut. The default is the original's 1024.
            #[must_use]
            pub fn datagram_size(mut self, bytes: usize) -> Self {
                self.0.datagram_size = bytes;
                self
            }

            /// Ends on `producerFinished` too, once what is queued was sent.
            #[must_use]
            pub fn end_when_finished(mut self) -> Self {
                self.0.end_when_finished = true;
                self
            }

            /// The address that it is bound to.
            ///
            /// # Errors
            /// That of binding, which it will tell on `signal` as well.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                match &self.0.socket {
                    Ok(socket) => socket.local_addr(),
                    Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
                }
            }
        }

        impl Component for $name {
            type Ports = $ports;

            /// Bounds the inbox.
            fn create(self) -> Instance<$ports> {
                let instance = Instance::create(self);
                instance.inbox.set_bound(SEND_QUEUE);
                instance
            }

            async fn main(self, cx: Cx<$ports>) {
                run(cx, self.0).await;
            }
        }
    };
}

peer!(SimplePeer, SimplePeerPorts);
peer!(TargettedPeer, TargettedPeerPorts);
peer!(PostboxPeer, PostboxPeerPorts);

impl SimplePeer {
    /// Who gets the datagrams, by name or address.
    #[must_use]
    pub fn receiver(mut self, host: impl Into<String>, port: u16) -> Self {
        self.0.target = (host.into(), port);
        self
    }
}

impl TargettedPeer {
    /// Who gets the datagrams at first, by name or address.
    #[must_use]
    pub fn receiver(mut self, host: impl Into<String>, port: u16) -> Self {
        self.0.target = (host.into(), port);
        self
    }
}

/// The boxes that all three have, and how they differ in the others.
trait PeerBoxes: crate::Ports {
    fn control(&self) -> &Inbox<Ipc>;
    fn read_ready(&self) -> &Inbox<Socket>;
    fn send_ready(&self) -> &Inbox<Socket>;
    fn datagrams(&self) -> &Outbox<Datagram>;
    fn listening(&self) -> &Outbox<SocketAddr>;
    fn signal(&self) -> &Outbox<Ipc>;
    fn selector(&self) -> &Outbox<SelectorRequest>;
    /// The next datagram to send.
    fn next(&self, target: &mut (String, u16)) -> Option<Letter>;
}

/// A datagram to send.
struct Letter {
    host: String,
    port: u16,
    data: Vec<u8>,
}

macro_rules! boxes {
    ($ports:ident, $self:ident, $target:ident, $next:expr) => {
        impl PeerBoxes for $ports {
            fn control(&self) -> &Inbox<Ipc> {
                &self.control
            }
            fn read_ready(&self) -> &Inbox<Socket> {
                &self.read_ready
            }
            fn send_ready(&self) -> &Inbox<Socket> {
                &self.send_ready
            }
            fn datagrams(&self) -> &Outbox<Datagram> {
                &self.outbox
            }
            fn listening(&self) -> &Outbox<SocketAddr> {
                &self.listening
            }
            fn signal(&self) -> &Outbox<Ipc> {
                &self.signal
            }
            fn selector(&self) -> &Outbox<SelectorRequest> {
                &self._selector_signal
            }
            fn next(&$self, $target: &mut (String, u16)) -> Option<Letter> {
                $next
            }
        }
    };
}

fn to_target(data: Vec<u8>, target: &(String, u16)) -> Letter {
    Letter { host: target.0.clone(), port: target.1, data }
}

boxes!(SimplePeerPorts, self, target, self.inbox.try_recv().map(|data| to_target(data, target)));
boxes!(TargettedPeerPorts, self, target, {
    if let Some(new) = self.target.drain().last() {
        *target = new;
    }
    self.inbox.try_recv().map(|data| to_target(data, target))
});
boxes!(PostboxPeerPorts, self, _target, {
    self.inbox.try_recv().map(|(host, port, data)| Letter { host, port, data })
});

async fn run<P: PeerBoxes>(cx: Cx<P>, peer: Peer) {
    let socket = match peer.socket {
        Ok(socket) => socket,
        Err(e) => {
            log::error!("{}: {e}", cx.name());
            let _ = cx.signal().send_wait(Ipc::error_information(cx.id(), e.to_string())).await;
            let _ = cx.signal().send_wait(Ipc::shutdown_microprocess()).await;
            return;
        }
    };
    if let Err(e) = cx.link(cx.selector(), &Selector::services(&cx).notify) {
        return cx.end_with(Err::<(), _>(e));
    }
    let local = socket.local_addr();
    if let Ok(addr) = local {
        let _ = cx.listening().send(addr);
    }
    let mut at_work = AtWork {
        read_target: cx.service("ReadReady"),
        send_target: cx.service("SendReady"),
        waker: own_waker().await,
        is_v4: local.is_ok_and(|a| a.is_ipv4()),
        socket,
        target: peer.target,
        datagram_size: peer.datagram_size,
        known: HashMap::new(),
        letter: None,
        address: None,
        lookup: None,
        held: None,
        blocked: None,
        readable: true,
        writable: true,
        read_watched: false,
        send_watched: false,
        cx: cx.clone(),
    };
    let last = at_work.serve(peer.end_when_finished).await;
    drop(at_work); // closed before anybody hears of the end
    let _ = cx.signal().send_wait(last).await;
}

struct AtWork<P: 'static> {
    cx: Cx<P>,
    socket: Socket,
    is_v4: bool,
    read_target: Service,
    send_target: Service,
    waker: Waker,
    target: (String, u16),
    datagram_size: usize,
    /// Names that were looked up, and when.
    known: HashMap<String, (Vec<IpAddr>, Instant)>,
    /// To be sent next.
    letter: Option<Letter>,
    /// Where to, once that is known.
    address: Option<SocketAddr>,
    lookup: Option<Lookup>,
    /// Received, and refused by a full receiver.
    held: Option<Datagram>,
    blocked: Option<Mailbox<Datagram>>,
    readable: bool,
    writable: bool,
    read_watched: bool,
    send_watched: bool,
}

impl<P: 'static> Drop for AtWork<P> {
    fn drop(&mut self) {
        self.socket.close();
    }
}

impl<P: PeerBoxes> AtWork<P> {
    /// Works until it is told to stop, and returns what told it.
    async fn serve(&mut self, end_when_finished: bool) -> Ipc {
        let mut last = None;
        loop {
            while self.cx.read_ready().try_recv().is_some() {
                (self.readable, self.read_watched) = (true, false);
            }
            while self.cx.send_ready().try_recv().is_some() {
                (self.writable, self.send_watched) = (true, false);
            }
            while let Some(message) = self.cx.control().try_recv() {
                if message.is_shutdown_microprocess() {
                    return message;
                }
                if end_when_finished && message.is_producer_finished() {
                    last = Some(message);
                }
            }
            let more_to_send = self.send_all();
            let more_to_receive = self.receive_all();
            if self.letter.is_none()
                && !more_to_send
                && let Some(last) = last.take()
            {
                return last;
            }
            if more_to_send || more_to_receive {
                self.cx.yield_now().await;
            } else {
                self.ask_selector();
                park(&self.cx, None).await;
            }
        }
    }

    /// Sends what there is; true if there may be more.
    fn send_all(&mut self) -> bool {
        for _ in 0..TURN {
            if self.letter.is_none() {
                self.letter = self.cx.next(&mut self.target);
            }
            let Some(letter) = &self.letter else { return false };
            if self.address.is_none() {
                self.address = match resolve(
                    letter,
                    &mut self.known,
                    &mut self.lookup,
                    self.is_v4,
                    &self.waker,
                    self.cx.core().now(),
                ) {
                    Ok(None) => return false, // the answer will wake us
                    Ok(found) => found,
                    Err(e) => {
                        log::warn!("a datagram was dropped: {e}");
                        self.letter = None;
                        continue;
                    }
                };
            }
            let Some(address) = self.address else { return false };
            if !self.writable {
                return false;
            }
            match self.socket.send_to(&letter.data, address) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.writable = false;
                    return false;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => {
                    log::warn!("a datagram of {} bytes to {address} was dropped: {e}", letter.data.len())
                }
                Ok(_) => {}
            }
            (self.letter, self.address) = (None, None);
        }
        true
    }

    /// Passes on what has come; true if there may be more.
    fn receive_all(&mut self) -> bool {
        self.blocked = None;
        if let Some(held) = self.held.take()
            && !self.pass_on(held)
        {
            return false;
        }
        for _ in 0..TURN {
            if !self.readable {
                return false;
            }
            if self.cx.datagrams().len() >= RECEIVE_AHEAD || self.cx.datagrams().is_full() {
                self.wait_for_receiver();
                return false;
            }
            let received: io::Result<_> = SCRATCH.with_borrow_mut(|scratch| {
                scratch.resize(self.datagram_size, 0);
                let (n, from) = self.socket.recv_from(scratch)?;
                Ok((scratch[..n].to_vec(), from))
            });
            match received {
                Ok(datagram) => {
                    if !self.pass_on(datagram) {
                        return false;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.readable = false,
                // Errors of earlier datagrams show up here; the original absorbs them too.
                Err(e) => log::debug!("receiving datagrams: {e}"),
            }
        }
        true
    }

    fn pass_on(&mut self, datagram: Datagram) -> bool {
        match self.cx.datagrams().send(datagram) {
            Ok(()) => true,
            Err(e) if e.is_full() => {
                self.held = Some(e.into_message());
                self.wait_for_receiver();
                false
            }
            Err(e) => {
                log::warn!("a datagram that came was dropped: {e}");
                true
            }
        }
    }

    fn wait_for_receiver(&mut self) {
        self.blocked = self.cx.datagrams().mailbox();
        if let Some(receiver) = &self.blocked {
            receiver.wake_when_collected(self.cx.process());
        }
    }

    fn ask_selector(&mut self) {
        let caller = self.cx.id();
        if !self.readable && !std::mem::replace(&mut self.read_watched, true) {
            let (target, socket) = (self.read_target.clone(), self.socket.clone());
            self.request(SelectorRequest::NewReader { caller, target, socket });
        }
        if !self.writable && !std::mem::replace(&mut self.send_watched, true) {
            let (target, socket) = (self.send_target.clone(), self.socket.clone());
            self.request(SelectorRequest::NewWriter { caller, target, socket });
        }
    }

    fn request(&self, request: SelectorRequest) {
        if let Err(e) = self.cx.selector().send(request) {
            log::error!("the selector was not reached: {e}");
        }
    }
}

/// Where a datagram goes; nothing while the name is being looked up.
fn resolve(
    letter: &Letter,
    known: &mut HashMap<String, (Vec<IpAddr>, Instant)>,
    lookup: &mut Option<Lookup>,
    is_v4: bool,
    waker: &Waker,
    now: Instant,
) -> io::Result<Option<SocketAddr>> {
    let (host, port) = (&letter.host, letter.port);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(ip, port)));
    }
    if let Some(under_way) = lookup {
        let Some(found) = under_way.take() else { return Ok(None) };
        *lookup = None;
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(host.clone(), (found?.into_iter().map(|a| a.ip()).collect(), now));
    }
    match known.get(host) {
        Some((ips, at)) if now.saturating_duration_since(*at) < KNOWN_FOR => {
            let fitting = ips.iter().find(|ip| ip.is_ipv4() == is_v4).copied();
            fitting.map(|ip| Some(SocketAddr::new(ip, port))).ok_or_else(|| {
                let family = if is_v4 { "IPv4" } else { "IPv6" };
                io::Error::new(ErrorKind::NotFound, format!("{host:?} has no {family} address"))
            })
        }
        _ => {
            *lookup = Some(Lookup::start(host, port, waker.clone()));
            Ok(None)
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Datagrams that wait to be sent.
const SEND_QUEUE: usize = 256;
/// Datagrams that may wait at the receiver before no more are read.
const RECEIVE_AHEAD: usize = 256;
/// Datagrams sent or received before the others get their turn.
const TURN: usize = 64;
/// Names remembered, and for how long.
const MAX_KNOWN: usize = 256;
const KNOWN_FOR: Duration = Duration::from_secs(60);
