//! The pass.

mod ends;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

pub(crate) use self::ends::panic_text;
use super::remote::ProcessWaker;
use super::table::Table;
use super::timers::Timers;
use super::{OnFailure, Remote, Request, SchedulerOptions};
use crate::clock::Time;
use crate::error::{Cause, Error, Failure, Result};
use crate::microprocess::{Process, State};
use crate::wait::Listener;
use crate::watchdog;

/// The state of one scheduler.
pub(crate) struct Core {
    /// Rises by one each pass and each step; see [`crate::microprocess`].
    tick: Cell<u64>,
    pass_start: Cell<u64>,
    passes: Cell<u64>,
    queue: RefCell<VecDeque<Rc<Process>>>,
    /// Processes of the current pass that have not had their turn.
    left: Cell<usize>,
    at: Cell<Place>,
    /// Woken or activated in this pass, to be appended when it ends.
    woken: RefCell<VecDeque<Rc<Process>>>,
    table: RefCell<Table>,
    current: RefCell<Option<Rc<Process>>>,
    /// The current step asked to stay in the queue.
    keep: Cell<bool>,
    /// The current step asked to go to the tail of the queue.
    requeue: Cell<bool>,
    /// Identity of the waker that the current step was given; means nothing between steps.
    given_waker: Cell<*const ()>,
    spare: RefCell<Spare>,
    remote: Arc<Remote>,
    requests: RefCell<Vec<Request>>,
    stop: Cell<bool>,
    was_stopped: Cell<bool>,
    wait_for_one: Cell<bool>,
    timers: Timers,
    time: Time,
    pass_time: Cell<Option<(u64, Instant)>>,
    slowmo: Cell<Duration>,
    /// When the delay before the pass that comes next is over, once it has begun.
    slow_until: Cell<Option<Instant>>,
    on_failure: Cell<OnFailure>,
    /// What ends the run.
    failed: RefCell<Option<Failure>>,
    shuffle: Cell<Option<u64>>,
    watch: RefCell<Option<Arc<watchdog::Shared>>>,
    watched: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Start,
    Turns,
    End,
}

struct Spare {
    arc: Arc<ProcessWaker>,
    waker: Waker,
}

impl Spare {
    fn new(remote: &Arc<Remote>) -> Self {
        let arc = ProcessWaker::spare(remote);
        Self { waker: Waker::from(arc.clone()), arc }
    }

    /// Whether a body kept a clone, or rang it.
    fn was_used(&self) -> bool {
        if Arc::strong_count(&self.arc) > 2 {
            return true;
        }
        // The count is read without ordering. Whoever rang on another thread and let its clone go rang before: with
        // this fence, a count that shows the clone gone shows the ring too.
        fence(Ordering::Acquire);
        self.arc.was_rung()
    }
}

impl Core {
    pub(crate) fn new(options: &SchedulerOptions) -> Rc<Self> {
        let remote = Remote::new();
        Rc::new(Self {
            tick: Cell::new(1),
            pass_start: Cell::new(1),
            passes: Cell::new(0),
            queue: RefCell::default(),
            left: Cell::new(0),
            at: Cell::new(Place::Start),
            woken: RefCell::default(),
            table: RefCell::default(),
            current: RefCell::default(),
            keep: Cell::new(false),
            requeue: Cell::new(false),
            given_waker: Cell::new(std::ptr::null()),
            spare: RefCell::new(Spare::new(&remote)),
            remote,
            requests: RefCell::default(),
            stop: Cell::new(false),
            was_stopped: Cell::new(false),
            wait_for_one: Cell::new(false),
            timers: Timers::default(),
            time: Time::new(options.clock),
            pass_time: Cell::new(None),
            slowmo: Cell::new(Duration::ZERO),
            slow_until: Cell::new(None),
            on_failure: Cell::new(options.on_failure),
            failed: RefCell::default(),
            shuffle: Cell::new(options.shuffle),
            watch: RefCell::new(None),
            watched: Cell::new(false),
        })
    }

    pub(crate) fn tick(&self) -> u64 {
        self.tick.get()
    }

    pub(crate) fn pass_start(&self) -> u64 {
        self.pass_start.get()
    }

    pub(crate) fn pass(&self) -> u64 {
        self.passes.get().saturating_sub(1)
    }

    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    pub(crate) fn now(&self) -> Instant {
        self.time.now()
    }

