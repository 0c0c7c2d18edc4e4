//! Connections from a chosen address, for which ureq has no setting.
//!
//! A user who binds the program to one address (a VPN's, say) does not want tracker requests to leave from another.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

/// Dials from this address.
#[derive(Debug)]
pub(super) struct FromAddress(pub(super) IpAddr);

/// A connection.
#[derive(Debug)]
pub(super) struct Dialled {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl<In: Transport> Connector<In> for FromAddress {
    type Out = Either<In, Dialled>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(there) = chained {
            return Ok(Some(Either::A(there)));
        }
        if details.needs_tls() && !cfg!(feature = "tls") {
            return Err(Error::TlsRequired);
        }
        let mut last = None;
        for addr in &details.addrs {
            match self.dial(*addr, limit(&details.timeout)) {
                Ok(stream) => {
                    let config = details.config;
                    let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
                    return Ok(Some(Either::B(Dialled { stream, buffers })));
                }
                Err(e) => last = Some(e),
            }
        }
        match last {
            Some(e) => Err(cause(e, &details.timeout)),
            None => Err(Error::ConnectionFailed),
        }
    }
}

impl FromAddress {
    fn dial(&self, to: SocketAddr, limit: Option<Duration>) -> io::Result<TcpStream> {
        if to.is_ipv4() != self.0.is_ipv4() {
            let text = format!("{} cannot be reached from {}", to.ip(), self.0);
            return Err(io::Error::new(ErrorKind::AddrNotAvailable, text));
        }
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(self.0, 0).into())?;
        match limit {
            Some(limit) => socket.connect_timeout(&to.into(), limit)?,
            None => socket.connect(&to.into())?,
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Transport for Dialled {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let sent = self
            .stream
            .set_write_timeout(limit(&timeout))
            .and_then(|()| self.stream.write_all(&self.buffers.output()[..amount]));
        sent.map_err(|e| cause(e, &timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let into = self.buffers.input_append_buf();
        let read = self.stream.set_read_timeout(limit(&timeout)).and_then(|()| {
            loop {
                match self.stream.read(into) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    other => break other,
                }
            }
        });
        let n = read.map_err(|e| cause(e, &timeout))?;
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    /// Connections are not kept.
    fn is_open(&mut self) -> bool {
        false
    }
}

/// What is left of the time; a time-out of zero would mean none.
fn limit(timeout: &NextTimeout) -> Option<Duration> {
    timeout.not_zero().map(|t| (*t).max(Duration::from_millis(1)))
}

fn cause(e: io::Error, timeout: &NextTimeout) -> Error {
    match e.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Timeout(timeout.reason),
        _ => Error::Io(e),
    }
}
