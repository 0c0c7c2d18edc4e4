//! Servers with a protocol component for each connection (Kamaelia: `Kamaelia/Chassis/ConnectedServer.py`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use crate::adaptive::Added;
use crate::boxes::{Direction, Outbox};
use crate::component::{AnyInstance, Component, ComponentRef, Cx, Microprocess};
use crate::error::LinkError;
use crate::id::ProcessId;
use crate::internet::{
    AdapterOptions, ConnectionNotice, HowDied, ListenOn, Socket, SocketOptions, TcpServer, park,
};
use crate::ipc::Ipc;
use crate::message::Message;

crate::ports! {
    /// Boxes of [`ServerCore`], [`SimpleServer`] and [`FastRestartServer`].
    pub struct ServerPorts {
        in  { /// Unused; it is there so that a server can be a part of other chassis.
              inbox: Message,
              /// `shutdownMicroprocess` ends it.
              control: Ipc,
              /// From the TCP server: connections that were made and have ended.
              _socket_activity as "_socketactivity": ConnectionNotice }
        out { /// Unused.
              outbox: Message,
              /// What went wrong if it cannot listen.
              signal: Ipc,
              /// The address that it listens on, once.
              listening: SocketAddr,
              /// To the TCP server.
              _server_signal as "_serversignal": Ipc }
    }
}

/// The two ends of a connection, as a protocol is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The peer (`peer`, `peerport`); `0.0.0.0:0` if it has gone already.
    pub peer: SocketAddr,
    /// This end (`localip`, `localport`).
    pub local: SocketAddr,
}

type Factory = Box<dyn FnMut(&ConnectionInfo) -> AnyInstance>;
type MakeServer = Box<dyn FnOnce(ListenOn, &SocketOptions, AdapterOptions) -> AnyInstance>;

/// A server that makes a protocol component for each connection.
///
/// The protocol is a function that is told who has connected and returns a component. What the client sends arrives at
/// its `inbox`, what it sends from its `outbox` goes to the client; a `producerFinished` or `shutdownMicroprocess` from
/// its `signal` closes the connection. [`SimpleServer`] takes a function without arguments.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox`, `outbox` | [`Message`] | unused |
/// | `control` | [`Ipc`] | `shutdownMicroprocess` and `serverShutdown` end it |
/// | `signal` | [`Ipc`] | if it cannot listen: an `errorInformation`, then a `shutdownMicroprocess` |
/// | `listening` | [`SocketAddr`] | the address, once: with port 0 this is how the real port is known |
///
/// The protocol component needs `inbox` and `outbox` of bytes or [`Message`], `control` and `signal`. If it has an
/// outbox `serversignal` too, what it sends there goes to the server's `control`; an outbox `makessl` goes to the
/// adapter's inbox of that name, and an inbox `sslready` comes from there.
///
/// # Example
/// A server that greets by address, and a client:
/// ```
/// use axon::chassis::ServerCore;
/// use axon::internet::{SocketOptions, TcpClient};
/// use axon::prelude::*;
/// use axon::util::OneShot;
///
/// let listening = SocketOptions::new().listen("127.0.0.1:0".parse()?)?;
/// let port = listening.local_addr()?.port();
/// ServerCore::new(|c| OneShot::new(format!("you are {}\n", c.peer.ip()).into_bytes())).on(listening).activate();
///
/// ports! { struct EarPorts { in { inbox: Vec<u8>, control: Ipc } out { outbox: Message, signal: Ipc } } }
/// struct Ear;
/// impl Component for Ear {
///     type Ports = EarPorts;
///     async fn main(self, cx: Cx<EarPorts>) {
///         assert_eq!(cx.inbox.recv().await, b"you are 127.0.0.1\n");
///         cx.stop_scheduler();
///     }
/// }
/// Pipeline::new().then(TcpClient::new("127.0.0.1", port)).then(Ear).run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # How it works
/// In its first step it makes a [`TcpServer`]. For each connection it gets an adapter from there, makes the protocol
/// component, and links the two in both directions; it adds two outboxes of its own, to the `control` of each, adopts
/// both and activates them, the adapter first.
///
/// When the peer has finished, the protocol gets a `socketShutdown` on `control`. What it still sends goes to the peer,
/// who may have closed one direction only, until it says `producerFinished` or ends. When the connection has died in
/// another way it gets the `socketShutdown` then; either way one, with the reason as its remark. Then both components
/// are unlinked and forgotten.
///
/// A protocol component that ends has its connection closed, also if it said nothing on `signal` (the original lets such
/// a connection hang) or failed. If the scheduler goes on after failures, one that panics harms its own connection
/// only. One that cannot be linked is logged, and its connection closed.
///
/// # Shutdown
/// On `shutdownMicroprocess` or `serverShutdown` it sends, for every open connection, `socketShutdown` to the protocol
/// and `shutdownMicroprocess` to the adapter, then `serverShutdown` to the TCP server, and ends. The same happens when it
/// is stopped. It ignores `producerFinished`.
///
/// # Errors
/// As [`TcpServer`]; it ends when that does.
pub struct ServerCore(Settings);

