//! What Axon promises beyond the original's own tests: mended defects (`D-…`), waiting, threads, embedding, ends.
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../axon_parity/common.rs"]
mod common;

mod chassis;
mod defects;
mod embedding;
mod files;
mod foreign_futures;
mod introspection;
mod nesting;
mod panics;
mod routing;
mod scale;
mod threads;
mod timers;
mod util;
