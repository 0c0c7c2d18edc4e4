//! A connection to a server (Kamaelia: `Kamaelia/Internet/TCPClient.py`).

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::Socket;
use super::adapter::{AdapterOptions, AdapterPorts, ConnectedSocketAdapter};
use super::messages::{ConnectionNotice, HowDied, SelectorRequest};
use super::park::{own_waker, park};
use super::resolve::Lookup;
use super::selector::Selector;
use crate::component::{Component, Cx, Instance, Microprocess};
use crate::ipc::Ipc;
use crate::message::Message;

crate::ports! {
    /// Boxes of a [`TcpClient`].
    pub struct TcpClientPorts {
        in  { /// What to send to the server.
              inbox: Vec<u8>,
              /// Shutdown requests.
              control: Ipc,
              /// Any message: speak TLS from here on.
              makessl: Message,
              /// From the adapter.
              _socket_feedback as "_socketFeedback": ConnectionNotice,
              /// From the selector: the attempt to connect has come to an end.
              _connected: Socket }
        out { /// What the server sent.
              outbox: Vec<u8>,
              /// `producerFinished` at the end, saying how the connection died.
              signal: Ipc,
              /// TLS is spoken now.
              sslready: (),
              /// To the selector.
              _selector_signal as "_selectorSignal": SelectorRequest }
    }
}

/// Connects to a server; what it is sent goes there, what comes from there it sends on.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `Vec<u8>` | what to send; it holds [`AdapterOptions::send_queue`] messages, also before the connection is made |
/// | `control` | [`Ipc`] | see Shutdown |
/// | `makessl` | [`Message`] | speak TLS from here on |
/// | `outbox` | `Vec<u8>` | what came, up to 32768 bytes a message |
/// | `signal` | [`Ipc`] | `producerFinished` with how the connection died |
/// | `sslready` | `()` | TLS is spoken now |
///
/// # Example
/// A server in a thread greets; the greeting is printed:
/// ```
/// use std::io::Write;
/// use axon::internet::TcpClient;
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, PureTransformer};
///
/// let server = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let port = server.local_addr()?.port();
/// std::thread::spawn(move || server.accept().unwrap().0.write_all(b"hello\n").unwrap());
///
/// Pipeline::new()
///     .then(TcpClient::new("127.0.0.1", port))
///     .then(PureTransformer::new(|bytes: Vec<u8>| String::from_utf8(bytes).ok()))
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # How it works
/// It looks the host up in a thread, so that nobody else waits; tries the addresses one after the other, each with its
/// share of the time that is left; then makes a [`ConnectedSocketAdapter`] and passes its boxes through to it. It sleeps
/// meanwhile, where the original tries again in every pass.
///
/// # Shutdown
/// While it connects, `producerFinished` and `shutdownMicroprocess` are passed on and end it; what is in its inbox is
/// lost. After that both go to the adapter: the first flushes and closes, the second closes at once.
///
/// With [`wait_for_serverclose`](TcpClient::wait_for_serverclose), only `shutdownMicroprocess` does that. A
/// `producerFinished` then says that there is nothing more to send: what is queued is sent, that direction is closed,
/// and what the server sends is received until it closes. (In the original this setting counts only while connecting;
/// here it lets a whole request be written and answered.)
///
/// At the end it sends `producerFinished(caller, how_died)`; the remark is the text of [`HowDied`].
///
/// # Errors
/// None: what goes wrong is the remark of the `producerFinished`: `timeout` if the connection was not made in time,
/// else the error with the host or address, as in `unknown host "nosuch": …` or `cannot connect to 127.0.0.1:9: …`.
pub struct TcpClient {
    host: String,
    port: u16,
    delay: Duration,
    connect_timeout: Duration,
    wait_for_serverclose: bool,
    options: AdapterOptions,
}

