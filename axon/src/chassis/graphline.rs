//! Named components and a table of links (Kamaelia: `Kamaelia/Chassis/Graphline.py`).

use super::broadcast::broadcast;
use crate::adaptive;
use crate::component::{AnyInstance, Component, Cx, Instance, Microprocess};
use crate::error::Error;
use crate::ipc::Ipc;
use crate::linkage::LinkOptions;
use crate::message::Message;

crate::ports! {
    /// Boxes of a [`Graphline`], before those that its table adds.
    pub struct GraphlinePorts {
        in  { /// Unused unless the table passes it in.
              inbox: Message,
              /// Shutdown requests; handed to the components unless the table passes it in.
              control: Ipc }
        out { /// Unused unless the table passes something out to it.
              outbox: Message,
              /// Told when it stops, unless the table passes something out to it.
              signal: Ipc,
              /// To one component's `control` after the other, during a broadcast.
              _cs: Ipc }
    }
}

/// Wires named components as a table of links says.
///
/// The names `""` and `"self"` mean the graphline itself: as a source its inbox is passed in to a component, as a
/// sink a component's outbox is passed out. Boxes of its own that the table names are made for it, untyped, when it is
/// created (CH-GRAPH-03).
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` and others of the table | [`Message`] | passed in along their link |
/// | `control` | [`Ipc`] | passed in if the table says so; else each message goes to the `control` of every component that has none linked in the table (CH-GRAPH-10) |
/// | `outbox` and others of the table | [`Message`] | passed out |
/// | `signal` | [`Ipc`] | passed out if the table says so; else one message at the end (CH-GRAPH-12) |
///
/// # Example
/// A splitter with two sinks has no place in a line:
/// ```
/// use axon::prelude::*;
/// use axon::util::{DataSource, Fanout, NullSink};
///
/// Graphline::new()
///     .node("words", DataSource::new(["a".to_string(), "b".to_string()]))
///     .node("split", Fanout::<String>::new(["left", "right"]))
///     .node("l", NullSink::new())
///     .node("r", NullSink::new())
///     .link(("words", "outbox"), ("split", "inbox"))
///     .link(("words", "signal"), ("split", "control"))
///     .link(("split", "left"), ("l", "inbox"))
///     .link(("split", "right"), ("r", "inbox"))
///     .link(("split", "signal"), ("l", "control"))
///     .link(("words", "nothing"), ("split", "inbox"))
///     .run()
///     .expect_err("DataSource has no outbox of that name");
/// ```
///
/// # How it works
/// In its first step it makes all links, adopts all components and activates them, in the order of their naming,
/// linked or not (CH-GRAPH-04).
///
/// # Shutdown
/// It ends when all components in it have ended. If nothing in the table goes to its `signal`, it then sends the
/// `shutdownMicroprocess` that it was told, or else a fresh `producerFinished`.
///
/// # Errors
/// It fails in its first step, with nothing activated, on a mistake that [`Graphline::check`] finds, and when a link
/// is refused: the [`LinkError`](crate::LinkError) names both components, boxes and types.
#[derive(Default)]
pub struct Graphline {
    nodes: Vec<(String, AnyInstance)>,
    links: Vec<(End, End)>,
    lenient: bool,
}

struct End {
    node: String,
    name: String,
}

impl Graphline {
    /// No components and no links.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component under a name.
    #[must_use]
    pub fn node(mut self, name: &str, component: impl Into<AnyInstance>) -> Self {
        self.nodes.push((name.to_string(), component.into()));
        self
    }

    /// Adds a link to the table: from (name, box) to (name, box).
    #[must_use]
    pub fn link(mut self, from: (&str, &str), to: (&str, &str)) -> Self {
        let end = |(node, name): (&str, &str)| End { node: node.into(), name: name.into() };
        self.links.push((end(from), end(to)));
        self
    }

