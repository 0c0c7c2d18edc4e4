//! Components whose body blocks, in a thread of its own (Kamaelia: `Axon/ThreadedComponent.py`).
//!
//! An ordinary microprocess, the *proxy*, stands in for the thread in the scheduler and moves messages across. Each
//! box has a bounded queue between the two.

mod bell;
mod bridge;
mod context;
mod lane;
mod proxy;
mod stepwise;

use std::any::type_name;
use std::marker::PhantomData;

use crate::component::{Component, Cx, Outcome, Ports, Side};
use crate::error::BoxError;

pub use self::bridge::{Bridge, Disconnected, ThreadInbox, ThreadOutbox};
pub use self::context::{SchedulerSide, ThreadCx};
pub use self::stepwise::ThreadedStepwise;

/// Messages that each box's queue holds unless another number is given.
pub const DEFAULT_QUEUE_LENGTHS: usize = 1000;

/// The thread's side of boxes: [`ThreadInbox`] and [`ThreadOutbox`].
pub struct OnThread;

impl Side for OnThread {
    type In<T: Send + 'static> = ThreadInbox<T>;
    type Out<T: Send + 'static> = ThreadOutbox<T>;
}

/// A component with a blocking body.
///
/// Wrap it in [`Threaded`] to use it as a [`Component`].
pub trait ThreadedComponent: Sized + Send + 'static {
    /// Its boxes.
    type Ports: Ports<OnThread: Send>;

    /// The body; it runs in a thread of its own, from the component's first step on. The thread does not keep the
    /// program alive.
    ///
    /// # Errors
    /// Whatever went wrong; the component has failed then (AX-THR-12).
    fn main(self, cx: ThreadCx<Self::Ports>) -> Result<(), BoxError>;

    /// The first part of its name; see [`Component::kind`].
    fn kind() -> &'static str {
        type_name::<Self>()
    }
}

/// Makes a [`Component`] of a [`ThreadedComponent`].
pub struct Threaded<C> {
    component: C,
    queue_lengths: usize,
}

impl<C: ThreadedComponent> Threaded<C> {
    /// With queues of [`DEFAULT_QUEUE_LENGTHS`] messages.
    pub fn new(component: C) -> Self {
        Self { component, queue_lengths: DEFAULT_QUEUE_LENGTHS }
    }

    /// With queues of another length, in messages (AX-THR-01).
    pub fn queue_lengths(mut self, messages: usize) -> Self {
        self.queue_lengths = messages;
        self
    }
}

impl<C: ThreadedComponent> Component for Threaded<C> {
    type Ports = C::Ports;

    fn kind() -> &'static str {
        C::kind()
    }

    async fn main(self, cx: Cx<C::Ports>) {
        let Self { component, queue_lengths } = self;
        proxy::run(&cx, queue_lengths, move |thread| component.main(thread)).await;
    }
}

impl<P: Ports<OnThread: Send>> Cx<P> {
    /// Runs a blocking body in a thread of its own, with this component's boxes, until it ends; meanwhile the
    /// component is the thread's proxy.
    ///
    /// If the body returns an error or panics, or the thread cannot be started, the component has failed (D-16).
    pub async fn on_thread<O: Outcome>(&self, body: impl FnOnce(ThreadCx<P>) -> O + Send + 'static) {
        proxy::run(self, DEFAULT_QUEUE_LENGTHS, body).await;
    }
}

/// A component made of a blocking closure.
///
/// ```
/// use axon::prelude::*;
/// ports! { pub struct OnePorts { in { inbox: u32 } out { outbox: u32 } } }
///
/// let doubler = threaded::<OnePorts, _, _>(|cx| {
///     while let Ok(n) = cx.inbox.recv() {
///         if n == 0 { return }
///         cx.outbox.send(2 * n).unwrap();
///     }
/// });
/// let doubler = doubler.create();
/// doubler.inbox.deliver(21).unwrap();
/// doubler.inbox.deliver(0).unwrap();
/// let scheduler = Scheduler::new();
/// scheduler.activate(&doubler);
/// scheduler.run().unwrap();
/// ```
pub fn threaded<P, F, O>(body: F) -> ThreadedFn<P, F>
where
    P: Ports<OnThread: Send>,
    F: FnOnce(ThreadCx<P>) -> O + Send + 'static,
    O: Outcome,
{
    ThreadedFn { body, queue_lengths: DEFAULT_QUEUE_LENGTHS, ports: PhantomData }
}

/// See [`threaded`].
pub struct ThreadedFn<P, F> {
    body: F,
    queue_lengths: usize,
    ports: PhantomData<fn(P)>,
}

impl<P, F> ThreadedFn<P, F> {
    /// With queues of another length, in messages.
    pub fn queue_lengths(mut self, messages: usize) -> Self {
        self.queue_lengths = messages;
        self
    }
}

impl<P, F, O> Component for ThreadedFn<P, F>
where
    P: Ports<OnThread: Send>,
    F: FnOnce(ThreadCx<P>) -> O + Send + 'static,
    O: Outcome,
{
    type Ports = P;

    fn kind() -> &'static str {
        "axon.threaded"
    }

    async fn main(self, cx: Cx<P>) {
        proxy::run(&cx, self.queue_lengths, self.body).await;
    }
}
