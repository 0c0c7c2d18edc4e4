//! Messages that a full receiver has not taken yet.
//!
//! A component that waits in `send_wait` hears nothing meanwhile. One that routes messages has to: a receiver may be
//! taken off the list while it is full, or a `shutdownMicroprocess` may come. So it keeps the message, pauses, which
//! lasts until something was collected, and tries again.

use crate::boxes::{Inbox, Outbox};
use crate::component::Cx;
use crate::ipc::Ipc;

/// One message on its way to one outbox.
pub(super) struct Unsent<T>(Option<T>);

impl<T: Send + 'static> Unsent<T> {
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Takes the next message; the last one must be out.
    pub(super) fn put(&mut self, message: T) {
        debug_assert!(self.0.is_none(), "the last message is not out yet");
        self.0 = Some(message);
    }

    /// Sends it if there is one. True if nothing is left.
    pub(super) fn flush(&mut self, outbox: &Outbox<T>) -> bool {
        match self.0.take() {
            Some(message) => {
                self.0 = try_send(outbox, message);
                self.0.is_none()
            }
            None => true,
        }
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

/// Copies of one message on their way to several outboxes. Those that have room get theirs at once; the next message
/// is taken only when all have theirs, so that each receiver sees all messages in order.
pub(super) struct Copies<T: 'static> {
    outboxes: Vec<Outbox<T>>,
    /// Whether the outbox at the same place waits for its copy.
    owed: Vec<bool>,
    owing: usize,
    message: Option<T>,
}

impl<T: Clone + Send + 'static> Copies<T> {
    /// To these outboxes, in this order.
    pub(super) fn to<'a>(outboxes: impl IntoIterator<Item = &'a Outbox<T>>) -> Self {
        let mut new = Self { outboxes: Vec::new(), owed: Vec::new(), owing: 0, message: None };
        outboxes.into_iter().for_each(|o| new.add(o));
        new
    }

    /// Adds an outbox; it gets the messages after the current one.
    pub(super) fn add(&mut self, outbox: &Outbox<T>) {
        self.outboxes.push(outbox.alias());
        self.owed.push(false);
    }

    /// Removes the outbox at a place, and what it was owed.
    pub(super) fn remove(&mut self, at: usize) {
        self.outboxes.remove(at);
        if self.owed.remove(at) {
            self.settle();
        }
    }

    /// Takes the next message; the last one must be out.
    pub(super) fn put(&mut self, message: T) {
        debug_assert_eq!(self.owing, 0, "the last message is not out yet");
        self.owing = self.outboxes.len();
        self.owed.fill(true);
        self.message = (self.owing > 0).then_some(message);
    }

    /// Sends the copies for which there is room. True if none is left.
    pub(super) fn flush(&mut self) -> bool {
        if self.owing == 0 {
            return true;
        }
        for at in 0..self.outboxes.len() {
            if !self.owed[at] {
                continue;
            }
            // The last one gets the message itself.
            let copy = if self.owing == 1 { self.message.take() } else { self.message.clone() };
            let Some(copy) = copy else { break };
            match try_send(&self.outboxes[at], copy) {
                None => {
                    self.owed[at] = false;
                    self.settle();
                }
                Some(back) => self.message = Some(back),
            }
        }
        self.owing == 0
    }

    /// Whether a copy is still to be sent.
    pub(super) fn is_busy(&self) -> bool {
        self.owing > 0
    }

    fn settle(&mut self) {
        self.owing -= 1;
        if self.owing == 0 {
            self.message = None;
        }
    }
}

/// Takes the message that ends a component out of `control`, dropping all others; a `shutdownMicroprocess` comes before
/// a `producerFinished`. The component may end now if it is the first or if nothing is left to send.
pub(super) fn hear_end(control: &Inbox<Ipc>, last: &mut Option<Ipc>, all_sent: bool) -> Option<Ipc> {
    for message in control.drain() {
        let first = message.is_producer_finished() && last.is_none();
        if first || message.is_shutdown_microprocess() {
            *last = Some(message);
        }
    }
    last.take_if(|m| m.is_shutdown_microprocess() || all_sent)
}

/// The life of a component that passes on its control messages, until one of those that end it has been passed on.
///
/// `pump` moves data as far as there is room, and is true if none is left. A message that ends the component waits for
/// that, unless it is a `shutdownMicroprocess`.
pub(super) async fn relay<P: 'static>(
    cx: &Cx<P>,
    (control, signal): (&Inbox<Ipc>, &Outbox<Ipc>),
    ends: &dyn Fn(&Ipc) -> bool,
    mut pump: impl FnMut() -> bool,
) {
    let mut unsent = Unsent::none();
    let mut last: Option<Ipc> = None;
    let last = loop {
        let drained = pump();
        while last.is_none()
            && unsent.flush(signal)
            && let Some(message) = control.try_recv()
        {
            if ends(&message) {
                last = Some(message);
            } else {
                unsent.put(message);
            }
        }
        // While the end waits for room, the only thing worth hearing is that it shall not wait.
        if last.is_some() {
            let hurry = |m: &Ipc| m.is_shutdown_microprocess() && ends(m);
            last = control.drain().find(hurry).or(last);
        }
        let can_end = |m: &mut Ipc| m.is_shutdown_microprocess() || drained && unsent.is_none();
        if let Some(message) = last.take_if(can_end) {
            break message;
        }
        cx.pause().await;
    };
    let _ = signal.send_wait(last).await; // a control line takes any message
}

/// The message, if the receiver is full. One of the wrong type will never be taken.
fn try_send<T: Send + 'static>(outbox: &Outbox<T>, message: T) -> Option<T> {
    match outbox.send(message) {
        Ok(()) => None,
        Err(e) if e.is_full() => Some(e.into_message()),
        Err(e) => {
            log::warn!("a message was dropped: {e}");
            None
        }
    }
}
