//! A server for one client at a time (Kamaelia: `Kamaelia/Internet/SingleServer.py`).

use std::net::SocketAddr;

use super::adapter::AdapterOptions;
use super::messages::ConnectionNotice;
use super::options::{ListenOn, SocketOptions};
use super::park::park;
use super::tcp_server::{TcpServer, TcpServerPorts};
use crate::component::{AnyInstance, Component, ComponentRef, Cx, Instance, Microprocess};
use crate::ipc::Ipc;
use crate::linkage::Linkage;

crate::ports! {
    /// Boxes of a [`SingleServer`].
    pub struct SingleServerPorts {
        in  { /// What to send to the client.
              inbox: Vec<u8>,
              /// `shutdownMicroprocess` ends it.
              control: Ipc,
              /// From the server: connections that were made and have ended.
              _oob_info as "_oobinfo": ConnectionNotice }
        out { /// What the client sent.
              outbox: Vec<u8>,
              /// A `producerFinished` for each client that has gone.
              signal: Ipc,
              /// The address that it listens on, once.
              listening: SocketAddr,
              /// To the connection.
              _csa_signal as "_CSA_signal": Ipc,
              /// To the server.
              _server_signal as "_serversignal": Ipc }
    }
}

/// Serves the first client that connects; what it is sent goes there, what comes from there it sends on.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `Vec<u8>` | what to send; what arrives while there is no client waits for the next, up to [`AdapterOptions::send_queue`] messages |
/// | `control` | [`Ipc`] | `shutdownMicroprocess` ends it |
/// | `outbox` | `Vec<u8>` | what came, up to 32768 bytes a message |
/// | `signal` | [`Ipc`] | a `producerFinished` for each client that has gone; what went wrong if it cannot listen |
/// | `listening` | [`SocketAddr`] | the address, once |
///
/// # Example
/// ```
/// use axon::internet::{SingleServer, SocketOptions, TcpClient};
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, OneShot};
///
/// let listening = SocketOptions::new().listen("127.0.0.1:0".parse()?)?;
/// let port = listening.local_addr()?.port();
/// let server = SingleServer::new(listening).create();
/// let word = OneShot::new(b"hello\n".to_vec()).create();
/// axon::link(&word.outbox, &server.inbox)?;
/// word.activate();
/// server.activate();
///
/// ports! { struct EarPorts { in { inbox: Vec<u8>, control: Ipc } out { outbox: Message, signal: Ipc } } }
/// struct Ear;
/// impl Component for Ear {
///     type Ports = EarPorts;
///     async fn main(self, cx: Cx<EarPorts>) {
///         assert_eq!(cx.inbox.recv().await, b"hello\n");
///         cx.stop_scheduler();
///     }
/// }
/// Pipeline::new().then(TcpClient::new("127.0.0.1", port)).then(Ear).run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # How it works
/// The boxes are passed through to the client's connection while there is one. Further connections are accepted and
/// told at once that there is nothing for them, so they are closed. When the client has gone, the next one that
/// connects is taken.
///
/// # Shutdown
/// As the original it does not end by `producerFinished`. Unlike it, `shutdownMicroprocess` (and `serverShutdown`)
/// ends it: the connection and the listening socket are closed, the message is passed on.
///
/// # Errors
/// As [`TcpServer`].
pub struct SingleServer {
    server: TcpServer,
    send_queue: usize,
}

impl SingleServer {
    /// Listens on a port (of all IPv4 interfaces), an address, or with a socket that listens already.
    pub fn new(on: impl Into<ListenOn>) -> Self {
        Self::with_options(on, &SocketOptions::default())
    }

    /// Listens, with settings of the socket. With [`SocketOptions::reuse_address`] it is the original's
    /// `FastRestartSingleServer`.
    pub fn with_options(on: impl Into<ListenOn>, options: &SocketOptions) -> Self {
        let adapter = AdapterOptions::default();
        let send_queue = adapter.send_queue;
        // Nobody but the client's end closes a connection, so an answer cannot be waited for.
        Self { server: TcpServer::with_options(on, options).adapter_options(adapter), send_queue }
    }

    /// Sets the limits and times of the connection.
    #[must_use]
    pub fn adapter_options(mut self, options: AdapterOptions) -> Self {
        self.send_queue = options.send_queue;
        self.server = self.server.adapter_options(options);
        self
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// That of listening, which it will tell on `signal` as well.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.server.local_addr()
    }
}

