//! Filters that may keep something back until the end (Kamaelia: `Kamaelia/Util/Filter.py`).

use std::marker::PhantomData;

use super::pure_transformer::{End, TransformerPorts, ends_at_once, work_off};
use crate::component::{Component, Cx};
use crate::ipc::Ipc;
use crate::message::Message;

/// What a [`Filter`] does with its messages: the original's object with a `filter` method.
pub trait Filtering: 'static {
    /// What it takes.
    type In: Send + 'static;
    /// What it gives.
    type Out: Send + 'static;

    /// The result for a message; nothing if there is none, or none yet.
    fn filter(&mut self, message: Self::In) -> Option<Self::Out>;

    /// What was kept back. Called at the end until it gives nothing: the original's `filter("")`.
    fn flush(&mut self) -> Option<Self::Out> {
        None
    }
}

/// Changes nothing: the filter of a [`Filter`] that is given none.
pub struct NullFilter<T = Message>(PhantomData<fn(T)>);

impl<T: Send + 'static> Filtering for NullFilter<T> {
    type In = T;
    type Out = T;
    fn filter(&mut self, message: T) -> Option<T> {
        Some(message)
    }
}

/// Sends what a [`Filtering`] makes of each message and, at the end, what it kept back.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Filtering::In`] | what to filter |
/// | `control` | [`Ipc`] | `producerFinished` ends it |
/// | `outbox` | [`Filtering::Out`] | the results |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// Pairs of numbers are added; the last one has no partner and comes out alone:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, Filter, Filtering};
///
/// #[derive(Default)]
/// struct Pairs(Option<i32>);
/// impl Filtering for Pairs {
///     type In = i32;
///     type Out = i32;
///     fn filter(&mut self, n: i32) -> Option<i32> {
///         match self.0.take() {
///             Some(first) => Some(first + n),
///             None => { self.0 = Some(n); None }
///         }
///     }
///     fn flush(&mut self) -> Option<i32> { self.0.take() }
/// }
///
/// Pipeline::new()
///     .then(DataSource::new([1, 2, 3]))
///     .then(Filter::new(Pairs::default()))
///     .then(ConsoleEchoer::new().tag(" "))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// On `producerFinished` it works off what it has received, flushes, passes the message on and ends. As in the
/// original, `shutdownMicroprocess` is dropped unless [asked for](Filter::ends_at_once). It sleeps while there is
/// nothing to do (D-23).
///
/// # Limits
/// A `flush` that never gives nothing keeps the component from ending. The original flushes after it has passed the
/// message on; here the results come first, so that nobody is told of the end before the last of them.
pub struct Filter<F> {
    filter: F,
    ends_at_once: bool,
}

impl Default for Filter<NullFilter> {
    fn default() -> Self {
        Self::new(NullFilter(PhantomData))
    }
}

impl<F: Filtering> Filter<F> {
    /// Uses `filter`.
    pub fn new(filter: F) -> Self {
        Self { filter, ends_at_once: false }
    }

    ends_at_once!();
}

impl<F: Filtering> Component for Filter<F> {
    type Ports = TransformerPorts<F::In, F::Out>;

    async fn main(mut self, cx: Cx<Self::Ports>) {
        let each = |message| self.filter.filter(message);
        let last = match work_off(&cx, self.ends_at_once, Ipc::is_producer_finished, each).await {
            End::AtOnce(message) => message,
            End::Finish(message) => {
                while let Some(kept) = self.filter.flush() {
                    if let Err(e) = cx.outbox.send_wait(kept).await {
                        log::warn!("a filtered message was dropped: {e}");
                    }
                }
                message
            }
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}
