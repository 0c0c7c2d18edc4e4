//! The everyday components of `Kamaelia/Util` and `Kamaelia/File`, by the ids of their behaviours (`U-…`) and defects
//! (`D-…`).
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../axon_parity/common.rs"]
mod common;
#[macro_use]
mod probe;

mod file_control;
mod file_errors;
mod files;
mod marshalling;
#[cfg(target_os = "linux")]
mod process;
mod rate;
mod stages;
mod tests_and_clocks;
mod transformers;
