//! An endless stream (Kamaelia: `Kamaelia/Util/Chargen.py`).

use super::SourcePorts;
use super::stage::Orders;
use crate::component::{Component, Cx};

/// Sends "Hello World" in every step.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`](crate::Message) | unused |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`String`] | "Hello World" |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// ```no_run
/// use axon::prelude::*;
/// use axon::util::{Chargen, ConsoleEchoer, MessageRateLimit};
///
/// let limit = MessageRateLimit::new(2.0).buffer(1).hard_limit(1).create();
/// Pipeline::new().then(Chargen::new()).then(&limit).then(ConsoleEchoer::new()).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It passes the message on and ends. The original cannot be stopped.
///
/// # Limits
/// It never sleeps while its receiver has room; if that has no bound and is slower, its queue grows.
#[derive(Default)]
pub struct Chargen;

impl Chargen {
    /// A generator of characters.
    pub fn new() -> Self {
        Self
    }
}

impl Component for Chargen {
    type Ports = SourcePorts<String>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut orders = Orders::default();
        loop {
            orders.hear(&cx.control);
            if orders.end() {
                break;
            }
            let sent = orders.unless_ended(&cx.control, cx.outbox.send_wait("Hello World".into())).await;
            if let Some(Err(e)) = sent {
                log::warn!("a message was dropped: {e}");
            }
            cx.yield_now().await;
        }
        orders.pass_on(&cx.signal).await;
    }
}