impl Component for SingleServer {
    type Ports = SingleServerPorts;

    /// Bounds the inbox as that of the connection will be.
    fn create(self) -> Instance<SingleServerPorts> {
        let bound = self.send_queue.max(1);
        let instance = Instance::create(self);
        instance.inbox.set_bound(bound);
        instance
    }

    async fn main(self, cx: Cx<SingleServerPorts>) {
        let server = self.server.create();
        if let Err(e) = join(&cx, &server) {
            return cx.end_with(Err::<(), _>(e));
        }
        cx.add_child(&server);
        cx.activate(&server);
        let mut at_work = Serving { cx: cx.clone(), client: None };
        let last = at_work.serve(&server).await;
        drop(at_work);
        if let Some(message) = last {
            let _ = cx.signal.send_wait(message).await;
        }
    }
}

fn join(cx: &Cx<SingleServerPorts>, server: &Instance<TcpServerPorts>) -> Result<(), crate::LinkError> {
    cx.link(&server.protocol_handler_signal, &cx._oob_info)?;
    cx.link(&server.listening, &cx.listening)?;
    cx.link(&server.signal, &cx.signal)?;
    cx.link(&cx._server_signal, &server.control)?;
    Ok(())
}

struct Serving {
    cx: Cx<SingleServerPorts>,
    client: Option<Client>,
}

struct Client {
    adapter: ComponentRef,
    links: Vec<Linkage>,
}

/// The original's `stop`: the connection and the server end with it.
impl Drop for Serving {
    fn drop(&mut self) {
        if self.client.is_some() {
            let _ = self.cx._csa_signal.send(Ipc::shutdown_microprocess());
        }
        let _ = self.cx._server_signal.send(Ipc::ServerShutdown);
    }
}

impl Serving {
    async fn serve(&mut self, server: &Instance<TcpServerPorts>) -> Option<Ipc> {
        loop {
            while let Some(notice) = self.cx._oob_info.try_recv() {
                match notice {
                    ConnectionNotice::New { adapter, .. } => self.connected(&adapter),
                    ConnectionNotice::Shutdown { adapter, .. } => self.disconnected(&adapter).await,
                    ConnectionNotice::PeerFinished { .. } => {}
                }
            }
            while let Some(message) = self.cx.control.try_recv() {
                if message.is_shutdown_microprocess() {
                    return Some(message);
                }
            }
            if server.is_stopped() {
                return None; // it has said why
            }
            park(&self.cx, None).await;
        }
    }

    fn connected(&mut self, adapter: &ComponentRef) {
        let Some(instance) = adapter.resolve() else { return };
        let cx = &self.cx;
        if self.client.is_some() {
            // Told before it runs, so it closes without having read or sent anything.
            if let Ok(control) = crate::boxes::Mailbox::<Ipc>::of(&instance, "control") {
                let _ = control.deliver(Ipc::producer_finished_by(cx.id()));
            }
        } else {
            match pass_through(cx, &instance) {
                Ok(links) => self.client = Some(Client { adapter: adapter.clone(), links }),
                Err(e) => return log::error!("a connection was dropped: {e}"),
            }
        }
        cx.add_child(&instance);
        cx.activate(&instance);
    }

    async fn disconnected(&mut self, adapter: &ComponentRef) {
        if self.client.as_ref().is_some_and(|c| c.adapter == *adapter) {
            for link in self.client.take().into_iter().flat_map(|c| c.links) {
                self.cx.unlink(&link);
            }
            let _ = self.cx.signal.send_wait(Ipc::producer_finished_by(self.cx.id())).await;
        }
        for child in self.cx.children() {
            if child.id() == adapter.id() {
                self.cx.remove_child(&child);
            }
        }
    }
}

fn pass_through(cx: &Cx<SingleServerPorts>, adapter: &AnyInstance) -> Result<Vec<Linkage>, crate::LinkError> {
    use crate::linkage::LinkOptions;
    if let Some(bound) = cx.inbox.bound() {
        // What waits has to fit, whatever bound a link has given our own inbox.
        adapter.set_inbox_size("inbox", Some(bound))?;
    }
    Ok(vec![
        cx.link_with((adapter, "outbox"), (cx, "outbox"), LinkOptions::pass_out())?,
        cx.link(&cx._csa_signal, (adapter, "control"))?,
        cx.link_with((cx, "inbox"), (adapter, "inbox"), LinkOptions::pass_in())?,
    ])
}
