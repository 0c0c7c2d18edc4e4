//! Components of closures.

use std::cell::Cell;
use std::rc::Rc;

use axon::ports;
use axon::prelude::*;

ports! {
    /// The default boxes.
    pub struct Boxes {
        in  { inbox: Message, control: Ipc }
        out { outbox: Message, signal: Ipc }
    }
}

struct Scripted<F>(F);

impl<F: AsyncFnOnce(Cx<Boxes>) + 'static> Component for Scripted<F> {
    type Ports = Boxes;
    fn kind() -> &'static str {
        "test.Scripted"
    }
    async fn main(self, cx: Cx<Boxes>) {
        (self.0)(cx).await;
    }
}

/// A component with the default boxes and a body.
pub fn body(f: impl AsyncFnOnce(Cx<Boxes>) + 'static) -> Instance<Boxes> {
    Scripted(f).create()
}

/// A component with the default `main`: it yields once and ends (AX-MP-13).
pub fn plain() -> Instance<Boxes> {
    body(async |cx| cx.yield_now().await)
}

/// A new scheduler as this thread's default.
pub fn fresh() -> Scheduler {
    Scheduler::set_thread_default(None);
    Scheduler::new()
}

/// Finishes all passes before number `pass`.
pub fn to_pass(s: &Scheduler, pass: u64) {
    while s.pass() < pass {
        s.step().unwrap();
    }
}

/// A component that sleeps, and counts how often it ran.
pub fn sleeper() -> (Instance<Boxes>, Rc<Cell<u32>>) {
    let count = Rc::new(Cell::new(0));
    let theirs = count.clone();
    let c = body(async move |cx| {
        loop {
            theirs.set(theirs.get() + 1);
            cx.pause().await;
        }
    });
    (c, count)
}

/// The numbers in an inbox.
pub fn numbers(c: &Instance<Boxes>) -> Vec<i32> {
    c.inbox.drain().map(|m| m.downcast::<i32>().unwrap()).collect()
}

pub fn send(c: &Instance<Boxes>, n: i32) -> bool {
    c.outbox.send(Message::new(n)).is_ok()
}
