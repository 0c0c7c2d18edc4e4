//! Numbers messages (Kamaelia: `Kamaelia/Util/TagWithSequenceNumber.py`).

use std::marker::PhantomData;

use super::stage::{StagePorts, work_off};
use crate::component::{Component, Cx};

/// Sends each message with its number, counting up.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | what to number |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `(u64, T)` | the number and the message |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, PureTransformer, TagWithSequenceNumber};
///
/// Pipeline::new()
///     .then(DataSource::new(["a", "b"]))
///     .then(TagWithSequenceNumber::<&'static str>::new(1))
///     .then(PureTransformer::new(|(n, text): (u64, &'static str)| Some(format!("{n}: {text}\n"))))
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It works off what it has received, passes the message on and ends.
pub struct TagWithSequenceNumber<T> {
    next: u64,
    types: PhantomData<fn(T)>,
}

impl<T: Send + 'static> TagWithSequenceNumber<T> {
    /// Gives the first message the number `initial`.
    pub fn new(initial: u64) -> Self {
        Self { next: initial, types: PhantomData }
    }
}

/// From 0.
impl<T: Send + 'static> Default for TagWithSequenceNumber<T> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<T: Send + 'static> Component for TagWithSequenceNumber<T> {
    type Ports = StagePorts<T, (u64, T)>;

    async fn main(mut self, cx: Cx<Self::Ports>) {
        let tag = |message| {
            let number = self.next;
            self.next = number.wrapping_add(1);
            Ok(Some((number, message)))
        };
        work_off(&cx, tag).await;
    }
}
