//! A microprocess: a suspended body and its place in a scheduler (Kamaelia: `Axon/Microprocess.py`).
//!
//! The rules of sleeping and waking live here. They give Axon's order (AX-SCHED-04 to 07) without queues of requests:
//! the scheduler counts *ticks* (one each pass and each step), and a process remembers the tick of its last pause and
//! of its last wake. Comparing them with the tick at which the current pass or step began tells what the original
//! finds out by applying all pauses and then all wakes between two passes.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use crate::boxes::{Downlink, PortSet};
use crate::error::{Cause, Failure};
use crate::id::{ProcessId, dotted};
use crate::ordered::Ordered;
use crate::postoffice::Postoffice;
use crate::scheduler::{Core, panic_text};

/// Where a process stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Made, not activated: bound to no scheduler (AX-MP-04).
    New,
    /// Activation was asked for in this pass; not in the table yet.
    Activating,
    /// In the run queue. Going to sleep, if it has a pause from an earlier pass.
    Active,
    /// Going to sleep and woken before its turn came: it leaves the queue at its turn and joins the tail.
    Leaving,
    /// Asleep, and in no queue.
    Sleeping,
    /// Was asleep, woken in this pass: joins the tail of the queue when the pass ends.
    Woken,
    /// Asked to stop by somebody; its turn has not come yet.
    Stopping,
    /// Ended.
    Stopped,
}

/// A body, started or not. What went wrong in it is in [`Extras::failure`].
type Body = Pin<Box<dyn Future<Output = ()>>>;

type Hook = Box<dyn FnOnce()>;

/// Told of a failure before the scheduler's policy is applied; what it gives back, the policy gets.
pub(crate) type FailureHook = Box<dyn FnOnce(Failure) -> Option<Failure>>;

/// What few processes need, so that the others do not pay for it.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) tag: RefCell<String>,
    pub(crate) on_stop: RefCell<Vec<Hook>>,
    pub(crate) on_close_down: RefCell<Vec<Hook>>,
    pub(crate) children: RefCell<Ordered<Rc<Process>>>,
    /// Adopted ones that have ended since they were last reaped.
    pub(crate) ended_children: RefCell<Vec<Rc<Process>>>,
    /// What the body says went wrong.
    pub(crate) failure: RefCell<Option<Cause>>,
    pub(crate) on_failure: RefCell<Option<FailureHook>>,
    /// Ended when this process ends (AX-SCHED-10, D-05).
    pub(crate) ends_with_it: RefCell<Vec<Rc<Process>>>,
    /// To be woken when this process ends (AX-COMP-04), one entry for each time it was adopted, with its number among
    /// the parent's children; without a number, whoever else is to be woken.
    pub(crate) parents: RefCell<Vec<(Weak<Process>, Option<u64>)>>,
    pub(crate) postoffice: RefCell<Postoffice>,
    pub(crate) dynamic: RefCell<crate::adaptive::DynamicBoxes>,
    pub(crate) tracker: RefCell<Option<Rc<crate::tracker::Tracker>>>,
    /// The final inboxes that this process's outboxes lead to; rebuilt when a link changes.
    downlinks: RefCell<Option<Vec<Rc<Downlink>>>>,
    waker: OnceCell<Waker>,
}

/// One microprocess; public only because traits of the framework mention it. Handles to it are reference counted and stay on one thread.
pub struct Process {
    id: ProcessId,
    kind: fn() -> &'static str,
    state: Cell<State>,
    /// Tick of the pause in force, with the bit [`PAUSED`] set, or of the last wake that came while it was active. A
    /// pause makes earlier wakes meaningless, and a wake ends the pause, so that one of the two is enough.
    mark: Cell<u64>,
    key: Cell<u32>,
    /// Whether the sleep in force is one of `pause`, which a collection ends.
    minds_collections: Cell<bool>,
    /// Whether an outbox of this process leads anywhere, so that its pauses must be told to the far inboxes.
    pub(crate) has_outlinks: Cell<bool>,
    /// Whether its body has awaited an inbox by itself: then a change of that inbox's links has to wake it.
    pub(crate) awaits: Cell<bool>,
    /// None while there is none yet, and after the end.
    code: RefCell<Option<Body>>,
    core: OnceCell<Rc<Core>>,
    ports: OnceCell<Rc<dyn PortSet>>,
    extras: OnceCell<Box<Extras>>,
}

impl Process {
    pub(crate) fn new(kind: fn() -> &'static str) -> Rc<Self> {
        Rc::new(Self {
            id: ProcessId::next(),
            kind,
            state: Cell::new(State::New),
            mark: Cell::new(0),
            key: Cell::new(u32::MAX),
            minds_collections: Cell::new(false),
            has_outlinks: Cell::new(false),
            awaits: Cell::new(false),
            code: RefCell::new(None),
            core: OnceCell::new(),
            ports: OnceCell::new(),
            extras: OnceCell::new(),
        })
    }

