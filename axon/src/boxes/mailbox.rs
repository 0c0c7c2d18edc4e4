//! Delivering to an inbox without a link, and waiting for it to be read.

use std::any::type_name;
use std::cell::RefCell;
use std::rc::Rc;

use super::collect::RoomWaiter;
use super::outbox::{Deliver, Outbox, sink_for};
use super::slot::{Direction, SlotRef, address, far_end};
use crate::component::AnyInstance;
use crate::error::{LinkError, SendError};
use crate::microprocess::Process;
use crate::wait::Listener;

/// The final inbox of a chain, as something to deliver to. It is where the chain ended when this was made.
pub(crate) struct Mailbox<T: 'static> {
    sink: Rc<dyn Deliver<T>>,
    waiter: RefCell<Option<Rc<RoomWaiter>>>,
}

impl<T: Send + 'static> Mailbox<T> {
    /// The inbox at the far end of the chain that starts at `slot`.
    pub(crate) fn find(slot: &SlotRef) -> Result<Self, LinkError> {
        let far = far_end(slot);
        let sink = if far.direction() == Direction::In { sink_for::<T>(&far) } else { None };
        sink.map(Self::new).ok_or_else(|| LinkError::Type {
            from: "a message".into(),
            carries: type_name::<T>(),
            to: address(&*far),
            takes: far.type_name(),
        })
    }

    /// An inbox of a component, by name.
    pub(crate) fn of(component: &AnyInstance, inbox: &str) -> Result<Self, LinkError> {
        Self::find(&component.slot(Direction::In, inbox)?)
    }

    pub(super) fn new(sink: Rc<dyn Deliver<T>>) -> Self {
        Self { sink, waiter: RefCell::default() }
    }

    pub(crate) fn deliver(&self, message: T) -> Result<(), SendError<T>> {
        self.sink.deliver(message)
    }

    /// Wakes the process when a message is taken out, once. Asking again before that changes nothing.
    pub(crate) fn wake_when_collected(&self, process: &Rc<Process>) {
        let mut waiter = self.waiter.borrow_mut();
        if waiter.as_ref().is_some_and(|w| !w.told.get()) {
            return;
        }
        let new = Rc::new(RoomWaiter::default());
        *new.listener.borrow_mut() = Some(Listener::process(process));
        self.sink.collections().wait_for_room(&new, false);
        *waiter = Some(new);
    }
}

impl<T: 'static> Drop for Mailbox<T> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take()
            && !waiter.told.get()
        {
            self.sink.collections().forget(&waiter);
        }
    }
}

impl<T: Send + 'static> Outbox<T> {
    /// The final inbox, if it leads to one.
    pub(crate) fn mailbox(&self) -> Option<Mailbox<T>> {
        self.far_sink().map(Mailbox::new)
    }
}
