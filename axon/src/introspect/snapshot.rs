//! A look at a scheduler.

use std::collections::HashSet;
use std::fmt;
use std::rc::{Rc, Weak};

use crate::boxes::{AnySlot, Direction, SlotRef};
use crate::component::{AnyInstance, Cx, Microprocess};
use crate::id::ProcessId;
use crate::linkage::Kind;
use crate::microprocess::{Process, State};
use crate::scheduler::{Core, Scheduler};

/// Everything that is known of a scheduler's graph at one moment.
///
/// ```
/// use axon::introspect::Snapshot;
/// use axon::prelude::*;
/// use axon::util::NullSink;
///
/// let scheduler = Scheduler::new();
/// let sink = scheduler.activate(NullSink::new());
/// scheduler.run_until_idle()?;
/// let snapshot = Snapshot::of(&scheduler);
/// assert_eq!(snapshot.components[0].name, sink.name());
/// assert!(snapshot.to_dot().starts_with("digraph"));
/// # Ok::<(), axon::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of the pass in which it was taken.
    pub pass: u64,
    /// All processes of the scheduler, in the order of their activation, then components that it does not run but
    /// that are linked to one that is here.
    pub components: Vec<ComponentInfo>,
    /// All links of their boxes, whoever made them.
    pub linkages: Vec<LinkageInfo>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentInfo {
    /// Its number.
    pub id: ProcessId,
    /// Its name.
    pub name: String,
    /// Whether it has boxes declared; a plain microprocess has not.
    pub is_component: bool,
    /// What it is doing.
    pub state: RunState,
    /// Its inboxes: declared ones in order, then added ones.
    pub inboxes: Vec<InboxInfo>,
    /// Its outboxes: declared ones in order, then added ones.
    pub outboxes: Vec<OutboxInfo>,
    /// The components that it adopted.
    pub children: Vec<ProcessId>,
}

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunState {
    /// It has not been activated.
    New,
    /// It will be stepped.
    Active,
    /// It waits to be woken.
    Asleep,
    /// It was told to stop, and goes at its next turn.
    Stopping,
    /// It has ended.
    Ended,
}

/// One inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxInfo {
    /// Its name.
    pub name: String,
    /// The type of its messages.
    pub message_type: &'static str,
    /// Messages in its own queue.
    pub waiting: usize,
    /// The most that its queue takes.
    pub bound: Option<usize>,
    /// Messages that have been put into its queue so far.
    pub received: u64,
}

/// One outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxInfo {
    /// Its name.
    pub name: String,
    /// The type of its messages.
    pub message_type: &'static str,
    /// Messages that it has delivered so far.
    pub sent: u64,
    /// Messages that were sent while it led nowhere.
    pub discarded: u64,
}

/// A box: its component's number, whether it is an inbox, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BoxId {
    /// The component's number.
    pub component: ProcessId,
    /// Whether it is an inbox; else it is an outbox.
    pub is_inbox: bool,
    /// Its name.
    pub name: String,
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkageInfo {
    /// What it joins.
    pub kind: Kind,
    /// Where messages come from.
    pub source: BoxId,
    /// Where they go.
    pub sink: BoxId,
}

impl Snapshot {
    /// Looks at a scheduler.
    pub fn of(scheduler: &Scheduler) -> Self {
        Self::of_core(scheduler.core())
    }

    /// Looks at the scheduler that runs this component.
    pub fn from_within<P>(cx: &Cx<P>) -> Self {
        Self::of_core(cx.core())
    }

    fn of_core(core: &Rc<Core>) -> Self {
        let mut processes = core.processes();
        let mut known: HashSet<ProcessId> = processes.iter().map(|p| p.id()).collect();
        let mut snapshot = Self { pass: core.pass(), components: Vec::new(), linkages: Vec::new() };
        // Grows while it is walked: what is linked to a known component becomes known.
        let mut at = 0;
        while let Some(process) = processes.get(at).cloned() {
            at += 1;
            let look = Look::at(&process);
            for other in look.neighbours {
                if known.insert(other.id()) {
                    processes.push(other);
                }
            }
            snapshot.components.push(look.info);
            snapshot.linkages.extend(look.linkages);
        }
        snapshot
    }

    /// The component with that number.
    pub fn component(&self, id: ProcessId) -> Option<&ComponentInfo> {
        self.components.iter().find(|c| c.id == id)
    }
}

