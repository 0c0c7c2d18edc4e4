//! What wakes a blocked thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

type Ring = Arc<dyn Fn() + Send + Sync>;

/// The event of a thread: set by every message moved in either direction, cleared by a pause that it ended.
#[derive(Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    condition: Condvar,
}

#[derive(Default)]
struct State {
    rung: bool,
    waiting: bool,
    /// What to call instead of waking the thread's own wait.
    replacement: Option<Ring>,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ring(&self) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.rung, true) {
            return; // it has not been heard yet, and one ring is enough
        }
        if state.waiting {
            self.condition.notify_one();
        }
        let replacement = state.replacement.clone();
        drop(state);
        if let Some(ring) = replacement {
            ring();
        }
    }

    /// Clears the event, and tells whether it was set.
    pub(crate) fn hear(&self) -> bool {
        std::mem::replace(&mut self.lock().rung, false)
    }

    /// Blocks until the event is set or the time is over, then clears it.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        let mut state = self.lock();
        state.waiting = true;
        while !state.rung {
            state = match deadline {
                None => self.condition.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.condition.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.waiting = false;
        std::mem::replace(&mut state.rung, false)
    }

    /// Has `ring` called whenever the event is set. It is called at once if that has happened already.
    pub(crate) fn replace(&self, ring: Ring) {
        let mut state = self.lock();
        state.replacement = Some(ring.clone());
        let rung = state.rung;
        drop(state);
        if rung {
            ring();
        }
    }
}
