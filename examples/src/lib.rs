//! Kamaelia's programs, ported: one program a file in `src/bin`.
#![forbid(unsafe_code)]

pub mod philosophers;
