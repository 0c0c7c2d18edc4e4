//! Copies messages to several boxes (Kamaelia: `Kamaelia/Util/Fanout.py`).

use std::cell::OnceCell;
use std::rc::Rc;

use super::unsent::{Copies, hear_end};
use crate::adaptive::{self, Added};
use crate::boxes::Outbox;
use crate::component::{Component, Cx, Instance, Microprocess};
use crate::error::Error;
use crate::ipc::Ipc;

crate::ports! {
    /// Boxes of a [`Fanout`], besides those that it is given.
    pub struct FanoutPorts<T> {
        in  { /// What to copy.
              inbox: T,
              /// Shutdown requests.
              control: Ipc }
        out { /// Used only if it is among the names.
              outbox: T,
              /// The message that ended it.
              signal: Ipc }
    }
}

/// Sends a copy of each message to each of its named outboxes.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | what to copy |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | the named ones | `T` | the copies, in the order of the names |
/// | `outbox` | `T` | unused unless it is one of the names (D-25) |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// Each line goes to the screen and to a sink that drops it:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, Fanout, NullSink};
///
/// Graphline::new()
///     .node("lines", DataSource::new(["a\n".to_string()]))
///     .node("split", Fanout::<String>::new(["screen", "rest"]))
///     .node("echo", ConsoleEchoer::new())
///     .node("drop", NullSink::new())
///     .link(("lines", "outbox"), ("split", "inbox"))
///     .link(("lines", "signal"), ("split", "control"))
///     .link(("split", "screen"), ("echo", "inbox"))
///     .link(("split", "rest"), ("drop", "inbox"))
///     .link(("split", "signal"), ("echo", "control"))
///     .link(("echo", "signal"), ("drop", "control"))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// On `producerFinished` it copies what it has received, passes the message on and ends. A `shutdownMicroprocess` is not
/// kept waiting by a full receiver.
///
/// # Limits
/// If one receiver is full, the others get their copy all the same, but wait with it for the next message.
///
/// # Errors
/// It ends as failed in its first step if a name is there twice, or is `signal`.
pub struct Fanout<T: 'static> {
    names: Vec<String>,
    added: Boxes<T>,
}

/// The added outboxes; filled in when the component is created.
type Boxes<T> = Rc<OnceCell<Vec<Added<Outbox<T>>>>>;

impl<T: Clone + Send + 'static> Fanout<T> {
    /// Copies to outboxes of these names.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), added: Rc::default() }
    }

    fn check(&self) -> Result<(), Error> {
        let bad = |i: usize, n: &String| n == "signal" || self.names[..i].contains(n);
        match self.names.iter().enumerate().find(|(i, n)| bad(*i, n)) {
            Some((_, n)) => Err(Error::Construction(format!("a fanout cannot have another outbox {n:?}"))),
            None => Ok(()),
        }
    }

    async fn copy(&self, cx: &Cx<FanoutPorts<T>>) {
        let mut added = self.added.get().map_or(&[][..], |c| c).iter();
        let mut copies = Copies::to(
            self.names
                .iter()
                .filter_map(|n| if n == "outbox" { Some(&cx.outbox) } else { added.next().map(|a| &**a) }),
        );
        let mut last = None;
        loop {
            while copies.flush()
                && let Some(message) = cx.inbox.try_recv()
            {
                copies.put(message);
            }
            if let Some(message) = hear_end(&cx.control, &mut last, !copies.is_busy()) {
                let _ = cx.signal.send_wait(message).await; // a control line takes any message
                return;
            }
            cx.pause().await;
        }
    }
}

impl<T: Clone + Send + 'static> Component for Fanout<T> {
    type Ports = FanoutPorts<T>;

    /// Makes the named outboxes.
    fn create(self) -> Instance<FanoutPorts<T>> {
        let added = self.added.clone();
        let names: Vec<_> = self.names.iter().filter(|n| *n != "outbox").cloned().collect();
        let instance = Instance::create(self);
        let process = instance.process();
        added.get_or_init(|| names.iter().map(|n| adaptive::add_outbox(process, n)).collect());
        instance
    }

    async fn main(self, cx: Cx<FanoutPorts<T>>) {
        match self.check() {
            Ok(()) => self.copy(&cx).await,
            wrong => cx.end_with(wrong),
        }
    }
}
