//! The microprocess that stands in for a thread (AX-THR-03).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::thread;

use super::bell::Bell;
use super::bridge::{Bridge, Carried, Shared};
use super::context::{SchedulerSide, ThreadCx};
use crate::component::{Cx, Microprocess, Outcome, Ports};
use crate::error::Cause;

type Request<P> = Box<dyn FnOnce(&mut SchedulerSide<'_, P>) + Send>;

/// Calls of the thread that wait to be served; nothing once nobody will serve them.
pub(super) struct Requests<P: Ports>(Arc<Mutex<Option<Vec<Request<P>>>>>);

impl<P: Ports> Clone for Requests<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Ports> Requests<P> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }

    /// Adds a call, or drops it, and with it the way for its answer, if the proxy is gone.
    pub(super) fn push(&self, request: Request<P>) {
        if let Some(waiting) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            waiting.push(request);
        }
    }

    fn take(&self) -> Vec<Request<P>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_mut().map_or(Vec::new(), std::mem::take)
    }

    fn close(&self) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(waiting); // outside the lock: it is the program's code that is dropped
    }
}

/// Tells the thread that its proxy is gone, however it went.
struct Closer<P: Ports> {
    shared: Arc<Shared>,
    requests: Requests<P>,
}

impl<P: Ports> Drop for Closer<P> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // A call that waits for its answer fails when its request is dropped.
        self.requests.close();
        self.shared.bell.ring();
    }
}

/// How a thread ended.
#[derive(Default)]
struct Ending {
    over: AtomicBool,
    outcome: Mutex<Option<std::result::Result<(), Cause>>>,
}

/// Starts the thread and moves messages until it has ended and everything that it sent has gone out (AX-THR-11).
pub(super) async fn run<P, O>(
    cx: &Cx<P>,
    queue_lengths: usize,
    body: impl FnOnce(ThreadCx<P>) -> O + Send + 'static,
) where
    P: Ports<OnThread: Send>,
    O: Outcome,
{
    let waker = std::future::poll_fn(|task| std::task::Poll::Ready(Waker::clone(task.waker()))).await;
    let shared = Arc::new(Shared { bell: Bell::default(), waker, closed: AtomicBool::new(false) });
    let mut bridge =
        Bridge { shared: shared.clone(), limit: queue_lengths, inward: Vec::new(), outward: Vec::new() };
    let boxes = cx.ports().bridge(&mut bridge);
    let requests = Requests::new();
    let ending = Arc::new(Ending::default());
    let thread_cx =
        ThreadCx { boxes, shared: shared.clone(), requests: requests.clone(), reference: cx.reference() };
    let theirs = (ending.clone(), shared.clone());
    let handle = thread::Builder::new().name(cx.name()).spawn(move || {
        let (ending, shared) = theirs;
        let outcome = catch_unwind(AssertUnwindSafe(|| body(thread_cx).into_cause()));
        let outcome = outcome.unwrap_or_else(|p| Err(Cause::Panic(crate::scheduler::panic_text(&*p))));
        *ending.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        ending.over.store(true, Ordering::Release);
        shared.waker.wake_by_ref();
    });
    let handle = match handle {
        Ok(handle) => handle,
        Err(e) => return cx.fail(Cause::Error(format!("cannot start its thread: {e}").into())),
    };
    let closer = Closer { shared: shared.clone(), requests: requests.clone() };
    loop {
        let running = !ending.over.load(Ordering::Acquire);
        let served = requests.take();
        let mut moved = false;
        for mover in &mut bridge.inward {
            moved |= mover.carry();
        }
        let (mut left, mut look_again) = (false, false);
        for mover in &mut bridge.outward {
            let carried = mover.carry();
            look_again |= carried == Carried::All;
            moved |= matches!(carried, Carried::All | Carried::Stuck { moved: true });
            left |= matches!(carried, Carried::Stuck { .. });
        }
        for request in served {
            request(&mut SchedulerSide::new(cx, &mut bridge));
        }
        if moved {
            shared.bell.ring();
        }
        if !running && !left && !look_again {
            break;
        }
        if look_again {
            cx.yield_now().await;
            continue;
        }
        // Deliveries, collections, sends, calls and the thread's end all wake this; it never spins (D-17).
        cx.pause().await;
    }
    drop(closer);
    let _ = handle.join();
    let outcome = ending.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Err(cause)) = outcome {
        cx.fail(cause); // the original error (D-16); the scheduler adds the component's name
    }
}