impl TcpClient {
    /// Connects to a host, by name or address, once it runs.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            delay: Duration::ZERO,
            connect_timeout: Duration::from_secs(60),
            wait_for_serverclose: false,
            options: AdapterOptions::default(),
        }
    }

    /// Waits before it connects.
    #[must_use]
    pub fn delay(mut self, time: Duration) -> Self {
        self.delay = time;
        self
    }

    /// Gives up after this time; 60 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// Stays until the server closes, whatever ends in front of it; see Shutdown.
    #[must_use]
    pub fn wait_for_serverclose(mut self, on: bool) -> Self {
        self.wait_for_serverclose = on;
        self
    }

    /// Sets the limits and times of the connection.
    #[must_use]
    pub fn options(mut self, options: AdapterOptions) -> Self {
        self.options = options;
        self
    }
}

/// Why there is no connection.
enum Unconnected {
    /// Told to stop by this message.
    Told(Ipc),
    Died(HowDied),
}

impl Component for TcpClient {
    type Ports = TcpClientPorts;

    /// Bounds the inbox as that of the connection will be.
    fn create(self) -> Instance<TcpClientPorts> {
        let bound = self.options.send_queue.max(1);
        let instance = Instance::create(self);
        instance.inbox.set_bound(bound);
        instance
    }

    async fn main(self, cx: Cx<TcpClientPorts>) {
        let mut end = End { cx: cx.clone(), message: None };
        let mut finished = None;
        let how_died = match self.connect(&cx, &mut finished).await {
            Ok(socket) => self.serve(&cx, socket, finished).await,
            Err(Unconnected::Told(message)) => {
                end.message = Some(message);
                return;
            }
            Err(Unconnected::Died(how_died)) => how_died,
        };
        end.message = Some(how_died.producer_finished(cx.id()));
    }
}

/// The original's `stop`: however it ends, the end is told.
struct End {
    cx: Cx<TcpClientPorts>,
    message: Option<Ipc>,
}

impl Drop for End {
    fn drop(&mut self) {
        let message = self.message.take().unwrap_or_else(|| HowDied::Stopped.producer_finished(self.cx.id()));
        if let Err(e) = self.cx.signal.send(message) {
            log::warn!("the end of a client was not told: {e}");
        }
    }
}

impl TcpClient {
    async fn connect(
        &self,
        cx: &Cx<TcpClientPorts>,
        finished: &mut Option<Ipc>,
    ) -> Result<Socket, Unconnected> {
        let begin = cx.core().now() + self.delay;
        while cx.core().now() < begin {
            self.read_control(cx, finished)?;
            park(cx, Some(begin)).await;
        }
        let deadline = cx.core().now() + self.connect_timeout;
        let addresses = self.look_up(cx, deadline, finished).await?;
        let link = cx.link(&cx._selector_signal, &Selector::services(cx).notify);
        link.map_err(|e| died(ErrorKind::NotFound, &e.to_string()))?;
        let mut last = died(ErrorKind::NotFound, &format!("{:?} has no address", self.host));
        for (tried, addr) in addresses.iter().enumerate() {
            // An address that does not answer must not use up the time of those after it.
            let left = deadline.saturating_duration_since(cx.core().now());
            let until = cx.core().now() + left / (addresses.len() - tried) as u32;
            last = match self.attempt(cx, *addr, until, finished).await {
                Err(e @ Unconnected::Died(_)) => e,
                done => return done,
            };
        }
        Err(last)
    }

    /// Looks at control while there is no connection that it could go to.
    fn read_control(&self, cx: &Cx<TcpClientPorts>, finished: &mut Option<Ipc>) -> Result<(), Unconnected> {
        while let Some(message) = cx.control.try_recv() {
            if message.is_shutdown_microprocess() {
                return Err(Unconnected::Told(message));
            }
            if message.is_producer_finished() {
                if !self.wait_for_serverclose {
                    return Err(Unconnected::Told(message));
                }
                *finished = Some(message);
            } else if !self.wait_for_serverclose {
                let _ = cx.signal.send(message); // passed on, as in the original
            }
        }
        Ok(())
    }

