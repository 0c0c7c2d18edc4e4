//! Waits for several messages (Kamaelia: `Kamaelia/Util/Sync.py`).

use std::marker::PhantomData;

use super::stage::{Orders, StagePorts};
use crate::component::{Component, Cx};
use crate::error::Error;
use crate::message::Message;

/// For every so many messages sends one: the last of them.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | what to count |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `T` | the last message of each batch |
/// | `signal` | [`Ipc`](crate::Ipc) | all messages from `control` |
///
/// # Example
/// Two tasks end, and one message tells of it:
/// ```
/// use axon::prelude::*;
/// use axon::util::{DataSource, Sync};
///
/// Graphline::new()
///     .node("a", DataSource::new(0..3))
///     .node("b", DataSource::new(0..9))
///     .node("both", Sync::new(2))
///     .link(("a", "signal"), ("both", "inbox"))
///     .link(("b", "signal"), ("both", "inbox"))
///     .link(("both", "outbox"), ("both", "control"))
///     .link(("both", "signal"), ("", "signal"))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// The original's documents speak of the first message of a batch; its code sends the last, and so does this one.
///
/// # Shutdown
/// It looks at `control` when there is nothing in `inbox`, passes on everything that is there, and ends on one of the
/// two. The messages of an unfinished batch are dropped.
///
/// # Errors
/// A batch of no messages ends it as failed in its first step.
pub struct Sync<T = Message> {
    batch: usize,
    types: PhantomData<fn(T)>,
}

impl Sync {
    /// Counts messages of any type.
    pub fn new(batch: usize) -> Self {
        Self::typed(batch)
    }
}

impl<T: Send + 'static> Sync<T> {
    /// Counts messages of type `T`: `Sync::<u32>::typed(2)`.
    pub fn typed(batch: usize) -> Self {
        Self { batch, types: PhantomData }
    }
}

/// Two, as in the original.
impl Default for Sync {
    fn default() -> Self {
        Self::new(2)
    }
}

impl<T: Send + 'static> Component for Sync<T> {
    type Ports = StagePorts<T, T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        if self.batch == 0 {
            return cx.end_with(Err(Error::Construction("a Sync cannot wait for 0 messages".into())));
        }
        let mut orders = Orders::default();
        let mut count = 0;
        'life: loop {
            while let Some(message) = cx.inbox.try_recv() {
                count += 1;
                if count == self.batch {
                    count = 0;
                    if !orders.send(&cx.control, &cx.outbox, message).await {
                        break 'life;
                    }
                }
            }
            while let Some(message) = cx.control.try_recv() {
                if let Some(other) = orders.take(message) {
                    let _ = cx.signal.send_wait(other).await; // a control line takes any message
                }
            }
            // Told just now, or while a message waited for room.
            if orders.end() {
                break;
            }
            cx.pause().await;
        }
        orders.pass_on(&cx.signal).await;
    }
}
