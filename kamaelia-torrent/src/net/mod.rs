//! Sockets and HTTP workers.
