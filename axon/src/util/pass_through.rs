//! Passes messages on (Kamaelia: `Kamaelia/Util/PassThrough.py`).

use std::marker::PhantomData;

use super::unsent::{Unsent, relay};
use crate::component::{Component, Cx};
use crate::ipc::Ipc;

crate::ports! {
    /// Boxes of a component that sends messages of the type that it takes.
    pub struct SamePorts<T> {
        in  { /// What to send on.
              inbox: T,
              /// Shutdown requests.
              control: crate::Ipc }
        out { /// What came in.
              outbox: T,
              /// What came in at `control`.
              signal: crate::Ipc }
    }
}

/// Sends on what it receives, data and control messages alike: a protocol that changes nothing.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | what to pass on |
/// | `control` | [`Ipc`] | passed on; `producerFinished` and `shutdownMicroprocess` end it, unless [chosen](PassThrough::shutdown_on) otherwise |
/// | `outbox` | `T` | what came in at `inbox` |
/// | `signal` | [`Ipc`] | what came in at `control` |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, PassThrough};
///
/// Pipeline::new()
///     .then(DataSource::new(1..=3))
///     .then(PassThrough::<i32>::new())
///     .then(ConsoleEchoer::new().tag(" "))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// A message that ends it is passed on after the data that came before it, except that a `shutdownMicroprocess` does
/// not wait for a receiver that is full.
pub struct PassThrough<T> {
    shutdown_on: Box<dyn Fn(&Ipc) -> bool>,
    message: PhantomData<fn(T)>,
}

impl<T: Send + 'static> Default for PassThrough<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> PassThrough<T> {
    /// Ends on `producerFinished` and `shutdownMicroprocess`.
    pub fn new() -> Self {
        Self { shutdown_on: Box::new(Ipc::ends_component), message: PhantomData }
    }

    /// Ends on the messages for which `ends` is true: `PassThrough::<String>::new().shutdown_on(Ipc::is_producer_finished)`.
    #[must_use]
    pub fn shutdown_on(mut self, ends: impl Fn(&Ipc) -> bool + 'static) -> Self {
        self.shutdown_on = Box::new(ends);
        self
    }
}

impl<T: Send + 'static> Component for PassThrough<T> {
    type Ports = SamePorts<T>;

    async fn main(self, cx: Cx<SamePorts<T>>) {
        cx.yield_now().await;
        let mut data = Unsent::none();
        let pump = || {
            while data.flush(&cx.outbox)
                && let Some(message) = cx.inbox.try_recv()
            {
                data.put(message);
            }
            data.is_none()
        };
        relay(&cx, (&cx.control, &cx.signal), &*self.shutdown_on, pump).await;
        cx.yield_now().await;
    }
}