    /// The clock is read once a pass at most, and only if somebody asks: reading it costs as much as a step.
    pub(crate) fn pass_time(&self) -> Instant {
        match self.pass_time.get() {
            Some((pass, at)) if pass == self.passes.get() => at,
            _ => {
                let at = self.time.now();
                self.pass_time.set(Some((self.passes.get(), at)));
                at
            }
        }
    }

    pub(crate) fn processes(&self) -> Vec<Rc<Process>> {
        self.table.borrow().in_order()
    }

    pub(crate) fn set_slowmo(&self, delay: Duration) {
        self.slowmo.set(delay);
    }

    pub(crate) fn set_on_failure(&self, policy: OnFailure) {
        self.on_failure.set(policy);
    }

    pub(crate) fn set_watch(&self, watch: Arc<watchdog::Shared>) {
        self.watch.replace(Some(watch));
        self.watched.set(true);
    }

    /// Forgets the watchdog, unless another has taken its place.
    pub(crate) fn clear_watch(&self, watch: &Arc<watchdog::Shared>) {
        let mut current = self.watch.borrow_mut();
        if current.as_ref().is_some_and(|w| Arc::ptr_eq(w, watch)) {
            *current = None;
            self.watched.set(false);
        }
    }

    /// Tells the watchdog, if there is one.
    #[cold]
    fn tell_watch(&self, tell: impl FnOnce(&watchdog::Shared)) {
        let watch = self.watch.borrow();
        if let Some(watch) = &*watch {
            tell(watch);
        }
    }

    pub(crate) fn wait_for_one(&self) {
        self.wait_for_one.set(true);
    }

    pub(crate) fn request_stop(&self) {
        self.stop.set(true);
    }

    pub(crate) fn keep_current(&self) {
        self.keep.set(true);
    }

    pub(crate) fn requeue_current(&self) {
        self.keep.set(true);
        self.requeue.set(true);
    }

    pub(crate) fn push_woken(&self, process: Rc<Process>) {
        self.woken.borrow_mut().push_back(process);
    }

    pub(crate) fn activate(self: &Rc<Self>, process: &Rc<Process>) {
        if process.bind(self) {
            process.set_state(State::Activating);
            self.push_woken(process.clone());
        } else {
            process.wake(); // AX-SCHED-05: activating a known one acts as a wake
        }
    }

    /// Who shall be woken for a future that is being polled now with `cx`.
    pub(crate) fn listener(&self, cx: &Context<'_>) -> Listener {
        if cx.waker().data() == self.given_waker.get()
            && let Some(p) = &*self.current.borrow()
        {
            return Listener::process(p);
        }
        Listener::Waker(cx.waker().clone())
    }

    /// Whether a future polled with `cx` is polled by `process` directly, not through a combinator's own waker.
    pub(crate) fn is_direct(&self, cx: &Context<'_>, process: &Rc<Process>) -> bool {
        cx.waker().data() == self.given_waker.get()
            && self.current.borrow().as_ref().is_some_and(|p| Rc::ptr_eq(p, process))
    }

    pub(crate) fn jump(&self, to: Instant) -> bool {
        self.time.jump(to)
    }

    pub(crate) fn was_stopped(&self) -> bool {
        self.was_stopped.get()
    }

    // ---- running -----------------------------------------------------------------------------------------------

    pub(crate) fn run(self: &Rc<Self>) -> Result<()> {
        self.forget_stop();
        // One net for panics around many passes: one around each costs as much as a step.
        while !self.guarded(|core| {
            loop {
                if core.at.get() == Place::Start {
                    core.wait_slowmo();
                    core.begin_pass();
                }
                if !core.turns() {
                    return false;
                }
                if !core.end_pass(true) {
                    return true;
                }
            }
        })? {}
        Ok(())
    }

    pub(crate) fn run_until_idle(self: &Rc<Self>) -> Result<()> {
        self.forget_stop();
        while self.one_pass()? {}
        Ok(())
    }

    /// One pass without blocking. False when nobody is left in the queue.
    pub(crate) fn one_pass(self: &Rc<Self>) -> Result<bool> {
        if self.at.get() == Place::Start {
            self.begin_pass();
        }
        while !self.guarded(Self::turns)? {}
        Ok(self.end_pass(false) && !self.queue.borrow().is_empty())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.table.borrow().is_empty() && !self.wait_for_one.get()
    }

