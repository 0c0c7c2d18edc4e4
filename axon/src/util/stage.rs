//! What the components between others have in common: how they hear of their end, and how they wait for room.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::boxes::{Inbox, Outbox};
use crate::component::Cx;
use crate::error::BoxError;
use crate::ipc::Ipc;

crate::ports! {
    /// Boxes of a component that stands between two others.
    pub struct StagePorts<A, B> {
        in  { /// What it works on.
              inbox: A,
              /// Shutdown requests.
              control: Ipc }
        out { /// What it makes of it.
              outbox: B,
              /// The message that ended it.
              signal: Ipc }
    }
}

/// What a component has been told on `control`. A `shutdownMicroprocess` outweighs a `producerFinished`; other
/// messages are dropped.
#[derive(Default)]
pub(crate) struct Orders {
    last: Option<Ipc>,
}

impl Orders {
    /// Takes what is there.
    pub(crate) fn hear(&mut self, control: &Inbox<Ipc>) {
        while let Some(message) = control.try_recv() {
            self.take(message);
        }
    }

    /// Takes one message; gives it back if it asks for no end.
    pub(crate) fn take(&mut self, message: Ipc) -> Option<Ipc> {
        if !message.ends_component() {
            return Some(message);
        }
        if message.is_shutdown_microprocess() || !self.stop() {
            self.last = Some(message);
        }
        None
    }

    /// Whether to stop at once.
    pub(crate) fn stop(&self) -> bool {
        self.last.as_ref().is_some_and(Ipc::is_shutdown_microprocess)
    }

    /// Whether to end, at once or after the queue.
    pub(crate) fn end(&self) -> bool {
        self.last.is_some()
    }

    /// Awaits `work`, unless a `shutdownMicroprocess` comes first. Nothing then; what `work` held is dropped.
    pub(crate) async fn unless_stopped<F: Future>(
        &mut self,
        control: &Inbox<Ipc>,
        work: F,
    ) -> Option<F::Output> {
        self.race(control, work, Self::stop).await
    }

    /// Awaits `work`, unless it is told to end first, at once or not.
    pub(crate) async fn unless_ended<F: Future>(
        &mut self,
        control: &Inbox<Ipc>,
        work: F,
    ) -> Option<F::Output> {
        self.race(control, work, Self::end).await
    }

    async fn race<F: Future>(
        &mut self,
        control: &Inbox<Ipc>,
        work: F,
        is_over: impl Fn(&Self) -> bool,
    ) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|task| {
            if let Poll::Ready(output) = work.as_mut().poll(task) {
                return Poll::Ready(Some(output));
            }
            // A delivery wakes the component, whatever it awaits.
            self.hear(control);
            if is_over(self) { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    /// Sends, waiting for room; false if it shall stop at once and there was none.
    pub(crate) async fn send<T: Send + 'static>(
        &mut self,
        control: &Inbox<Ipc>,
        outbox: &Outbox<T>,
        message: T,
    ) -> bool {
        match self.unless_stopped(control, outbox.send_wait(message)).await {
            Some(sent) => {
                if let Err(e) = sent {
                    log::warn!("a message was dropped: {e}");
                }
                true
            }
            None => false,
        }
    }

    /// Passes the message on.
    pub(crate) async fn pass_on(self, signal: &Outbox<Ipc>) {
        if let Some(message) = self.last {
            let _ = signal.send_wait(message).await; // a control line takes any message
        }
    }
}

/// The life of a component that makes at most one message of each: it works off its inbox, looks at `control`, and
/// passes on what ended it.
pub(crate) async fn work_off<A: Send + 'static, B: Send + 'static>(
    cx: &Cx<StagePorts<A, B>>,
    mut each: impl FnMut(A) -> Result<Option<B>, BoxError>,
) {
    let mut orders = Orders::default();
    'life: loop {
        while let Some(message) = cx.inbox.try_recv() {
            match each(message) {
                Ok(None) => {}
                Ok(Some(result)) => {
                    if !orders.send(&cx.control, &cx.outbox, result).await {
                        break 'life;
                    }
                }
                Err(e) => return cx.end_with(Err(e)),
            }
        }
        orders.hear(&cx.control);
        if orders.end() {
            break;
        }
        cx.pause().await;
    }
    orders.pass_on(&cx.signal).await;
}
