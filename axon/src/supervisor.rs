//! A component that starts its children again when they fail. The original has none.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::component::{AnyInstance, Component, Cx, Microprocess};
use crate::error::{BoxError, Cause, LinkError};
use crate::ipc::Ipc;
use crate::linkage::LinkOptions;
use crate::message::Message;
use crate::microprocess::State;
use crate::scheduler::panic_text;

crate::ports! {
    /// Boxes of a [`Supervisor`].
    pub struct SupervisorPorts {
        in  { /// Unused.
              inbox: Message,
              /// Shutdown requests.
              control: Ipc }
        out { /// What happens to the children.
              outbox: SupervisorEvent,
              /// Passed on, or a `producerFinished` when all children have ended by themselves.
              signal: Ipc,
              /// To the `control` of a child that is to end.
              _cs: Ipc }
    }
}

/// Who is started again when one child is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strategy {
    /// That one.
    #[default]
    OneForOne,
    /// All: the others are ended first.
    OneForAll,
}

/// When a child is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Restart {
    /// When it has failed; a normal end is an end.
    #[default]
    Failed,
    /// Whenever it has ended.
    Always,
    /// Never.
    Never,
}

/// What happened to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SupervisorEvent {
    /// It was made and activated.
    Started {
        /// Its name with the supervisor.
        child: String,
    },
    /// It failed, or could not be made.
    Failed {
        /// Its name with the supervisor.
        child: String,
        /// What happened.
        cause: String,
    },
    /// It has ended normally.
    Ended {
        /// Its name with the supervisor.
        child: String,
    },
}

/// Why a supervisor failed itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum SupervisorError {
    /// Children had to be started again too often.
    TooManyRestarts {
        /// The child that ended last.
        child: String,
        /// Why it ended.
        cause: String,
        /// So many restarts were allowed.
        restarts: usize,
        /// In this time.
        within: Duration,
    },
    /// A link of the table, or one that the program makes, was refused.
    Link(LinkError),
    /// The table names a child that there is none of.
    NoSuchChild(String),
}

impl fmt::Display for SupervisorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRestarts { child, cause, restarts, within } => {
                write!(f, "more than {restarts} restarts in {within:?}; the last was of {child:?}: {cause}")
            }
            Self::Link(e) => e.fmt(f),
            Self::NoSuchChild(name) => write!(f, "there is no child {name:?}"),
        }
    }
}

impl std::error::Error for SupervisorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Link(e) => Some(e),
            _ => None,
        }
    }
}

/// Keeps components running: it makes its children by factories, is told when one fails, and makes a new one.
///
/// ```
/// use std::time::Duration;
///
/// use axon::prelude::*;
/// use axon::supervisor::{Strategy, Supervisor};
/// use axon::util::{NullSink, PureTransformer};
///
/// let supervisor = Supervisor::new()
///     .strategy(Strategy::OneForOne)
///     .limit(3, Duration::from_secs(5))
///     .child("parser", || PureTransformer::new(|s: String| Some(s.parse::<u32>().unwrap())))
///     .child("sink", NullSink::new)
///     .link(("parser", "outbox"), ("sink", "inbox"));
/// # drop(supervisor);
/// ```
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | unused |
/// | `control` | [`Ipc`] | any message ends the children, then the supervisor |
/// | `outbox` | [`SupervisorEvent`] | what happens to the children |
/// | `signal` | [`Ipc`] | the control message passed on, or a `producerFinished` when all children have ended |
/// | `_cs` | [`Ipc`] | outbox, to the `control` of a child that is to end |
///
/// # How it works
/// A failure of a child, error or panic, does not reach the scheduler's policy (AX-SCHED-11): the supervisor is told,
/// and the run goes on. The child has been closed down by then. The new one takes its place in the children's table of
/// links, and with [`Strategy::OneForOne`] it is given the messages that the failed one had not read (all inboxes but
/// `control`). The message that it failed over was read, and is gone. Links to components outside are made by the
/// [callback](Supervisor::wire); whatever they are, they are undone with the child if they were made through the
/// callback's context.
///
/// # Shutdown
/// The children are told the control message one after the other, each when the one before has ended: in the order of
/// their making for a `producerFinished`, so that data runs off downstream, else the last first. One that has not ended
/// [in time](Supervisor::grace), or has no `control`, is stopped. Then the message is passed on. If the supervisor is
/// stopped itself, its children are stopped with it.
///
/// # Errors
/// It fails, after ending its children, when more restarts were needed than its [limit](Supervisor::limit) allows, or
/// when a link is refused. Its own supervisor is told, if it has one; else the scheduler does what it does with failures.
#[derive(Default)]
pub struct Supervisor {
    strategy: Strategy,
    limit: Limit,
    grace: Grace,
    children: Children,
    links: Vec<((String, String), (String, String))>,
    wire: Option<Wire>,
    backlog: VecDeque<SupervisorEvent>,
}

