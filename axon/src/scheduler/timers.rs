//! Timers of a scheduler: a heap of deadlines.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use super::Core;
use crate::wait::Listener;

#[derive(Default)]
pub(crate) struct Timers {
    heap: RefCell<BinaryHeap<Entry>>,
    /// Entries in the heap whose sleeper has gone.
    abandoned: Cell<usize>,
    serial: Cell<u64>,
}

struct Entry {
    at: Instant,
    /// Timers for the same moment fire in the order of their making.
    serial: u64,
    alarm: Rc<Alarm>,
}

#[derive(Default)]
struct Alarm {
    fired: Cell<bool>,
    abandoned: Cell<bool>,
    listener: RefCell<Option<Listener>>,
}

impl Timers {
    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        let mut heap = self.heap.borrow_mut();
        while heap.peek().is_some_and(|e| e.alarm.abandoned.get()) {
            heap.pop();
            self.abandoned.set(self.abandoned.get() - 1);
        }
        heap.peek().map(|e| e.at)
    }

    /// Wakes everybody whose time has come.
    pub(crate) fn fire(&self, now: Instant) {
        while self.next().is_some_and(|at| at <= now) {
            let Some(entry) = self.heap.borrow_mut().pop() else { return };
            entry.alarm.fired.set(true);
            if let Some(listener) = entry.alarm.listener.take() {
                listener.wake();
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.borrow().is_empty()
    }

    fn add(&self, at: Instant) -> Rc<Alarm> {
        let alarm = Rc::new(Alarm::default());
        let serial = self.serial.get();
        self.serial.set(serial + 1);
        self.heap.borrow_mut().push(Entry { at, serial, alarm: alarm.clone() });
        alarm
    }

    /// Forgets an alarm. Abandoned ones are swept when they are the greater part, so that a program that keeps
    /// starting long sleeps and dropping them does not grow.
    fn abandon(&self, alarm: &Alarm) {
        if alarm.fired.get() || alarm.abandoned.replace(true) {
            return;
        }
        self.abandoned.set(self.abandoned.get() + 1);
        let mut heap = self.heap.borrow_mut();
        if self.abandoned.get() > 64 && self.abandoned.get() * 2 > heap.len() {
            heap.retain(|e| !e.alarm.abandoned.get());
            self.abandoned.set(0);
        }
    }
}

/// Sleeps until a moment of the scheduler's clock. Made by [`Cx::sleep`](crate::Cx::sleep).
pub struct Sleep {
    core: Weak<Core>,
    at: Instant,
    alarm: Option<Rc<Alarm>>,
}

impl Sleep {
    pub(crate) fn until(core: &Rc<Core>, at: Instant) -> Self {
        Self { core: Rc::downgrade(core), at, alarm: None }
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(core) = self.core.upgrade() else { return Poll::Pending };
        if self.at <= core.now() || self.alarm.as_ref().is_some_and(|a| a.fired.get()) {
            return Poll::Ready(());
        }
        let at = self.at;
        let alarm = self.alarm.get_or_insert_with(|| core.timers().add(at));
        *alarm.listener.borrow_mut() = Some(core.listener(cx));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some(alarm), Some(core)) = (&self.alarm, self.core.upgrade()) {
            core.timers().abandon(alarm);
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    /// The earliest is the greatest, since the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}
