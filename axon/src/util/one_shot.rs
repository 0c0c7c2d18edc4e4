//! Sends one message (Kamaelia: `Kamaelia/Util/OneShot.py`).

use super::SourcePorts;
use super::stage::Orders;
use crate::component::{Component, Cx, Microprocess};
use crate::ipc::Ipc;
use crate::message::Message;

crate::ports! {
    /// Boxes of a component that waits for a message, whatever it says.
    pub struct TriggerPorts<T> {
        in  { /// Any message sets it off.
              inbox: Message,
              /// Shutdown requests.
              control: Ipc }
        out { /// What it sends then.
              outbox: T,
              /// Told when it ends.
              signal: Ipc }
    }
}

/// Sends one message and ends.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox`, `control` | [`Message`](crate::Message), [`Ipc`] | unused |
/// | `outbox` | the message's type | the message |
/// | `signal` | [`Ipc`] | `producerFinished` |
///
/// # Example
/// A pipeline that starts with a given path:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, OneShot};
///
/// Pipeline::new().then(OneShot::new("hello\n")).then(ConsoleEchoer::new()).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It sends the message in its first step, waiting for room if it has to, and `producerFinished` in the next, and
/// ends. It does not read `control`.
pub struct OneShot<T> {
    message: T,
}

impl<T: Send + 'static> OneShot<T> {
    /// Sends `message`.
    pub fn new(message: T) -> Self {
        Self { message }
    }
}

impl<T: Send + 'static> Component for OneShot<T> {
    type Ports = SourcePorts<T>;

    async fn main(self, cx: Cx<SourcePorts<T>>) {
        if let Err(e) = cx.outbox.send_wait(self.message).await {
            log::warn!("a one-shot message was dropped: {e}");
        }
        cx.yield_now().await;
        let _ = cx.signal.send_wait(Ipc::producer_finished_by(cx.id())).await; // a control line takes any message
    }
}

/// Waits for any message, then sends one and ends.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | the first message sets it off |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it while it waits |
/// | `outbox` | the message's type | the message |
/// | `signal` | [`Ipc`] | all messages from `control` while it waits; `producerFinished` after the message |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, TriggeredOneShot};
///
/// Pipeline::new()
///     .then(DataSource::new(1..5))
///     .then(TriggeredOneShot::new("something came\n"))
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// While it waits it passes on everything from `control`, and ends on one of the two. Once set off it ends by itself,
/// with a `producerFinished`, one step after the message.
pub struct TriggeredOneShot<T> {
    message: T,
}

impl<T: Send + 'static> TriggeredOneShot<T> {
    /// Sends `message` when the time has come.
    pub fn new(message: T) -> Self {
        Self { message }
    }
}

impl<T: Send + 'static> Component for TriggeredOneShot<T> {
    type Ports = TriggerPorts<T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut orders = Orders::default();
        while cx.inbox.try_recv().is_none() {
            while let Some(message) = cx.control.try_recv() {
                if let Some(other) = orders.take(message) {
                    let _ = cx.signal.send_wait(other).await; // a control line takes any message
                }
                if orders.end() {
                    return orders.pass_on(&cx.signal).await;
                }
            }
            if cx.inbox.is_empty() {
                cx.pause().await;
            }
        }
        if let Err(e) = cx.outbox.send_wait(self.message).await {
            log::warn!("a one-shot message was dropped: {e}");
        }
        cx.yield_now().await;
        let _ = cx.signal.send_wait(Ipc::producer_finished_by(cx.id())).await; // a control line takes any message
    }
}
