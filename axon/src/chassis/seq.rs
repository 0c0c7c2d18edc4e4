//! Components one after the other (Kamaelia: `Kamaelia/Chassis/Seq.py`).

use std::io::{self, Write};

use super::{ChassisPorts, feed};
use crate::component::{AnyInstance, Component, Cx, Microprocess};
use crate::error::BoxError;
use crate::ipc::Ipc;
use crate::linkage::LinkOptions;

/// Runs components one after the other, and writes texts between them.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`](crate::Message) | goes to the component that runs; what waits when one starts goes to that one |
/// | `control` | [`Ipc`] | never read |
/// | `outbox` | [`Message`](crate::Message) | what the component that runs sends; its `signal` leads nowhere |
/// | `signal` | [`Ipc`] | `producerFinished` at the end |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, OneShot};
///
/// let sequence = Seq::new()
///     .say("BEGIN SEQUENCE")
///     .then(OneShot::new("Hello\n"))
///     .then(OneShot::new("Doctor\n"))
///     .say("END SEQUENCE");
/// Pipeline::new().then(sequence).then(ConsoleEchoer::new()).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// Each component is linked and activated when its turn comes, one pass after the end of the one before.
///
/// # Shutdown
/// It ends after the last component. As the original it does not read `control`, so that a component that ends cannot
/// end those before it in a pipeline; a sequence that has to stop early is stopped through its components.
///
/// # Errors
/// It fails if a component has no `inbox` or `outbox`, or does not fit what is linked to the sequence, and if a text
/// cannot be written.
#[derive(Default)]
pub struct Seq {
    items: Vec<Item>,
    writer: Option<Box<dyn Write>>,
}

enum Item {
    Text(String),
    Component(AnyInstance),
}

impl Seq {
    /// An empty sequence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a component.
    #[must_use]
    pub fn then(mut self, component: impl Into<AnyInstance>) -> Self {
        self.items.push(Item::Component(component.into()));
        self
    }

    /// Appends a text, to be written as a line when its turn comes.
    #[must_use]
    pub fn say(mut self, text: impl Into<String>) -> Self {
        self.items.push(Item::Text(text.into()));
        self
    }

    /// Writes the texts to `writer` in place of the standard output.
    #[must_use]
    pub fn to(mut self, writer: impl Write + 'static) -> Self {
        self.writer = Some(Box::new(writer));
        self
    }

    async fn play(self, cx: &Cx<ChassisPorts>) -> Result<(), BoxError> {
        let mut writer = self.writer.unwrap_or_else(|| Box::new(io::stdout()));
        for item in self.items {
            let component = match item {
                Item::Component(component) => component,
                Item::Text(text) => {
                    writeln!(writer, "{text}")
                        .and_then(|()| writer.flush())
                        .map_err(|e| format!("cannot write {text:?}: {e}"))?;
                    continue;
                }
            };
            cx.add_child(&component);
            cx.link_with((&component, "outbox"), (cx, "outbox"), LinkOptions::pass_out())?;
            feed(cx, &cx.inbox, &component)?;
            cx.activate(component);
            while cx.reap_children() {
                cx.pause().await;
            }
        }
        Ok(())
    }
}

impl Component for Seq {
    type Ports = ChassisPorts;

    async fn main(self, cx: Cx<ChassisPorts>) {
        let played = self.play(&cx).await;
        if played.is_ok() {
            let _ = cx.signal.send_wait(Ipc::producer_finished_by(cx.id())).await; // a control line takes any message
        }
        cx.end_with(played);
    }
}
