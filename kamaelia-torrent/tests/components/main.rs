//! The torrent components, with the real engine on loopback and with a stand-in client.

mod support;

mod client;
mod http;
mod life_cycle;
mod maker;
mod real;
mod restore;
mod service;
mod trace_t19;
mod window;
