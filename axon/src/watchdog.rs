//! Names the component that does not yield. The original has none.

use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::id::ProcessId;
use crate::microprocess::Process;
use crate::scheduler::{Core, Scheduler};

/// A step that takes too long: the scheduler runs nobody else meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The number of the component whose step it is.
    pub id: ProcessId,
    /// Its name.
    pub name: String,
    /// How long it has taken so far, at least.
    pub time: Duration,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has not yielded for {:?}; nobody else runs", self.name, self.time)
    }
}

/// Looks, from a thread of its own, whether a component blocks its scheduler.
///
/// ```
/// use std::time::Duration;
///
/// use axon::prelude::*;
/// use axon::watchdog::Watchdog;
///
/// let scheduler = Scheduler::new();
/// let watch = Watchdog::new(Duration::from_millis(100))
///     .on_stuck(|stuck| eprintln!("{stuck}"))
///     .watch(&scheduler);
/// scheduler.spawn(async {});
/// scheduler.run()?;
/// drop(watch);
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// A watched scheduler notes the number of each step in an atomic; the thread looks at it several times within the
/// limit. A step that goes on past the limit is reported, and again when it has taken twice, four times… as long. By
/// default a report is a warning in the log. The scheduler cannot be helped: there is no way to take a step away from a
/// component. Blocking work belongs into a [threaded component](crate::threaded).
///
/// # Limits
/// Costs two atomic stores a step, and a table of the names of all processes; a scheduler that is not watched pays
/// nothing but a look at an empty cell. Time that the system takes the processor away counts too.
pub struct Watchdog {
    limit: Duration,
    report: Box<dyn Fn(&Stuck) + Send>,
}

/// Keeps a watchdog watching; dropping it ends that.
#[must_use = "dropping it ends the watch"]
pub struct Watch {
    core: Weak<Core>,
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watchdog {
    /// Reports steps that take longer than `limit`, as warnings in the log.
    pub fn new(limit: Duration) -> Self {
        Self { limit, report: Box::new(|stuck| log::warn!("{stuck}")) }
    }

    /// Reports to `report` instead, which is called in the watchdog's thread.
    #[must_use]
    pub fn on_stuck(mut self, report: impl Fn(&Stuck) + Send + 'static) -> Self {
        self.report = Box::new(report);
        self
    }

    /// Watches a scheduler. A second watchdog replaces the first, which sees nothing more.
    pub fn watch(self, scheduler: &Scheduler) -> Watch {
        let shared = Arc::new(Shared::default());
        scheduler.core().processes().iter().for_each(|p| shared.add(p));
        scheduler.core().set_watch(shared.clone());
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("axon-watchdog".into()).spawn(move || {
            theirs.look(self.limit, &*self.report);
        });
        if let Err(e) = &thread {
            log::error!("cannot start the watchdog's thread: {e}");
        }
        Watch { core: Rc::downgrade(scheduler.core()), shared, thread: thread.ok() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.clear_watch(&self.shared);
        }
        self.shared.lock().over = true;
        self.shared.bell.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join(); // a report that panicked has said so
        }
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// What a scheduler and its watchdog share.
#[derive(Default)]
pub(crate) struct Shared {
    /// The number of the step that runs, 0 between steps.
    step: AtomicU64,
    /// The number of the process whose step it is.
    process: AtomicU64,
    inner: Mutex<Inner>,
    bell: Condvar,
}

#[derive(Default)]
struct Inner {
    names: HashMap<u64, String>,
    over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, process: &Process) {
        self.lock().names.insert(process.id().get(), process.name());
    }

    pub(crate) fn remove(&self, process: &Process) {
        self.lock().names.remove(&process.id().get());
    }

    pub(crate) fn begin(&self, step: u64, process: ProcessId) {
        self.process.store(process.get(), Ordering::Relaxed);
        self.step.store(step, Ordering::Release);
    }

    pub(crate) fn end(&self) {
        self.step.store(0, Ordering::Release);
    }

    /// The watchdog's thread.
    fn look(&self, limit: Duration, report: &dyn Fn(&Stuck)) {
        let rest = (limit / 4).max(Duration::from_millis(1));
        let (mut seen, mut since, mut told) = (0, Instant::now(), limit);
        let mut inner = self.lock();
        while !inner.over {
            let step = self.step.load(Ordering::Acquire);
            let now = Instant::now();
            if step == 0 || step != seen {
                (seen, since, told) = (step, now, limit);
            } else if now - since >= told {
                told = (now - since).saturating_mul(2);
                let number = self.process.load(Ordering::Relaxed);
                // If the step has ended in between, the number may be the next one's.
                let same = self.step.load(Ordering::Acquire) == step;
                let name = inner.names.get(&number).cloned();
                if let (true, Some(id)) = (same, ProcessId::from_number(number)) {
                    let name = name.unwrap_or_else(|| format!("process {number}"));
                    drop(inner); // the program's code may do what it likes
                    report(&Stuck { id, name, time: now - since });
                    inner = self.lock();
                }
            }
            inner = self.bell.wait_timeout(inner, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
