//! Sockets as components (Kamaelia: `Kamaelia/Internet/`).
//!
//! A [`TcpClient`] or one of the servers of [`chassis`](crate::chassis) is all that most programs need: bytes that are
//! sent to its inbox go over the network, what comes from there leaves its outbox. Under them, a [`TcpServer`] accepts
//! connections, a [`ConnectedSocketAdapter`] works on each, and one [`Selector`] for all of them says when the system
//! is ready. Everything sleeps while nothing happens.
//!
//! This module is behind the feature `internet`, which is on by default; TLS is behind `tls`, which is not.

mod adapter;
mod messages;
mod options;
mod park;
mod poller;
mod resolve;
mod selector;
mod single_server;
mod socket;
mod tcp_client;
mod tcp_server;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod udp;

pub use self::adapter::{AdapterOptions, AdapterPorts, ConnectedSocketAdapter};
pub use self::messages::{ConnectionNotice, HowDied, SelectorRequest, ShutdownCsa};
pub use self::options::{ListenOn, SocketOptions};
pub(crate) use self::park::park;
pub use self::selector::{Selector, SelectorPorts, SelectorServices};
pub use self::single_server::{SingleServer, SingleServerPorts};
pub use self::socket::Socket;
pub use self::tcp_client::{TcpClient, TcpClientPorts};
pub use self::tcp_server::{TcpServer, TcpServerPorts};
#[cfg(feature = "tls")]
pub use self::tls::{Tls, rustls};
pub use self::udp::{
    Datagram, PostboxPeer, PostboxPeerPorts, SimplePeer, SimplePeerPorts, TargettedPeer, TargettedPeerPorts,
};
