//! Drops what does not fit (Kamaelia: `Kamaelia/Util/LossyConnector.py`).

use std::marker::PhantomData;

use super::stage::{Orders, StagePorts};
use crate::component::{Component, Cx};
use crate::message::Message;

/// Passes messages on and drops those for which the receiver has no room.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | messages |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `T` | as many of them as fit |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// The receiver's box holds two messages; the others are gone:
/// ```
/// use axon::prelude::*;
/// use axon::util::{LossyConnector, NullSink};
///
/// let (lossy, slow) = (LossyConnector::new().create(), NullSink::new().create());
/// slow.inbox.set_bound(2);
/// axon::link(&lossy.outbox, &slow.inbox)?;
/// (0..5).for_each(|n| lossy.inbox.deliver(Message::new(n)).unwrap());
/// let scheduler = Scheduler::new();
/// scheduler.activate(&lossy);
/// scheduler.run_until_idle()?;
/// assert_eq!(slow.inbox.len(), 2);
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It passes the message on and ends.
pub struct LossyConnector<T = Message>(PhantomData<fn(T)>);

impl LossyConnector {
    /// For messages of any type.
    pub fn new() -> Self {
        Self::typed()
    }
}

impl<T: Send + 'static> LossyConnector<T> {
    /// For messages of type `T`: `LossyConnector::<u32>::typed()`.
    pub fn typed() -> Self {
        Self(PhantomData)
    }
}

impl Default for LossyConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> Component for LossyConnector<T> {
    type Ports = StagePorts<T, T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut orders = Orders::default();
        loop {
            while let Some(message) = cx.inbox.try_recv() {
                match cx.outbox.send(message) {
                    Err(e) if e.is_full() => {} // this is the lossy bit
                    Err(e) => log::warn!("a message was dropped: {e}"),
                    Ok(()) => {}
                }
            }
            orders.hear(&cx.control);
            if orders.end() {
                break;
            }
            cx.pause().await;
        }
        orders.pass_on(&cx.signal).await;
    }
}
