//! Tells of changes of the graph in the original's text protocol.

use std::collections::HashSet;
use std::fmt::{Display, Write};
use std::hash::Hash;
use std::time::Duration;

use super::{BoxId, Snapshot};
use crate::component::{Component, Cx};
use crate::id::ProcessId;
use crate::ipc::Ipc;
use crate::message::Message;

crate::ports! {
    /// Boxes of an [`Introspector`].
    pub struct IntrospectorPorts {
        in  { /// Unused.
              inbox: Message,
              /// Shutdown requests.
              control: Ipc }
        out { /// Changes of the graph.
              outbox: String,
              /// The message that ended it.
              signal: Ipc }
    }
}

/// Watches the scheduler that it runs on, and tells what changes (AX-INTRO-01 to 06).
///
/// What it sends can be drawn by Kamaelia's own visualiser (`Tools/AxonVisualiser`), over a TCP connection.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | unused |
/// | `control` | [`Ipc`] | `shutdownMicroprocess` ends it |
/// | `outbox` | [`String`] | first `DEL ALL`, then one message of several lines for each look that found a change |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// Prints the graph and its changes, looking ten times a second:
/// ```
/// use std::time::Duration;
///
/// use axon::introspect::Introspector;
/// use axon::prelude::*;
/// use axon::util::ConsoleEchoer;
///
/// let watcher = Pipeline::new()
///     .then(Introspector::new().every(Duration::from_millis(100)))
///     .then(ConsoleEchoer::new());
/// # drop(watcher);
/// ```
///
/// # How it works
/// One look a step, and no pause, as the original; so it keeps the processor busy unless told to
/// [rest between looks](Introspector::every).
///
/// # Shutdown
/// It passes a `shutdownMicroprocess` on and ends. Other control messages are dropped.
#[derive(Default)]
pub struct Introspector {
    rest: Option<Duration>,
}

impl Introspector {
    /// Looks in every pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sleeps for a time between looks.
    #[must_use]
    pub fn every(mut self, rest: Duration) -> Self {
        self.rest = Some(rest);
        self
    }
}

impl Component for Introspector {
    type Ports = IntrospectorPorts;

    /// The original's name.
    fn kind() -> &'static str {
        "Axon.Introspector.Introspector"
    }

    async fn main(self, cx: Cx<IntrospectorPorts>) {
        let _ = cx.outbox.send_wait("DEL ALL\n".into()).await; // a text always has the right type
        let mut before = Graph::default();
        loop {
            match self.rest {
                Some(rest) => cx.sleep(rest).await,
                None => cx.yield_now().await,
            }
            while let Some(message) = cx.control.try_recv() {
                if message.is_shutdown_microprocess() {
                    let _ = cx.signal.send_wait(message).await; // a control line takes any message
                    return;
                }
            }
            let now = Graph::of(&Snapshot::from_within(&cx));
            let changes = now.changes_since(&before);
            if !changes.is_empty()
                && let Err(e) = cx.outbox.send_wait(changes).await
            {
                log::warn!("a change of the graph was not told: {e}");
            }
            before = now;
        }
    }
}

/// What the protocol knows of.
#[derive(Default)]
struct Graph {
    components: Vec<(ProcessId, String)>,
    boxes: Vec<BoxId>,
    links: Vec<(BoxId, BoxId)>,
}

impl Graph {
    fn of(snapshot: &Snapshot) -> Self {
        let mut graph = Self::default();
        for c in snapshot.components.iter().filter(|c| c.is_component) {
            graph.components.push((c.id, c.name.clone()));
            let inboxes = c.inboxes.iter().map(|i| (true, &i.name));
            let outboxes = c.outboxes.iter().map(|o| (false, &o.name));
            let id =
                |(is_inbox, name): (bool, &String)| BoxId { component: c.id, is_inbox, name: name.clone() };
            graph.boxes.extend(inboxes.chain(outboxes).map(id));
        }
        graph.links = snapshot.linkages.iter().map(|l| (l.source.clone(), l.sink.clone())).collect();
        graph
    }

    /// All lines of one look, each with a line end (AX-INTRO-03); a link of a component to its own box is not deleted
    /// explicitly, because deleting the node implies it (AX-INTRO-05).
    fn changes_since(&self, before: &Self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        for (a, b) in missing(&before.links, &self.links) {
            let _ = writeln!(out, "DEL LINK {} {}", quoted(a), quoted(b));
        }
        for (id, _) in missing(&before.components, &self.components) {
            let _ = writeln!(out, "DEL NODE \"{id}\"");
        }
        for id in missing(&before.boxes, &self.boxes) {
            let _ = writeln!(out, "DEL NODE {}", quoted(id));
        }
        for (id, name) in missing(&self.components, &before.components) {
            let _ = writeln!(out, "ADD NODE \"{id}\" {} randompos component", quoted(name));
        }
        for id in missing(&self.boxes, &before.boxes) {
            let kind = if id.is_inbox { "inbox" } else { "outbox" };
            let _ = writeln!(out, "ADD NODE {} {} randompos {kind}", quoted(id), quoted(&id.name));
            let _ = writeln!(out, "ADD LINK \"{}\" {}", id.component, quoted(id));
        }
        for (a, b) in missing(&self.links, &before.links) {
            let _ = writeln!(out, "ADD LINK {} {}", quoted(a), quoted(b));
        }
        out
    }
}

/// A token as the visualiser reads it: what would end it is escaped, and a line end, which it cannot read, is a space.
/// The original escapes nothing, and a name with a quote makes the visualiser drop the line.
fn quoted(token: &impl Display) -> String {
    let mut out = "\"".to_string();
    for c in token.to_string().chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Those of `all` that are not among `others`, in order.
fn missing<'a, T: Eq + Hash>(all: &'a [T], others: &[T]) -> Vec<&'a T> {
    let others: HashSet<&T> = others.iter().collect();
    all.iter().filter(|x| !others.contains(x)).collect()
}