    pub(crate) fn step(self: &Rc<Self>) -> Result<bool> {
        if self.at.get() == Place::End && !self.end_pass(false) {
            return Ok(false);
        }
        if self.at.get() == Place::Start {
            if self.delayed_until().is_some() {
                return Ok(true);
            }
            self.begin_pass();
        } else {
            self.guarded(Self::turn)?;
        }
        if self.left.get() == 0 {
            self.at.set(Place::End);
        }
        Ok(true)
    }

    /// A stop request from an earlier run is forgotten (D-07), and so are the processes that it ended.
    fn forget_stop(&self) {
        if !self.was_stopped.replace(false) {
            return;
        }
        let mut table = self.table.borrow_mut();
        for p in table.in_order() {
            if p.state() == State::Stopped {
                table.remove(&p);
            }
        }
    }

    fn wait_slowmo(&self) {
        if !self.slowmo.get().is_zero() {
            std::thread::sleep(self.slowmo.get());
        }
    }

    /// Until when whoever must not block has to put the next pass off (AX-SCHED-16). The delay begins with the first
    /// call between two passes.
    pub(crate) fn delayed_until(&self) -> Option<Instant> {
        if self.slowmo.get().is_zero() || self.at.get() != Place::Start {
            return None;
        }
        let now = Instant::now();
        let until = self.slow_until.get().unwrap_or(now + self.slowmo.get());
        let delayed = Some(until).filter(|at| now < *at);
        self.slow_until.set(delayed);
        delayed
    }

    fn begin_pass(&self) {
        self.passes.set(self.passes.get() + 1);
        self.tick.set(self.tick.get() + 1);
        self.pass_start.set(self.tick.get());
        let mut queue = self.queue.borrow_mut();
        self.left.set(queue.len());
        self.at.set(Place::Turns);
        if let Some(seed) = self.shuffle.get() {
            self.shuffle.set(Some(shuffle(queue.make_contiguous(), seed)));
        }
    }

    /// Gives every process of the pass its turn. False if one of them failed and that ends the run; then the others
    /// have not had theirs.
    fn turns(self: &Rc<Self>) -> bool {
        while self.left.get() > 0 {
            if !self.turn() {
                return false;
            }
        }
        self.at.set(Place::End);
        true
    }

