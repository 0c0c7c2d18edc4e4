//! Collects messages into one (Kamaelia: `Kamaelia/Util/Collate.py`).

use std::marker::PhantomData;

use super::stage::{Orders, StagePorts};
use crate::component::{Component, Cx};

/// Collects all messages and sends them as one list at the end.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | what to collect |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `Vec<T>` | the list, in the order of arrival |
/// | `signal` | [`Ipc`](crate::Ipc) | all messages from `control` |
///
/// # Example
/// The greatest of all messages:
/// ```
/// use axon::prelude::*;
/// use axon::util::{Collate, ConsoleEchoer, DataSource, Max};
///
/// Pipeline::new()
///     .then(DataSource::new([3, 7, 5]))
///     .then(Collate::<i32>::new())
///     .then(Max::<i32>::new())
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// On either message it sends the list, an empty one too, passes the message on and ends. Others it passes on.
///
/// # Limits
/// All messages are in memory until the end.
pub struct Collate<T>(PhantomData<fn(T)>);

impl<T> Default for Collate<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Send + 'static> Collate<T> {
    /// A collector of messages of type `T`: `Collate::<String>::new()`.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Send + 'static> Component for Collate<T> {
    type Ports = StagePorts<T, Vec<T>>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut orders = Orders::default();
        let mut collected = Vec::new();
        loop {
            collected.extend(cx.inbox.drain());
            while let Some(message) = cx.control.try_recv() {
                if let Some(other) = orders.take(message) {
                    let _ = cx.signal.send_wait(other).await; // a control line takes any message
                }
            }
            if orders.end() {
                break;
            }
            cx.pause().await;
        }
        // While another control message waited for room, more may have come.
        collected.extend(cx.inbox.drain());
        if let Err(e) = cx.outbox.send_wait(collected).await {
            log::warn!("what was collected was dropped: {e}");
        }
        orders.pass_on(&cx.signal).await;
    }
}
