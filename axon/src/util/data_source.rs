//! Sends prepared messages (Kamaelia: `Kamaelia/Util/DataSource.py`).

use super::SourcePorts;
use super::pure_transformer::{End, TransformerPorts, ends_at_once, ends_the_family, work_off};
use crate::component::{Component, Cx, Microprocess};
use crate::ipc::Ipc;
use crate::message::Message;

/// Sends what an iterator gives, one message a step.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox`, `control` | [`Message`](crate::Message), [`Ipc`] | unused |
/// | `outbox` | the iterator's items | the messages |
/// | `signal` | [`Ipc`] | `producerFinished` after the last |
///
/// # Example
/// Three numbers are sent, and then the pipeline ends:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource};
///
/// Pipeline::new().then(DataSource::new(1..=3)).then(ConsoleEchoer::new().tag(" ")).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// The first message goes out in its second step. If the receiver is full it waits for room.
///
/// # Shutdown
/// One step after the last message it sends `producerFinished` and ends. It does not read `control`, so the source of
/// an endless iterator ends with the scheduler only.
pub struct DataSource<I> {
    items: I,
}

impl<I: Iterator> DataSource<I> {
    /// Sends each of the items.
    pub fn new(items: impl IntoIterator<IntoIter = I>) -> Self {
        Self { items: items.into_iter() }
    }
}

impl<I> Component for DataSource<I>
where
    I: Iterator<Item: Send + 'static> + 'static,
{
    type Ports = SourcePorts<I::Item>;

    async fn main(self, cx: Cx<SourcePorts<I::Item>>) {
        for item in self.items {
            cx.yield_now().await;
            if let Err(e) = cx.outbox.send_wait(item).await {
                log::warn!("a data source's message was dropped: {e}");
            }
        }
        cx.yield_now().await;
        let _ = cx.signal.send_wait(Ipc::producer_finished_by(cx.id())).await; // a control line takes any message
    }
}

/// Sends the same message whenever one arrives.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | anything |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdown` end it |
/// | `outbox` | the message's type | the message, once for each that arrived |
/// | `signal` | [`Ipc`] | a fresh `producerFinished` |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, TriggeredSource};
///
/// Pipeline::new()
///     .then(DataSource::new([true, true]))
///     .then(TriggeredSource::new("Fish\n"))
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// As [`PureTransformer`](super::PureTransformer): `shutdownMicroprocess` is dropped unless
/// [asked for](TriggeredSource::ends_at_once).
pub struct TriggeredSource<T> {
    message: T,
    ends_at_once: bool,
}

impl<T: Clone + Send + 'static> TriggeredSource<T> {
    /// Sends `message`.
    pub fn new(message: T) -> Self {
        Self { message, ends_at_once: false }
    }

    ends_at_once!();
}

impl<T: Clone + Send + 'static> Component for TriggeredSource<T> {
    type Ports = TransformerPorts<Message, T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let each = |_| Some(self.message.clone());
        let last = match work_off(&cx, self.ends_at_once, ends_the_family, each).await {
            End::AtOnce(message) => message,
            End::Finish(_) => Ipc::producer_finished_by(cx.id()),
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}
