//! What a running component can do.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{AnyInstance, Component, Instance, Microprocess};
use crate::adaptive::{self, Added, Tracked};
use crate::boxes::{Direction, Inbox, Outbox};
use crate::error::{BoxError, Cause, LinkError};
use crate::microprocess::Process;
use crate::scheduler::{Core, SchedulerHandle, Sleep};
use crate::tracker::Tracker;

/// The context of a component: its boxes (as fields) and everything that it can ask of the framework.
///
/// A clone is the same context, for helper futures.
pub struct Cx<P: 'static> {
    process: Rc<Process>,
    ports: Rc<P>,
}

impl<P> Clone for Cx<P> {
    fn clone(&self) -> Self {
        Self { process: self.process.clone(), ports: self.ports.clone() }
    }
}

impl<P> Deref for Cx<P> {
    type Target = P;
    fn deref(&self) -> &P {
        &self.ports
    }
}

impl<P> Microprocess for Cx<P> {
    fn process(&self) -> &Rc<Process> {
        &self.process
    }
}

impl<P: 'static> Cx<P> {
    pub(crate) fn new(process: Rc<Process>, ports: Rc<P>) -> Self {
        Self { process, ports }
    }

    pub(crate) fn ports(&self) -> &Rc<P> {
        &self.ports
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        self.process.core().expect("a body runs only after its process was bound to a scheduler")
    }

    /// Says how the component ends: with an error it has failed (AX-SCHED-11), once its body is over. For the end of
    /// a `main`: `cx.end_with(self.work(&cx).await)`.
    pub fn end_with<E: Into<BoxError>>(&self, result: Result<(), E>) {
        if let Err(e) = result {
            self.process.extras().failure.replace(Some(Cause::Error(e.into())));
        }
    }

    pub(crate) fn fail(&self, cause: Cause) {
        self.process.extras().failure.replace(Some(cause));
    }

    /// This component, seen from outside.
    pub fn instance(&self) -> Instance<P> {
        Instance::from_parts(self.process.clone(), self.ports.clone())
    }

    /// Gives up the rest of this turn and stays in the run queue: Kamaelia's `yield 1`.
    pub fn yield_now(&self) -> YieldNow<'_> {
        YieldNow { process: &self.process, done: false }
    }

    /// Sleeps until a message is delivered, one that was sent is collected, a child ends, or somebody wakes it:
    /// Kamaelia's `self.pause(); yield 1`.
    ///
    /// It may wake for nothing; look again at what you wait for. If something woke the component earlier in this
    /// pass, it does not sleep at all. Await it in the body itself, not inside a combinator that has wakers of its own.
    pub fn pause(&self) -> Pause<'_> {
        Pause { process: &self.process, done: false }
    }

    /// Sleeps as [`pause`](Cx::pause) does, but no longer than a time of the scheduler's clock. True if that time is
    /// over, whatever else may have come at that moment.
    pub async fn pause_for(&self, time: Duration) -> bool {
        let mut limit = pin!(self.sleep(time));
        let mut over = async || poll_fn(|task| Poll::Ready(limit.as_mut().poll(task).is_ready())).await;
        if over().await {
            self.yield_now().await; // a loop around this must let others run
            return true;
        }
        self.pause().await;
        over().await
    }

    /// Runs a future as the original runs `WaitComplete(generator)`: it starts, and the caller goes on after it, at
    /// the tail of the run queue (AX-SCHED-12). A plain nested `.await` keeps the place in the queue.
    ///
    /// Meanwhile the component stays known; pauses and wakes reach the inner future (D-09).
    pub async fn wait_complete<F: Future>(&self, inner: F) -> F::Output {
        self.requeue().await;
        let out = inner.await;
        self.requeue().await;
        out
    }

    async fn requeue(&self) {
        let mut asked = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            self.core().requeue_current();
            Poll::Pending
        })
        .await;
    }

    /// Sleeps for a time of the scheduler's clock. Messages that arrive meanwhile wait.
    pub fn sleep(&self, time: Duration) -> Sleep {
        self.sleep_until(self.core().now() + time)
    }

    /// Sleeps until a moment of the scheduler's clock.
    pub fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep::until(self.core(), at)
    }

    /// The time at which this was first asked for in the current pass (AX-SCHED-17).
    pub fn time(&self) -> Instant {
        self.core().pass_time()
    }

    /// The number of the current pass, from 0.
    pub fn pass(&self) -> u64 {
        self.core().pass()
    }

    /// A handle to the scheduler.
    pub fn scheduler(&self) -> SchedulerHandle {
        SchedulerHandle(self.core().remote().clone())
    }

    /// Asks the scheduler to stop at the end of this pass (AX-SCHED-18).
    pub fn stop_scheduler(&self) {
        self.core().request_stop();
    }

    /// Makes and activates a component: Kamaelia's `newComponent`. Its first step is in the next pass.
    #[doc(alias = "newComponent")]
    pub fn launch<C: Component>(&self, component: C) -> Instance<C::Ports> {
        let instance = component.create();
        self.core().activate(instance.process());
        instance
    }

    /// Activates a component on this scheduler.
    pub fn activate(&self, component: impl Into<AnyInstance>) -> AnyInstance {
        let component = component.into();
        self.core().activate(component.process());
        component
    }

    /// Removes the children that have ended and tells whether any are left; what chassis do when they wake.
    pub fn reap_children(&self) -> bool {
        let ended = self.process.extras_if_any().map(|e| e.ended_children.take());
        for child in ended.into_iter().flatten() {
            self.remove_child(AnyInstance::from_process(child));
        }
        self.process.extras_if_any().is_some_and(|e| !e.children.borrow().is_empty())
    }

    /// The name of the first inbox that has a message of its own (AX-COMP-07).
    pub fn any_ready(&self) -> Option<String> {
        let ports = self.process.ports()?;
        let infos = ports.inboxes();
        if let Some(i) = (0..infos.len()).find(|i| ports.inbox(*i).own_len() > 0) {
            return Some(infos[i].name.to_string());
        }
        let extras = self.process.extras_if_any()?;
        let dynamic = extras.dynamic.borrow();
        dynamic.inboxes().find(|(_, b)| b.own_len() > 0).map(|(n, _)| n.to_string())
    }

    /// Adds an inbox; a number is appended to the name if it is taken (AX-ADAPT-02).
    #[doc(alias = "AdaptiveCommsComponent")]
    pub fn add_inbox<T: Send + 'static>(&self, name: &str) -> Added<Inbox<T>> {
        adaptive::add_inbox(&self.process, name)
    }

    /// Adds an outbox; a number is appended to the name if it is taken (AX-ADAPT-02).
    #[doc(alias = "AdaptiveCommsComponent")]
    pub fn add_outbox<T: Send + 'static>(&self, name: &str) -> Added<Outbox<T>> {
        adaptive::add_outbox(&self.process, name)
    }

    /// Deletes an inbox with its messages, declared or added; links at it are undone first (AX-ADAPT-03, D-15).
    ///
    /// # Errors
    /// [`LinkError::NoSuchBox`].
    pub fn delete_inbox(&self, name: &str) -> Result<(), LinkError> {
        adaptive::delete_box(&self.process, Direction::In, name)
    }

    /// Deletes an outbox, declared or added; links at it are undone first (AX-ADAPT-03, D-15).
    ///
    /// # Errors
    /// [`LinkError::NoSuchBox`].
    pub fn delete_outbox(&self, name: &str) -> Result<(), LinkError> {
        adaptive::delete_box(&self.process, Direction::Out, name)
    }

    /// Remembers a resource by one of the inboxes (AX-ADAPT-04).
    ///
    /// # Errors
    /// [`LinkError::NoSuchBox`].
    pub fn track_resource(&self, resource: Rc<dyn Any>, inbox: &str) -> Result<(), LinkError> {
        adaptive::track(&self.process, resource, inbox)
    }

    /// The resource remembered by an inbox.
    #[doc(alias = "retrieveTrackedResource")]
    pub fn tracked_resource(&self, inbox: &str) -> Option<Rc<dyn Any>> {
        adaptive::tracked_by(&self.process, inbox)
    }

    /// Remembers boxes and a value by a resource's name; storing again replaces (AX-ADAPT-05).
    ///
    /// # Errors
    /// [`LinkError::NoSuchBox`]; nothing is stored then.
    pub fn track_resource_information(&self, resource: &str, tracked: Tracked) -> Result<(), LinkError> {
        adaptive::track_information(&self.process, resource, tracked)
    }

    /// What was stored for a resource.
    #[doc(alias = "retrieveTrackedResourceInformation")]
    pub fn tracked_resource_information(&self, resource: &str) -> Option<Tracked> {
        adaptive::tracked_information(&self.process, resource)
    }

    /// Forgets what was stored for a resource, and returns it; the entries by inbox stay (AX-ADAPT-06).
    pub fn cease_tracking_resource(&self, resource: &str) -> Option<Tracked> {
        adaptive::cease_tracking(&self.process, resource)
    }

    /// The coordinating assistant tracker (AX-MP-16).
    #[doc(alias = "getcat")]
    pub fn tracker(&self) -> Rc<Tracker> {
        let own = self.process.extras_if_any().and_then(|e| e.tracker.borrow().clone());
        own.unwrap_or_else(Tracker::shared)
    }
}

/// See [`Cx::yield_now`].
pub struct YieldNow<'a> {
    process: &'a Rc<Process>,
    done: bool,
}

impl Future for YieldNow<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.done, true) {
            return Poll::Ready(());
        }
        if let Some(core) = self.process.core() {
            core.keep_current();
            if !core.is_direct(cx, self.process) {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

/// See [`Cx::pause`].
pub struct Pause<'a> {
    process: &'a Rc<Process>,
    done: bool,
}

impl Future for Pause<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.done, true) {
            return Poll::Ready(());
        }
        if let Some(core) = self.process.core() {
            core.keep_current();
            self.process.request_pause();
        }
        Poll::Pending
    }
}
