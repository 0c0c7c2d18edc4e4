//! Sends one message (Kamaelia: `Kamaelia/Util/OneShot.py`).

use super::SourcePorts;
use crate::component::{Component, Cx, Microprocess};
use crate::ipc::Ipc;

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
