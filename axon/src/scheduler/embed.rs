//! A scheduler inside another runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::{Running, Scheduler};
use crate::error::Result;

/// Passes that are run before the outer runtime gets a chance.
const PASSES_PER_POLL: usize = 64;

/// A run as a future; made by [`Scheduler::run_as_future`].
///
/// Timers of the scheduler are kept by a small thread of its own, started with the first one, because the outer
/// runtime's timers are not known here.
pub struct RunFuture {
    scheduler: Scheduler,
    alarm: Option<AlarmThread>,
}

impl RunFuture {
    pub(super) fn new(scheduler: Scheduler) -> Self {
        Self { scheduler, alarm: None }
    }
}

impl Future for RunFuture {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let core = self.scheduler.core().clone();
        let _running = Running::enter(&core);
        for _ in 0..PASSES_PER_POLL {
            if let Some(at) = core.delayed_until() {
                self.alarm.get_or_insert_with(AlarmThread::start).ring_at(at, cx.waker());
                return Poll::Pending;
            }
            if core.one_pass()? {
                continue;
            }
            if core.is_over() || core.was_stopped() {
                return Poll::Ready(Ok(()));
            }
            match core.timers().next() {
                Some(at) if core.jump(at) => continue,
                Some(at) => self.alarm.get_or_insert_with(AlarmThread::start).ring_at(at, cx.waker()),
                None => {}
            }
            if core.remote().wake_next(cx.waker()) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[derive(Default)]
struct AlarmState {
    next: Option<(Instant, Waker)>,
    done: bool,
}

struct AlarmThread(Arc<(Mutex<AlarmState>, Condvar)>);

impl AlarmThread {
    fn start() -> Self {
        let shared = Arc::new((Mutex::new(AlarmState::default()), Condvar::new()));
        let theirs = shared.clone();
        let spawned = std::thread::Builder::new().name("axon-timer".into()).spawn(move || {
            let (state, bell) = &*theirs;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            while !state.done {
                let wait = state.next.as_ref().map(|(at, _)| at.saturating_duration_since(Instant::now()));
                state = match wait {
                    None => bell.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(left) if left.is_zero() => {
                        if let Some((_, waker)) = state.next.take() {
                            waker.wake();
                        }
                        state
                    }
                    Some(left) => bell.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                };
            }
        });
        if let Err(e) = spawned {
            log::error!("cannot start the timer thread: {e}");
        }
        Self(shared)
    }

    fn ring_at(&self, at: Instant, waker: &Waker) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).next = Some((at, waker.clone()));
        self.0.1.notify_one();
    }
}

impl Drop for AlarmThread {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).done = true;
        self.0.1.notify_one();
    }
}
