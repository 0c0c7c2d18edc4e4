//! The torrent components, with the real engine on loopback and with a stand-in client.

mod support;

mod client;
mod file_stream;
mod http;
mod life_cycle;
mod limits;
mod maker;
mod real;
mod restore;
mod service;
mod session;
#[path = "../support/slow.rs"]
mod slow;
mod trace_t19;
mod window;
