//! Copies messages to two places (Kamaelia: `Kamaelia/Util/TwoWaySplitter.py`).

use std::marker::PhantomData;

use super::unsent::{Copies, hear_end};
use crate::component::{Component, Cx};
use crate::ipc::Ipc;

crate::ports! {
    /// Boxes of a [`TwoWaySplitter`].
    pub struct TwoWaySplitterPorts<T> {
        in  { /// What to copy.
              inbox: T,
              /// Shutdown requests.
              control: Ipc }
        out { /// The one copy.
              outbox: T,
              /// The other copy.
              outbox2: T,
              /// The message that ended it.
              signal: Ipc,
              /// The same message.
              signal2: Ipc }
    }
}

/// Sends each message to two places, and the message that ends it too.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | what to copy |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it, others are dropped |
/// | `outbox`, `outbox2` | `T` | the copies |
/// | `signal`, `signal2` | [`Ipc`] | the message that ended it |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, TwoWaySplitter};
///
/// Graphline::new()
///     .node("SOURCE", DataSource::new(1..=3))
///     .node("SPLIT", TwoWaySplitter::<i32>::new())
///     .node("DEST1", ConsoleEchoer::new().tag(" "))
///     .node("DEST2", ConsoleEchoer::new().tag(" -"))
///     .link(("SOURCE", "outbox"), ("SPLIT", "inbox"))
///     .link(("SOURCE", "signal"), ("SPLIT", "control"))
///     .link(("SPLIT", "outbox"), ("DEST1", "inbox"))
///     .link(("SPLIT", "signal"), ("DEST1", "control"))
///     .link(("SPLIT", "outbox2"), ("DEST2", "inbox"))
///     .link(("SPLIT", "signal2"), ("DEST2", "control"))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// If one receiver is full, the other gets its copy all the same; the next message is taken when both have theirs.
///
/// # Shutdown
/// On `producerFinished` it first copies what it has received; a `shutdownMicroprocess` is not kept waiting by a full
/// receiver, and comes before a `producerFinished`.
pub struct TwoWaySplitter<T>(PhantomData<fn(T)>);

impl<T: Clone + Send + 'static> Default for TwoWaySplitter<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone + Send + 'static> TwoWaySplitter<T> {
    /// A splitter.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Clone + Send + 'static> Component for TwoWaySplitter<T> {
    type Ports = TwoWaySplitterPorts<T>;

    async fn main(self, cx: Cx<TwoWaySplitterPorts<T>>) {
        let mut copies = Copies::to([&cx.outbox, &cx.outbox2]);
        let mut last = None;
        let last = loop {
            while copies.flush()
                && let Some(message) = cx.inbox.try_recv()
            {
                copies.put(message);
            }
            if let Some(message) = hear_end(&cx.control, &mut last, !copies.is_busy()) {
                break message;
            }
            cx.pause().await;
        };
        let _ = cx.signal.send_wait(last.clone()).await; // a control line takes any message
        let _ = cx.signal2.send_wait(last).await;
    }
}
