//! Inboxes.

use std::any::{Any, TypeId, type_name};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use super::collect::Collections;
use super::outbox::Deliver;
use super::slot::{AnyInbox, AnySlot, Direction, SlotRef, Wires, far_end};
use super::{DYNAMIC, PortInfo, declaration};
use crate::error::SendError;
use crate::message::Message;
use crate::microprocess::Process;
use crate::transit::{self, Tag};
use crate::wait::Listener;

/// A box in which messages arrive, oldest first.
///
/// A delivery wakes the component that owns the box (AX-COMP-12). Taking a message wakes every sleeping component one
/// of whose outboxes leads here (AX-BOX-10).
pub struct Inbox<T: 'static> {
    owner: Weak<Process>,
    slot: OnceCell<Rc<InSlot<T>>>,
}

/// The working part of an inbox.
pub(crate) struct InSlot<T> {
    owner: Weak<Process>,
    info: &'static PortInfo,
    queue: RefCell<VecDeque<T>>,
    bound: Cell<usize>,
    received: Cell<u64>,
    /// Whether it points at another inbox.
    passes_on: Cell<bool>,
    /// Whether it passes on, or what is taken from it is shown.
    detour: Cell<bool>,
    /// Whether `listeners` has anybody, or deliveries are shown.
    attended: Cell<bool>,
    /// Whether what is taken from it is shown.
    traced: bool,
    wiring: OnceCell<Box<Wiring>>,
}

/// What only a linked or awaited inbox needs.
#[derive(Default)]
struct Wiring {
    wires: RefCell<Wires>,
    collections: Collections,
    listeners: RefCell<Vec<Listener>>,
    transit: Tag,
    dynamic_name: Option<Box<str>>,
}

impl<T: Send + 'static> Inbox<T> {
    pub(crate) fn declared(owner: &Rc<Process>) -> Self {
        Self { owner: Rc::downgrade(owner), slot: OnceCell::new() }
    }

    pub(crate) fn dynamic(owner: &Rc<Process>, name: &str) -> Self {
        let slot = InSlot::new(Rc::downgrade(owner), &DYNAMIC);
        let _ = slot.wiring.set(Box::new(Wiring { dynamic_name: Some(name.into()), ..Wiring::default() }));
        Self { owner: Rc::downgrade(owner), slot: OnceCell::from(Rc::new(slot)) }
    }

    pub(crate) fn working(&self) -> &Rc<InSlot<T>> {
        self.slot.get_or_init(|| {
            let info = declaration(&self.owner, Direction::In, std::ptr::from_ref(self).cast());
            Rc::new(InSlot::new(self.owner.clone(), info))
        })
    }

    /// Takes the oldest message, if there is one.
    ///
    /// On an inbox that passes on to another this takes from the far one, as in Axon (D-13); [`Inbox::try_recv_own`]
    /// does not.
    pub fn try_recv(&self) -> Option<T> {
        let slot = self.slot.get()?;
        if slot.detour.get() {
            return slot.take_shown();
        }
        slot.take()
    }

    /// Takes the oldest message of its own queue.
    pub fn try_recv_own(&self) -> Option<T> {
        self.slot.get()?.take()
    }

    /// Waits for the next message.
    ///
    /// Dropping the future loses nothing. Unlike [`Cx::pause`](crate::Cx::pause) this sleep does not end when somebody
    /// collects what was sent earlier.
    pub fn recv(&self) -> Recv<'_, T> {
        Recv(self)
    }

    /// Messages in its own queue (AX-COMP-06).
    #[doc(alias = "dataReady")]
    pub fn len(&self) -> usize {
        self.slot.get().map_or(0, |s| s.queue.borrow().len())
    }

    /// Whether its own queue is empty.
    #[doc(alias = "dataReady")]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages at the far end of the chain that starts here.
    pub fn far_len(&self) -> usize {
        self.slot.get().map_or(0, |s| far_end(&(s.clone() as SlotRef)).own_len())
    }

    /// Whether the inbox at the far end of the chain is full (AX-BOX-09).
    pub fn is_full(&self) -> bool {
        self.slot.get().is_some_and(|s| {
            let far = far_end(&(s.clone() as SlotRef));
            far.bound().is_some_and(|b| far.own_len() >= b)
        })
    }

    /// The bound of its own queue, in messages (`getSize`).
    #[doc(alias = "getSize")]
    pub fn bound(&self) -> Option<usize> {
        self.slot.get().and_then(|s| s.bound())
    }

    /// Bounds its own queue to so many messages, or removes the bound (AX-BOX-08, `setInboxSize`).
    #[doc(alias = "setInboxSize")]
    pub fn set_bound(&self, bound: impl Into<Option<usize>>) {
        self.working().set_bound(bound.into());
    }

    /// All messages that are there, one by one, including those that arrive meanwhile (AX-COMP-10, `self.Inbox()`).
    pub fn drain(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.try_recv())
    }

    /// Puts a message in, as if it had come over a link (AX-COMP-16); for tests and for code outside the graph.
    ///
    /// # Errors
    /// The message, if the final inbox is full or takes another type.
    pub fn deliver(&self, message: T) -> Result<(), SendError<T>> {
        let slot = self.working();
        if !slot.passes_on.get() {
            return slot.deliver(message);
        }
        match super::outbox::sink_for::<T>(&far_end(&(slot.clone() as SlotRef))) {
            Some(sink) => sink.deliver(message),
            None => Err(SendError::WrongType { message, takes: "another type" }),
        }
    }
}

