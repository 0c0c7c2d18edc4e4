//! Who is woken when a message is taken out of an inbox (AX-BOX-10).
//!
//! The original calls every producer at each collection. Here only those are called that went to sleep: a process
//! that pauses tells the inboxes that its outboxes lead to, and the next collection there wakes it. The cost of a
//! collection does not grow with the number of producers, and the order of the wakes is the original's.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use super::slot::{AnySlot, SlotRef};
use crate::microprocess::Process;
use crate::scheduler::Core;
use crate::wait::Listener;

/// Those who wait for room or for any collection at one inbox.
#[derive(Default)]
pub struct Collections {
    /// The scheduler of the inbox's owner, once it is known.
    core: OnceCell<Rc<Core>>,
    /// Tick of the last collection.
    last: Cell<u64>,
    /// Whether anybody is in the two lists.
    anybody: Cell<bool>,
    paused: RefCell<Vec<Rc<Downlink>>>,
    /// Futures that wait for room for one message each; one is woken for each message taken.
    room: RefCell<VecDeque<Rc<RoomWaiter>>>,
}

impl Collections {
    /// Called after a message was taken out.
    pub(crate) fn collected(&self, owner: &Weak<Process>) {
        let core = match self.core.get() {
            Some(core) => core,
            None => {
                let Some(core) = owner.upgrade().and_then(|p| p.core().cloned()) else {
                    return self.wake();
                };
                self.core.get_or_init(|| core)
            }
        };
        self.last.set(core.tick());
        if self.anybody.get() {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        let mut paused = self.paused.take();
        // The order of the calls is that of linking, not that of falling asleep.
        paused.sort_by_key(|d| d.order);
        for d in &paused {
            d.waits.set(false);
            if let Some(p) = d.process.upgrade() {
                p.wake();
            }
        }
        paused.clear();
        self.paused.replace(paused);
        self.wake_one_for_room();
        self.anybody.set(!self.room.borrow().is_empty());
    }

    pub(crate) fn wake_one_for_room(&self) {
        let first = self.room.borrow_mut().pop_front();
        if let Some(waiter) = first {
            waiter.told.set(true);
            if let Some(listener) = waiter.listener.take() {
                listener.wake();
            }
        }
    }

    /// The waiters' outbox may lead elsewhere now: all of them look again.
    pub(crate) fn release_all(&self) {
        let waiting = self.room.borrow().len();
        for _ in 0..waiting {
            self.wake_one_for_room();
        }
    }

    pub(crate) fn wait_for_room(&self, waiter: &Rc<RoomWaiter>) {
        self.room.borrow_mut().push_back(waiter.clone());
        self.anybody.set(true);
    }

    pub(crate) fn forget(&self, waiter: &Rc<RoomWaiter>) {
        self.room.borrow_mut().retain(|w| !Rc::ptr_eq(w, waiter));
    }
}

/// A future that waits for room.
#[derive(Default)]
pub(crate) struct RoomWaiter {
    pub(crate) listener: RefCell<Option<Listener>>,
    pub(crate) told: Cell<bool>,
}

/// One outbox of a process, leading to one final inbox.
pub(crate) struct Downlink {
    process: Weak<Process>,
    inbox: Weak<dyn AnySlot>,
    /// Rises in the order in which outboxes were linked to their final inbox.
    order: u64,
    /// Whether it stands in the inbox's list.
    waits: Cell<bool>,
}

impl Downlink {
    pub(crate) fn new(process: &Rc<Process>, inbox: SlotRef, order: u64) -> Rc<Self> {
        let process = Rc::downgrade(process);
        Rc::new(Self { process, inbox: Rc::downgrade(&inbox), order, waits: Cell::new(false) })
    }

    /// Whether the inbox was collected from in the pass that began at `pass_start` of the process's scheduler.
    pub(crate) fn collected_since(&self, pass_start: u64) -> bool {
        let (Some(inbox), Some(process)) = (self.inbox.upgrade(), self.process.upgrade()) else {
            return false;
        };
        let Some(collections) = inbox.collections() else { return false };
        // Ticks of two schedulers cannot be compared.
        let same = match (collections.core.get(), process.core()) {
            (Some(a), Some(b)) => Rc::ptr_eq(a, b),
            _ => false,
        };
        same && collections.last.get() >= pass_start
    }

    /// Takes back [`Downlink::wait`]: the link is gone.
    pub(crate) fn cancel(self: &Rc<Self>) {
        if !self.waits.replace(false) {
            return;
        }
        if let Some(inbox) = self.inbox.upgrade()
            && let Some(collections) = inbox.collections()
        {
            collections.paused.borrow_mut().retain(|d| !Rc::ptr_eq(d, self));
        }
    }

    /// Has the next collection wake the process.
    pub(crate) fn wait(self: &Rc<Self>) {
        if self.waits.get() {
            return;
        }
        if let Some(inbox) = self.inbox.upgrade()
            && let Some(collections) = inbox.collections()
        {
            self.waits.set(true);
            collections.paused.borrow_mut().push(self.clone());
            collections.anybody.set(true);
        }
    }
}
