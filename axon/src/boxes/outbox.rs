//! Outboxes, and the adapters between typed and untyped boxes.

use std::any::{Any, TypeId, type_name};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use super::collect::{Collections, Promise, RoomWaiter};
use super::inbox::InSlot;
use super::slot::{AnyOutbox, AnySlot, Direction, SlotRef, Wires, far_end};
use super::{DYNAMIC, PortInfo, declaration};
use crate::error::SendError;
use crate::ipc::Ipc;
use crate::message::Message;
use crate::microprocess::Process;
use crate::transit::{self, Tag};
use crate::wait::Listener;

/// A box from which messages leave.
///
/// `send` puts the message into the final inbox of the chain before it returns; what is sent to an outbox that leads
/// nowhere is discarded and counted.
pub struct Outbox<T: 'static> {
    owner: Weak<Process>,
    slot: OnceCell<Rc<OutSlot<T>>>,
}

/// The working part of an outbox.
pub(crate) struct OutSlot<T: 'static> {
    owner: Weak<Process>,
    info: &'static PortInfo,
    target: RefCell<Option<Rc<dyn Deliver<T>>>>,
    sent: Cell<u64>,
    discarded: Cell<u64>,
    /// When it was linked to its final inbox, in the order of all such events.
    attached: Cell<u64>,
    wires: RefCell<Wires>,
    transit: Tag,
    /// Whether what is sent is shown.
    traced: bool,
    dynamic_name: Option<Box<str>>,
}

/// Where an outbox delivers to.
#[doc(hidden)]
pub trait Deliver<T> {
    fn deliver(&self, message: T) -> Result<(), SendError<T>>;
    /// Delivers messages from the front until there is no room; how many were delivered. A message of another type is
    /// dropped, and said so.
    fn deliver_some(&self, messages: &mut VecDeque<T>) -> usize {
        let mut delivered = 0;
        while let Some(message) = messages.pop_front() {
            match self.deliver(message) {
                Ok(()) => delivered += 1,
                Err(e) if e.is_full() => {
                    messages.push_front(e.into_message());
                    break;
                }
                Err(e) => log::warn!("a thread's message was dropped: {e}"),
            }
        }
        delivered
    }
    fn len(&self) -> usize;
    fn limit(&self) -> Option<usize>;
    fn collections(&self) -> &Collections;
}

thread_local! {
    static ATTACHED: Cell<u64> = const { Cell::new(0) };
}

