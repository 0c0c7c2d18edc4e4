//! Sockets and HTTP workers.

pub(crate) mod conn;
pub mod http;
pub(crate) mod listen;
