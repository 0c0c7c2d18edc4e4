//! Sockets as handles that travel in messages.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Interest, Token};

use super::poller::Shared;

/// A non-blocking socket, or another source of events.
///
/// A clone is the same socket: cheap, and free to travel in messages, as the original's socket objects do. The socket
/// is closed by [`Socket::close`], or when the last handle is dropped. Either takes it out of the [`Selector`], which
/// keeps no socket open.
///
/// [`Selector`]: super::Selector
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {
    io: Mutex<Io>,
}

/// The lock is held for the length of one call and, since components of one scheduler share its thread, found free.
struct Io {
    source: Option<Kind>,
    registration: Option<Registration>,
}

enum Kind {
    Stream(TcpStream),
    Listener(TcpListener),
    Udp(UdpSocket),
    Other(Box<dyn Source + Send>),
}

struct Registration {
    selector: Arc<Shared>,
    token: Token,
}

/// A handle that does not keep the socket open.
pub(crate) struct WeakSocket(std::sync::Weak<Inner>);

impl WeakSocket {
    pub(crate) fn upgrade(&self) -> Option<Socket> {
        self.0.upgrade().map(Socket)
    }
}

impl Socket {
    fn new(kind: Kind) -> Self {
        Self(Arc::new(Inner { io: Mutex::new(Io { source: Some(kind), registration: None }) }))
    }

    /// Wraps anything that mio can wait for: the ends of a pipe, say. It can be watched, and closed; reading and
    /// writing is the owner's business.
    pub fn from_source(source: impl Source + Send + 'static) -> Self {
        Self::new(Kind::Other(Box::new(source)))
    }

    fn lock(&self) -> MutexGuard<'_, Io> {
        self.0.io.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_stream<R>(&self, work: impl FnOnce(&mut &TcpStream) -> io::Result<R>) -> io::Result<R> {
        match &self.lock().source {
            Some(Kind::Stream(s)) => work(&mut &*s),
            other => Err(unfit(other.as_ref())),
        }
    }

    fn with_udp<R>(&self, work: impl FnOnce(&UdpSocket) -> io::Result<R>) -> io::Result<R> {
        match &self.lock().source {
            Some(Kind::Udp(s)) => work(s),
            other => Err(unfit(other.as_ref())),
        }
    }

    /// Reads what has come, without waiting; 0 bytes are the end of what the peer sends.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has come; `NotConnected` once it is closed; otherwise the system's.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.with_stream(|s| s.read(buffer))
    }

    /// Writes as much as fits, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if nothing fits; `NotConnected` once it is closed; otherwise the system's.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.with_stream(|s| s.write(bytes))
    }

    /// Writes as much as fits of several buffers, without waiting.
    ///
    /// # Errors
    /// As [`Socket::write`].
    pub fn write_vectored(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.with_stream(|s| s.write_vectored(bytes))
    }

    /// Accepts a connection that waits, without waiting for one.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; otherwise the system's.
    pub fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        match &self.lock().source {
            Some(Kind::Listener(l)) => l.accept().map(|(stream, from)| (stream.into(), from)),
            other => Err(unfit(other.as_ref())),
        }
    }

    /// Sends a datagram, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room for it; otherwise the system's.
    pub fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.with_udp(|s| s.send_to(data, to))
    }

    /// Receives a datagram, without waiting; what does not fit into the buffer is lost.
    ///
    /// # Errors
    /// `WouldBlock` if none has come; otherwise the system's.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.with_udp(|s| s.recv_from(buffer))
    }

    /// Ends one or both directions of a connection; the socket stays open.
    ///
    /// # Errors
    /// The system's, for one that is not connected.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.with_stream(|s| s.shutdown(how))
    }

    /// Closes it now, whoever else has a handle. A second call does nothing.
    pub fn close(&self) {
        let mut io = self.lock();
        io.leave_selector();
        drop(io.source.take());
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.lock().source.is_none()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// `NotConnected` once it is closed; otherwise the system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.lock().source {
            Some(Kind::Stream(s)) => s.local_addr(),
            Some(Kind::Listener(s)) => s.local_addr(),
            Some(Kind::Udp(s)) => s.local_addr(),
            other => Err(unfit(other.as_ref())),
        }
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// `NotConnected` if there is none, or once it is closed; otherwise the system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with_stream(|s| s.peer_addr())
    }

    /// Takes the error that waits on it.
    ///
    /// # Errors
    /// The system's, if the question itself failed.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.lock().source {
            Some(Kind::Stream(s)) => s.take_error(),
            Some(Kind::Listener(s)) => s.take_error(),
            Some(Kind::Udp(s)) => s.take_error(),
            _ => Ok(None),
        }
    }

    /// Sends small writes at once, or lets the system gather them (Nagle's algorithm).
    ///
    /// # Errors
    /// The system's.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.with_stream(|s| s.set_nodelay(on))
    }

    pub(crate) fn downgrade(&self) -> WeakSocket {
        WeakSocket(Arc::downgrade(&self.0))
    }

    /// Has `selector` report it under the token that it was given there before, or a new one. Asking again is what
    /// makes a one-shot watch of an edge-triggered report: the system looks at the socket anew, and reports what is
    /// there already.
    pub(crate) fn watch(
        &self,
        selector: &Arc<Shared>,
        interest: Interest,
        new_token: impl FnOnce() -> Token,
    ) -> io::Result<Token> {
        let mut io = self.lock();
        if io.registration.as_ref().is_some_and(|r| !Arc::ptr_eq(&r.selector, selector)) {
            io.leave_selector();
        }
        let Io { source, registration } = &mut *io;
        let Some(source) = source else { return Err(closed()) };
        if let Some(registration) = registration {
            selector.registry().reregister(source.source(), registration.token, interest)?;
            return Ok(registration.token);
        }
        let token = new_token();
        selector.registry().register(source.source(), token, interest)?;
        *registration = Some(Registration { selector: selector.clone(), token });
        Ok(token)
    }

    /// The token that it has with `selector`.
    pub(crate) fn token(&self, selector: &Arc<Shared>) -> Option<Token> {
        let io = self.lock();
        io.registration.as_ref().filter(|r| Arc::ptr_eq(&r.selector, selector)).map(|r| r.token)
    }

    /// Takes it out of its selector, which then knows nothing of it any more.
    pub(crate) fn unwatch(&self) {
        self.lock().leave_selector();
    }
}

