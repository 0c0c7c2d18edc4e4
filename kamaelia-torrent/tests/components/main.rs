//! The torrent components, with the real engine on loopback and with a stand-in client.

mod support;

mod life_cycle;
mod real;
mod trace_t19;