struct Look {
    info: ComponentInfo,
    /// Links that start here.
    linkages: Vec<LinkageInfo>,
    neighbours: Vec<Rc<Process>>,
}

impl Look {
    fn at(process: &Rc<Process>) -> Self {
        let any = AnyInstance::from_process(process.clone());
        let info = ComponentInfo {
            id: process.id(),
            name: process.name(),
            is_component: process.ports().is_some(),
            state: RunState::of(process.state()),
            inboxes: Vec::new(),
            outboxes: Vec::new(),
            children: any.children().iter().map(|c| c.id()).collect(),
        };
        let mut look = Self { info, linkages: Vec::new(), neighbours: Vec::new() };
        // Outboxes first: their links come first in the original's output.
        for (name, message_type, slot) in boxes(process, Direction::Out) {
            let (mut sent, mut discarded) = (0, 0);
            if let Some(slot) = slot {
                look.follow(&slot);
                (sent, discarded) = (slot.passed(), slot.discarded());
            }
            look.info.outboxes.push(OutboxInfo { name, message_type, sent, discarded });
        }
        for (name, message_type, slot) in boxes(process, Direction::In) {
            let (mut waiting, mut bound, mut received) = (0, None, 0);
            if let Some(slot) = slot {
                look.follow(&slot);
                (waiting, bound, received) = (slot.own_len(), slot.bound(), slot.passed());
            }
            look.info.inboxes.push(InboxInfo { name, message_type, waiting, bound, received });
        }
        look
    }

    fn follow(&mut self, slot: &SlotRef) {
        let wires = slot.wires().borrow();
        if let Some(next) = &wires.next
            && let (Some(source), Some(sink)) = (BoxId::of(&**slot), BoxId::of(&**next))
        {
            let kind = match (source.is_inbox, sink.is_inbox) {
                (true, _) => Kind::PassIn,
                (false, true) => Kind::Normal,
                (false, false) => Kind::PassOut,
            };
            self.linkages.push(LinkageInfo { kind, source, sink });
        }
        let upstream = wires.sources.iter().filter_map(Weak::upgrade);
        let owners = upstream.chain(wires.next.clone()).filter_map(|s| s.owner().upgrade());
        self.neighbours.extend(owners);
    }
}

/// Name, type and working part of each box. A box that was never used has no working part yet, and looking at it
/// must not make one: a picture of a million idle components would make them big.
fn boxes(process: &Rc<Process>, direction: Direction) -> Vec<(String, &'static str, Option<SlotRef>)> {
    let extras = process.extras_if_any();
    let mut found = Vec::new();
    if let Some(ports) = process.ports() {
        let infos = if direction == Direction::In { ports.inboxes() } else { ports.outboxes() };
        for (i, info) in infos.iter().enumerate() {
            if extras.is_some_and(|e| e.dynamic.borrow().is_deleted(direction, info.name)) {
                continue;
            }
            let slot = match direction {
                Direction::In => ports.inbox(i).slot_if_any(),
                Direction::Out => ports.outbox(i).slot_if_any(),
            };
            found.push((info.name.to_string(), info.type_name(), slot));
        }
    }
    if let Some(extras) = extras {
        let dynamic = extras.dynamic.borrow();
        let mut add =
            |name: &str, slot: SlotRef| found.push((name.to_string(), slot.type_name(), Some(slot)));
        match direction {
            Direction::In => dynamic.inboxes().for_each(|(n, b)| add(n, b.slot())),
            Direction::Out => dynamic.outboxes().for_each(|(n, b)| add(n, b.slot())),
        }
    }
    found
}

impl BoxId {
    fn of(slot: &dyn AnySlot) -> Option<Self> {
        let component = slot.owner().upgrade()?.id();
        Some(Self { component, is_inbox: slot.direction() == Direction::In, name: slot.name() })
    }
}

/// The form of the original: `(7, 'o', 'outbox')` (AX-INTRO-04).
impl fmt::Display for BoxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.is_inbox { 'i' } else { 'o' };
        write!(f, "({}, '{letter}', '{}')", self.component, self.name)
    }
}

impl RunState {
    fn of(state: State) -> Self {
        match state {
            State::New => Self::New,
            State::Activating | State::Active | State::Leaving | State::Woken => Self::Active,
            State::Sleeping => Self::Asleep,
            State::Stopping => Self::Stopping,
            State::Stopped => Self::Ended,
        }
    }
}
