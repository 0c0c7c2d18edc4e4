//! Sockets and HTTP workers.

pub(crate) mod conn;
pub(crate) mod listen;
