//! The cooperative scheduler (Kamaelia: `Axon/Scheduler.py`).
//!
//! One scheduler is one thread. It runs in *passes*: each process in the run queue gets one step, in order; then what
//! was asked for during the pass (sleep, wakes, activations, a stop) takes effect (AX-SCHED-01). Nothing here takes a
//! lock or an atomic per message; what comes from other threads goes through one queue whose flag is looked at once a
//! pass.

mod core;
mod embed;
mod remote;
mod table;
mod timers;

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::component::{AnyInstance, Microprocess};
use crate::error::Result;
use crate::id::ProcessId;

pub(crate) use self::core::{Core, panic_text};
pub use self::embed::RunFuture;
pub(crate) use self::remote::{Remote, Request};
pub use self::remote::{SchedulerGone, SchedulerHandle};
pub use self::timers::Sleep;

/// Runs microprocesses, one step at a time, on the thread that made it.
///
/// Cheap to clone; all clones are the same scheduler. When the last one is dropped, the processes that are left are
/// dropped too.
///
/// ```
/// use axon::prelude::*;
/// let scheduler = Scheduler::new();
/// scheduler.spawn(async { println!("one step"); });
/// scheduler.run().unwrap();
/// ```
#[derive(Clone)]
pub struct Scheduler {
    core: Rc<Core>,
    _owner: Rc<Owner>,
}

/// Breaks the ring between a scheduler and its processes when nobody can run it any more.
struct Owner(Rc<Core>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// What a scheduler does when a component fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The run ends with the error (Axon's default, "mortal").
    #[default]
    EndRun,
    /// The component is closed down, the error is logged, the others go on (`immortalise`).
    GoOn,
}

/// How a scheduler is made.
#[derive(Clone, Debug, Default)]
pub struct SchedulerOptions {
    /// Its clock.
    pub clock: Clock,
    /// What happens when a component fails.
    pub on_failure: OnFailure,
    /// With a seed, the order within each pass is shuffled by it. A program whose result changes depends on an order
    /// that Axon does not promise to other implementations.
    pub shuffle: Option<u64>,
}

thread_local! {
    /// `scheduler.run` of the original (AX-SCHED-20).
    static DEFAULT: RefCell<Option<Scheduler>> = const { RefCell::new(None) };
    /// The scheduler that is running on this thread, innermost last.
    static RUNNING: RefCell<Vec<Weak<Core>>> = const { RefCell::new(Vec::new()) };
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::new()
    }
}

impl Scheduler {
    /// Makes a scheduler with the system's clock. The first one made on a thread becomes its default (AX-SCHED-20).
    pub fn new() -> Self {
        Self::with_options(SchedulerOptions::default())
    }

    /// Makes a scheduler.
    pub fn with_options(options: SchedulerOptions) -> Self {
        let scheduler = Self::unregistered(options);
        DEFAULT.with_borrow_mut(|d| {
            d.get_or_insert_with(|| scheduler.clone());
        });
        scheduler
    }

    fn unregistered(options: SchedulerOptions) -> Self {
        let core = Core::new(&options);
        Self { _owner: Rc::new(Owner(core.clone())), core }
    }

    /// The default scheduler of this thread; it is made if there is none.
    pub fn thread_default() -> Self {
        let found = DEFAULT.with_borrow(Clone::clone);
        found.unwrap_or_default()
    }

    /// Replaces the default scheduler of this thread; with `None`, the next one made becomes it.
    pub fn set_thread_default(scheduler: Option<Scheduler>) {
        drop(DEFAULT.replace(scheduler));
    }

