//! The queues between a thread and its proxy.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use super::bell::Bell;
use super::lane::{self, OutwardReceiver, OutwardSender};
use crate::boxes::{InSlot, Inbox, Outbox, PortInfo};
use crate::error::SendError;

/// The component has ended, so nothing will come any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the component of this thread has ended")
    }
}

impl std::error::Error for Disconnected {}

/// What both sides share.
pub(crate) struct Shared {
    /// Wakes the thread.
    pub(crate) bell: Bell,
    /// Wakes the proxy.
    pub(crate) waker: Waker,
    /// Set when the proxy is gone.
    pub(crate) closed: AtomicBool,
}

impl Shared {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// An inbox as its component's thread sees it.
pub struct ThreadInbox<T> {
    lane: Arc<lane::Inward<T>>,
    shared: Arc<Shared>,
    /// Taken from the lane in one go and not yet received.
    batch: RefCell<VecDeque<T>>,
    /// Received, and not counted as such on the lane.
    uncounted: Cell<usize>,
}

/// An outbox as its component's thread sees it.
pub struct ThreadOutbox<T> {
    lane: OutwardSender<T>,
    shared: Arc<Shared>,
}

impl<T: Send + 'static> ThreadInbox<T> {
    /// Takes the oldest message, if there is one.
    pub fn try_recv(&self) -> Option<T> {
        let mut batch = self.batch.borrow_mut();
        if batch.is_empty() {
            self.lane.take_all(&mut batch);
        }
        let message = batch.pop_front()?;
        let uncounted = self.uncounted.get() + 1;
        self.uncounted.set(uncounted);
        // Taken first, told after: a proxy that looks before the message is gone would find no room and sleep (D-18).
        if batch.is_empty() || uncounted > self.lane.uncounted() {
            self.uncounted.set(0);
            if self.lane.count_used(uncounted) {
                self.shared.waker.wake_by_ref();
            }
        }
        Some(message)
    }

    /// Blocks until there is a message (AX-THR-05).
    ///
    /// # Errors
    /// [`Disconnected`] when the component has ended and the queue is empty.
    pub fn recv(&self) -> Result<T, Disconnected> {
        loop {
            if let Some(message) = self.try_recv() {
                return Ok(message);
            }
            if self.shared.is_closed() {
                return self.try_recv().ok_or(Disconnected);
            }
            self.shared.bell.wait(None);
        }
    }

    /// Messages that can be received at once (`dataReady`).
    #[doc(alias = "dataReady")]
    pub fn len(&self) -> usize {
        self.lane.len() - self.uncounted.get()
    }

    /// Whether nothing can be received at once.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All messages that are there, one by one.
    pub fn drain(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.try_recv())
    }
}

impl<T: Send + 'static> ThreadOutbox<T> {
    /// Sends without blocking (AX-THR-06).
    ///
    /// # Errors
    /// The message, if the queue towards the scheduler is full or the component has ended.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        if self.shared.is_closed() {
            return Err(SendError::Closed(message));
        }
        if self.lane.put(message)? {
            self.shared.waker.wake_by_ref();
        }
        Ok(())
    }

    /// Sends, blocking while the queue is full.
    ///
    /// # Errors
    /// The message, if the component has ended.
    pub fn blocking_send(&self, message: T) -> Result<(), SendError<T>> {
        let mut message = message;
        loop {
            match self.send(message) {
                Err(e) if e.is_full() => {
                    message = e.into_message();
                    self.shared.bell.wait(None);
                }
                done => return done,
            }
        }
    }

    /// Messages that have been sent and not yet moved on.
    pub fn len(&self) -> usize {
        self.lane.len()
    }

    /// Whether everything that was sent has been moved on.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Builds both sides of a thread's boxes; for [`ports!`](crate::ports).
#[doc(hidden)]
pub struct Bridge {
    pub(super) shared: Arc<Shared>,
    pub(super) limit: usize,
    /// Movers of inboxes, `control` last, so that data sent before a control message is there before it.
    pub(super) inward: Vec<Box<dyn Inward>>,
    pub(super) outward: Vec<Box<dyn Outward>>,
}

