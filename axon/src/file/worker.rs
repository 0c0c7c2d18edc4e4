//! A thread that does one component's blocking work.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::component::{Cx, Microprocess};
use crate::error::BoxError;

/// A thread that keeps a state, an open file say, and works on it when it is asked to.
///
/// Unlike in a threaded component the body stays in the scheduler: it sees `control` while it waits for the thread,
/// works step by step, and no queue lies between the file and the receiver. When the worker is dropped, the thread
/// ends after the work at hand, and the state with it.
pub(super) struct Worker<S> {
    jobs: Sender<Job<S>>,
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

impl<S: 'static> Worker<S> {
    /// Starts the thread for a component; the state is made in it.
    pub(super) fn start<P>(cx: &Cx<P>, state: impl FnOnce() -> S + Send + 'static) -> Result<Self, BoxError> {
        let (jobs, todo) = channel::<Job<S>>();
        let run = move || {
            let mut state = state();
            while let Ok(job) = todo.recv() {
                job(&mut state);
            }
        };
        let started = thread::Builder::new().name(cx.name()).spawn(run);
        started.map_err(|e| format!("cannot start its thread: {e}"))?;
        Ok(Self { jobs })
    }

    /// Has the thread do something, and waits for the result. The work is done even if the future is dropped.
    pub(super) fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Answer<R> {
        let slot = Arc::new(Mutex::new(Slot { result: None, waker: None, over: false }));
        let giver = Giver(slot.clone());
        let job = move |state: &mut S| giver.give(work(state));
        // If the thread is gone the job is dropped, and the giver says so.
        let _ = self.jobs.send(Box::new(job));
        Answer(slot)
    }
}

struct Slot<R> {
    result: Option<R>,
    waker: Option<Waker>,
    over: bool,
}

fn lock<R>(slot: &Mutex<Slot<R>>) -> MutexGuard<'_, Slot<R>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's end. Its drop wakes the waiting body, with a result or, after a panic, without.
struct Giver<R>(Arc<Mutex<Slot<R>>>);

impl<R> Giver<R> {
    fn give(self, result: R) {
        lock(&self.0).result = Some(result);
    }
}

impl<R> Drop for Giver<R> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = lock(&self.0);
            slot.over = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Waits for a result of the thread; an error if the thread panicked.
pub(super) struct Answer<R>(Arc<Mutex<Slot<R>>>);

impl<R> Future for Answer<R> {
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.0);
        if slot.over {
            return Poll::Ready(slot.result.take().ok_or_else(|| "its thread panicked".into()));
        }
        if !slot.waker.as_ref().is_some_and(|w| w.will_wake(task.waker())) {
            slot.waker = Some(task.waker().clone());
        }
        Poll::Pending
    }
}