    /// The core that an activation without a scheduler goes to: the one that runs now, else the thread's default.
    pub(crate) fn ambient() -> Rc<Core> {
        let running = RUNNING.with_borrow(|r| r.last().and_then(Weak::upgrade));
        running.unwrap_or_else(|| Self::thread_default().core)
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// Activates a component here (AX-MP-05): its first step is in the next pass (AX-SCHED-05).
    ///
    /// Nothing happens if it has been activated before, here or elsewhere (D-10).
    pub fn activate(&self, component: impl Into<AnyInstance>) -> AnyInstance {
        let component = component.into();
        self.core.activate(component.process());
        component
    }

    /// Activates a plain microprocess around a future (the `thread` argument of AX-MP-02).
    pub fn spawn<F>(&self, body: F) -> AnyInstance
    where
        F: Future<Output: crate::Outcome> + 'static,
    {
        self.activate(AnyInstance::microprocess(body))
    }

    /// Runs until no process is left, blocking when all are asleep (AX-SCHED-14), or until it is told to stop.
    ///
    /// # Errors
    /// [`Error::Component`](crate::Error::Component) if a component failed and the scheduler is mortal. The others
    /// are untouched; calling `run` again goes on with them.
    pub fn run(&self) -> Result<()> {
        let _running = Running::enter(&self.core);
        self.core.run()
    }

    /// Runs until nobody can run without something from outside: all asleep, or all ended. Never blocks. Timers that
    /// are due fire; with a virtual clock, time does not move. Passes are not [delayed](Scheduler::set_slowmo).
    ///
    /// # Errors
    /// As [`Scheduler::run`].
    pub fn run_until_idle(&self) -> Result<()> {
        let _running = Running::enter(&self.core);
        self.core.run_until_idle()
    }

    /// Goes on to the next point at which the original hands control back: after at most one step of one process, and
    /// once at the end of each pass (AX-SCHED-15). Never blocks. False when the run is over.
    ///
    /// # Errors
    /// As [`Scheduler::run`].
    pub fn step(&self) -> Result<bool> {
        let _running = Running::enter(&self.core);
        self.core.step()
    }

    /// The run as a future, to embed a scheduler in another runtime's thread. It yields to that runtime whenever all
    /// processes are asleep, and every now and then when they are not.
    pub fn run_as_future(&self) -> RunFuture {
        RunFuture::new(self.clone())
    }

    /// Asks for a stop at the end of the current pass (AX-SCHED-18): then every process is told to stop and closed
    /// down, whether it was awake or not (D-08).
    pub fn stop(&self) {
        self.core.request_stop();
    }

    /// A handle that other threads can hold.
    pub fn handle(&self) -> SchedulerHandle {
        SchedulerHandle(self.core.remote().clone())
    }

    /// Keeps the next run going with no process until the first activation or wake from another thread (AX-SCHED-19).
    pub fn wait_for_one(&self) {
        self.core.wait_for_one();
    }

    /// Delays each pass (AX-SCHED-16), to watch a program at work. [`Scheduler::run`] sleeps so long, by the system's
    /// clock; [`Scheduler::step`] does nothing until the time is over.
    pub fn set_slowmo(&self, delay: Duration) {
        self.core.set_slowmo(delay);
    }

    /// Says what happens when a component fails (`immortalise`, `mortalise`; AX-SCHED-11).
    pub fn set_on_failure(&self, policy: OnFailure) {
        self.core.set_on_failure(policy);
    }

    /// The number of the current pass, from 0.
    pub fn pass(&self) -> u64 {
        self.core.pass()
    }

    /// The time at which the current pass was first asked for it (AX-SCHED-17); by the scheduler's own clock.
    pub fn time(&self) -> Instant {
        self.core.pass_time()
    }

    /// All processes that have been activated here and have not ended, in the order of their activation.
    pub fn processes(&self) -> Vec<AnyInstance> {
        self.core.processes().into_iter().map(AnyInstance::from_process).collect()
    }

    /// Whether the process is asleep, or unknown here (AX-SCHED-08).
    pub fn is_paused(&self, component: &AnyInstance) -> bool {
        let known = component.process().core().is_some_and(|c| Rc::ptr_eq(c, &self.core));
        !known || component.process().is_paused()
    }

    /// Whether a process of that number is alive here.
    pub fn contains(&self, id: ProcessId) -> bool {
        self.core.processes().iter().any(|p| p.id() == id)
    }
}

/// Marks a scheduler as the one that runs on this thread.
struct Running;

impl Running {
    fn enter(core: &Rc<Core>) -> Self {
        RUNNING.with_borrow_mut(|r| r.push(Rc::downgrade(core)));
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(|r| {
            r.pop();
        });
    }
}
