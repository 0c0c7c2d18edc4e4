//! One message for each request (Kamaelia: `Kamaelia/Util/PromptedTurnstile.py`).

use std::marker::PhantomData;

use super::stage::Orders;
use crate::component::{Component, Cx};
use crate::ipc::Ipc;
use crate::message::Message;

crate::ports! {
    /// Boxes of a [`PromptedTurnstile`].
    pub struct PromptedTurnstilePorts<T> {
        in  { /// Those who queue.
              inbox: T,
              /// Any message lets one through.
              next: Message,
              /// Shutdown requests.
              control: Ipc }
        out { /// Those who were let through.
              outbox: T,
              /// The message that ended it.
              signal: Ipc }
    }
}

/// Lets one message through for each request.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | messages; they wait here |
/// | `next` | [`Message`] | each message, whatever it says, lets one through |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `T` | what was let through |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// A line each time the return key is pressed:
/// ```no_run
/// use axon::file::SimpleReader;
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, ConsoleReader, PromptedTurnstile};
///
/// Graphline::new()
///     .node("source", SimpleReader::new("script.txt"))
///     .node("gate", PromptedTurnstile::new())
///     .node("key", ConsoleReader::new(""))
///     .node("screen", ConsoleEchoer::new())
///     .link(("source", "outbox"), ("gate", "inbox"))
///     .link(("key", "outbox"), ("gate", "next"))
///     .link(("gate", "outbox"), ("screen", "inbox"))
///     .link(("source", "signal"), ("gate", "control"))
///     .link(("gate", "signal"), ("screen", "control"))
///     .link(("screen", "signal"), ("key", "control"))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// Requests that find nobody waiting are kept: the next messages go straight through. Nothing is taken out of `inbox`
/// while the receiver has no room, so that a bound on `inbox` reaches back to the sender.
///
/// # Shutdown
/// On `producerFinished` it goes on until all who wait were let through, on `shutdownMicroprocess` it stops at once.
/// It passes the message on.
pub struct PromptedTurnstile<T = Message>(PhantomData<fn(T)>);

impl PromptedTurnstile {
    /// For messages of any type.
    pub fn new() -> Self {
        Self::typed()
    }
}

impl<T: Send + 'static> PromptedTurnstile<T> {
    /// For messages of type `T`: `PromptedTurnstile::<u32>::typed()`.
    pub fn typed() -> Self {
        Self(PhantomData)
    }
}

impl Default for PromptedTurnstile {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> Component for PromptedTurnstile<T> {
    type Ports = PromptedTurnstilePorts<T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut orders = Orders::default();
        loop {
            orders.hear(&cx.control);
            if orders.stop() || orders.end() && cx.inbox.is_empty() {
                break;
            }
            let may_pass = !cx.inbox.is_empty() && !cx.next.is_empty() && !cx.outbox.is_full();
            if may_pass && let Some(message) = cx.inbox.try_recv() {
                cx.next.try_recv();
                if !orders.send(&cx.control, &cx.outbox, message).await {
                    break;
                }
            } else {
                cx.pause().await;
            }
        }
        orders.pass_on(&cx.signal).await;
    }
}
