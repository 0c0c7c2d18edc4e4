//! What crosses between the scheduler and a thread: one queue for each box, of one kind in each direction.
//!
//! Each counter has one writer, so that counting takes no atomic read-modify-write: the sender counts what it put in,
//! the receiver what it has used. The bound is on the difference: messages that the other side has not used yet,
//! wherever they are, so that taking a whole queue at once does not let twice as many in.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::SendError;

/// Keeps what the two sides write apart: a cache line that both write to travels with each message.
#[repr(align(128))]
struct Line<T>(T);

/// Towards the thread. Both sides move whole batches, so that a lock is taken once for many messages.
pub(super) struct Inward<T> {
    sender: Line<(Mutex<VecDeque<T>>, AtomicUsize)>,
    used: Line<AtomicUsize>,
    wants_room: AtomicBool,
    limit: usize,
}

impl<T> Inward<T> {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        let (sender, used) = (Line(Default::default()), Line(AtomicUsize::new(0)));
        Arc::new(Self { sender, used, wants_room: AtomicBool::new(false), limit })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.sender.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        // In this order: what has been used was put before.
        let used = self.used.0.load(Ordering::Acquire);
        self.sender.0.1.load(Ordering::Acquire).wrapping_sub(used)
    }

    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.len())
    }

    /// Called by the scheduler's side alone, with no more messages than there is room for.
    pub(super) fn put(&self, messages: &mut VecDeque<T>) {
        let count = messages.len();
        let mut queue = self.lock();
        if queue.is_empty() {
            std::mem::swap(&mut *queue, messages);
        } else {
            queue.append(messages);
        }
        // Before the lock is released: the thread must not use what is not counted.
        let put = &self.sender.0.1;
        put.store(put.load(Ordering::Relaxed).wrapping_add(count), Ordering::Release);
    }

    /// Swaps the queue with an empty one.
    pub(super) fn take_all(&self, into: &mut VecDeque<T>) {
        debug_assert!(into.is_empty());
        std::mem::swap(into, &mut *self.lock());
    }

    /// Counts used messages; called by the thread alone. True if the scheduler's side waits for room.
    pub(super) fn count_used(&self, messages: usize) -> bool {
        let used = &self.used.0;
        used.store(used.load(Ordering::Relaxed).wrapping_add(messages), Ordering::Release);
        // Here the counter first and then who waits, there the other way round: one of them sees the other.
        fence(Ordering::SeqCst);
        self.wants_room.load(Ordering::Relaxed) && self.wants_room.swap(false, Ordering::Relaxed)
    }

    /// Used messages that the thread may keep to itself, because telling costs more than all the rest of a message.
    pub(super) fn uncounted(&self) -> usize {
        (self.limit / 8).min(64)
    }

    /// Has the thread tell when there is room. False if there is some.
    pub(super) fn wait_for_room(&self) -> bool {
        self.wants_room.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.room() == 0
    }
}

/// The thread's end of a queue towards the scheduler.
///
/// A thread sends one message at a time, and a lock costs more than all the rest of a message. So there is a ring
/// without one; it is short, because its memory is there from the start, and what does not fit goes to a queue behind a
/// lock. Until the receiver has emptied that, everything goes there, and it empties the ring first: so the order stays.
///
/// Cells, because the ring and the counters have one writer: two threads must not share the box.
pub(super) struct OutwardSender<T> {
    ring: RefCell<rtrb::Producer<T>>,
    shared: Arc<Outward<T>>,
    /// Whether the last message went to the long queue.
    overflows: Cell<bool>,
    put: Cell<usize>,
    /// Messages used by the receiver when that was last looked at: looking each time would fetch its cache line.
    used: Cell<usize>,
}

/// The scheduler's end of a queue from a thread.
pub(super) struct OutwardReceiver<T> {
    ring: rtrb::Consumer<T>,
    shared: Arc<Outward<T>>,
}

struct Outward<T> {
    overflow: Line<Mutex<VecDeque<T>>>,
    used: Line<AtomicUsize>,
    /// Whether the receiver has to be told of the next message.
    asleep: Line<AtomicBool>,
    limit: usize,
}

impl<T> Outward<T> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.overflow.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes both ends of a queue towards the scheduler.
pub(super) fn outward<T>(limit: usize) -> (OutwardSender<T>, OutwardReceiver<T>) {
    let (producer, consumer) = rtrb::RingBuffer::new(limit.min(RING_BYTES / size_of::<T>().max(1)).max(1));
    let shared = Arc::new(Outward {
        overflow: Line(Mutex::default()),
        used: Line(AtomicUsize::new(0)),
        asleep: Line(AtomicBool::new(true)),
        limit,
    });
    let sender = OutwardSender {
        ring: RefCell::new(producer),
        shared: shared.clone(),
        overflows: Cell::new(false),
        put: Cell::new(0),
        used: Cell::new(0),
    };
    (sender, OutwardReceiver { ring: consumer, shared })
}