impl<T: Send + 'static> AnyInbox for Inbox<T> {
    fn slot(&self) -> SlotRef {
        self.working().clone()
    }
    fn slot_if_any(&self) -> Option<SlotRef> {
        self.slot.get().map(|s| s.clone() as SlotRef)
    }
    fn own_len(&self) -> usize {
        self.len()
    }
}

impl<T: Send + 'static> InSlot<T> {
    fn new(owner: Weak<Process>, info: &'static PortInfo) -> Self {
        let traced = transit::traces_receives();
        Self {
            owner,
            info,
            queue: RefCell::default(),
            bound: Cell::new(usize::MAX),
            received: Cell::new(0),
            passes_on: Cell::new(false),
            detour: Cell::new(traced),
            attended: Cell::new(false),
            traced,
            wiring: OnceCell::new(),
        }
    }

    fn wiring(&self) -> &Wiring {
        self.wiring.get_or_init(Box::default)
    }

    #[inline]
    pub(crate) fn take(&self) -> Option<T> {
        if let Some(wiring) = self.wiring.get() {
            if self.queue.borrow().is_empty() {
                return None;
            }
            if !wiring.collections.note(&self.owner) {
                return self.take_and_wake(wiring);
            }
        }
        // Last, so that the message moves straight to where the caller wants it: each detour costs as much as the rest.
        self.queue.borrow_mut().pop_front()
    }

    /// Takes first and wakes after: who is woken may look at once whether there is room.
    #[cold]
    fn take_and_wake(&self, wiring: &Wiring) -> Option<T> {
        let message = self.queue.borrow_mut().pop_front();
        wiring.collections.wake();
        message
    }

    /// Takes up to so many messages, oldest first, to the end of `into`; how many there were. What is woken by a
    /// collection is woken as by one for each message.
    pub(crate) fn take_some(&self, most: usize, into: &mut VecDeque<T>) -> usize {
        let mut queue = self.queue.borrow_mut();
        let some = most.min(queue.len());
        if some == 0 {
            return 0;
        }
        if some == queue.len() && into.is_empty() {
            std::mem::swap(into, &mut queue);
        } else {
            into.extend(queue.drain(..some));
        }
        drop(queue);
        if let Some(wiring) = self.wiring.get() {
            wiring.collections.collected(&self.owner);
            wiring.collections.more_room(some - 1);
        }
        some
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    pub(crate) fn info(&self) -> &'static PortInfo {
        self.info
    }

    #[cold]
    fn take_shown(self: &Rc<Self>) -> Option<T> {
        let message = if self.passes_on.get() { self.take_far() } else { self.take() }?;
        if self.traced {
            let owner = self.owner.upgrade().map(|p| p.name()).unwrap_or_default();
            transit::trace("RECV", &owner, &self.name(), &transit::text(&message));
        }
        Some(message)
    }

    fn take_far(self: &Rc<Self>) -> Option<T> {
        let far = far_end(&(self.clone() as SlotRef));
        let any = far.clone().as_any();
        match any.downcast::<InSlot<T>>() {
            Ok(same) => same.take(),
            Err(any) => {
                let untyped = any.downcast::<InSlot<Message>>().ok()?;
                let fits = untyped.queue.borrow().front()?.is::<T>();
                if fits { untyped.take()?.downcast::<T>().ok() } else { None }
            }
        }
    }

    /// Shows the last so many messages, if they are to be shown, and wakes who listens.
    #[cold]
    fn attend(&self, delivered: usize) {
        if let Some(wiring) = self.wiring.get()
            && wiring.transit.is_set()
        {
            let queue = self.queue.borrow();
            queue.iter().skip(queue.len() - delivered).for_each(|m| wiring.transit.delivered(m));
        }
        self.wake_listeners();
    }

    fn wake_listeners(&self) {
        self.attended.set(self.wiring.get().is_some_and(|w| w.transit.is_set()));
        if let Some(wiring) = self.wiring.get() {
            for listener in wiring.listeners.take() {
                listener.wake();
            }
        }
    }

    pub(crate) fn listen(&self, listener: Listener) {
        let mut listeners = self.wiring().listeners.borrow_mut();
        // One that is polled often without a message arriving must not be noted each time.
        if !listeners.iter().any(|l| l.is_same(&listener)) {
            listeners.push(listener);
        }
        self.attended.set(true);
    }
}

