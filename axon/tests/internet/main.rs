//! Sockets as components, on loopback and with ports that the system chooses.
//!
//! The other end is the standard library's blocking sockets, in threads, so that not both ends share one mistake.
#![cfg(feature = "internet")]
#![allow(missing_docs, unreachable_pub)]

mod client;
mod common;
mod hostile;
mod scale;
mod selector;
mod server;
mod single_server;
mod tcp_server;
#[cfg(feature = "tls")]
mod tls;
mod udp;
