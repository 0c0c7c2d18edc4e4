//! What Axon promises beyond the original's own tests: mended defects (`D-…`), waiting, threads, embedding, ends.
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../axon_parity/common.rs"]
mod common;

#[cfg(not(miri))] // the background's thread is for ever, which Miri takes for a leak
mod background;
mod boxes;
mod chassis;
mod convenience;
mod defects;
mod embedding;
mod errors;
#[cfg(not(miri))] // it isolates its programs from the file system
mod files;
mod foreign_futures;
mod graph_text;
mod handle;
#[cfg(feature = "futures")]
mod handle_async;
mod introspection;
mod misbehaviour;
mod nesting;
mod panics;
mod processes;
mod remote;
mod routing;
mod scale;
mod stm;
mod supervisor;
mod threads;
mod timers;
mod util;
mod watchdog;

/// A number of rounds, or far fewer where Miri runs them, which is a thousand times slower.
pub const fn rounds(n: usize) -> usize {
    if cfg!(miri) { n.div_ceil(200) } else { n }
}