    /// Lets any name that is not a component's mean the graphline itself, as the original does (D-21); a misspelt
    /// name then makes a box and no error.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Looks for mistakes that can be seen before it runs; otherwise they are found in its first step.
    ///
    /// # Errors
    /// [`Error::Construction`]: two components of one name, one called `""` or `"self"`, a name that no component has
    /// (the message lists those that there are), a source that appears twice (CH-GRAPH-05), a box of its own linked
    /// to another of its own (D-22).
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::Construction(text));
        for (i, (name, _)) in self.nodes.iter().enumerate() {
            if is_self(name) {
                return wrong(format!(
                    "a component of a graphline is called {name:?}, which means the graphline"
                ));
            }
            if self.nodes[..i].iter().any(|(n, _)| n == name) {
                return wrong(format!("two components of a graphline are called {name:?}"));
            }
        }
        for (i, (from, to)) in self.links.iter().enumerate() {
            for end in [from, to] {
                if self.is_own(end) && !self.lenient && !is_self(&end.node) {
                    let known: Vec<_> = self.nodes.iter().map(|(n, _)| format!("{n:?}")).collect();
                    return wrong(format!(
                        "no component of the graphline is called {:?} (there are {}; \"\" or \"self\" is the graphline)",
                        end.node,
                        if known.is_empty() { "none".to_string() } else { known.join(", ") }
                    ));
                }
            }
            if self.is_own(from) && self.is_own(to) {
                return wrong(format!(
                    "the graphline's own {:?} is linked to its own {:?}; put a component between them",
                    from.name, to.name
                ));
            }
            let same =
                |e: &End| e.name == from.name && (e.node == from.node || self.is_own(e) && self.is_own(from));
            if let Some((_, other)) = self.links[..i].iter().find(|(f, _)| same(f)) {
                return wrong(format!(
                    "{:?} of {:?} is linked to {:?} of {:?} already and cannot be linked to {:?} of {:?} too",
                    from.name, from.node, other.name, other.node, to.name, to.node
                ));
            }
        }
        Ok(())
    }

    fn component(&self, end: &End) -> Option<&AnyInstance> {
        self.nodes.iter().find(|(name, _)| *name == end.node).map(|(_, c)| c)
    }

    fn is_own(&self, end: &End) -> bool {
        self.component(end).is_none()
    }

    fn passes_own(&self, own: &str, as_sink: bool) -> bool {
        self.links.iter().any(|(from, to)| {
            let end = if as_sink { to } else { from };
            self.is_own(end) && end.name == own
        })
    }

    /// The components whose `control` no link of the table leads to.
    fn told_by_broadcast(&self) -> Vec<AnyInstance> {
        let linked = |name: &str| self.links.iter().any(|(_, to)| to.node == name && to.name == "control");
        self.nodes.iter().filter(|(name, _)| !linked(name)).map(|(_, c)| c.clone()).collect()
    }

    fn wire(&self, cx: &Cx<GraphlinePorts>) -> Result<(), Error> {
        self.check()?;
        for (from, to) in &self.links {
            match (self.component(from), self.component(to)) {
                (Some(a), Some(b)) => cx.link((a, &*from.name), (b, &*to.name))?,
                (None, Some(b)) => cx.link_with((cx, &*from.name), (b, &*to.name), LinkOptions::pass_in())?,
                (Some(a), None) => {
                    cx.link_with((a, &*from.name), (cx, &*to.name), LinkOptions::pass_out())?
                }
                (None, None) => unreachable!("refused by the check"),
            };
        }
        for (_, c) in &self.nodes {
            cx.add_child(c);
        }
        for (_, c) in &self.nodes {
            cx.activate(c);
        }
        Ok(())
    }
}

fn is_self(name: &str) -> bool {
    name.is_empty() || name == "self"
}

impl Component for Graphline {
    type Ports = GraphlinePorts;

    /// Makes the boxes that the table names besides the usual ones.
    fn create(self) -> Instance<GraphlinePorts> {
        let own = |end: &End| self.is_own(end).then(|| end.name.clone());
        let sources: Vec<_> = self.links.iter().filter_map(|(from, _)| own(from)).collect();
        let sinks: Vec<_> = self.links.iter().filter_map(|(_, to)| own(to)).collect();
        let instance = Instance::create(self);
        let any = instance.any();
        for name in sources {
            if !any.inboxes().contains(&name) {
                adaptive::add_inbox::<Message>(instance.process(), &name);
            }
        }
        for name in sinks {
            if !any.outboxes().contains(&name) {
                adaptive::add_outbox::<Message>(instance.process(), &name);
            }
        }
        instance
    }

    async fn main(self, cx: Cx<GraphlinePorts>) {
        let wired = self.wire(&cx);
        let reads_control = !self.passes_own("control", false);
        let tells_end = !self.passes_own("signal", true);
        let told = self.told_by_broadcast();
        drop(self);
        if wired.is_err() {
            return cx.end_with(wired);
        }
        let mut shutdown = None;
        loop {
            let mut heard = false;
            if reads_control && let Some(message) = cx.control.try_recv() {
                heard = true;
                broadcast(&cx, &cx._cs, &message, &told).await;
                if message.is_shutdown_microprocess() {
                    shutdown = Some(message);
                }
            }
            if !cx.reap_children() {
                break;
            }
            // One control message a step (CH-GRAPH-09); what lies in other own boxes is nobody's to read (D-23).
            if heard { cx.yield_now().await } else { cx.pause().await }
        }
        if tells_end {
            let last = shutdown.unwrap_or_else(Ipc::producer_finished);
            let _ = cx.signal.send_wait(last).await; // a control line takes any message
        }
    }
}
