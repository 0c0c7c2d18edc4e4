//! Sockets with the options that BitTorrent wants: listening ones, and dialled ones that are not connected yet.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Binds a listening socket. An unspecified IPv6 address takes IPv4 connections too where the system can.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart does not fail because of connections of the run before. Not on Windows, where the option
    // would let two programs listen on one port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // Systems that cannot are left with IPv6 alone.
        let _ = socket.set_only_v6(false);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Starts to connect, from the address `from` if one is given. The outcome shows when the socket becomes writable.
pub(crate) fn dial(addr: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(from) = from {
        if from.is_ipv4() != addr.is_ipv4() {
            return Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "other address family than the bound one",
            ));
        }
        socket.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
    }
    match socket.connect(&addr.into()) {
        Ok(()) => {}
        Err(e) if is_in_progress(&e) => {}
        Err(e) => return Err(e),
    }
    prepare(TcpStream::from_std(socket.into()))
}

/// Sets the options of a connection.
pub(crate) fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    // Requests are small and must not wait for the answer to the one before.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// True for the errors that say that there are too many open files or no memory for sockets.
pub(crate) fn is_exhausted(e: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let of = |errno: Errno| e.raw_os_error() == Some(errno.raw_os_error());
        of(Errno::MFILE) || of(Errno::NFILE) || of(Errno::NOBUFS) || of(Errno::NOMEM)
    }
    #[cfg(not(unix))]
    {
        e.kind() == io::ErrorKind::OutOfMemory
    }
}

fn is_in_progress(e: &io::Error) -> bool {
    #[cfg(unix)]
    let in_progress = e.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    #[cfg(not(unix))]
    let in_progress = false;
    in_progress || e.kind() == io::ErrorKind::WouldBlock
}

/// Connections that may wait to be accepted. Of those beyond it each comes again after one second, then after two: with
/// 128, a crowd of 500 took three seconds to come in.
const BACKLOG: i32 = 1024;
