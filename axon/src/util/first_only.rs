//! The first message and no more (Kamaelia: `Kamaelia/Util/FirstOnly.py`).

use std::marker::PhantomData;

use super::stage::StagePorts;
use crate::component::{Component, Cx};
use crate::message::Message;

/// Passes the first message on and drops the others.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | messages |
/// | `control` | [`Ipc`](crate::Ipc) | any message ends it |
/// | `outbox` | `T` | the first message |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, FirstOnly};
///
/// Pipeline::new().then(DataSource::new(1..9)).then(FirstOnly::new()).then(ConsoleEchoer::new()).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// On any control message: one message of it is passed on and the component ends. It goes on after the first message,
/// dropping what comes, so that nobody before it has to wait.
pub struct FirstOnly<T = Message>(PhantomData<fn(T)>);

impl FirstOnly {
    /// Passes on a message of any type.
    pub fn new() -> Self {
        Self::typed()
    }
}

impl<T: Send + 'static> FirstOnly<T> {
    /// Passes on a message of type `T`: `FirstOnly::<u32>::typed()`.
    pub fn typed() -> Self {
        Self(PhantomData)
    }
}

impl Default for FirstOnly {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> Component for FirstOnly<T> {
    type Ports = StagePorts<T, T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut first = true;
        let last = loop {
            while let Some(message) = cx.inbox.try_recv() {
                if std::mem::take(&mut first)
                    && let Err(e) = cx.outbox.send_wait(message).await
                {
                    log::warn!("the first message was dropped: {e}");
                }
            }
            match cx.control.try_recv() {
                Some(message) => break message,
                None => cx.pause().await,
            }
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}
