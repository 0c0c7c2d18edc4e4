//! What the end of a process brings about.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::{Core, OnFailure};
use crate::error::{Cause, Error, Failure};
use crate::microprocess::{Process, State};

impl Core {
    /// Natural end, stop or failure (AX-SCHED-09 to 11, D-04): out of the table, stopped, closed down. False if it
    /// failed and that ends the run.
    pub(super) fn finish(self: &Rc<Self>, process: &Rc<Process>, panic: Option<Cause>) -> bool {
        self.table.borrow_mut().remove(process);
        process.stopped();
        process.close_down();
        if self.watched.get() {
            self.tell_watch(|w| w.remove(process));
        }
        match panic.or_else(|| process.take_failure()) {
            None => true,
            Some(cause) => self.failure(process, cause),
        }
    }

    #[cold]
    fn failure(&self, process: &Process, cause: Cause) -> bool {
        let failure = Failure { id: process.id(), name: process.name(), cause };
        let Some(failure) = tell_supervisor(process, failure) else { return true };
        match self.on_failure.get() {
            OnFailure::EndRun => {
                self.failed.replace(Some(failure));
                false
            }
            OnFailure::GoOn => {
                log::error!("{failure}");
                true
            }
        }
    }

    /// Ends a process of the table at once, for one whose end brings about another's (D-05).
    pub(crate) fn end_now(self: &Rc<Self>, process: &Rc<Process>) {
        let known = self.table.borrow().get(process.key(), process.id().get()).is_some();
        if known
            && !self.finish(process, None)
            && let Some(failure) = self.failed.take()
        {
            log::error!("{}", Error::Component(failure));
        }
    }

    pub(super) fn stop_all(&self) {
        self.remote.clear_stop();
        self.stop.set(false);
        self.was_stopped.set(true);
        self.queue.borrow_mut().clear();
        self.woken.borrow_mut().clear();
        let all = self.processes();
        for p in &all {
            p.stopped();
        }
        for p in &all {
            p.close_down();
            if let Some(cause) = p.take_failure()
                && let Some(failure) = tell_supervisor(p, Failure { id: p.id(), name: p.name(), cause })
            {
                log::error!("{failure}");
            }
        }
    }

    /// Drops all processes; nobody can run this scheduler any more.
    pub(crate) fn clear(&self) {
        self.remote.close();
        let queued = self.queue.take();
        let woken = self.woken.take();
        let all = self.table.borrow_mut().take();
        // All of them first: a body that stops others when it is dropped must find them stopped.
        let every = || woken.iter().chain(&all).chain(&queued);
        every().for_each(|p| p.set_state(State::Stopped));
        every().for_each(|p| p.drop_code());
    }
}

/// Tells whoever asked to be told; nothing is left for the scheduler's policy if that is enough.
fn tell_supervisor(process: &Process, failure: Failure) -> Option<Failure> {
    let Some(hook) = process.extras_if_any().and_then(|e| e.on_failure.take()) else { return Some(failure) };
    let name = process.name();
    match catch_unwind(AssertUnwindSafe(|| hook(failure))) {
        Ok(left) => left,
        Err(payload) => {
            log::error!("what was told of the failure of {name} panicked: {}", panic_text(&*payload));
            None
        }
    }
}

pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown panic".into())
}