impl<T: Send + 'static> Outbox<T> {
    pub(crate) fn declared(owner: &Rc<Process>) -> Self {
        Self { owner: Rc::downgrade(owner), slot: OnceCell::new() }
    }

    pub(crate) fn dynamic(owner: &Rc<Process>, name: &str) -> Self {
        let mut slot = OutSlot::new(Rc::downgrade(owner), &DYNAMIC);
        slot.dynamic_name = Some(name.into());
        Self { owner: Rc::downgrade(owner), slot: OnceCell::from(Rc::new(slot)) }
    }

    /// Another handle to the same box.
    pub(crate) fn alias(&self) -> Self {
        Self { owner: self.owner.clone(), slot: OnceCell::from(self.working().clone()) }
    }

    pub(crate) fn working(&self) -> &Rc<OutSlot<T>> {
        self.slot.get_or_init(|| {
            let info = declaration(&self.owner, Direction::Out, std::ptr::from_ref(self).cast());
            Rc::new(OutSlot::new(self.owner.clone(), info))
        })
    }

    /// Delivers a message into the final inbox (AX-COMP-09).
    ///
    /// # Errors
    /// The message itself, if that inbox is full or takes another type. A full box is normal: pause, which lasts until
    /// something was collected, and try again.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let slot = self.working();
        match &*slot.target.borrow() {
            Some(target) => {
                target.deliver(message)?;
                slot.sent.set(slot.sent.get() + 1);
            }
            None => slot.discard(&message),
        }
        Ok(())
    }

    /// Delivers messages from the front until there is no room.
    pub(crate) fn send_some(&self, messages: &mut VecDeque<T>) {
        let slot = self.working();
        let (passed, count) = match &*slot.target.borrow() {
            Some(target) => (target.deliver_some(messages), &slot.sent),
            None => {
                messages.drain(..).for_each(|m| slot.discard(&m));
                return;
            }
        };
        count.set(count.get() + passed as u64);
    }

    /// Waits for room and delivers.
    ///
    /// # Errors
    /// The message, if the inbox takes another type.
    pub fn send_wait(&self, message: T) -> SendWait<'_, T> {
        SendWait { outbox: self, message: Some(message), waiter: None }
    }

    #[cfg(feature = "internet")]
    pub(super) fn far_sink(&self) -> Option<Rc<dyn Deliver<T>>> {
        self.slot.get()?.target.borrow().clone()
    }

    /// Whether it leads to an inbox.
    pub fn is_linked(&self) -> bool {
        self.slot.get().is_some_and(|s| s.target.borrow().is_some())
    }

    /// Messages in the final inbox.
    pub fn len(&self) -> usize {
        self.slot.get().and_then(|s| s.target.borrow().as_ref().map(|t| t.len())).unwrap_or(0)
    }

    /// Whether no message waits in the final inbox.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the final inbox is full (AX-BOX-09).
    pub fn is_full(&self) -> bool {
        self.slot.get().is_some_and(|s| {
            s.target.borrow().as_ref().is_some_and(|t| t.limit().is_some_and(|limit| t.len() >= limit))
        })
    }

    /// Messages sent while it led nowhere.
    pub fn discarded(&self) -> u64 {
        self.slot.get().map_or(0, |s| s.discarded.get())
    }
}

impl<T: Send + 'static> AnyOutbox for Outbox<T> {
    fn slot(&self) -> SlotRef {
        self.working().clone()
    }
    fn slot_if_any(&self) -> Option<SlotRef> {
        self.slot.get().map(|s| s.clone() as SlotRef)
    }
    fn far_bell(&self) -> Option<(SlotRef, u64)> {
        let slot = self.slot.get()?;
        slot.target.borrow().as_ref()?;
        Some((far_end(&(slot.clone() as SlotRef)), slot.attached.get()))
    }
}

impl<T: Send + 'static> OutSlot<T> {
    fn new(owner: Weak<Process>, info: &'static PortInfo) -> Self {
        Self {
            owner,
            info,
            target: RefCell::new(None),
            sent: Cell::new(0),
            discarded: Cell::new(0),
            attached: Cell::new(0),
            wires: RefCell::default(),
            transit: Tag::default(),
            traced: transit::traces_sends(),
            dynamic_name: None,
        }
    }

    fn discard(&self, message: &T) {
        self.discarded.set(self.discarded.get() + 1);
        if self.traced {
            self.trace(message);
        }
        self.transit.discarded(message);
    }

    #[cold]
    fn trace(&self, message: &T) {
        let owner = self.owner.upgrade().map(|p| p.name()).unwrap_or_default();
        transit::trace("SEND", &owner, &self.name(), &transit::text(message));
    }
}

