//! The text of messages (Kamaelia: `Kamaelia/Util/Stringify.py`).

use super::stage::{Orders, StagePorts};
use crate::component::{Component, Cx};
use crate::message::Message;

/// Sends the text of each message.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | anything |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`String`] | the text that an echoer would show |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, PureTransformer, Stringify};
///
/// Pipeline::new()
///     .then(DataSource::new(1..4))
///     .then(Stringify::new())
///     .then(PureTransformer::new(|text: String| Some(text + ", ")))
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// One message a step. Values that have a text form but are not among the types that a [`Message`] holds in place have
/// to be made with [`Message::shown`].
///
/// # Shutdown
/// On `producerFinished` it works off what it has received, on `shutdownMicroprocess` it stops at once; it passes the
/// message on. The original never ends and never sleeps (D-23), and activates itself when it is made; this one is
/// activated like any other.
#[derive(Default)]
pub struct Stringify;

impl Stringify {
    /// A maker of texts.
    pub fn new() -> Self {
        Self
    }
}

impl Component for Stringify {
    type Ports = StagePorts<Message, String>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut orders = Orders::default();
        loop {
            orders.hear(&cx.control);
            if orders.stop() {
                break;
            }
            match cx.inbox.try_recv() {
                Some(message) => {
                    if !orders.send(&cx.control, &cx.outbox, message.to_string()).await {
                        break;
                    }
                    cx.yield_now().await;
                }
                None if orders.end() => break,
                None => cx.pause().await,
            }
        }
        orders.pass_on(&cx.signal).await;
    }
}