impl<T: Send + 'static> Deliver<T> for InSlot<T> {
    fn deliver(&self, message: T) -> Result<(), SendError<T>> {
        let Some(owner) = self.owner.upgrade() else {
            return Ok(()); // the component has been dropped, so nobody can read the box any more
        };
        {
            let mut queue = self.queue.borrow_mut();
            if queue.len() >= self.bound.get() {
                return Err(SendError::Full { message, len: queue.len(), bound: self.bound.get() });
            }
            queue.push_back(message);
        }
        self.received.set(self.received.get() + 1);
        owner.wake();
        if self.attended.get() {
            self.attend(1);
        }
        Ok(())
    }

    fn deliver_some(&self, messages: &mut VecDeque<T>) -> usize {
        let Some(owner) = self.owner.upgrade() else {
            return std::mem::take(messages).len(); // as with one
        };
        let moved = {
            let mut queue = self.queue.borrow_mut();
            let moved = messages.len().min(self.bound.get().saturating_sub(queue.len()));
            if queue.is_empty() && moved == messages.len() {
                std::mem::swap(&mut *queue, messages);
            } else {
                queue.extend(messages.drain(..moved));
            }
            moved
        };
        if moved > 0 {
            self.received.set(self.received.get() + moved as u64);
            owner.wake();
            if self.attended.get() {
                self.attend(moved);
            }
        }
        moved
    }

    fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    fn limit(&self) -> Option<usize> {
        self.bound()
    }

    fn collections(&self) -> &Collections {
        &self.wiring().collections
    }
}

impl<T: Send + 'static> AnySlot for InSlot<T> {
    fn direction(&self) -> Direction {
        Direction::In
    }
    fn name(&self) -> String {
        let dynamic = self.wiring.get().and_then(|w| w.dynamic_name.as_deref());
        dynamic.unwrap_or(self.info.name).to_string()
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
        &self.wiring().wires
    }
    fn own_len(&self) -> usize {
        self.queue.borrow().len()
    }
    fn bound(&self) -> Option<usize> {
        Some(self.bound.get()).filter(|b| *b != usize::MAX)
    }
    fn set_bound(&self, bound: Option<usize>) {
        self.bound.set(bound.unwrap_or(usize::MAX));
        // A larger bound is room, and room is what a paused sender waits for.
        if let Some(wiring) = self.wiring.get() {
            wiring.collections.collected(&self.owner);
            let free = self.bound.get().saturating_sub(self.own_len());
            wiring.collections.more_room(free.saturating_sub(1));
        }
    }
    fn passed(&self) -> u64 {
        self.received.get()
    }
    fn discarded(&self) -> u64 {
        0
    }
    fn set_far(&self, _far: &SlotRef) {
        self.passes_on.set(self.wires().borrow().next.is_some());
        self.detour.set(self.traced || self.passes_on.get());
        // Whoever awaits this inbox now waits at another end.
        self.wake_listeners();
        if let Some(owner) = self.owner.upgrade()
            && owner.awaits.get()
        {
            owner.wake();
        }
    }
    fn show_transit(&self, tag: Option<&str>) {
        self.wiring().transit.set(tag);
        self.attended.set(tag.is_some() || !self.wiring().listeners.borrow().is_empty());
    }
    fn clear(&self) {
        drop(self.queue.take());
    }
    fn move_messages(&self, far: &SlotRef) {
        let Some(sink) = super::outbox::sink_for::<T>(far) else { return };
        while let Some(message) = self.take() {
            if let Err(e) = sink.deliver(message) {
                log::warn!("a waiting message did not fit where its inbox was linked to: {e}");
            }
        }
    }
    fn untyped(self: Rc<Self>) -> Option<Rc<dyn Deliver<Message>>> {
        Some(super::outbox::narrow(self))
    }
    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
    fn collections(&self) -> Option<&Collections> {
        Some(&self.wiring().collections)
    }
}

/// Waits for a message; made by [`Inbox::recv`].
pub struct Recv<'a, T: 'static>(&'a Inbox<T>);

impl<T: Send + 'static> Future for Recv<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Some(message) = self.0.try_recv() {
            return Poll::Ready(message);
        }
        let Some(owner) = self.0.owner.upgrade() else { return Poll::Pending };
        // A delivery wakes the owner; if that is who polls, there is nothing to arrange.
        let direct = owner.core().is_some_and(|core| core.is_direct(cx, &owner));
        let passes_on = self.0.slot.get().is_some_and(|s| s.passes_on.get());
        if direct && !passes_on {
            owner.awaits.set(true);
        } else {
            let slot = self.0.working();
            let listener = match owner.core() {
                Some(core) => core.listener(cx),
                None => Listener::Waker(cx.waker().clone()),
            };
            if slot.passes_on.get() {
                let listener = listener.clone();
                let far = far_end(&(slot.clone() as SlotRef)).as_any();
                match far.downcast::<InSlot<T>>() {
                    Ok(same) => same.listen(listener),
                    Err(any) => {
                        if let Ok(untyped) = any.downcast::<InSlot<Message>>() {
                            untyped.listen(listener);
                        }
                    }
                }
            }
            // Its own list too: whoever changes the chain wakes that.
            slot.listen(listener);
        }
        Poll::Pending
    }
}
