//! Threaded components in the old style, without a body of their own (AX-THR-13).

use std::any::type_name;

use super::{ThreadCx, ThreadedComponent};
use crate::component::{Ports, Stepwise};
use crate::error::BoxError;

/// A threaded component as three methods, called one after the other in its thread.
///
/// Wrap it in [`Stepwise`] to use it as a [`ThreadedComponent`]. Nothing is yielded between two calls: a method that has
/// nothing to do blocks, in [`ThreadCx::pause`] say.
///
/// ```
/// use axon::prelude::*;
/// use axon::threaded::ThreadedStepwise;
/// use axon::{BoxError, Stepwise};
/// ports! { pub struct SumPorts { in { inbox: u32 } out { outbox: u32 } } }
///
/// struct Sum(u32);
/// impl ThreadedStepwise for Sum {
///     type Ports = SumPorts;
///     fn main_body(&mut self, cx: &ThreadCx<SumPorts>) -> bool {
///         let n = cx.inbox.recv().unwrap_or(0);
///         self.0 += n;
///         n > 0
///     }
///     fn close_down(&mut self, cx: &ThreadCx<SumPorts>) -> Result<(), BoxError> {
///         Ok(cx.outbox.blocking_send(self.0)?)
///     }
/// }
///
/// let sum = Threaded::new(Stepwise(Sum(0))).create();
/// for n in [20, 22, 0] {
///     sum.inbox.deliver(n).unwrap();
/// }
/// let scheduler = Scheduler::new();
/// scheduler.activate(&sum);
/// scheduler.run().unwrap();
/// ```
pub trait ThreadedStepwise: Sized + Send + 'static {
    /// Its boxes.
    type Ports: Ports<OnThread: Send>;

    /// Called first.
    fn initialise(&mut self, _cx: &ThreadCx<Self::Ports>) {}

    /// Called as long as it returns true.
    fn main_body(&mut self, _cx: &ThreadCx<Self::Ports>) -> bool {
        false
    }

    /// Called last.
    ///
    /// # Errors
    /// Whatever went wrong; the component has failed then (AX-THR-12).
    fn close_down(&mut self, _cx: &ThreadCx<Self::Ports>) -> Result<(), BoxError> {
        Ok(())
    }

    /// The first part of its name; see [`Component::kind`](crate::Component::kind).
    fn kind() -> &'static str {
        type_name::<Self>()
    }
}

impl<C: ThreadedStepwise> ThreadedComponent for Stepwise<C> {
    type Ports = C::Ports;

    fn main(mut self, cx: ThreadCx<C::Ports>) -> Result<(), BoxError> {
        self.0.initialise(&cx);
        while self.0.main_body(&cx) {}
        self.0.close_down(&cx)
    }

    fn kind() -> &'static str {
        C::kind()
    }
}