    async fn look_up(
        &self,
        cx: &Cx<TcpClientPorts>,
        deadline: Instant,
        finished: &mut Option<Ipc>,
    ) -> Result<Vec<SocketAddr>, Unconnected> {
        let lookup = Lookup::start(&self.host, self.port, own_waker().await);
        loop {
            self.read_control(cx, finished)?;
            match lookup.take() {
                Some(Ok(addresses)) => return Ok(addresses),
                Some(Err(e)) => return Err(Unconnected::Died(HowDied::failed(&e))),
                None if cx.core().now() >= deadline => return Err(Unconnected::Died(HowDied::Timeout)),
                None => park(cx, Some(deadline)).await,
            }
        }
    }

    async fn attempt(
        &self,
        cx: &Cx<TcpClientPorts>,
        addr: SocketAddr,
        until: Instant,
        finished: &mut Option<Ipc>,
    ) -> Result<Socket, Unconnected> {
        let failed = |e: &io::Error| died(e.kind(), &format!("cannot connect to {addr}: {e}"));
        let socket: Socket = TcpStream::connect(addr).map_err(|e| failed(&e))?.into();
        let target = cx.service("_connected");
        loop {
            let request = SelectorRequest::NewWriter {
                caller: cx.id(),
                target: target.clone(),
                socket: socket.clone(),
            };
            if let Err(e) = cx._selector_signal.send(request) {
                log::error!("the selector was not reached: {e}");
            }
            loop {
                self.read_control(cx, finished)?;
                // One of an attempt before may still be there.
                if cx._connected.drain().any(|s| s == socket) {
                    break;
                }
                if cx.core().now() >= until {
                    return Err(Unconnected::Died(HowDied::Timeout));
                }
                park(cx, Some(until)).await;
            }
            match is_connected(&socket) {
                Ok(true) => return Ok(socket),
                Ok(false) => {} // told for nothing
                Err(e) => return Err(failed(&e)),
            }
        }
    }

    /// Hands the socket to an adapter and waits for its end.
    async fn serve(self, cx: &Cx<TcpClientPorts>, socket: Socket, finished: Option<Ipc>) -> HowDied {
        // Messages are put together already, so waiting for more would only delay them.
        let _ = socket.set_nodelay(true);
        let mut options = self.options;
        options.receive_until_closed |= self.wait_for_serverclose;
        let adapter = ConnectedSocketAdapter::new(socket, Selector::services(cx))
            .options(options)
            .server_name(self.host)
            .create();
        // What waits has to fit, whatever bound a link has given our own inbox.
        adapter.inbox.set_bound(cx.inbox.bound());
        if let Err(e) = join(cx, &adapter) {
            return HowDied::Failed { kind: ErrorKind::Other, text: e.to_string().into() };
        }
        if let Some(finished) = finished {
            let _ = adapter.control.deliver(finished);
        }
        cx.add_child(&adapter);
        cx.activate(&adapter);
        loop {
            while let Some(notice) = cx._socket_feedback.try_recv() {
                if let ConnectionNotice::Shutdown { how_died, .. } = notice {
                    return how_died;
                }
            }
            if adapter.is_stopped() {
                return HowDied::Stopped;
            }
            park(cx, None).await;
        }
    }
}

fn join(cx: &Cx<TcpClientPorts>, adapter: &Instance<AdapterPorts>) -> Result<(), crate::LinkError> {
    cx.link(&adapter.creator_feedback, &cx._socket_feedback)?;
    cx.link(&adapter.outbox, &cx.outbox)?;
    cx.link(&adapter.sslready, &cx.sslready)?;
    // Control last: what waits in the inbox was sent before.
    cx.link(&cx.inbox, &adapter.inbox)?;
    cx.link(&cx.makessl, &adapter.makessl)?;
    cx.link(&cx.control, &adapter.control)?;
    Ok(())
}

fn died(kind: ErrorKind, text: &str) -> Unconnected {
    Unconnected::Died(HowDied::Failed { kind, text: text.into() })
}

/// Whether the attempt has succeeded; an error if it has failed.
fn is_connected(socket: &Socket) -> io::Result<bool> {
    if let Some(e) = socket.take_error()? {
        return Err(e);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotConnected => Ok(false),
        Err(e) => Err(e),
    }
}
