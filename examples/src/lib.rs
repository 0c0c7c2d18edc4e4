//! Kamaelia's programs, ported: one program a file in `src/bin`.
