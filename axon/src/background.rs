//! A scheduler in a thread of its own, beside ordinary code (Kamaelia: `Axon/background.py`).

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::component::AnyInstance;
use crate::error::{Error, Result};
use crate::scheduler::{OnFailure, Scheduler, SchedulerGone, SchedulerHandle, SchedulerOptions, panic_text};
use crate::tracker::Tracker;
use crate::watchdog::Watchdog;

/// Why a background was not made or started.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackgroundError {
    /// Another one has not ended yet (AX-BG-02).
    AlreadyRunning,
    /// The system gave no thread.
    Thread(io::Error),
}

impl fmt::Display for BackgroundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyRunning => f.write_str("only one background can be run at a time"),
            Self::Thread(e) => write!(f, "cannot start the background's thread: {e}"),
        }
    }
}

impl std::error::Error for BackgroundError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(e) => Some(e),
            Self::AlreadyRunning => None,
        }
    }
}

/// A scheduler that is about to be run in the background; there is one at a time in a program (AX-BG-02).
///
/// ```
/// use axon::background::Background;
/// use axon::handle::Handle;
/// use axon::util::PureTransformer;
///
/// let background = Background::new()?.stay().start()?;
/// let upper: Handle<String, String> =
///     Handle::new(background.handle(), || PureTransformer::new(|s: String| Some(s.to_uppercase())));
/// upper.blocking_put("hello".into())?;
/// assert_eq!(upper.blocking_get()?, "HELLO");
/// drop(upper); // the end of its input; it ends
/// background.stop();
/// background.join()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # How it works
/// All backgrounds of a program, one after the other, use one thread and, unless [zapped](Background::zap), one
/// scheduler and one tracker: a component that was activated after a background had ended runs when the next one is
/// started (AX-BG-01). The thread does not keep the program alive.
///
/// # Ends
/// When the last component has ended (unless it is to [stay](Background::stay)), when it is told to
/// [stop](Running::stop), or when a component fails. After a failure everything that is left is dropped, and the next
/// background starts with a new scheduler.
pub struct Background {
    slowmo: Duration,
    zap: bool,
    stay: bool,
    on_failure: OnFailure,
    watchdog: Option<Watchdog>,
    _turn: Turn,
}

/// A background that has been started. Dropping it changes nothing: it goes on.
pub struct Running {
    handle: SchedulerHandle,
    end: Arc<End>,
}

impl Background {
    /// Claims the background for itself.
    ///
    /// # Errors
    /// [`BackgroundError::AlreadyRunning`], until the one before has ended or was dropped without a start.
    pub fn new() -> Result<Self, BackgroundError> {
        let turn = Turn::take().ok_or(BackgroundError::AlreadyRunning)?;
        Ok(Self {
            slowmo: Duration::ZERO,
            zap: false,
            stay: false,
            on_failure: OnFailure::EndRun,
            watchdog: None,
            _turn: turn,
        })
    }

    /// Delays each pass (AX-SCHED-16), to watch a program at work.
    #[must_use]
    pub fn slowmo(mut self, delay: Duration) -> Self {
        self.slowmo = delay;
        self
    }

    /// Starts with a new scheduler and an empty tracker: what earlier backgrounds left behind is dropped (AX-BG-02).
    #[must_use]
    pub fn zap(mut self) -> Self {
        self.zap = true;
        self
    }

    /// Keeps it going when its last component has ended, until it is stopped (D-41).
    #[must_use]
    pub fn stay(mut self) -> Self {
        self.stay = true;
        self
    }

    /// Says what happens when a component fails (AX-SCHED-11); by default, the background ends.
    #[must_use]
    pub fn on_failure(mut self, policy: OnFailure) -> Self {
        self.on_failure = policy;
        self
    }

