//! Axon's own tests under their old names (`Tests/Python/Axon/test_*.py`, `Tests/Python/Kamaelia/Chassis/test_*.py`).
//!
//! Not here, each for its reason:
//!
//! * `test_removeAll`, `test_listSubset`, `test_safeList_correct`, `test_safeList_empty`, `test_safeList_error`: these
//!   helpers are `Vec::retain`, `iter().all(…contains…)` and `IntoIterator`; what is not iterable does not compile.
//! * `test_production`, `test_axonRaise`, `test_logError`: there is no switch that hides errors. Errors are values, and
//!   what is raised for tolerance's sake there is an `OnFailure` policy here; ignored errors go to the `log` crate.
//! * `test_Finality`: it marks a way out of nested generators; here that is `?` or dropping the future.
//! * `test_AxonType`, `test_AxonObject`: they test Python 2's metaclass device `__super`. There is no inheritance.
//! * `test___str__` (the base class, which tests nothing by itself), `_test_Notes` (disabled and empty there).
//! * `adaptive`: `test_SmokeTest_Arguments`; `threaded_component`: `test_smoketest_args`, `test_smoketest_oneargs` in
//!   so far as positional arguments are ignored: constructors take what they declare, the compiler checks it. What is
//!   meant by the one argument, the queue length, is tested.
//! * `coordinating_assistant_tracker`: `test_SmokeTest_InvalidSingleParent`, a parent that is no tracker; and the `ipc`
//!   tests of a missing required field: neither compiles.
//! * `ipc`: `ipc_Test.test_SmokeTest`, the base type can be made: `Ipc` is an enum and has no base.
//! * `graphline`: `test_graphlineNoLinkagesArg` and the part of `test_smokeTest` that wants an error without a table of
//!   links: a `Graphline` without links is a graph like any other (D-20).
//! * `test_Next` and `test_overriddenMainWorksWithNext` in so far as they call `next()` on a process: only schedulers
//!   step processes (AX-MP-07 and 08).
#![allow(non_snake_case, missing_docs, unreachable_pub)]

mod adaptive;
mod carousel;
mod common;
mod component;
mod coordinating_assistant_tracker;
mod graphline;
mod id_gen;
mod ipc;
mod linkage;
mod message_delivery;
mod microprocess;
mod pipeline;
mod postoffice;
mod scheduler;
mod threaded_component;
mod util;