    /// Runs `work` with a net for panics. What it returns, or false after a failure that does not end the run.
    fn guarded(self: &Rc<Self>, work: impl FnOnce(&Rc<Self>) -> bool) -> Result<bool> {
        let done = match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(done) => done,
            Err(payload) => {
                self.renew_spare();
                self.tell_watch(watchdog::Shared::end);
                let Some(process) = self.current.take() else { resume_unwind(payload) };
                self.finish(&process, Some(Cause::Panic(panic_text(&*payload))));
                false
            }
        };
        match self.failed.take() {
            None => Ok(done),
            Some(failure) => Err(Error::Component(failure)),
        }
    }

    /// The turn of the first process in the queue. False if it failed and that ends the run.
    fn turn(self: &Rc<Self>) -> bool {
        self.left.set(self.left.get() - 1);
        let Some(process) = self.queue.borrow_mut().pop_front() else { return true };
        match process.state() {
            State::Active if process.goes_to_sleep(self.pass_start.get()) => {
                process.clear_pause();
                process.set_state(State::Sleeping);
                true
            }
            State::Active if !self.watched.get() => self.poll(process),
            State::Active => self.watched_turn(process, |core, process| core.poll(process)),
            State::Leaving => {
                process.clear_pause();
                process.set_state(State::Woken);
                true
            }
            State::Stopping if !self.watched.get() => self.finish(&process, None),
            State::Stopping => self.watched_turn(process, |core, process| core.finish(&process, None)),
            _ => true,
        }
    }

    #[cold]
    fn watched_turn(
        self: &Rc<Self>,
        process: Rc<Process>,
        turn: impl FnOnce(&Rc<Self>, Rc<Process>) -> bool,
    ) -> bool {
        let step = self.tick.get() + 1;
        self.tell_watch(|w| w.begin(step, process.id()));
        let goes_on = turn(self, process);
        self.tell_watch(watchdog::Shared::end);
        goes_on
    }

    fn poll(self: &Rc<Self>, process: Rc<Process>) -> bool {
        let step = self.tick.get() + 1;
        self.tick.set(step);
        self.keep.set(false);
        *self.current.borrow_mut() = Some(process);
        let (polled, own_waker) = {
            let current = self.current.borrow();
            let process = current.as_ref().expect("set one line above");
            match process.waker() {
                Some(waker) => (self.poll_with(process, waker), true),
                None => {
                    let spare = self.spare.borrow();
                    (self.poll_with(process, &spare.waker), false)
                }
            }
        };
        let process = self.current.take().expect("a step does not take the current process away");
        if polled.is_ready() {
            if !own_waker {
                self.renew_spare();
            }
            return self.finish(&process, None);
        }
        if !own_waker && self.spare.borrow().was_used() {
            self.give_waker(&process);
        }
        if !self.keep.get() {
            process.sleep_unless_woken_in_step(step, self.tick.get());
        } else if self.requeue.get() {
            self.requeue.set(false);
            if process.state() == State::Active {
                process.clear_pause();
                process.set_state(State::Woken);
                self.push_woken(process);
                return true;
            }
        }
        self.queue.borrow_mut().push_back(process);
        true
    }

    fn poll_with(&self, process: &Process, waker: &Waker) -> Poll<()> {
        self.given_waker.set(waker.data());
        process.poll_body(&mut Context::from_waker(waker))
    }

    /// A body that has ended may have kept the spare waker; then it must not become another process's.
    fn renew_spare(&self) {
        let mut spare = self.spare.borrow_mut();
        if spare.was_used() {
            *spare = Spare::new(&self.remote);
        }
    }

    /// The body has kept the spare waker: it becomes the process's own.
    fn give_waker(&self, process: &Rc<Process>) {
        let spare = self.spare.replace(Spare::new(&self.remote));
        if spare.arc.give_to(process.key(), process.id().get()) {
            process.wake();
        }
        process.set_waker(spare.waker);
    }

    // ---- between passes ----------------------------------------------------------------------------------------

    /// Steps 6 to 10 of the pass. False when the run is over.
    fn end_pass(self: &Rc<Self>, block: bool) -> bool {
        self.at.set(Place::Start);
        loop {
            if !self.timers.is_empty() {
                self.timers.fire(self.time.now());
            }
            let stop = self.take_requests() | self.stop.get();
            self.append_woken(stop);
            if stop {
                self.stop_all();
                return false;
            }
            if self.is_over() {
                return false;
            }
            if !block || !self.queue.borrow().is_empty() {
                return true;
            }
            match self.timers.next() {
                Some(at) if self.time.jump(at) => {}
                until => self.remote.wait(until),
            }
        }
    }

    /// Honours what came from outside. True if a stop was among it.
    fn take_requests(self: &Rc<Self>) -> bool {
        if !self.remote.has_rung() {
            return false;
        }
        let mut requests = self.requests.take();
        let stop = self.remote.take(&mut requests);
        for request in requests.drain(..) {
            match request {
                Request::Wake { key, id } => {
                    self.wait_for_one.set(false);
                    let process = self.table.borrow().get(key, id).cloned();
                    if let Some(p) = process {
                        p.wake();
                    }
                }
                Request::Call(work) => {
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
                        log::error!("a call from another thread panicked: {}", panic_text(&*payload));
                    }
                }
            }
        }
        self.requests.replace(requests);
        stop
    }

    /// Puts the woken at the tail of the queue; if a stop waits, only the first of them (AX-SCHED-18).
    fn append_woken(&self, stop: bool) {
        let mut woken = self.woken.borrow_mut();
        if woken.is_empty() {
            return;
        }
        self.wait_for_one.set(false);
        let mut queue = self.queue.borrow_mut();
        if stop {
            woken.truncate(1);
        }
        while let Some(p) = woken.pop_front() {
            match p.state() {
                State::Activating => {
                    self.table.borrow_mut().insert(p.clone());
                    if self.watched.get() {
                        self.tell_watch(|w| w.add(&p));
                    }
                    p.set_state(State::Active);
                    queue.push_back(p);
                }
                State::Woken => {
                    p.set_state(State::Active);
                    queue.push_back(p);
                }
                State::Stopping => queue.push_back(p),
                _ => {}
            }
        }
    }
}

/// Fisher-Yates with xorshift: the order has to depend on the seed alone. Returns the next seed.
fn shuffle(items: &mut [Rc<Process>], seed: u64) -> u64 {
    let mut x = seed | 1;
    for i in (1..items.len()).rev() {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        items.swap(i, (x % (i as u64 + 1)) as usize);
    }
    x
}
