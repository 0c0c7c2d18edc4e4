//! What reaches a scheduler from outside: wakers, calls of other threads, a request to stop.
//!
//! One queue behind one lock, which the scheduler touches only when the flag says that something came.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use crate::component::AnyInstance;

pub(crate) struct Remote {
    rung: AtomicBool,
    state: Mutex<Inbound>,
    bell: Condvar,
}

#[derive(Default)]
pub(crate) struct Inbound {
    pub(crate) requests: Vec<Request>,
    pub(crate) stop: bool,
    /// Nobody will run the scheduler any more.
    gone: bool,
    /// Whether the scheduler's thread waits on the bell.
    waiting: bool,
    /// The waker of the runtime that the scheduler is embedded in.
    outer: Option<Waker>,
}

pub(crate) enum Request {
    /// A wake of the process with that key and number.
    Wake { key: u32, id: u64 },
    /// To be run between two passes.
    Call(Call),
}

pub(crate) type Call = Box<dyn FnOnce() + Send>;

impl Remote {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(false), state: Mutex::default(), bell: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Inbound> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    fn push(&self, request: Request) -> Result<(), SchedulerGone> {
        let mut request = Some(request);
        self.tell(|inbound| {
            if !inbound.gone {
                inbound.requests.extend(request.take());
            }
        });
        // One that was refused is dropped here, outside the lock: it may hold the program's own things.
        request.map_or(Ok(()), |_| Err(SchedulerGone))
    }

    /// Nothing is taken from now on; what waits is dropped.
    pub(crate) fn close(&self) {
        let mut inbound = self.lock();
        inbound.gone = true;
        let waiting = std::mem::take(&mut inbound.requests);
        drop(inbound);
        drop(waiting);
    }

    pub(crate) fn request_stop(&self) {
        self.tell(|inbound| inbound.stop = true);
    }

    fn tell(&self, change: impl FnOnce(&mut Inbound)) {
        let mut inbound = self.lock();
        change(&mut inbound);
        self.rung.store(true, Ordering::Release);
        if inbound.waiting {
            self.bell.notify_one();
        }
        let outer = inbound.outer.take();
        drop(inbound);
        if let Some(outer) = outer {
            outer.wake();
        }
    }

    /// Takes all requests; the second is whether to stop. The stop request stays until [`Remote::clear_stop`].
    pub(crate) fn take(&self, into: &mut Vec<Request>) -> bool {
        let mut inbound = self.lock();
        self.rung.store(inbound.stop, Ordering::Relaxed);
        into.append(&mut inbound.requests);
        inbound.stop
    }

    pub(crate) fn clear_stop(&self) {
        self.lock().stop = false;
    }

    /// Blocks until something comes or the deadline has passed.
    pub(crate) fn wait(&self, until: Option<Instant>) {
        let mut inbound = self.lock();
        inbound.waiting = true;
        while inbound.requests.is_empty() && !inbound.stop {
            inbound = match until {
                None => self.bell.wait(inbound).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.bell.wait_timeout(inbound, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        inbound.waiting = false;
    }

    /// Has the next thing from outside wake `waker`. False if something is there already.
    pub(crate) fn wake_next(&self, waker: &Waker) -> bool {
        let mut inbound = self.lock();
        if !inbound.requests.is_empty() || inbound.stop {
            return false;
        }
        inbound.outer = Some(waker.clone());
        true
    }
}

/// The waker of one process.
///
/// Most processes never need one, so it is made on probation: each poll gets the scheduler's spare [`ProcessWaker`],
/// which belongs to nobody. Only if the body kept a clone (or rang it) is it given to the process for good, and the
/// scheduler makes another spare.
pub(crate) struct ProcessWaker {
    remote: Arc<Remote>,
    /// Key and number of the owner; number 0 while it belongs to nobody.
    key: AtomicU64,
    id: AtomicU64,
    /// Rung while it belonged to nobody.
    early: AtomicBool,
}

impl ProcessWaker {
    pub(crate) fn spare(remote: &Arc<Remote>) -> Arc<Self> {
        Arc::new(Self {
            remote: remote.clone(),
            key: AtomicU64::new(0),
            id: AtomicU64::new(0),
            early: AtomicBool::new(false),
        })
    }

    pub(crate) fn was_rung(&self) -> bool {
        self.early.load(Ordering::Acquire)
    }

    /// Gives it to a process; true if it was rung before.
    pub(crate) fn give_to(&self, key: u32, id: u64) -> bool {
        self.key.store(u64::from(key), Ordering::Relaxed);
        self.id.store(id, Ordering::SeqCst);
        // A ring that missed the number has set the flag before; one that comes later finds the number.
        self.early.load(Ordering::SeqCst)
    }

    fn ring(&self) {
        if self.id.load(Ordering::SeqCst) == 0 {
            self.early.store(true, Ordering::SeqCst);
        }
        let id = self.id.load(Ordering::SeqCst);
        if id != 0 {
            // A scheduler that is gone has nobody to wake.
            let _ = self.remote.push(Request::Wake { key: self.key.load(Ordering::Relaxed) as u32, id });
        }
    }
}

impl Wake for ProcessWaker {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// A handle to a scheduler that any thread may hold (AX-SCHED-21).
#[derive(Clone)]
pub struct SchedulerHandle(pub(crate) Arc<Remote>);

/// The scheduler has been dropped, so nothing will run on it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerGone;

impl fmt::Display for SchedulerGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the scheduler has been dropped")
    }
}

impl std::error::Error for SchedulerGone {}

impl SchedulerHandle {
    /// Asks the scheduler to stop when its current pass is over (AX-SCHED-18).
    pub fn stop(&self) {
        self.0.request_stop();
    }

    /// Makes a component in the scheduler's thread and activates it there.
    ///
    /// Components belong to their thread and cannot travel; what makes one can. It is run between two passes, in the
    /// order in which things were asked for, and the component's first step is in the next pass (AX-SCHED-05). If
    /// nobody runs the scheduler at the moment, it waits for the next run.
    ///
    /// # Errors
    /// [`SchedulerGone`]. That the scheduler is dropped later, before it came to run `make`, is not told.
    ///
    /// ```
    /// use axon::prelude::*;
    /// use axon::util::DataSource;
    ///
    /// let scheduler = Scheduler::new();
    /// scheduler.wait_for_one();
    /// let handle = scheduler.handle();
    /// let other = std::thread::spawn(move || handle.activate(|| DataSource::new(0..3)));
    /// scheduler.run()?; // until the component that the other thread sends has come, and has ended
    /// other.join().unwrap().unwrap();
    /// # Ok::<(), axon::Error>(())
    /// ```
    pub fn activate<A: Into<AnyInstance>>(
        &self,
        make: impl FnOnce() -> A + Send + 'static,
    ) -> Result<(), SchedulerGone> {
        self.run(move || make().into().activate())
    }

    /// Runs `work` in the scheduler's thread, between two passes. What it activates goes to that scheduler.
    ///
    /// It should be short: nothing else runs meanwhile. A panic in it is logged and hurts nobody.
    ///
    /// # Errors
    /// [`SchedulerGone`].
    pub fn run(&self, work: impl FnOnce() + Send + 'static) -> Result<(), SchedulerGone> {
        self.0.push(Request::Call(Box::new(work)))
    }
}

impl fmt::Debug for SchedulerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerHandle").finish_non_exhaustive()
    }
}
