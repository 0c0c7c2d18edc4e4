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
    room: OnceCell<Rc<Room>>,
}

/// Futures that wait for room for one message each.
///
/// For each message taken the first of them is told, and the room is promised to it: another that asks later goes to
/// the end of the queue, even if it comes to send earlier. Otherwise the first to run would take all there is.
#[derive(Default)]
pub(crate) struct Room {
    /// Messages' worth of room that was promised and not used yet.
    promised: Cell<usize>,
    queue: RefCell<VecDeque<Rc<RoomWaiter>>>,
}

impl Collections {
    /// Called when room was made.
    pub(crate) fn collected(&self, owner: &Weak<Process>) {
        if !self.note(owner) {
            self.wake();
        }
    }

    /// Notes a collection. False if somebody is to be woken by [`Collections::wake`].
    pub(crate) fn note(&self, owner: &Weak<Process>) -> bool {
        match self.core.get() {
            Some(core) => self.last.set(core.tick()),
            None => self.note_first(owner),
        }
        !self.anybody.get()
    }

    #[cold]
    fn note_first(&self, owner: &Weak<Process>) {
        if let Some(core) = owner.upgrade().and_then(|p| p.core().cloned()) {
            self.last.set(core.tick());
            self.core.get_or_init(|| core);
        }
    }

    #[cold]
    pub(crate) fn wake(&self) {
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
        let room = self.room.get();
        if let Some(room) = room {
            room.tell_one();
        }
        self.anybody.set(room.is_some_and(|r| !r.queue.borrow().is_empty()));
    }

    /// Tells so many more waiters that there is room: the bound was raised.
    pub(crate) fn more_room(&self, messages: usize) {
        if let Some(room) = self.room.get() {
            let waiting = room.queue.borrow().len();
            (0..messages.min(waiting)).for_each(|_| room.tell_one());
        }
    }

    /// The waiters' outbox may lead elsewhere now: all of them look again.
    pub(crate) fn release_all(&self) {
        if let Some(room) = self.room.get() {
            let all = room.queue.take();
            all.iter().for_each(|w| w.tell());
        }
    }

    /// Whether somebody who wants to send one message has to wait behind others, with `free` messages of room left.
    pub(crate) fn others_wait(&self, free: impl FnOnce() -> usize) -> bool {
        self.room.get().is_some_and(|r| {
            !r.queue.borrow().is_empty() || r.promised.get() > 0 && free() <= r.promised.get()
        })
    }

    /// Queues; at the head, if it was told and found that somebody had sent without asking.
    pub(crate) fn wait_for_room(&self, waiter: &Rc<RoomWaiter>, at_head: bool) {
        let mut queue = self.room.get_or_init(Rc::default).queue.borrow_mut();
        if at_head {
            queue.push_front(waiter.clone());
        } else {
            queue.push_back(waiter.clone());
        }
        self.anybody.set(true);
    }

    pub(crate) fn forget(&self, waiter: &Rc<RoomWaiter>) {
        if let Some(room) = self.room.get() {
            room.queue.borrow_mut().retain(|w| !Rc::ptr_eq(w, waiter));
        }
    }

    /// Whether the promise is one of this inbox.
    pub(crate) fn gave(&self, promise: &Promise) -> bool {
        self.room.get().is_some_and(|r| Rc::ptr_eq(r, &promise.room))
    }
}

impl Room {
    fn tell_one(self: &Rc<Self>) {
        let first = self.queue.borrow_mut().pop_front();
        if let Some(waiter) = first {
            self.promised.set(self.promised.get() + 1);
            waiter.promise.replace(Some(Promise { room: self.clone(), used: Cell::new(false) }));
            waiter.tell();
        }
    }
}

/// Room for one message. Dropped unused it goes to the next.
pub(crate) struct Promise {
    room: Rc<Room>,
    used: Cell<bool>,
}

impl Promise {
    /// The room is used, or there turned out to be none.
    pub(crate) fn redeem(self) {
        self.used.set(true);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.room.promised.set(self.room.promised.get() - 1);
        if !self.used.get() {
            self.room.tell_one();
        }
    }
}

/// A future that waits for room.
#[derive(Default)]
pub(crate) struct RoomWaiter {
    pub(crate) listener: RefCell<Option<Listener>>,
    pub(crate) told: Cell<bool>,
    pub(crate) promise: RefCell<Option<Promise>>,
}

impl RoomWaiter {
    fn tell(&self) {
        self.told.set(true);
        if let Some(listener) = self.listener.take() {
            listener.wake();
        }
    }
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