impl Bridge {
    /// Joins an inbox.
    pub fn inbox<T: Send + 'static>(&mut self, inbox: &Inbox<T>) -> ThreadInbox<T> {
        let lane = lane::Inward::new(self.limit);
        let mover =
            Box::new(InMover { slot: inbox.working().clone(), lane: lane.clone(), batch: VecDeque::new() });
        if inbox.working().info().is_control() {
            self.inward.push(mover);
        } else {
            let before_control = self.inward.iter().position(|m| m.is_control()).unwrap_or(self.inward.len());
            self.inward.insert(before_control, mover);
        }
        ThreadInbox { lane, shared: self.shared.clone(), batch: RefCell::default(), uncounted: Cell::new(0) }
    }

    /// Joins an outbox; `outbox` is shared with the mover through the component's boxes.
    pub fn outbox<T: Send + 'static>(&mut self, outbox: &Outbox<T>) -> ThreadOutbox<T> {
        let (lane, theirs) = lane::outward(self.limit);
        self.outward.push(Box::new(OutMover {
            outbox: outbox.alias(),
            lane: theirs,
            batch: VecDeque::new(),
        }));
        ThreadOutbox { lane, shared: self.shared.clone() }
    }
}

impl PortInfo {
    fn is_control(&self) -> bool {
        self.name == "control"
    }
}

pub(super) trait Inward {
    /// Moves what fits; true if anything was moved.
    fn carry(&mut self) -> bool;
    fn is_control(&self) -> bool;
    fn is_of(&self, slot: &crate::boxes::SlotRef) -> bool;
}

pub(super) trait Outward {
    /// Moves what fits.
    fn carry(&mut self) -> Carried;
    fn is_of(&self, slot: &crate::boxes::SlotRef) -> bool;
}

/// What became of an attempt to move messages of a thread.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Carried {
    /// There was nothing; the next message wakes the proxy.
    Nothing,
    /// All that was there; the proxy has to look again, since nobody will tell it.
    All,
    /// Some or none, and the rest waits for room.
    Stuck { moved: bool },
}

struct InMover<T> {
    slot: Rc<InSlot<T>>,
    lane: Arc<lane::Inward<T>>,
    /// On the way from one to the other; empty between two carries.
    batch: VecDeque<T>,
}

impl<T: Send + 'static> Inward for InMover<T> {
    fn carry(&mut self) -> bool {
        let mut moved = 0;
        while !self.slot.is_empty() {
            let room = self.lane.room();
            if room > 0 {
                moved += self.slot.take_some(room, &mut self.batch);
                self.lane.put(&mut self.batch);
            } else if self.lane.wait_for_room() {
                break;
            }
        }
        moved > 0
    }

    fn is_control(&self) -> bool {
        self.slot.info().is_control()
    }

    fn is_of(&self, slot: &crate::boxes::SlotRef) -> bool {
        Rc::as_ptr(slot).cast::<()>() == Rc::as_ptr(&self.slot).cast::<()>()
    }
}

struct OutMover<T: 'static> {
    outbox: Outbox<T>,
    lane: OutwardReceiver<T>,
    /// Taken from the lane and refused by a full destination so far.
    batch: VecDeque<T>,
}

impl<T: Send + 'static> Outward for OutMover<T> {
    /// Takes once a turn: whoever looks until nothing is there is in the way of a thread that keeps sending.
    fn carry(&mut self) -> Carried {
        if self.batch.is_empty() {
            self.lane.take_all(&mut self.batch);
            if self.batch.is_empty() && self.lane.sleep() {
                return Carried::Nothing;
            }
        }
        let before = self.batch.len();
        self.outbox.send_some(&mut self.batch);
        let moved = before - self.batch.len();
        self.lane.count_used(moved);
        if self.batch.is_empty() { Carried::All } else { Carried::Stuck { moved: moved > 0 } }
    }

    fn is_of(&self, slot: &crate::boxes::SlotRef) -> bool {
        Rc::as_ptr(slot).cast::<()>() == Rc::as_ptr(self.outbox.working()).cast::<()>()
    }
}