impl<T: Send + 'static> AnySlot for OutSlot<T> {
    fn direction(&self) -> Direction {
        Direction::Out
    }
    fn name(&self) -> String {
        self.dynamic_name.as_deref().unwrap_or(self.info.name).to_string()
    }
    fn owner(&self) -> &Weak<Process> {
        &self.owner
    }
    fn type_id(&self) -> TypeId {
        TypeId::of::<T>()
    }
    fn type_name(&self) -> &'static str {
        type_name::<T>()
    }
    fn wires(&self) -> &RefCell<Wires> {
        &self.wires
    }
    fn own_len(&self) -> usize {
        0
    }
    fn bound(&self) -> Option<usize> {
        None
    }
    /// The null store of an outbox never refuses (AX-BOX-02).
    fn set_bound(&self, _bound: Option<usize>) {}
    fn passed(&self) -> u64 {
        self.sent.get()
    }
    fn discarded(&self) -> u64 {
        self.discarded.get()
    }
    fn set_far(&self, far: &SlotRef) {
        let mut target = sink_for::<T>(far);
        if self.traced
            && let Some(inner) = target
        {
            let owner = self.owner.upgrade().map(|p| p.name()).unwrap_or_default();
            target = Some(Rc::new(Traced { inner, owner, name: self.name() }));
        }
        if target.is_some() {
            self.attached.set(ATTACHED.with(|a| {
                a.set(a.get() + 1);
                a.get()
            }));
        }
        if let Some(old) = self.target.replace(target) {
            old.collections().release_all();
        }
        if let Some(owner) = self.owner.upgrade() {
            owner.outlinks_changed();
        }
    }
    fn show_transit(&self, tag: Option<&str>) {
        self.transit.set(tag);
    }
    fn clear(&self) {}
    fn move_messages(&self, _far: &SlotRef) {}
    fn untyped(self: Rc<Self>) -> Option<Rc<dyn Deliver<Message>>> {
        None
    }
    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
    fn collections(&self) -> Option<&Collections> {
        None
    }
}

/// Waits for room; made by [`Outbox::send_wait`].
pub struct SendWait<'a, T: 'static> {
    outbox: &'a Outbox<T>,
    message: Option<T>,
    waiter: Option<Rc<RoomWaiter>>,
}

impl<T> Unpin for SendWait<'_, T> {}

impl<T: Send + 'static> Future for SendWait<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(message) = self.message.take() else { return Poll::Ready(Ok(())) };
        let mut promise = None;
        if let Some(waiter) = self.waiter.take() {
            if !waiter.told.get() {
                // Polled for another reason.
                *waiter.listener.borrow_mut() = Some(self.listener(cx));
                self.message = Some(message);
                self.waiter = Some(waiter);
                return Poll::Pending;
            }
            // A promise of an inbox that the outbox does not lead to any more is dropped, and goes to the next.
            promise = waiter.promise.take().filter(|p| self.outbox.was_promised(p));
        }
        let at_head = promise.is_some();
        let message = if !at_head && self.outbox.others_wait() {
            message
        } else {
            let sent = self.outbox.send(message);
            if let Some(promise) = promise {
                promise.redeem();
            }
            match sent {
                Err(e) if e.is_full() => e.into_message(),
                done => return Poll::Ready(done),
            }
        };
        self.message = Some(message);
        let waiter = Rc::new(RoomWaiter::default());
        *waiter.listener.borrow_mut() = Some(self.listener(cx));
        if let Some(target) = &*self.outbox.working().target.borrow() {
            target.collections().wait_for_room(&waiter, at_head);
        }
        self.waiter = Some(waiter);
        Poll::Pending
    }
}

impl<T: Send + 'static> Outbox<T> {
    fn was_promised(&self, promise: &Promise) -> bool {
        self.working().target.borrow().as_ref().is_some_and(|t| t.collections().gave(promise))
    }

    /// Whether others were promised the room that is left, or wait for some.
    fn others_wait(&self) -> bool {
        self.working().target.borrow().as_ref().is_some_and(|t| {
            t.collections()
                .others_wait(|| t.limit().map_or(usize::MAX, |limit| limit.saturating_sub(t.len())))
        })
    }
}

impl<T: 'static> SendWait<'_, T> {
    fn listener(&self, cx: &Context<'_>) -> Listener {
        match self.outbox.owner.upgrade().and_then(|p| p.core().cloned()) {
            Some(core) => core.listener(cx),
            None => Listener::Waker(cx.waker().clone()),
        }
    }
}

