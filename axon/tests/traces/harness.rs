//! Scripted components that log `<name> <text>` with the number of the pass.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use axon::prelude::*;
use axon::{ProcessId, SchedulerOptions, ports};

ports! {
    /// The default boxes.
    pub(crate) struct Boxes {
        in  { inbox: Message, control: Ipc }
        out { outbox: Message, signal: Ipc }
    }
}

thread_local! {
    /// Each test runs on a thread of its own.
    static CURRENT: RefCell<Option<Trace>> = const { RefCell::new(None) };
}

#[derive(Clone)]
pub(crate) struct Trace {
    pub(crate) scheduler: Scheduler,
    entries: Rc<RefCell<Vec<(u64, String)>>>,
    labels: Rc<RefCell<BTreeMap<ProcessId, String>>>,
}

/// Starts the trace of this test's thread.
pub(crate) fn trace() -> Trace {
    trace_with(SchedulerOptions::default())
}

pub(crate) fn shuffled(seed: u64) -> Trace {
    trace_with(SchedulerOptions { shuffle: Some(seed), ..SchedulerOptions::default() })
}

pub(crate) fn trace_with(options: SchedulerOptions) -> Trace {
    let scheduler = Scheduler::with_options(options);
    Scheduler::set_thread_default(Some(scheduler.clone()));
    let t = Trace { scheduler, entries: Rc::default(), labels: Rc::default() };
    CURRENT.set(Some(t.clone()));
    t
}

/// Logs an entry in the current pass.
pub(crate) fn log(entry: impl Into<String>) {
    CURRENT.with_borrow(|t| {
        let t = t.as_ref().expect("a trace was started");
        t.entries.borrow_mut().push((t.scheduler.pass(), entry.into()));
    });
}

/// Gives a process its name in the listing.
pub(crate) fn label(process: &impl Microprocess, name: &str) {
    CURRENT.with_borrow(|t| {
        let t = t.as_ref().expect("a trace was started");
        t.labels.borrow_mut().insert(process.id(), name.into());
    });
}

/// A component with the default boxes and a body.
pub(crate) fn actor(name: &str, body: impl AsyncFnOnce(Actor) + 'static) -> Instance<Boxes> {
    let instance = Scripted { name: name.into(), body }.create();
    label(&instance, name);
    instance
}

/// Logs the stop hook, and the close-down hook if asked.
pub(crate) fn log_end(process: &impl Microprocess, name: &str, close_down: bool) {
    let n = name.to_string();
    process.on_stop(move || log(format!("{n} stop")));
    if close_down {
        let n = name.to_string();
        process.on_close_down(move || log(format!("{n} closedown")));
    }
}

struct Scripted<F> {
    name: Rc<str>,
    body: F,
}

impl<F: AsyncFnOnce(Actor) + 'static> Component for Scripted<F> {
    type Ports = Boxes;
    async fn main(self, cx: Cx<Boxes>) {
        (self.body)(Actor { cx, name: self.name }).await;
    }
}

/// What a scripted body sees.
pub(crate) struct Actor {
    cx: Cx<Boxes>,
    name: Rc<str>,
}

impl Deref for Actor {
    type Target = Cx<Boxes>;
    fn deref(&self) -> &Cx<Boxes> {
        &self.cx
    }
}

impl Actor {
    pub(crate) fn log(&self, text: impl std::fmt::Display) {
        log(format!("{} {text}", self.name));
    }

    /// All messages, as Python prints a list.
    pub(crate) fn list_inbox(&self) -> String {
        list(self.inbox.drain().collect())
    }
}

pub(crate) fn list(messages: Vec<Message>) -> String {
    let text = |m: &Message| if m.as_text().is_some() { format!("'{m}'") } else { m.to_string() };
    format!("[{}]", messages.iter().map(text).collect::<Vec<_>>().join(", "))
}

impl Trace {
    pub(crate) fn activate<P>(&self, all: &[&Instance<P>]) {
        for i in all {
            self.scheduler.activate(*i);
        }
    }

    /// Runs to the end.
    pub(crate) fn run(&self) -> String {
        self.scheduler.run().unwrap();
        self.text()
    }

    /// The listing so far.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut last = None;
        for (pass, entry) in self.entries.borrow().iter() {
            if last == Some(*pass) {
                text += " | ";
            } else {
                text += if last.is_some() { "\n" } else { "" };
                text += &format!("p{pass}: ");
                last = Some(*pass);
            }
            text += entry;
        }
        let labels = self.labels.borrow();
        let mut left: Vec<_> =
            self.scheduler.processes().iter().map(|p| format!("'{}'", labels[&p.id()])).collect();
        left.sort();
        text += if last.is_some() { "\n" } else { "" };
        text + &format!("end pass={} left=[{}]\n", self.scheduler.pass(), left.join(", "))
    }

    /// What each process logged, in order, whatever the passes: the part of a trace that must not depend on the order
    /// of processes.
    pub(crate) fn by_process(&self) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (_, entry) in self.entries.borrow().iter() {
            let (name, text) = entry.split_once(' ').expect("an entry is a name and a text");
            all.entry(name.into()).or_default().push(text.into());
        }
        all
    }
}

/// Runs a program in order and compares its listing; then runs it shuffled, and compares what each process did.
#[track_caller]
pub(crate) fn check_in_any_order(expected: &str, build: impl Fn(&Trace)) {
    let t = trace();
    build(&t);
    assert_eq!(t.run(), expected);
    let in_order = t.by_process();
    for seed in 1..=if cfg!(miri) { 1 } else { 40 } {
        let t = shuffled(seed);
        build(&t);
        t.run();
        assert_eq!(t.by_process(), in_order, "seed {seed}");
    }
}