impl Io {
    fn leave_selector(&mut self) {
        let Some(registration) = self.registration.take() else { return };
        if let Some(source) = &mut self.source {
            // It may be gone already, with the selector.
            let _ = registration.selector.registry().deregister(source.source());
        }
        registration.selector.forget(registration.token);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.io.get_mut().unwrap_or_else(PoisonError::into_inner).leave_selector();
    }
}

impl Kind {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Stream(s) => s,
            Self::Listener(s) => s,
            Self::Udp(s) => s,
            Self::Other(s) => &mut **s,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Stream(_) => "a connection",
            Self::Listener(_) => "a listening socket",
            Self::Udp(_) => "a datagram socket",
            Self::Other(_) => "a source of events",
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket is closed")
}

fn unfit(kind: Option<&Kind>) -> io::Error {
    match kind {
        None => closed(),
        Some(kind) => io::Error::new(io::ErrorKind::InvalidInput, format!("{} cannot do that", kind.name())),
    }
}

impl From<TcpStream> for Socket {
    fn from(s: TcpStream) -> Self {
        Self::new(Kind::Stream(s))
    }
}

impl From<TcpListener> for Socket {
    fn from(s: TcpListener) -> Self {
        Self::new(Kind::Listener(s))
    }
}

impl From<UdpSocket> for Socket {
    fn from(s: UdpSocket) -> Self {
        Self::new(Kind::Udp(s))
    }
}

/// Makes it non-blocking.
impl TryFrom<std::net::TcpStream> for Socket {
    type Error = io::Error;
    fn try_from(s: std::net::TcpStream) -> io::Result<Self> {
        s.set_nonblocking(true)?;
        Ok(TcpStream::from_std(s).into())
    }
}

/// Makes it non-blocking.
impl TryFrom<std::net::TcpListener> for Socket {
    type Error = io::Error;
    fn try_from(s: std::net::TcpListener) -> io::Result<Self> {
        s.set_nonblocking(true)?;
        Ok(TcpListener::from_std(s).into())
    }
}

/// Makes it non-blocking.
impl TryFrom<std::net::UdpSocket> for Socket {
    type Error = io::Error;
    fn try_from(s: std::net::UdpSocket) -> io::Result<Self> {
        s.set_nonblocking(true)?;
        Ok(UdpSocket::from_std(s).into())
    }
}

/// Identity.
impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Socket {}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.lock().source.as_ref().map_or("a closed socket", Kind::name);
        match self.local_addr() {
            Ok(addr) => write!(f, "<{name} at {addr}>"),
            Err(_) => write!(f, "<{name}>"),
        }
    }
}
