//! Axon's own tests under their old names (`Tests/Python/Axon/test_*.py`, `Tests/Python/Kamaelia/Chassis/test_*.py`).
//!
//! Not here, because the compiler or the type system takes their place: messages without their required fields,
//! `test_util`, `test_AxonType`, `test_AxonObject`, a tracker's parent that is no tracker, and `next()` on a process
//! (only schedulers step processes here, AX-MP-07 and 08).
#![allow(non_snake_case, missing_docs, unreachable_pub)]

mod adaptive;
mod carousel;
mod common;
mod component;
mod coordinating_assistant_tracker;
mod graphline;
mod ipc;
mod linkage;
mod message_delivery;
mod microprocess;
mod pipeline;
mod postoffice;
mod scheduler;
mod threaded_component;
