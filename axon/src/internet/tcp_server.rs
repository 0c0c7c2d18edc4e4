//! A listening socket as a component (Kamaelia: `Kamaelia/Internet/TCPServer.py`).

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Socket;
use super::adapter::{AdapterOptions, AdapterPorts, ConnectedSocketAdapter};
use super::messages::{ConnectionNotice, SelectorRequest};
use super::options::{ListenOn, SocketOptions};
use super::park::park;
use super::selector::{Selector, SelectorServices};
use crate::component::{Component, Cx, Instance, Microprocess, Service};
use crate::id::ProcessId;
use crate::ipc::Ipc;

crate::ports! {
    /// Boxes of a [`TcpServer`].
    pub struct TcpServerPorts {
        in  { /// From the adapters.
              _feedback_from_csa as "_feedbackFromCSA": ConnectionNotice,
              /// From the selector: a connection waits.
              new_connection as "newconnection": Socket,
              /// `serverShutdown` ends it.
              control: Ipc }
        out { /// Connections that were made and have ended.
              protocol_handler_signal as "protocolHandlerSignal": ConnectionNotice,
              /// The address that it listens on, once.
              listening: SocketAddr,
              /// What went wrong if it cannot listen.
              signal: Ipc,
              /// To the selector.
              _selector_signal as "_selectorSignal": SelectorRequest,
              /// To the selector: its end.
              _selector_shutdown_signal as "_selectorShutdownSignal": Ipc }
    }
}

/// Accepts connections and makes a [`ConnectedSocketAdapter`] for each.
///
/// What is done with them is the business of whoever listens to `protocolHandlerSignal`:
/// [`ServerCore`](crate::chassis::ServerCore) gives each a protocol component, [`SingleServer`](super::SingleServer)
/// its own boxes.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `control` | [`Ipc`] | `serverShutdown` (or any `shutdownMicroprocess`) ends it |
/// | `newconnection` | [`Socket`] | from the selector |
/// | `protocolHandlerSignal` | [`ConnectionNotice`] | `New` for an adapter that is to be linked and activated; `PeerFinished`; `Shutdown` |
/// | `listening` | [`SocketAddr`] | the address, once: with port 0 this is how the real port is known |
/// | `signal` | [`Ipc`] | if it cannot listen: an `errorInformation`, then a `shutdownMicroprocess` |
///
/// # How it works
/// It listens from its construction on, so [`TcpServer::local_addr`] tells the port before it runs. It accepts what
/// waits, up to 64 connections a turn, and asks the selector when there is no more. Adapters are its children until
/// they end.
///
/// If the system has no descriptors or memory for another connection, it tries again when one of its own has ended,
/// and every 100 ms; the connections wait in the system's queue meanwhile, and nobody spins. A connection that was
/// reset while it waited is passed over.
///
/// # Shutdown
/// On `serverShutdown` it closes its socket and asks the selector to end when nobody uses it any more. Its connections
/// go on; their owner ends them.
///
/// # Errors
/// A port in use, an address that is not ours: told on `signal`, see above; it ends then, in order.
pub struct TcpServer {
    listener: io::Result<Socket>,
    options: AdapterOptions,
}

impl TcpServer {
    /// Listens on a port (of all IPv4 interfaces), an address, or with a socket that listens already. Port 0 takes
    /// any free one.
    pub fn new(on: impl Into<ListenOn>) -> Self {
        Self::with_options(on, &SocketOptions::default())
    }

    /// Listens, with settings of the socket.
    pub fn with_options(on: impl Into<ListenOn>, options: &SocketOptions) -> Self {
        let adapter = AdapterOptions { answer_after_end: true, ..AdapterOptions::default() };
        Self { listener: on.into().listen(options), options: adapter }
    }

    /// Sets the limits and times of its connections.
    #[must_use]
    pub fn adapter_options(mut self, options: AdapterOptions) -> Self {
        self.options = options;
        self
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// That of listening, which it will tell on `signal` as well.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.listener {
            Ok(listener) => listener.local_addr(),
            Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
        }
    }
}

impl Component for TcpServer {
    type Ports = TcpServerPorts;