    pub(crate) fn set_ports(&self, ports: Rc<dyn PortSet>) {
        let _ = self.ports.set(ports);
    }

    /// Sets the body. It must not hold its process before its first step: a component that is never activated would
    /// hold itself.
    pub(crate) fn set_body(&self, body: impl Future<Output = ()> + 'static) {
        *self.code.borrow_mut() = Some(Box::pin(body));
    }

    pub(crate) fn id(&self) -> ProcessId {
        self.id
    }

    /// Type, number and tag (AX-MP-01).
    pub(crate) fn name(&self) -> String {
        let tag = self.extras.get().map(|e| e.tag.borrow().clone()).unwrap_or_default();
        format!("{}_{}{tag}", dotted((self.kind)()), self.id)
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.set(state);
    }

    pub(crate) fn key(&self) -> u32 {
        self.key.get()
    }

    pub(crate) fn set_key(&self, key: u32) {
        self.key.set(key);
    }

    pub(crate) fn core(&self) -> Option<&Rc<Core>> {
        self.core.get()
    }

    pub(crate) fn ports(&self) -> Option<&Rc<dyn PortSet>> {
        self.ports.get()
    }

    pub(crate) fn extras(&self) -> &Extras {
        self.extras.get_or_init(Default::default)
    }

    pub(crate) fn extras_if_any(&self) -> Option<&Extras> {
        self.extras.get().map(|e| &**e)
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state.get(), State::Stopped | State::Stopping)
    }

    /// Whether a scheduler would not step it: asleep, or unknown to any (AX-SCHED-08).
    pub(crate) fn is_paused(&self) -> bool {
        !matches!(self.state.get(), State::Active | State::Leaving)
    }

    /// Binds to a scheduler. False if it has ended or is known to one already.
    pub(crate) fn bind(&self, core: &Rc<Core>) -> bool {
        self.state.get() == State::New && self.core.set(core.clone()).is_ok()
    }

    /// Tick of the pause in force.
    fn paused_at(&self) -> Option<u64> {
        let mark = self.mark.get();
        (mark & PAUSED != 0).then_some(mark & !PAUSED)
    }

    /// Asks for sleep from the next pass on, unless something woke the process in this pass (AX-SCHED-04).
    pub(crate) fn request_pause(self: &Rc<Self>) {
        let Some(core) = self.core.get() else { return };
        if self.state.get() != State::Active || self.paused_at().is_some() {
            return; // D-03: pausing a sleeper changes nothing
        }
        if self.mark.get() >= core.pass_start() {
            return;
        }
        if self.has_outlinks.get() && self.listen_for_collections(core.pass_start()) {
            return;
        }
        self.minds_collections.set(true);
        self.mark.set(PAUSED | core.tick());
    }

    /// The sleep of a process that awaits something without having called `pause`: it ends with any wake that came
    /// since its step began; earlier ones it has seen.
    pub(crate) fn sleep_unless_woken_in_step(&self, step: u64, tick: u64) {
        // A pause in force is greater than any tick.
        if self.mark.get() < step {
            self.minds_collections.set(false);
            self.mark.set(PAUSED | tick);
        }
    }

    /// Wakes the process (AX-SCHED-07); safe to call at any time, any number of times.
    pub(crate) fn wake(self: &Rc<Self>) {
        let Some(core) = self.core.get() else { return };
        match self.state.get() {
            State::Active => {
                if self.goes_to_sleep(core.pass_start()) {
                    // Still in the queue, on its way out: it leaves at its turn and joins the tail (AX-SCHED-06).
                    self.state.set(State::Leaving);
                    core.push_woken(self.clone());
                } else {
                    self.mark.set(core.tick());
                }
            }
            State::Sleeping => {
                self.state.set(State::Woken);
                core.push_woken(self.clone());
            }
            _ => {}
        }
    }

    /// Whether its pause has taken effect when its turn comes.
    pub(crate) fn goes_to_sleep(&self, pass_start: u64) -> bool {
        self.paused_at().is_some_and(|at| at < pass_start)
    }

    pub(crate) fn clear_pause(&self) {
        self.mark.set(0);
    }

    /// Runs the body to its next yield. What has no body has ended.
    pub(crate) fn poll_body(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.code.borrow_mut() {
            Some(body) => body.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }

    /// What the body said went wrong before it ended.
    pub(crate) fn take_failure(&self) -> Option<Cause> {
        self.extras.get()?.failure.take()
    }

    /// Drops the body, and with it whatever it holds.
    pub(crate) fn drop_code(&self) {
        // While the body runs it is borrowed; then whoever runs it drops it.
        let code = self.code.try_borrow_mut().map(|mut c| c.take());
        drop(code);
    }

    /// Somebody asks it to stop (AX-MP-09): its hooks run now, and it is closed down at its next turn (D-02).
    pub(crate) fn stop(self: &Rc<Self>) {
        match self.state.get() {
            State::Stopped | State::Stopping => {}
            State::New => self.stopped(),
            state => {
                self.run_stop_hooks();
                self.state.set(State::Stopping);
                if state == State::Sleeping
                    && let Some(core) = self.core.get()
                {
                    core.push_woken(self.clone());
                }
            }
        }
    }

    /// Runs code of the program that belongs to the process's end. A panic in it is this process's failure, and does
    /// not keep the rest of the end from happening.
    fn guard(&self, code: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(code)) {
            let cause = Cause::Panic(panic_text(&*payload));
            self.extras().failure.borrow_mut().get_or_insert(cause);
        }
    }

    /// Marks the end, running the stop hooks if they have not run yet.
    pub(crate) fn stopped(self: &Rc<Self>) {
        self.run_stop_hooks();
        if self.state.replace(State::Stopped) == State::Stopped {
            return;
        }
        if let Some(extras) = self.extras.get() {
            for (parent, number) in extras.parents.borrow().iter() {
                if number.is_some()
                    && let Some(parent) = parent.upgrade()
                    && parent.state() != State::Stopped
                {
                    parent.extras().ended_children.borrow_mut().push(self.clone());
                }
            }
        }
    }

    fn run_stop_hooks(&self) {
        if let Some(extras) = self.extras.get() {
            for hook in extras.on_stop.take() {
                self.guard(hook);
            }
        }
    }

    /// Undoes what it set up (AX-COMP-13): its body goes, its hooks run, parents are woken, its links are undone.
    pub(crate) fn close_down(self: &Rc<Self>) {
        self.guard(|| self.drop_code());
        let Some(extras) = self.extras.get() else { return };
        for hook in extras.on_close_down.take() {
            self.guard(hook);
        }
        for (parent, _) in extras.parents.borrow().iter() {
            if let Some(parent) = parent.upgrade() {
                parent.wake();
            }
        }
        extras.postoffice.borrow_mut().unlink_all();
        extras.children.take();
        extras.ended_children.take();
        for other in extras.ends_with_it.take() {
            if let Some(core) = other.core() {
                core.end_now(&other);
            }
        }
    }

    pub(crate) fn waker(&self) -> Option<&Waker> {
        self.extras.get()?.waker.get()
    }

    pub(crate) fn set_waker(&self, waker: Waker) {
        let _ = self.extras().waker.set(waker);
    }

    /// Called when a link of one of its outboxes changed.
    pub(crate) fn outlinks_changed(self: &Rc<Self>) {
        self.has_outlinks.set(true);
        let stale = self.extras.get().and_then(|e| e.downlinks.take());
        for d in stale.into_iter().flatten() {
            d.cancel();
        }
        // One that sleeps already is told of collections at the new end, and of none at the old (AX-BOX-10).
        let asleep = self.state.get() == State::Sleeping
            || self.state.get() == State::Active && self.paused_at().is_some();
        if asleep && self.minds_collections.get() {
            let downlinks = self.find_downlinks();
            for d in &downlinks {
                d.wait();
            }
            self.extras().downlinks.replace(Some(downlinks));
        }
    }

    /// Has the far inboxes wake this process at their next collection (AX-BOX-10). True if one of them was collected
    /// from in this pass: then the process stays awake.
    fn listen_for_collections(self: &Rc<Self>, pass_start: u64) -> bool {
        let mut downlinks = self.extras().downlinks.borrow_mut();
        let downlinks = downlinks.get_or_insert_with(|| self.find_downlinks());
        if downlinks.iter().any(|d| d.collected_since(pass_start)) {
            return true;
        }
        for d in downlinks.iter() {
            d.wait();
        }
        false
    }

    fn find_downlinks(self: &Rc<Self>) -> Vec<Rc<Downlink>> {
        let mut found = Vec::new();
        let mut add = |outbox: &dyn crate::boxes::AnyOutbox| {
            if let Some((bell, order)) = outbox.far_bell() {
                found.push(Downlink::new(self, bell, order));
            }
        };
        if let Some(ports) = self.ports.get() {
            for i in 0..ports.outboxes().len() {
                add(ports.outbox(i));
            }
        }
        if let Some(extras) = self.extras.get() {
            extras.dynamic.borrow().outboxes().for_each(|(_, o)| add(&**o));
        }
        found
    }
}

/// Marks a tick as that of a pause. Ticks do not get that far.
const PAUSED: u64 = 1 << 63;

/// Name, number and the two flags, as the original prints them (AX-MP-03).
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |on| u8::from(on);
        write!(f, "{} :{} :{} :{} :", self.name(), self.id, flag(true), flag(self.has_ended()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        crate::component::forget_reference(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be a million of them.
    #[test]
    fn sizes_stay_small() {
        assert_eq!(size_of::<Process>(), 88);
        assert_eq!(size_of::<crate::Inbox<String>>(), 16);
        assert_eq!(size_of::<crate::Outbox<String>>(), 16);
    }
}