    /// Has a watchdog look at it.
    #[must_use]
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.watchdog = Some(watchdog);
        self
    }

    /// Starts it. It waits for the first component (AX-SCHED-19).
    ///
    /// # Errors
    /// [`BackgroundError::Thread`].
    pub fn start(self) -> Result<Running, BackgroundError> {
        let end = Arc::new(End::default());
        let (tell, told) = mpsc::sync_channel(1);
        let mut job = Some(Job { settings: self, tell, end: end.clone() });
        let mut sender = lock(&THREAD);
        // A thread of an earlier background takes it, or a new one if there is none, or it is gone.
        while let Some(waiting) = job.take() {
            let thread = match sender.take() {
                Some(thread) => thread,
                None => spawn().map_err(BackgroundError::Thread)?,
            };
            match thread.send(waiting) {
                Ok(()) => *sender = Some(thread),
                Err(mpsc::SendError(refused)) => job = Some(refused),
            }
        }
        drop(sender);
        let gone = || BackgroundError::Thread(io::Error::other("it ended at once"));
        Ok(Running { handle: told.recv().map_err(|_| gone())?, end })
    }
}

impl Running {
    /// What other code gives it components through, and makes [`Handle`](crate::handle::Handle)s with.
    pub fn handle(&self) -> &SchedulerHandle {
        &self.handle
    }

    /// Makes a component in the background and activates it there; see [`SchedulerHandle::activate`].
    ///
    /// # Errors
    /// [`SchedulerGone`] after the background has ended with a failure.
    pub fn activate<A: Into<AnyInstance>>(
        &self,
        make: impl FnOnce() -> A + Send + 'static,
    ) -> Result<(), SchedulerGone> {
        self.handle.activate(make)
    }

    /// Asks it to end when its current pass is over; all components are stopped and closed down (AX-SCHED-18).
    pub fn stop(&self) {
        if !self.is_finished() {
            self.handle.stop();
        }
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        lock(&self.end.state).is_some()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`Scheduler::run`].
    pub fn join(self) -> Result<()> {
        let mut state = lock(&self.end.state);
        loop {
            match state.take() {
                Some(outcome) => return outcome,
                None => state = self.end.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").field("slowmo", &self.slowmo).field("stay", &self.stay).finish()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("finished", &self.is_finished()).finish()
    }
}

/// The right to be the program's background, given back when it is dropped.
struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        (!TAKEN.swap(true, Ordering::AcqRel)).then(|| Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

/// How a background ended, once it has.
#[derive(Default)]
struct End {
    state: Mutex<Option<Result<()>>>,
    bell: Condvar,
}

struct Job {
    settings: Background,
    tell: mpsc::SyncSender<SchedulerHandle>,
    end: Arc<End>,
}

/// The thread of all backgrounds.
fn spawn() -> io::Result<mpsc::Sender<Job>> {
    let (send, jobs) = mpsc::channel::<Job>();
    thread::Builder::new().name("axon-background".into()).spawn(move || {
        let mut left_over = None;
        for Job { mut settings, tell, end } in jobs {
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut settings, &mut left_over, &tell)));
            let outcome = outcome.unwrap_or_else(|payload| {
                Err(Error::Construction(format!("the background panicked: {}", panic_text(&*payload))))
            });
            if let Err(e) = &outcome {
                log::error!("the background ended: {e}");
                // The original's scheduler is dead by now. Dropped, it closes what others wait for, such as a `Handle`.
                left_over = None;
                Scheduler::set_thread_default(None);
            }
            // Whoever learns of the end may start the next at once.
            drop(settings);
            *lock(&end.state) = Some(outcome);
            end.bell.notify_all();
        }
    })?;
    Ok(send)
}

fn run(
    settings: &mut Background,
    left_over: &mut Option<Scheduler>,
    tell: &mpsc::SyncSender<SchedulerHandle>,
) -> Result<()> {
    if settings.zap {
        *left_over = None;
        Scheduler::set_thread_default(None);
        Tracker::shared().zap();
    }
    let scheduler =
        left_over.get_or_insert_with(|| Scheduler::with_options(SchedulerOptions::default())).clone();
    // A stop that came when the background before had ended already was not meant for this one.
    scheduler.core().remote().clear_stop();
    scheduler.set_on_failure(settings.on_failure);
    scheduler.set_slowmo(settings.slowmo);
    let _watch = settings.watchdog.take().map(|dog| dog.watch(&scheduler));
    let _ = tell.send(scheduler.handle()); // whoever started it may have gone
    loop {
        scheduler.wait_for_one();
        scheduler.run()?;
        if !settings.stay || scheduler.core().was_stopped() {
            return Ok(());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static TAKEN: AtomicBool = AtomicBool::new(false);
static THREAD: Mutex<Option<mpsc::Sender<Job>>> = Mutex::new(None);
