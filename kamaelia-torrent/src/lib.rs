//! BitTorrent as Kamaelia components: a native engine that any number of patrons share.
//!
//! * [`proto`] is the protocol without input or output: bytes and time in, bytes and events out.
//! * [`disk`] reads, writes and hashes on worker threads.
//! * [`net`] holds the sockets and the HTTP workers.
//! * [`engine`] is the event loop that joins the three.
#![forbid(unsafe_code)]

pub mod check;
pub mod components;
pub mod disk;
pub mod engine;
pub mod make;
pub mod net;
pub mod proto;
pub mod torrent_file;