    async fn main(self, cx: Cx<TcpServerPorts>) {
        let listener = match self.listener {
            Ok(listener) => listener,
            Err(e) => {
                log::error!("{}: {e}", cx.name());
                // An instance with the error, not the bare type (D-30).
                let _ = cx.signal.send_wait(Ipc::error_information(cx.id(), e.to_string())).await;
                let _ = cx.signal.send_wait(Ipc::shutdown_microprocess()).await;
                return;
            }
        };
        let services = Selector::services(&cx);
        let links = cx
            .link(&cx._selector_signal, &services.notify)
            .and_then(|_| cx.link(&cx._selector_shutdown_signal, &services.shutdown));
        if links.is_err() {
            return cx.end_with(links.map(drop));
        }
        if let Ok(addr) = listener.local_addr() {
            let _ = cx.listening.send(addr);
        }
        let target = cx.service("newconnection");
        let adapters = HashMap::new();
        let mut server = Server {
            cx,
            listener,
            selector: services,
            options: self.options,
            target,
            adapters,
            ready: true,
            watched: false,
            retry: None,
        };
        server.serve().await;
    }
}

struct Server {
    cx: Cx<TcpServerPorts>,
    listener: Socket,
    selector: SelectorServices,
    options: AdapterOptions,
    target: Service,
    adapters: HashMap<ProcessId, Instance<AdapterPorts>>,
    /// As far as is known a connection waits.
    ready: bool,
    /// The selector was asked.
    watched: bool,
    /// When to try again after there were no descriptors left.
    retry: Option<Instant>,
}

impl Server {
    async fn serve(&mut self) {
        loop {
            while self.cx.new_connection.try_recv().is_some() {
                (self.ready, self.watched) = (true, false);
            }
            while let Some(notice) = self.cx._feedback_from_csa.try_recv() {
                self.heard(notice).await;
            }
            if self.retry.is_some_and(|at| self.cx.core().now() >= at) {
                self.retry = None;
            }
            let more = self.ready && self.retry.is_none() && self.accept().await;
            while let Some(message) = self.cx.control.try_recv() {
                if message.is_shutdown_microprocess() {
                    return;
                }
            }
            if more {
                self.cx.yield_now().await;
                continue;
            }
            if !self.ready && !self.watched {
                self.watched = true;
                let (target, socket) = (self.target.clone(), self.listener.clone());
                let request = SelectorRequest::NewReader { caller: self.cx.id(), target, socket };
                if let Err(e) = self.cx._selector_signal.send(request) {
                    log::error!("the selector was not reached: {e}");
                }
            }
            park(&self.cx, self.retry).await;
        }
    }

    async fn heard(&mut self, notice: ConnectionNotice) {
        if let ConnectionNotice::Shutdown { adapter, .. } = &notice {
            let Some(ended) = self.adapters.remove(&adapter.id()) else { return };
            self.cx.remove_child(&ended);
            self.retry = None; // a descriptor is free
        }
        let _ = self.cx.protocol_handler_signal.send_wait(notice).await;
    }

    /// Accepts what waits; true if there may be more.
    async fn accept(&mut self) -> bool {
        for _ in 0..TURN {
            match self.listener.accept() {
                Ok((socket, _)) => self.connected(socket).await,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.ready = false;
                    return false;
                }
                Err(e) if is_of_one_connection(&e) => {}
                Err(e) => {
                    log::warn!("{}: cannot accept a connection now: {e}", self.cx.name());
                    self.retry = Some(self.cx.core().now() + RETRY);
                    return false;
                }
            }
        }
        true
    }

    async fn connected(&mut self, socket: Socket) {
        // Messages are put together already, so waiting for more would only delay them.
        let _ = socket.set_nodelay(true);
        let adapter = ConnectedSocketAdapter::new(socket.clone(), self.selector.clone())
            .options(self.options.clone())
            .create();
        if let Err(e) = self.cx.link(&adapter.creator_feedback, &self.cx._feedback_from_csa) {
            return log::error!("a connection was dropped: {e}");
        }
        self.cx.add_child(&adapter);
        let caller = self.cx.id();
        let notice = ConnectionNotice::New { caller, adapter: adapter.reference(), socket };
        self.adapters.insert(adapter.id(), adapter);
        let _ = self.cx.protocol_handler_signal.send_wait(notice).await;
    }
}

/// The original's `stop`.
impl Drop for Server {
    fn drop(&mut self) {
        self.listener.close();
        let _ = self.cx._selector_shutdown_signal.send(Ipc::Shutdown);
    }
}

/// Errors of the connection that would have been accepted; the next one may be fine.
fn is_of_one_connection(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}

/// Connections accepted before the others get their turn.
const TURN: usize = 64;
/// Between attempts when the system has nothing left for another connection.
const RETRY: Duration = Duration::from_millis(100);
