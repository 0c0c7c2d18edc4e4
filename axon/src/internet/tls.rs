//! TLS under a connection, by rustls.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

pub use rustls;

use super::Socket;
use crate::message::Message;

/// How TLS shall be spoken: a message for the inbox `makessl` of a [`TcpClient`](super::TcpClient) or a
/// [`ConnectedSocketAdapter`](super::ConnectedSocketAdapter). Any other message there means [`Tls::client`].
///
/// Messages that wait in the connection's inbox when it hears of the wish, and later ones, are sent when TLS is spoken,
/// which `sslready` tells: nothing leaves in the clear by accident. A server that has just said that TLS may begin wants
/// [`after_queued`](Tls::after_queued).
///
/// If TLS cannot be agreed upon the connection is closed, and how it died says why. A peer that ends a connection
/// without saying so in TLS has it end as failed, for somebody else may have cut it off.
///
/// ```no_run
/// use axon::internet::{TcpClient, Tls};
/// use axon::prelude::*;
///
/// let client = TcpClient::new("example.org", 443).create();
/// client.makessl.deliver(Message::new(Tls::client()))?;
/// client.inbox.deliver(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n".to_vec())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    side: Side,
    server_name: Option<String>,
    after_queued: bool,
}

#[derive(Clone)]
enum Side {
    Client(Option<Arc<ClientConfig>>),
    Server(Arc<ServerConfig>),
}

impl Tls {
    /// The client's side, trusting the certificate authorities that Mozilla trusts.
    pub fn client() -> Self {
        Self { side: Side::Client(None), server_name: None, after_queued: false }
    }

    /// The client's side, with settings of rustls: which certificates to trust, one's own, and so on.
    pub fn client_with(config: Arc<ClientConfig>) -> Self {
        Self { side: Side::Client(Some(config)), server_name: None, after_queued: false }
    }

    /// The server's side.
    pub fn server(config: Arc<ServerConfig>) -> Self {
        Self { side: Side::Server(config), server_name: None, after_queued: false }
    }

    /// The name or address that the server has to prove; else it is the host that was connected to.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sends what waits in the inbox in the clear first: the last words before TLS. Send nothing more until `sslready`.
    #[must_use]
    pub fn after_queued(mut self) -> Self {
        self.after_queued = true;
        self
    }

    fn connect(self, host: Option<&str>) -> Result<Connection, String> {
        match self.side {
            Side::Server(config) => {
                Ok(ServerConnection::new(config).map_err(|e| format!("TLS: {e}"))?.into())
            }
            Side::Client(config) => {
                let name = self.server_name.or(host.map(Into::into)).ok_or("TLS: the server has no name")?;
                let name = name.trim_start_matches('[').trim_end_matches(']').to_string();
                let known = ServerName::try_from(name.clone())
                    .map_err(|_| format!("TLS: {name:?} is not a name that a server can have"))?;
                let config = match config {
                    Some(config) => config,
                    None => default_config()?,
                };
                Ok(ClientConnection::new(config, known).map_err(|e| format!("TLS: {e}"))?.into())
            }
        }
    }
}

fn default_config() -> Result<Arc<ClientConfig>, String> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS: {e}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// TLS at work.
pub(super) struct TlsLayer {
    connection: Connection,
    after_queued: bool,
    announced: bool,
    close_sent: bool,
}

impl TlsLayer {
    /// Begins; the error is a text for people.
    pub(super) fn start(message: Message, host: Option<&str>) -> Result<Self, String> {
        let tls = message.downcast::<Tls>().unwrap_or_else(|_| Tls::client());
        let after_queued = tls.after_queued;
        Ok(Self { connection: tls.connect(host)?, after_queued, announced: false, close_sent: false })
    }

    /// Whether what waits is to go out in the clear.
    pub(super) fn is_after_queued(&self) -> bool {
        self.after_queued
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// True once, when the handshake is over.
    pub(super) fn is_ready_now(&mut self) -> bool {
        !self.connection.is_handshaking() && !std::mem::replace(&mut self.announced, true)
    }

    pub(super) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Takes bytes to encrypt; 0 if enough wait to be sent.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.writer().write(bytes)
    }

    /// Sends what is encrypted.
    pub(super) fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut Bare(socket))?;
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&mut self) {
        if !std::mem::replace(&mut self.close_sent, true) {
            self.connection.send_close_notify();
        }
    }

    /// Reads what has come and was decrypted; 0 bytes are the end that the peer has told.
    pub(super) fn read(&mut self, socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    let text = "TLS: the peer closed without a word";
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
                }
                done => return done,
            }
            self.connection.read_tls(&mut Bare(socket))?;
            if let Err(e) = self.connection.process_new_packets() {
                let _ = self.flush(socket); // the alert that tells the peer why
                return Err(io::Error::new(ErrorKind::InvalidData, format!("TLS: {e}")));
            }
            if self.connection.is_handshaking() && self.connection.wants_write() {
                return Err(ErrorKind::Interrupted.into()); // it is our turn to speak
            }
        }
    }
}

/// A socket for rustls to read and write.
struct Bare<'a>(&'a Socket);

impl Read for Bare<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Bare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