/// A [`ServerCore`] whose protocol does not care who connects.
///
/// ```no_run
/// use axon::chassis::SimpleServer;
/// use axon::prelude::*;
/// use axon::util::PureTransformer;
///
/// // Sends everything back.
/// SimpleServer::new(|| PureTransformer::new(|bytes: Vec<u8>| Some(bytes))).on(1500).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
pub struct SimpleServer(Settings);

/// A [`ServerCore`] that takes its port again at once after a restart
/// ([`SocketOptions::reuse_address`]).
pub struct FastRestartServer(Settings);

struct Settings {
    protocol: Factory,
    on: ListenOn,
    options: SocketOptions,
    adapter: AdapterOptions,
    server: MakeServer,
    #[cfg(feature = "tls")]
    tls: Option<crate::internet::Tls>,
}

impl Settings {
    fn new(protocol: Factory) -> Self {
        Self {
            protocol,
            on: ListenOn::from(DEFAULT_PORT),
            options: SocketOptions::default(),
            adapter: AdapterOptions { answer_after_end: true, ..AdapterOptions::default() },
            server: Box::new(|on, options, adapter| {
                TcpServer::with_options(on, options).adapter_options(adapter).create().any()
            }),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl ServerCore {
    /// Makes a component of `protocol` for each connection; listens on port 1601 unless told otherwise.
    pub fn new<H: Into<AnyInstance>>(mut protocol: impl FnMut(&ConnectionInfo) -> H + 'static) -> Self {
        Self(Settings::new(Box::new(move |info| protocol(info).into())))
    }
}

impl SimpleServer {
    /// Makes a component of `protocol` for each connection; listens on port 1601 unless told otherwise.
    pub fn new<H: Into<AnyInstance>>(mut protocol: impl FnMut() -> H + 'static) -> Self {
        Self(Settings::new(Box::new(move |_| protocol().into())))
    }
}

impl FastRestartServer {
    /// Makes a component of `protocol` for each connection; listens on port 1601 unless told otherwise.
    pub fn new<H: Into<AnyInstance>>(mut protocol: impl FnMut(&ConnectionInfo) -> H + 'static) -> Self {
        let settings = Settings::new(Box::new(move |info| protocol(info).into()));
        Self(Settings { options: SocketOptions::new().reuse_address(), ..settings })
    }
}

macro_rules! server {
    ($name:ident) => {
        impl $name {
            /// Where to listen: a port (of all IPv4 interfaces), an address, or a socket that listens already, whose
            /// port is then known before the server runs.
            #[must_use]
            pub fn on(mut self, on: impl Into<ListenOn>) -> Self {
                self.0.on = on.into();
                self
            }

            /// Replaces the settings of the socket.
            #[must_use]
            pub fn socket_options(mut self, options: SocketOptions) -> Self {
                self.0.options = options;
                self
            }

            /// Replaces the limits and times of the connections. [`AdapterOptions::answer_after_end`] is what lets a
            /// protocol answer a peer that has finished.
            #[must_use]
            pub fn adapter_options(mut self, options: AdapterOptions) -> Self {
                self.0.adapter = options;
                self
            }

            /// Speaks TLS from the first byte on, with [`Tls::server`](crate::internet::Tls::server).
            #[cfg(feature = "tls")]
            #[must_use]
            pub fn tls(mut self, tls: crate::internet::Tls) -> Self {
                self.0.tls = Some(tls);
                self
            }

            /// Uses another component in place of [`TcpServer`] (the original's `TCPS`). It needs an outbox
            /// `protocolHandlerSignal` of [`ConnectionNotice`]s and an inbox `control`.
            #[must_use]
            pub fn server<S: Into<AnyInstance>>(
                mut self,
                make: impl FnOnce(ListenOn, &SocketOptions, AdapterOptions) -> S + 'static,
            ) -> Self {
                self.0.server = Box::new(move |on, options, adapter| make(on, options, adapter).into());
                self
            }
        }

        impl Component for $name {
            type Ports = ServerPorts;

            async fn main(self, cx: Cx<ServerPorts>) {
                run(self.0, cx).await;
            }
        }
    };
}

server!(ServerCore);
server!(SimpleServer);
server!(FastRestartServer);

async fn run(settings: Settings, cx: Cx<ServerPorts>) {
    let port = settings.on.port();
    let server = (settings.server)(settings.on, &settings.options, settings.adapter);
    if let Err(e) = join(&cx, &server) {
        return cx.end_with(Err::<(), _>(e));
    }
    cx.add_child(&server);
    cx.activate(&server);
    let mut serving = Serving {
        cx,
        port,
        #[cfg(feature = "tls")]
        tls: settings.tls,
        protocol: settings.protocol,
        connections: HashMap::new(),
        ended: Rc::default(),
    };
    serving.serve(&server).await;
}

fn join(cx: &Cx<ServerPorts>, server: &AnyInstance) -> Result<(), LinkError> {
    cx.link((server, "protocolHandlerSignal"), &cx._socket_activity)?;
    cx.link(&cx._server_signal, (server, "control"))?;
    // A server of another make need not have these.
    for (name, own) in [("listening", cx.listening.untyped()), ("signal", cx.signal.untyped())] {
        if server.outboxes().iter().any(|b| b == name) {
            cx.link_with((server, name), own, crate::LinkOptions::pass_out())?;
        }
    }
    Ok(())
}

struct Serving {
    cx: Cx<ServerPorts>,
    port: u16,
    #[cfg(feature = "tls")]
    tls: Option<crate::internet::Tls>,
    protocol: Factory,
    connections: HashMap<ProcessId, Connection>,
    /// Adapters whose protocol component has ended.
    ended: Rc<RefCell<Vec<ProcessId>>>,
}

struct Connection {
    adapter: AnyInstance,
    handler: AnyInstance,
    to_handler: Added<Outbox<Ipc>>,
    to_adapter: Added<Outbox<Ipc>>,
    /// The handler has had its `socketShutdown`.
    told: bool,
}

/// The original's `stop`: however it ends, every connection and the TCP server end with it.
impl Drop for Serving {
    fn drop(&mut self) {
        let open: Vec<_> = self.connections.keys().copied().collect();
        for id in open {
            self.closed(id, &HowDied::Stopped);
        }
        let _ = self.cx._server_signal.send(Ipc::ServerShutdown);
    }
}

impl Serving {
    async fn serve(&mut self, server: &AnyInstance) {
        loop {
            while let Some(notice) = self.cx._socket_activity.try_recv() {
                match notice {
                    ConnectionNotice::New { adapter, socket, .. } => self.connected(&adapter, &socket),
                    ConnectionNotice::PeerFinished { adapter } => {
                        if let Some(connection) = self.connections.get_mut(&adapter.id()) {
                            connection.tell_handler(&HowDied::ClosedByPeer, self.cx.id());
                        }
                    }
                    ConnectionNotice::Shutdown { adapter, how_died } => self.closed(adapter.id(), &how_died),
                }
            }
            for id in self.ended.take() {
                if let Some(connection) = self.connections.get(&id) {
                    // What it sent before is flushed first.
                    let _ = connection.to_adapter.send(Ipc::producer_finished_by(self.cx.id()));
                }
            }
            while let Some(message) = self.cx.control.try_recv() {
                if message.is_shutdown_microprocess() {
                    return;
                }
            }
            if server.is_stopped() {
                return;
            }
            park(&self.cx, None).await;
        }
    }

    fn connected(&mut self, adapter: &ComponentRef, socket: &Socket) {
        let Some(adapter) = adapter.resolve() else { return };
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let local =
            socket.local_addr().unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port));
        let info = ConnectionInfo { peer: socket.peer_addr().unwrap_or(unknown), local };
        let handler = (self.protocol)(&info);
        let cx = &self.cx;
        let connection = Connection {
            to_handler: cx.add_outbox("protocolHandlerShutdownSignal"),
            to_adapter: cx.add_outbox("connectedSocketShutdownSignal"),
            adapter,
            handler,
            told: false,
        };
        if let Err(e) = connection.join(cx) {
            log::error!("{}: a connection from {} was closed: {e}", cx.name(), info.peer);
            socket.close();
            connection.forget(cx);
            return;
        }
        // Before it runs: a byte that it read in the clear would be missing from the handshake.
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls
            && let Ok(makessl) = crate::boxes::Mailbox::<Message>::of(&connection.adapter, "makessl")
        {
            let _ = makessl.deliver(Message::new(tls.clone()));
        }
        let (id, ended) = (connection.adapter.id(), self.ended.clone());
        connection.handler.on_stop(move || ended.borrow_mut().push(id));
        for part in [&connection.adapter, &connection.handler] {
            cx.add_child(part);
        }
        for part in [&connection.adapter, &connection.handler] {
            cx.activate(part);
        }
        self.connections.insert(id, connection);
    }

    /// `handleClosedCSA`.
    fn closed(&mut self, adapter: ProcessId, how_died: &HowDied) {
        let Some(mut connection) = self.connections.remove(&adapter) else { return };
        connection.tell_handler(how_died, self.cx.id());
        let _ = connection.to_adapter.send(Ipc::shutdown_microprocess());
        connection.forget(&self.cx);
    }
}

impl Connection {
    fn join(&self, cx: &Cx<ServerPorts>) -> Result<(), LinkError> {
        let (adapter, handler) = (&self.adapter, &self.handler);
        cx.link((adapter, "outbox"), (handler, "inbox"))?;
        cx.link((handler, "outbox"), (adapter, "inbox"))?;
        cx.link(&*self.to_handler, (handler, "control"))?;
        cx.link(&*self.to_adapter, (adapter, "control"))?;
        cx.link((handler, "signal"), (adapter, "control"))?;
        if handler.slot(Direction::Out, "serversignal").is_ok() {
            cx.link((handler, "serversignal"), (cx, "control"))?;
        }
        // A protocol that begins TLS after some words, as with STARTTLS, says so itself.
        if handler.slot(Direction::Out, "makessl").is_ok() {
            cx.link((handler, "makessl"), (adapter, "makessl"))?;
        }
        if handler.slot(Direction::In, "sslready").is_ok() {
            cx.link((adapter, "sslready"), (handler, "sslready"))?;
        }
        Ok(())
    }

    fn tell_handler(&mut self, how_died: &HowDied, server: ProcessId) {
        if !std::mem::replace(&mut self.told, true) {
            let _ = self.to_handler.send(how_died.socket_shutdown(server));
        }
    }

    fn forget(self, cx: &Cx<ServerPorts>) {
        cx.remove_child(&self.adapter);
        cx.remove_child(&self.handler);
        for own in [&self.to_handler, &self.to_adapter] {
            let _ = cx.delete_outbox(own.name());
        }
    }
}

/// The original's.
const DEFAULT_PORT: u16 = 1601;
