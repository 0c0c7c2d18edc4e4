//! A line of components (Kamaelia: `Kamaelia/Chassis/Pipeline.py`).

use super::ChassisPorts;
use crate::component::{AnyInstance, Component, Cx, Microprocess};
use crate::error::Error;
use crate::linkage::LinkOptions;

/// Links components in a line: each one's `outbox` to the next one's `inbox`, `signal` to `control`.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox`, `control` | [`Message`](crate::Message), [`Ipc`](crate::Ipc) | those of the first component |
/// | `outbox`, `signal` | [`Message`](crate::Message), [`Ipc`](crate::Ipc) | those of the last component |
///
/// # Example
/// The classic first program prints two lines in capitals:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, PureTransformer};
///
/// Pipeline::new()
///     .then(DataSource::new(["one\n", "two\n"]))
///     .then(PureTransformer::new(|line: &'static str| Some(line.to_uppercase())))
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// In its first step it adopts, links and activates the components, in order; they run first in the next pass
/// (CH-PIPE-02). Until then nothing in it is linked; what waits in its own boxes goes to the first component then.
///
/// # Shutdown
/// It ends when all components in it have ended and sends nothing by itself (CH-PIPE-04): a shutdown message that is
/// to go through has to be passed on by each of them.
///
/// # Errors
/// It fails in its first step, with nothing activated, if it is empty or if two neighbours do not fit: the
/// [`LinkError`](crate::LinkError) names both components, boxes and types.
#[derive(Default)]
pub struct Pipeline {
    components: Vec<AnyInstance>,
    circular: bool,
}

impl Pipeline {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a component.
    #[must_use]
    pub fn then(mut self, component: impl Into<AnyInstance>) -> Self {
        self.components.push(component.into());
        self
    }

    /// Links the last component back to the first, in place of passing out (CH-PIPE-03).
    #[must_use]
    pub fn circular(mut self) -> Self {
        self.circular = true;
        self
    }

    fn wire(&self, cx: &Cx<ChassisPorts>) -> Result<(), Error> {
        let (Some(first), Some(last)) = (self.components.first(), self.components.last()) else {
            return Err(Error::Construction("a pipeline needs at least one component".into()));
        };
        for c in &self.components {
            cx.add_child(c);
        }
        for pair in self.components.windows(2) {
            cx.link((&pair[0], "outbox"), (&pair[1], "inbox"))?;
            cx.link((&pair[0], "signal"), (&pair[1], "control"))?;
        }
        cx.link_with((cx, "inbox"), (first, "inbox"), LinkOptions::pass_in())?;
        cx.link_with((cx, "control"), (first, "control"), LinkOptions::pass_in())?;
        if self.circular {
            cx.link((last, "outbox"), (first, "inbox"))?;
            cx.link((last, "signal"), (first, "control"))?;
        } else {
            cx.link_with((last, "outbox"), (cx, "outbox"), LinkOptions::pass_out())?;
            cx.link_with((last, "signal"), (cx, "signal"), LinkOptions::pass_out())?;
        }
        for c in &self.components {
            cx.activate(c);
        }
        Ok(())
    }
}

impl Component for Pipeline {
    type Ports = ChassisPorts;

    async fn main(self, cx: Cx<ChassisPorts>) {
        let wired = self.wire(&cx);
        // From here on the components belong to the scheduler, and go when they end.
        drop(self);
        if wired.is_err() {
            return cx.end_with(wired);
        }
        while cx.reap_children() {
            cx.pause().await;
        }
    }
}
