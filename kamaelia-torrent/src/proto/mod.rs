//! The protocol without input or output: bytes and `now` come in; bytes, events and the next deadline go out.
//!
//! Nothing below this module opens a socket or a file, reads a clock, starts a thread or draws unseeded random
//! numbers; `tests/sans_io.rs` searches the sources for them.
