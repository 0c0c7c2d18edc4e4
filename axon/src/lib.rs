//! Components that talk only through inboxes and outboxes: Kamaelia's Axon in Rust.
//!
//! A program is a graph of [`Component`]s. Each is a microprocess: an `async fn main` that one cooperative
//! [`Scheduler`] runs a step at a time, in an order that is the same every time. A component reads its inboxes, writes
//! its outboxes, and knows nothing of who is at the other end; linkages, made from outside, decide that.
//!
//! ```
//! use axon::prelude::*;
//! use axon::util::{ConsoleEchoer, DataSource, PureTransformer};
//!
//! Pipeline::new()
//!     .then(DataSource::new(["one\n", "two\n"]))
//!     .then(PureTransformer::new(|line: &'static str| Some(line.to_uppercase())))
//!     .then(ConsoleEchoer::new())
//!     .run()?;
//! # Ok::<(), axon::Error>(())
//! ```
//!
//! Identifiers such as `AX-SCHED-04` or `D-17` name behaviours and defects of the original; the book lists
//! the defects.
#![forbid(unsafe_code)]

mod adaptive;
pub mod background;
mod boxes;
pub mod chassis;
mod clock;
mod component;
pub mod debug;
mod error;
pub mod file;
pub mod handle;
pub mod id;
#[cfg(feature = "internet")]
pub mod internet;
pub mod introspect;
mod ipc;
mod linkage;
mod message;
mod microprocess;
mod ordered;
mod postoffice;
mod scheduler;
pub mod stm;
pub mod supervisor;
pub mod threaded;
pub mod tracker;
pub mod transit;
pub mod util;
mod wait;
pub mod watchdog;

pub use adaptive::{Added, Tracked};
#[doc(hidden)]
pub use boxes::Opener;
pub use boxes::{AnyInbox, AnyOutbox, Inbox, Outbox, PortInfo, PortSet, Recv, SendWait};
pub use clock::Clock;
pub use component::{
    AnyInstance, Component, ComponentRef, Cx, Instance, Local, Microprocess, Outcome, Pause, Ports, Service,
    Side, Stepwise, StepwiseComponent, YieldNow,
};
pub use error::{BoxError, Cause, Error, Failure, InterfaceError, LinkError, Result, SendError};
pub use id::ProcessId;
pub use ipc::{ErrorInformation, Ipc, Notify, Other, ProducerFinished, ShutdownMicroprocess};
pub use linkage::{Kind, LinkEnd, LinkOptions, LinkTo, Linkage, Untyped, link, link_with};
pub use message::Message;
pub use postoffice::Postoffice;
pub use scheduler::{
    OnFailure, RunFuture, Scheduler, SchedulerGone, SchedulerHandle, SchedulerOptions, Sleep,
};

/// What most programs need: `use axon::prelude::*`.
pub mod prelude {
    pub use crate::chassis::{Carousel, Graphline, Par, Pipeline, Seq};
    pub use crate::threaded::{ThreadCx, Threaded, ThreadedComponent, threaded};
    pub use crate::{
        AnyInstance, Component, Cx, Inbox, Instance, Ipc, Message, Microprocess, Outbox, Scheduler,
        SendError, ports,
    };
}
