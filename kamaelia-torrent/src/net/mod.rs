//! Sockets and HTTP workers.

pub mod http;
