//! Components side by side (Kamaelia: `Kamaelia/Chassis/PAR.py`).

use super::broadcast::broadcast;
use crate::component::{AnyInstance, Component, Cx, Microprocess};
use crate::error::LinkError;
use crate::ipc::Ipc;
use crate::linkage::LinkOptions;
use crate::message::Message;

crate::ports! {
    /// Boxes of a [`Par`].
    pub struct ParPorts {
        in  { /// Read and thrown away.
              inbox: Message,
              /// Shutdown requests, handed to every component.
              control: Ipc }
        out { /// From all components.
              outbox: Message,
              /// From all components, and one message of its own at the end.
              signal: Ipc,
              /// To one component's `control` after the other.
              _cs: Ipc }
    }
}

/// Runs components side by side, with one outbox for all.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | read and thrown away |
/// | `control` | [`Ipc`] | each message goes to the `control` of every component |
/// | `outbox` | [`Message`] | what the components send |
/// | `signal` | [`Ipc`] | what they send out of `signal`, and a last message of its own |
///
/// # Example
/// Two sources feed one screen:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource};
///
/// let sources = Par::new().with(DataSource::new(["a ", "b "])).with(DataSource::new(["x ", "y "]));
/// Pipeline::new().then(sources).then(ConsoleEchoer::new()).run()?; // a x b y
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// In its first step it passes every component's `outbox` and `signal` out to its own and activates them all. A full
/// `control` holds up a message for the components after it.
///
/// # Shutdown
/// On `shutdownMicroprocess` it passes the message on and leaves at once, without waiting for its components: their
/// links to it are gone then, and what they send after that is dropped. Otherwise it ends when all of them have, with
/// a `producerFinished`. Since their own messages come out of `signal` too, a receiver sees several, the first when
/// the first component ends: a component after it that ends on the first one may miss data of the others.
///
/// # Errors
/// It fails in its first step, with nothing activated, if a component has no `outbox` or `signal`, or does not fit
/// what is linked to it.
#[derive(Default)]
#[doc(alias = "PAR")]
pub struct Par {
    components: Vec<AnyInstance>,
}

impl Par {
    /// Nobody, so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component.
    #[must_use]
    pub fn with(mut self, component: impl Into<AnyInstance>) -> Self {
        self.components.push(component.into());
        self
    }

    fn wire(&self, cx: &Cx<ParPorts>) -> Result<(), LinkError> {
        for c in &self.components {
            for own in ["outbox", "signal"] {
                cx.link_with((c, own), (cx, own), LinkOptions::pass_out())?;
            }
        }
        for c in &self.components {
            cx.activate(c);
            cx.add_child(c);
        }
        Ok(())
    }
}

impl Component for Par {
    type Ports = ParPorts;

    async fn main(self, cx: Cx<ParPorts>) {
        let wired = self.wire(&cx);
        drop(self); // a component goes when it ends
        if wired.is_err() {
            return cx.end_with(wired);
        }
        cx.yield_now().await;
        let last = 'running: loop {
            if !cx.reap_children() {
                break Ipc::producer_finished();
            }
            cx.inbox.drain().for_each(drop);
            while let Some(message) = cx.control.try_recv() {
                broadcast(&cx, &cx._cs, &message, &cx.children()).await;
                if message.is_shutdown_microprocess() {
                    cx.yield_now().await;
                    break 'running message;
                }
            }
            cx.pause().await;
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}