impl<T> OutwardSender<T> {
    /// Messages that the receiver has not used yet.
    pub(super) fn len(&self) -> usize {
        self.used.set(self.shared.used.0.load(Ordering::Acquire));
        self.put.get().wrapping_sub(self.used.get())
    }

    /// Puts a message in; true if the receiver has to be woken.
    pub(super) fn put(&self, message: T) -> Result<bool, SendError<T>> {
        let limit = self.shared.limit;
        if self.put.get().wrapping_sub(self.used.get()) >= limit {
            let len = self.len();
            if len >= limit {
                return Err(SendError::Full { message, len, bound: limit });
            }
        }
        let behind = if self.overflows.get() { Some(message) } else { self.push(message) };
        self.put.set(self.put.get().wrapping_add(1));
        // The receiver says that it sleeps and then looks once more; here it is the other way round. With a fence, or
        // the same lock, between the two on both sides, one of them sees the other.
        match behind {
            Some(message) => self.put_behind(message),
            None => fence(Ordering::SeqCst),
        }
        let asleep = &self.shared.asleep.0;
        Ok(asleep.load(Ordering::Relaxed) && asleep.swap(false, Ordering::Relaxed))
    }

    /// Puts a message into the ring, or gives it back if there is no place.
    fn push(&self, message: T) -> Option<T> {
        self.ring.borrow_mut().push(message).err().map(|rtrb::PushError::Full(message)| message)
    }

    #[cold]
    fn put_behind(&self, message: T) {
        let mut queue = self.shared.lock();
        // If it is empty the receiver has taken it, and what was in the ring before.
        let behind = if queue.is_empty() { self.push(message) } else { Some(message) };
        self.overflows.set(behind.is_some());
        queue.extend(behind);
    }
}

impl<T> OutwardReceiver<T> {
    /// Takes all that is there, oldest first.
    pub(super) fn take_all(&mut self, into: &mut VecDeque<T>) {
        drain(&mut self.ring, into);
        let mut queue = self.shared.lock();
        if !queue.is_empty() {
            // While something is in the long queue nothing goes to the ring; what is there is older.
            drain(&mut self.ring, into);
            into.append(&mut queue);
        }
    }

    /// Has the next message wake the receiver. False if there is one already.
    pub(super) fn sleep(&mut self) -> bool {
        self.shared.asleep.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // The lock is taken in any case: it orders this after or before what goes behind it.
        let nothing_behind = self.shared.lock().is_empty();
        if nothing_behind && self.ring.is_empty() {
            return true;
        }
        self.shared.asleep.0.store(false, Ordering::Relaxed);
        false
    }

    pub(super) fn count_used(&self, messages: usize) {
        let used = &self.shared.used.0;
        used.store(used.load(Ordering::Relaxed).wrapping_add(messages), Ordering::Release);
    }
}

fn drain<T>(ring: &mut rtrb::Consumer<T>, into: &mut VecDeque<T>) {
    if let Ok(chunk) = ring.read_chunk(ring.slots()) {
        into.extend(chunk);
    }
}

/// Memory of a ring, at most.
const RING_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the lengths, all messages arrive once and in order, and no sleep is missed.
    #[test]
    fn order_survives_the_change_between_ring_and_queue() {
        for limit in [1, 2, 7, 500] {
            // Large, so that the ring has four places.
            let (to, mut from) = outward::<[usize; 2048]>(limit);
            let total = if cfg!(miri) { 10 } else { 20_000 };
            let waker = std::thread::current();
            let thread = std::thread::spawn(move || {
                for n in 0..total {
                    let mut message = [n; 2048];
                    loop {
                        match to.put(message) {
                            Ok(wake) => {
                                if wake {
                                    waker.unpark();
                                }
                                break;
                            }
                            Err(e) => message = e.into_message(),
                        }
                        std::thread::yield_now();
                    }
                }
            });
            let (mut batch, mut next) = (VecDeque::new(), 0);
            while next < total {
                from.take_all(&mut batch);
                if batch.is_empty() && from.sleep() {
                    std::thread::park(); // for ever, if a wake is lost
                }
                assert!(batch.len() <= limit);
                for message in batch.drain(..) {
                    assert_eq!(message[2047], next);
                    next += 1;
                    from.count_used(1);
                }
            }
            thread.join().unwrap();
        }
    }
}