/// Leaves the queue of waiters; a promise that it did not use goes with the waiter, to the next.
impl<T: 'static> Drop for SendWait<'_, T> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        if !waiter.told.get()
            && let Some(slot) = self.outbox.slot.get()
            && let Some(target) = &*slot.target.borrow()
        {
            target.collections().forget(&waiter);
        }
    }
}

/// What an outbox of `T` delivers into when its chain ends at `far`; nothing if that is an outbox.
pub(crate) fn sink_for<T: Send + 'static>(far: &SlotRef) -> Option<Rc<dyn Deliver<T>>> {
    if far.direction() == Direction::Out {
        return None;
    }
    match far.clone().as_any().downcast::<InSlot<T>>() {
        Ok(same) => Some(same),
        Err(any) => {
            if let Ok(untyped) = any.downcast::<InSlot<Message>>() {
                return Some(Rc::new(Wrap(untyped)));
            }
            // Only an untyped source is left; its `T` is `Message`, which the compiler does not know here.
            let narrow = far.clone().untyped()?;
            (&narrow as &dyn Any).downcast_ref::<Rc<dyn Deliver<T>>>().cloned()
        }
    }
}

pub(crate) fn narrow<T: Send + 'static>(inbox: Rc<InSlot<T>>) -> Rc<dyn Deliver<Message>> {
    Rc::new(Narrow(inbox))
}

/// Shows what is sent on its way to the real target; so an outbox that shows nothing has nothing to ask.
struct Traced<T> {
    inner: Rc<dyn Deliver<T>>,
    owner: String,
    name: String,
}

impl<T: 'static> Deliver<T> for Traced<T> {
    fn deliver(&self, message: T) -> Result<(), SendError<T>> {
        let text = transit::text(&message);
        self.inner.deliver(message)?;
        transit::trace("SEND", &self.owner, &self.name, &text);
        Ok(())
    }
    fn len(&self) -> usize {
        self.inner.len()
    }
    fn limit(&self) -> Option<usize> {
        self.inner.limit()
    }
    fn collections(&self) -> &Collections {
        self.inner.collections()
    }
}

/// Typed outbox, untyped inbox.
struct Wrap(Rc<InSlot<Message>>);

impl<T: Send + 'static> Deliver<T> for Wrap {
    fn deliver(&self, message: T) -> Result<(), SendError<T>> {
        self.0.deliver(Message::new(message)).map_err(|e| {
            e.map(|m| m.downcast::<T>().unwrap_or_else(|_| unreachable!("wrapped as T one line above")))
        })
    }
    fn len(&self) -> usize {
        Deliver::len(&*self.0)
    }
    fn limit(&self) -> Option<usize> {
        self.0.limit()
    }
    fn collections(&self) -> &Collections {
        Deliver::collections(&*self.0)
    }
}

/// Untyped outbox, typed inbox.
struct Narrow<T>(Rc<InSlot<T>>);

impl<T: Send + 'static> Deliver<Message> for Narrow<T> {
    fn deliver(&self, message: Message) -> Result<(), SendError<Message>> {
        match convert::<T>(message) {
            Ok(v) => self.0.deliver(v).map_err(|e| e.map(Message::new)),
            Err(message) => Err(SendError::WrongType { message, takes: type_name::<T>() }),
        }
    }
    fn len(&self) -> usize {
        Deliver::len(&*self.0)
    }
    fn limit(&self) -> Option<usize> {
        self.0.limit()
    }
    fn collections(&self) -> &Collections {
        Deliver::collections(&*self.0)
    }
}

/// A control line takes any message (CH-GRAPH-10 passes on "of any type"); other inboxes take their own type.
fn convert<T: Send + 'static>(message: Message) -> Result<T, Message> {
    if TypeId::of::<T>() == TypeId::of::<Ipc>() {
        return Message::new(Ipc::from_message(message)).downcast::<T>();
    }
    message.downcast::<T>()
}
