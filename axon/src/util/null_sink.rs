//! Drops messages (Kamaelia: `Kamaelia/Util/NullSink.py`).

use crate::component::{Component, Cx};
use crate::ipc::Ipc;
use crate::message::Message;

crate::ports! {
    /// Boxes of a [`NullSink`].
    pub struct SinkPorts {
        in  { /// What to drop.
              inbox: Message,
              /// Shutdown requests.
              control: Ipc }
        out { /// Unused.
              outbox: Message,
              /// Unused.
              signal: Ipc }
    }
}

/// Reads messages and drops them.
///
/// Unlike an outbox that leads nowhere, it can stand at the end of a pipeline and empties what it is linked to.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | what to drop |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox`, `signal` | [`Message`], [`Ipc`] | unused |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{DataSource, NullSink};
///
/// Pipeline::new().then(DataSource::new(0..10)).then(NullSink::new()).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It sends nothing when it ends, as the original. It sleeps while there is nothing to read (D-23).
#[derive(Default)]
pub struct NullSink;

impl NullSink {
    /// A sink.
    pub fn new() -> Self {
        Self
    }
}

impl Component for NullSink {
    type Ports = SinkPorts;

    async fn main(self, cx: Cx<SinkPorts>) {
        loop {
            cx.inbox.drain().for_each(drop);
            if cx.control.drain().any(|m| m.ends_component()) {
                return;
            }
            cx.pause().await;
        }
    }
}
