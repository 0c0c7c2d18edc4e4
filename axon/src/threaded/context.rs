//! What a component's thread can do.

use std::ops::Deref;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::bridge::{Bridge, Disconnected, Shared, ThreadInbox, ThreadOutbox};
use super::proxy::Requests;
use crate::adaptive::Added;
use crate::boxes::{Direction, Inbox, Outbox};
use crate::component::{ComponentRef, Cx, Ports};
use crate::error::LinkError;
use crate::id::ProcessId;

/// The context of a threaded component's body: its boxes (as fields), and calls that are served by the scheduler's
/// thread.
pub struct ThreadCx<P: Ports> {
    pub(super) boxes: P::OnThread,
    pub(super) shared: Arc<Shared>,
    pub(super) requests: Requests<P>,
    pub(super) reference: ComponentRef,
}

impl<P: Ports> Deref for ThreadCx<P> {
    type Target = P::OnThread;
    fn deref(&self) -> &P::OnThread {
        &self.boxes
    }
}

/// The scheduler's side of a threaded component, while a call of its thread is served there.
pub struct SchedulerSide<'a, P: Ports> {
    cx: &'a Cx<P>,
    pub(super) bridge: &'a mut Bridge,
}

impl<'a, P: Ports> SchedulerSide<'a, P> {
    pub(super) fn new(cx: &'a Cx<P>, bridge: &'a mut Bridge) -> Self {
        Self { cx, bridge }
    }
}

impl<P: Ports> Deref for SchedulerSide<'_, P> {
    type Target = Cx<P>;
    fn deref(&self) -> &Cx<P> {
        self.cx
    }
}

impl<P: Ports> ThreadCx<P> {
    /// Blocks until a message was moved in either direction, or the time is over (AX-THR-07). An event that came
    /// earlier ends it at once.
    pub fn pause(&self, timeout: Option<Duration>) {
        if self.shared.is_closed() {
            return;
        }
        self.shared.bell.wait(timeout);
    }

    /// Whether the component has ended; the thread should end too.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Has `ring` called for every event that would end a [`pause`](ThreadCx::pause), and at once if one has come
    /// already. An event loop of the thread's own can then block in one place: `ring` wakes it, and it calls
    /// [`ThreadCx::hear`] before it looks at the boxes.
    pub fn replace_bell(&self, ring: impl Fn() + Send + Sync + 'static) {
        self.shared.bell.replace(Arc::new(ring));
    }

    /// Clears the event, so that the next one rings again; true if there was one.
    pub fn hear(&self) -> bool {
        self.shared.bell.hear()
    }

    /// The component's number.
    pub fn id(&self) -> ProcessId {
        self.reference.id()
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        self.reference.name()
    }

    /// A reference to the component.
    pub fn reference(&self) -> &ComponentRef {
        &self.reference
    }

    /// Runs `work` on the scheduler's thread and waits for its result (AX-THR-08). What the thread sent before is
    /// moved out before (AX-THR-09).
    ///
    /// # Errors
    /// [`Disconnected`] when the component has ended (D-19).
    #[doc(alias = "_do_threadsafe")]
    pub fn in_scheduler<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SchedulerSide<'_, P>) -> R + Send + 'static,
    ) -> Result<R, Disconnected> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.requests.push(Box::new(move |side| {
            let _ = reply.send(work(side));
        }));
        self.shared.waker.wake_by_ref();
        // The request is dropped, and with it the other end of the channel, if the proxy goes away.
        answer.recv().map_err(|_| Disconnected)
    }

    /// Makes the round trip to the scheduler's thread and back.
    ///
    /// # Errors
    /// [`Disconnected`] when the component has ended.
    pub fn sync(&self) -> Result<(), Disconnected> {
        self.in_scheduler(|_| ())
    }

    /// Adds an inbox and returns the name that it got, and the thread's side of it (AX-THR-10).
    ///
    /// # Errors
    /// [`Disconnected`] when the component has ended.
    #[doc(alias = "threadedadaptivecommscomponent")]
    pub fn add_inbox<T: Send + 'static>(&self, name: &str) -> Result<(String, ThreadInbox<T>), Disconnected> {
        let name = name.to_string();
        self.in_scheduler(move |side| {
            let added: Added<Inbox<T>> = side.cx.add_inbox(&name);
            (added.name().to_string(), side.bridge.inbox(&added))
        })
    }

    /// Adds an outbox and returns the name that it got, and the thread's side of it (AX-THR-10).
    ///
    /// # Errors
    /// [`Disconnected`] when the component has ended.
    #[doc(alias = "threadedadaptivecommscomponent")]
    pub fn add_outbox<T: Send + 'static>(
        &self,
        name: &str,
    ) -> Result<(String, ThreadOutbox<T>), Disconnected> {
        let name = name.to_string();
        self.in_scheduler(move |side| {
            let added: Added<Outbox<T>> = side.cx.add_outbox(&name);
            (added.name().to_string(), side.bridge.outbox(&added))
        })
    }

    /// Deletes an inbox, declared or added.
    ///
    /// # Errors
    /// The inner one names the box that does not exist.
    pub fn delete_inbox(&self, name: &str) -> Result<Result<(), LinkError>, Disconnected> {
        let name = name.to_string();
        self.in_scheduler(move |side| {
            let slot = side.cx.instance().any().slot(Direction::In, &name)?;
            side.bridge.inward.retain(|m| !m.is_of(&slot));
            side.cx.delete_inbox(&name)
        })
    }

    /// Deletes an outbox, declared or added. What the thread sent to it before has been moved out.
    ///
    /// # Errors
    /// The inner one names the box that does not exist.
    pub fn delete_outbox(&self, name: &str) -> Result<Result<(), LinkError>, Disconnected> {
        let name = name.to_string();
        self.in_scheduler(move |side| {
            let slot = side.cx.instance().any().slot(Direction::Out, &name)?;
            side.bridge.outward.retain(|m| !m.is_of(&slot));
            side.cx.delete_outbox(&name)
        })
    }
}