type Factory = Box<dyn FnMut() -> AnyInstance>;
type Wire = Box<dyn FnMut(&Cx<SupervisorPorts>, &str, &AnyInstance) -> Result<(), LinkError>>;

struct Limit {
    restarts: usize,
    within: Duration,
    recent: VecDeque<Instant>,
}

struct Grace(Duration);

struct Child {
    name: String,
    restart: Restart,
    factory: Factory,
    instance: Option<AnyInstance>,
    /// Why the last one failed; it is put there when it does.
    failure: Rc<RefCell<Option<Cause>>>,
}

/// Stops those that are left, however the supervisor goes.
#[derive(Default)]
struct Children(Vec<Child>);

impl Supervisor {
    /// Without children: one for one, three restarts within 5 s, 5 s for a child to end.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says who is started again.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Allows so many restarts within a time of the scheduler's clock; with one more, the supervisor gives up.
    #[must_use]
    pub fn limit(mut self, restarts: usize, within: Duration) -> Self {
        self.limit = Limit { restarts, within, recent: VecDeque::new() };
        self
    }

    /// Gives each child that is told to end so much time, by the scheduler's clock, before it is stopped.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = Grace(time);
        self
    }

    /// Adds a child, which is started again when it has failed.
    #[must_use]
    pub fn child<A: Into<AnyInstance>>(self, name: &str, factory: impl FnMut() -> A + 'static) -> Self {
        self.child_with(name, Restart::default(), factory)
    }

    /// Adds a child, and says when it is started again. The factory must give a component that was never activated.
    #[must_use]
    pub fn child_with<A: Into<AnyInstance>>(
        mut self,
        name: &str,
        restart: Restart,
        mut factory: impl FnMut() -> A + 'static,
    ) -> Self {
        self.children.0.push(Child {
            name: name.into(),
            restart,
            factory: Box::new(move || factory().into()),
            instance: None,
            failure: Rc::default(),
        });
        self
    }

    /// Links an outbox of one child to an inbox of another, now and whenever one of them is started again.
    #[must_use]
    pub fn link(mut self, from: (&str, &str), to: (&str, &str)) -> Self {
        let own = |(child, name): (&str, &str)| (child.to_string(), name.to_string());
        self.links.push((own(from), own(to)));
        self
    }

    /// Has `wire` make whatever else a child needs, each time that one was made, before it runs: links to components
    /// outside, say. It gets the supervisor's context, the child's name and the child.
    #[must_use]
    pub fn wire(
        mut self,
        wire: impl FnMut(&Cx<SupervisorPorts>, &str, &AnyInstance) -> Result<(), LinkError> + 'static,
    ) -> Self {
        self.wire = Some(Box::new(wire));
        self
    }

    async fn supervise(&mut self, cx: &Cx<SupervisorPorts>) -> Result<(), SupervisorError> {
        let known = |(child, _): &(String, String)| self.children.0.iter().any(|c| c.name == *child);
        if let Some((name, _)) = self.links.iter().flat_map(|(a, b)| [a, b]).find(|end| !known(end)) {
            return Err(SupervisorError::NoSuchChild(name.clone()));
        }
        let all: Vec<usize> = (0..self.children.0.len()).collect();
        self.start(cx, &all)?;
        loop {
            let down = self.children.0.iter().position(Child::is_down);
            if let Some(i) = down {
                self.went_down(cx, i).await?;
            }
            self.tell(cx);
            if self.children.0.iter().all(|c| c.instance.is_none() && !c.is_down()) {
                let _ = cx.signal.send(Ipc::producer_finished_by(cx.id()));
                return Ok(());
            }
            if let Some(message) = cx.control.try_recv() {
                self.end_all(cx, &message).await;
                let _ = cx.signal.send(message);
                return Ok(());
            }
            match down {
                // A child that fails at once, again and again, must not keep the others from running.
                Some(_) => cx.yield_now().await,
                None => cx.pause().await,
            }
        }
    }

    /// A child has ended, however.
    async fn went_down(&mut self, cx: &Cx<SupervisorPorts>, i: usize) -> Result<(), SupervisorError> {
        let child = &mut self.children.0[i];
        let (name, cause) = (child.name.clone(), child.failure.take().map(|c| c.to_string()));
        self.backlog.push_back(match &cause {
            Some(cause) => SupervisorEvent::Failed { child: name.clone(), cause: cause.clone() },
            None => SupervisorEvent::Ended { child: name.clone() },
        });
        let again = match child.restart {
            Restart::Failed => cause.is_some(),
            Restart::Always => true,
            Restart::Never => false,
        };
        if !again {
            self.forget(cx, i);
            return Ok(());
        }
        let cause = cause.unwrap_or_else(|| "it ended".into());
        log::warn!("{}: child {name:?} is started again: {cause}", cx.name());
        if !self.limit.allows(cx.core().now()) {
            let Limit { restarts, within, .. } = self.limit;
            return Err(SupervisorError::TooManyRestarts { child: name, cause, restarts, within });
        }
        match self.strategy {
            Strategy::OneForOne => self.start(cx, &[i]),
            Strategy::OneForAll => {
                // One that has ended meanwhile by itself has ended; what is never started again is not.
                let comes_back = |c: &Child| match c.restart {
                    Restart::Never => false,
                    Restart::Always => c.instance.is_some(),
                    Restart::Failed => c.failure.borrow().is_some() || c.instance.is_some() && !c.is_down(),
                };
                let all = 0..self.children.0.len();
                let again: Vec<usize> = all.filter(|j| *j == i || comes_back(&self.children.0[*j])).collect();
                self.end_all(cx, &Ipc::shutdown_microprocess()).await;
                self.start(cx, &again)
            }
        }
    }

    /// Makes children, links them with each other and with those that are there, and activates them, in order.
    fn start(&mut self, cx: &Cx<SupervisorPorts>, which: &[usize]) -> Result<(), SupervisorError> {
        let mut made = Vec::new();
        for i in which {
            let old = self.children.0[*i].instance.clone();
            let child = &mut self.children.0[*i];
            match catch_unwind(AssertUnwindSafe(&mut child.factory)) {
                Ok(new) if new.process().state() == State::New => {
                    if let Some(old) = &old {
                        hand_over(cx, old, &new);
                    }
                    self.forget(cx, *i);
                    let child = &mut self.children.0[*i];
                    let failure = Rc::new(RefCell::new(None));
                    child.failure = failure.clone();
                    new.on_failure(move |f| *failure.borrow_mut() = Some(f.cause));
                    cx.add_child(&new);
                    child.instance = Some(new);
                    made.push(*i);
                }
                Ok(_) => {
                    let e = "its factory gave a component that had been activated";
                    child.failure.replace(Some(Cause::Error(e.into())));
                }
                Err(payload) => {
                    child.failure.replace(Some(Cause::Panic(panic_text(&*payload))));
                }
            }
        }
        for ((from, out), (to, inbox)) in &self.links {
            let find = |name: &str| self.children.0.iter().position(|c| c.name == name);
            let (Some(a), Some(b)) = (find(from), find(to)) else { continue };
            if !made.contains(&a) && !made.contains(&b) {
                continue;
            }
            if let (Some(a), Some(b)) = (&self.children.0[a].instance, &self.children.0[b].instance) {
                cx.link((a, &**out), (b, &**inbox)).map_err(SupervisorError::Link)?;
            }
        }
        for i in made {
            let child = &self.children.0[i];
            let Some(instance) = child.instance.clone() else { continue };
            if let Some(wire) = &mut self.wire {
                wire(cx, &child.name, &instance).map_err(SupervisorError::Link)?;
            }
            self.backlog.push_back(SupervisorEvent::Started { child: child.name.clone() });
            cx.activate(&instance);
        }
        Ok(())
    }

    fn forget(&mut self, cx: &Cx<SupervisorPorts>, i: usize) {
        if let Some(old) = self.children.0[i].instance.take() {
            cx.remove_child(&old); // with the links that were made for it
        }
    }

    /// Ends all children that are there, one after the other.
    async fn end_all(&mut self, cx: &Cx<SupervisorPorts>, message: &Ipc) {
        let mut order: Vec<usize> = (0..self.children.0.len()).collect();
        if !message.is_producer_finished() {
            order.reverse();
        }
        for i in order {
            if let Some(instance) = self.children.0[i].instance.clone() {
                self.end(cx, &instance, message).await;
                let child = &mut self.children.0[i];
                if let Some(cause) = child.failure.take() {
                    log::warn!("{}: child {:?} failed while it was ended: {cause}", cx.name(), child.name);
                }
                self.forget(cx, i);
            }
        }
    }

    async fn end(&self, cx: &Cx<SupervisorPorts>, child: &AnyInstance, message: &Ipc) {
        let gone = || child.process().state() == State::Stopped;
        let told = || {
            let linkage = cx.link((cx, "_cs"), (child, "control")).ok()?;
            let sent = cx._cs.send(message.clone());
            cx.unlink(&linkage);
            sent.ok()
        };
        // One that was never activated cannot read what it is told.
        if !gone() && child.process().state() != State::New && told().is_some() {
            let mut late = pin!(cx.sleep(self.grace.0));
            // The end of a child wakes this component, and so does the timer.
            poll_fn(|task| if gone() { Poll::Ready(()) } else { late.as_mut().poll(task) }).await;
        }
        child.stop();
        poll_fn(|_| if gone() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Sends the events that fit; the others are sent when there is room.
    fn tell(&mut self, cx: &Cx<SupervisorPorts>) {
        while let Some(event) = self.backlog.pop_front() {
            if let Err(e) = cx.outbox.send(event) {
                if e.is_full() {
                    self.backlog.push_front(e.into_message());
                    return;
                }
                log::warn!("{}: an event was not told: {e}", cx.name());
            }
        }
    }
}

impl Component for Supervisor {
    type Ports = SupervisorPorts;

    async fn main(mut self, cx: Cx<SupervisorPorts>) {
        let outcome = self.supervise(&cx).await;
        if outcome.is_err() {
            self.end_all(&cx, &Ipc::shutdown_microprocess()).await;
        }
        self.tell(&cx);
        cx.end_with(outcome.map_err(BoxError::from));
    }
}

impl Child {
    /// Whether it has ended and been closed down, or could not be made.
    fn is_down(&self) -> bool {
        match &self.instance {
            Some(instance) => instance.process().state() == State::Stopped,
            None => self.failure.borrow().is_some(),
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &self.0 {
            if let Some(instance) = &child.instance {
                instance.stop();
            }
        }
    }
}

impl Limit {
    fn allows(&mut self, now: Instant) -> bool {
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|at| now.saturating_duration_since(*at) > self.within) {
            self.recent.pop_front();
        }
        self.recent.len() <= self.restarts
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self { restarts: 3, within: Duration::from_secs(5), recent: VecDeque::new() }
    }
}

impl Default for Grace {
    fn default() -> Self {
        Self(Duration::from_secs(5))
    }
}

/// Moves what the old component had not read to the new one: a link from inbox to inbox does so (AX-BOX-05).
fn hand_over(cx: &Cx<SupervisorPorts>, old: &AnyInstance, new: &AnyInstance) {
    for name in old.inboxes().iter().filter(|n| *n != "control") {
        if old.data_ready(name).unwrap_or(0) == 0 {
            continue;
        }
        match cx.link_with((old, &**name), (new, &**name), LinkOptions::pass_in()) {
            Ok(linkage) => cx.unlink(&linkage),
            Err(e) => log::warn!("{}: unread messages were not handed over: {e}", cx.name()),
        }
    }
}
