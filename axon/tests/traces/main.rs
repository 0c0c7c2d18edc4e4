//! Kamaelia's trace programs: what every process does in every pass, compared line by line with what the original
//! did. Where the port differs by intent, the test names the defect (`D-…`) that was mended.
#![allow(missing_docs, unreachable_pub)]

mod chassis;
mod components;
mod harness;
mod introspection;
mod linking;
mod order;
mod routing;
mod sleeping;
mod stopping;
mod threads;
