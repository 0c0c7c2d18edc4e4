//! How sockets are made.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Protocol, Type};

use super::Socket;

/// Settings of a socket that is to be made (the original's `socketOptions`).
///
/// The default is the system's, as in the original, except for the number of connections that may wait: 4096 in place
/// of 5, for with more than that connecting at once the rest have to try again after a second.
///
/// ```
/// use axon::internet::SocketOptions;
/// let listening = SocketOptions::new().reuse_address().listen("127.0.0.1:0".parse()?)?;
/// assert_ne!(listening.local_addr()?.port(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    reuse_address: bool,
    only_v6: Option<bool>,
    backlog: i32,
    receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
    broadcast: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            reuse_address: false,
            only_v6: None,
            backlog: 4096,
            receive_buffer: None,
            send_buffer: None,
            broadcast: false,
        }
    }
}

impl SocketOptions {
    /// The default ones.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a server take its port again at once after a restart, though connections of the run before still linger
    /// (`SO_REUSEADDR`). Ignored on Windows, where it would let two programs listen on one port.
    #[must_use]
    pub fn reuse_address(mut self) -> Self {
        self.reuse_address = true;
        self
    }

    /// Whether an IPv6 socket refuses IPv4 peers; else the system decides.
    #[must_use]
    pub fn only_v6(mut self, on: bool) -> Self {
        self.only_v6 = Some(on);
        self
    }

    /// Connections that may wait to be accepted; the system may allow fewer.
    #[must_use]
    pub fn backlog(mut self, connections: i32) -> Self {
        self.backlog = connections;
        self
    }

    /// The system's buffer for what has come, in bytes; accepted connections inherit it.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// The system's buffer for what is to leave, in bytes; accepted connections inherit it.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// Allows datagrams to broadcast addresses.
    #[must_use]
    pub fn broadcast(mut self) -> Self {
        self.broadcast = true;
        self
    }

    fn bound(&self, addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        #[cfg(not(windows))]
        socket.set_reuse_address(self.reuse_address)?;
        if let (true, Some(only)) = (addr.is_ipv6(), self.only_v6) {
            socket.set_only_v6(only)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if self.broadcast {
            socket.set_broadcast(true)?;
        }
        socket.bind(&addr.into()).map_err(|e| explained(addr, &e))?;
        Ok(socket)
    }

    /// Makes a listening socket; port 0 takes any free one, which [`Socket::local_addr`] tells.
    ///
    /// # Errors
    /// The system's, with the address: a port in use, an address that is not ours.
    pub fn listen(&self, addr: SocketAddr) -> io::Result<Socket> {
        let socket = self.bound(addr, Type::STREAM, Protocol::TCP)?;
        socket.listen(self.backlog).map_err(|e| explained(addr, &e))?;
        Ok(TcpListener::from_std(socket.into()).into())
    }

    /// Makes a socket for datagrams; port 0 takes any free one.
    ///
    /// # Errors
    /// The system's, with the address.
    pub fn udp(&self, addr: SocketAddr) -> io::Result<Socket> {
        let socket = self.bound(addr, Type::DGRAM, Protocol::UDP)?;
        Ok(UdpSocket::from_std(socket.into()).into())
    }
}

fn explained(addr: SocketAddr, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("cannot listen on {addr}: {e}"))
}

/// Where a server listens: a port, an address, or a socket that listens already.
#[derive(Clone, PartialEq, Eq)]
pub struct ListenOn(Place);

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Addr(SocketAddr),
    Bound(Socket),
}

impl ListenOn {
    /// Makes the socket, unless it is there.
    ///
    /// # Errors
    /// As [`SocketOptions::listen`].
    pub fn listen(self, options: &SocketOptions) -> io::Result<Socket> {
        match self.0 {
            Place::Addr(addr) => options.listen(addr),
            Place::Bound(socket) => Ok(socket),
        }
    }
}

impl ListenOn {
    /// The port; 0 if it is not known yet.
    pub(crate) fn port(&self) -> u16 {
        match &self.0 {
            Place::Addr(addr) => addr.port(),
            Place::Bound(socket) => socket.local_addr().map_or(0, |a| a.port()),
        }
    }
}

impl fmt::Debug for ListenOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Addr(addr) => addr.fmt(f),
            Place::Bound(socket) => socket.fmt(f),
        }
    }
}

/// The port, on all IPv4 interfaces, as in the original; 0 takes any free one.
impl From<u16> for ListenOn {
    fn from(port: u16) -> Self {
        (Ipv4Addr::UNSPECIFIED, port).into()
    }
}

impl From<SocketAddr> for ListenOn {
    fn from(addr: SocketAddr) -> Self {
        Self(Place::Addr(addr))
    }
}

impl From<(IpAddr, u16)> for ListenOn {
    fn from(addr: (IpAddr, u16)) -> Self {
        SocketAddr::from(addr).into()
    }
}

impl From<(Ipv4Addr, u16)> for ListenOn {
    fn from(addr: (Ipv4Addr, u16)) -> Self {
        SocketAddr::from(addr).into()
    }
}

impl From<(Ipv6Addr, u16)> for ListenOn {
    fn from(addr: (Ipv6Addr, u16)) -> Self {
        SocketAddr::from(addr).into()
    }
}

/// A socket that listens already, whose port is known before the server runs.
impl From<Socket> for ListenOn {
    fn from(socket: Socket) -> Self {
        Self(Place::Bound(socket))
    }
}
