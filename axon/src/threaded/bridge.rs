//! The queues between a thread and its proxy.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::bell::Bell;
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

/// One direction of one box.
///
/// Each counter has one writer, so that counting takes no atomic read-modify-write: the sender counts what it put in,
/// the receiver what it has used. The bound is on the difference: messages that the other side has not used yet,
/// wherever they are, so that taking a whole queue at once does not let twice as many in.
struct Lane<T> {
    queue: Mutex<VecDeque<T>>,
    put: AtomicUsize,
    used: AtomicUsize,
    limit: usize,
}

impl<T> Lane<T> {
    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), put: AtomicUsize::new(0), used: AtomicUsize::new(0), limit })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> usize {
        self.put.load(Ordering::Acquire).wrapping_sub(self.used.load(Ordering::Acquire))
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.len())
    }

    /// Puts a message in; true if the queue was empty, so that the other side may be asleep.
    fn put(&self, message: T) -> Result<bool, SendError<T>> {
        let len = self.len();
        if len >= self.limit {
            return Err(SendError::Full { message, len, bound: self.limit });
        }
        let mut queue = self.lock();
        queue.push_back(message);
        let first = queue.len() == 1;
        self.count_put(1); // before the lock is released: the receiver must not use what is not counted
        Ok(first)
    }

    /// Called by the sender's side alone.
    fn count_put(&self, messages: usize) {
        self.put.store(self.put.load(Ordering::Relaxed).wrapping_add(messages), Ordering::Release);
    }

    /// Called by the receiver's side alone.
    fn count_used(&self, messages: usize) {
        self.used.store(self.used.load(Ordering::Relaxed).wrapping_add(messages), Ordering::Release);
    }

    /// Swaps the queue with an empty one.
    fn take_all(&self, into: &mut VecDeque<T>) {
        debug_assert!(into.is_empty());
        std::mem::swap(into, &mut *self.lock());
    }
}

/// An inbox as its component's thread sees it.
pub struct ThreadInbox<T> {
    lane: Arc<Lane<T>>,
    shared: Arc<Shared>,
    /// Taken from the lane in one go and not yet received.
    batch: RefCell<VecDeque<T>>,
}

/// An outbox as its component's thread sees it.
pub struct ThreadOutbox<T> {
    lane: Arc<Lane<T>>,
    shared: Arc<Shared>,
    /// The lane's counter has one writer, so two threads must not share the box.
    _one_thread: PhantomData<Cell<()>>,
}

impl<T: Send + 'static> ThreadInbox<T> {
    /// Takes the oldest message, if there is one.
    pub fn try_recv(&self) -> Option<T> {
        let mut batch = self.batch.borrow_mut();
        if batch.is_empty() {
            self.lane.take_all(&mut batch);
        }
        let message = batch.pop_front()?;
        let was_full = self.lane.room() == 0;
        self.lane.count_used(1);
        // Taken first, told after: a proxy that looks before the message is gone would find no room and sleep (D-18).
        if was_full {
            self.shared.waker.wake_by_ref();
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
        self.lane.len()
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
        let lane = Lane::new(self.limit);
        let mover = Box::new(InMover { slot: inbox.working().clone(), lane: lane.clone() });
        if inbox.info().is_control() {
            self.inward.push(mover);
        } else {
            let before_control = self.inward.iter().position(|m| m.is_control()).unwrap_or(self.inward.len());
            self.inward.insert(before_control, mover);
        }
        ThreadInbox { lane, shared: self.shared.clone(), batch: RefCell::default() }
    }

    /// Joins an outbox; `outbox` is shared with the mover through the component's boxes.
    pub fn outbox<T: Send + 'static>(&mut self, outbox: &Outbox<T>) -> ThreadOutbox<T> {
        let lane = Lane::new(self.limit);
        self.outward.push(Box::new(OutMover {
            outbox: outbox.alias(),
            lane: lane.clone(),
            batch: VecDeque::new(),
        }));
        ThreadOutbox { lane, shared: self.shared.clone(), _one_thread: PhantomData }
    }
}

impl PortInfo {
    fn is_control(&self) -> bool {
        self.name == "control"
    }
}

pub(super) trait Inward {
    /// Moves what fits; true if anything was moved.
    fn carry(&self) -> bool;
    fn is_control(&self) -> bool;
    fn is_of(&self, slot: &crate::boxes::SlotRef) -> bool;
}

pub(super) trait Outward {
    /// Moves what fits; the first is whether anything was moved, the second whether something is left.
    fn carry(&mut self) -> (bool, bool);
    fn is_of(&self, slot: &crate::boxes::SlotRef) -> bool;
}

struct InMover<T> {
    slot: Rc<InSlot<T>>,
    lane: Arc<Lane<T>>,
}

impl<T: Send + 'static> Inward for InMover<T> {
    fn carry(&self) -> bool {
        let mut moved = 0;
        let mut room = self.lane.room();
        if room == 0 || self.slot.is_empty() {
            return false;
        }
        let mut queue = self.lane.lock();
        while room > 0
            && let Some(message) = self.slot.take()
        {
            queue.push_back(message);
            moved += 1;
            room -= 1;
        }
        self.lane.count_put(moved);
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
    lane: Arc<Lane<T>>,
    /// Taken from the lane and refused by a full destination so far.
    batch: VecDeque<T>,
}

impl<T: Send + 'static> Outward for OutMover<T> {
    fn carry(&mut self) -> (bool, bool) {
        let mut moved = 0;
        loop {
            if self.batch.is_empty() {
                self.lane.take_all(&mut self.batch);
            }
            let Some(message) = self.batch.pop_front() else { break };
            match self.outbox.send(message) {
                Ok(()) => moved += 1,
                Err(e) if e.is_full() => {
                    self.batch.push_front(e.into_message());
                    break;
                }
                Err(e) => {
                    log::warn!("a thread's message was dropped: {e}");
                    moved += 1;
                }
            }
        }
        self.lane.count_used(moved);
        (moved > 0, !self.batch.is_empty())
    }

    fn is_of(&self, slot: &crate::boxes::SlotRef) -> bool {
        Rc::as_ptr(slot).cast::<()>() == Rc::as_ptr(self.outbox.working()).cast::<()>()
    }
}
