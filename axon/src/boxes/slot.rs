//! The wiring of boxes, without their types.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::collect::Collections;
use super::outbox::Deliver;
use crate::error::LinkError;
use crate::message::Message;
use crate::microprocess::Process;
use crate::ordered::Ordered;

/// Which way messages pass a box.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    In,
    Out,
}

/// A counted reference to a box's working part.
pub(crate) type SlotRef = Rc<dyn AnySlot>;

/// What a box points at, and what points at it.
#[derive(Default)]
pub struct Wires {
    pub(crate) next: Option<SlotRef>,
    /// Its number among the sources of `next`.
    place: u64,
    pub(crate) sources: Ordered<Weak<dyn AnySlot>>,
}

/// A box that goes is no source any more: otherwise an inbox that outlives many producers would keep a trace of each.
impl Drop for Wires {
    fn drop(&mut self) {
        let Some(mut next) = self.next.take() else { return };
        forget(&next, self.place);
        // Boxes further on that nobody else holds go one by one: each dropping its next would be a recursion as deep as
        // the chain is long.
        while Rc::strong_count(&next) == 1 {
            let (further, place) = {
                let mut wires = next.wires().borrow_mut();
                (wires.next.take(), wires.place)
            };
            let Some(further) = further else { return };
            forget(&further, place);
            next = further;
        }
    }
}

/// A source that somebody is looking at right now stays in the list, as one that is gone.
fn forget(sink: &SlotRef, place: u64) {
    if let Ok(mut wires) = sink.wires().try_borrow_mut() {
        wires.sources.remove(place);
    }
}

/// The working part of a box, without its type. Not for use outside the framework.
#[doc(hidden)]
pub trait AnySlot: 'static {
    fn direction(&self) -> Direction;
    fn name(&self) -> String;
    fn owner(&self) -> &Weak<Process>;
    fn type_id(&self) -> TypeId;
    fn type_name(&self) -> &'static str;
    fn wires(&self) -> &RefCell<Wires>;
    /// Messages in its own queue.
    fn own_len(&self) -> usize;
    fn bound(&self) -> Option<usize>;
    fn set_bound(&self, bound: Option<usize>);
    /// Messages that have passed so far.
    fn passed(&self) -> u64;
    /// Messages sent while it led nowhere.
    fn discarded(&self) -> u64;
    /// Tells an outbox (or an inbox on the way) where its messages end up.
    fn set_far(&self, far: &SlotRef);
    /// Shows what is delivered to it, or discarded, under a tag, or no longer.
    fn show_transit(&self, tag: Option<&str>);
    /// Drops its own messages.
    fn clear(&self);
    /// Moves all of its own messages to the far inbox, oldest first (AX-BOX-05).
    fn move_messages(&self, far: &SlotRef);
    /// As a sink of untyped messages; an inbox only.
    fn untyped(self: Rc<Self>) -> Option<Rc<dyn Deliver<Message>>>;
    fn as_any(self: Rc<Self>) -> Rc<dyn Any>;
    /// Who waits for collections; an inbox only.
    fn collections(&self) -> Option<&Collections>;
}

/// An inbox, without its type.
pub trait AnyInbox {
    /// Its working part.
    #[doc(hidden)]
    fn slot(&self) -> SlotRef;
    /// Its working part, if it has been used or linked.
    #[doc(hidden)]
    fn slot_if_any(&self) -> Option<SlotRef>;
    /// Messages in its own queue.
    fn own_len(&self) -> usize;
}

/// An outbox, without its type.
pub trait AnyOutbox {
    /// Its working part.
    #[doc(hidden)]
    fn slot(&self) -> SlotRef;
    /// Its working part, if it has been used or linked.
    #[doc(hidden)]
    fn slot_if_any(&self) -> Option<SlotRef>;
    /// The final inbox of its chain, and the order in which it was linked to it.
    #[doc(hidden)]
    fn far_bell(&self) -> Option<(SlotRef, u64)>;
}

/// The box at the end of the chain that starts at `slot`.
pub(crate) fn far_end(slot: &SlotRef) -> SlotRef {
    let mut at = slot.clone();
    loop {
        let next = at.wires().borrow().next.clone();
        match next {
            Some(next) => at = next,
            None => return at,
        }
    }
}

/// Where a box is, for people: `component.box`.
pub(crate) fn address(slot: &dyn AnySlot) -> String {
    let owner = slot.owner().upgrade().map_or_else(|| "(dropped)".to_string(), |p| p.name());
    format!("{owner}.{}", slot.name())
}

/// Points `source` at `sink`. Changes nothing if it is refused.
pub(crate) fn connect(source: &SlotRef, sink: &SlotRef) -> Result<(), LinkError> {
    let (from, to) = (|| address(&**source), || address(&**sink));
    if let Some(target) = &source.wires().borrow().next {
        return Err(LinkError::AlreadyLinked { from: from(), target: address(&**target), to: to() });
    }
    let mut far = sink.clone();
    loop {
        if same(&far, source) {
            return Err(LinkError::Loop { from: from(), to: to() });
        }
        let next = far.wires().borrow().next.clone();
        match next {
            Some(next) => far = next,
            None => break,
        }
    }
    let upstream = upstream(source);
    fits(&**source, &**sink)?;
    for u in &upstream {
        fits(&**u, &*far)?;
    }
    let waiting = source.own_len();
    if let Some(bound) = far.bound()
        && far.direction() == Direction::In
        && waiting > bound.saturating_sub(far.own_len())
    {
        return Err(LinkError::NoSpace { from: from(), to: address(&*far), len: far.own_len(), bound });
    }
    let place = sink.wires().borrow_mut().sources.push(Rc::downgrade(source));
    {
        let mut wires = source.wires().borrow_mut();
        wires.next = Some(sink.clone());
        wires.place = place;
    }
    if waiting > 0 {
        source.move_messages(&far);
    }
    for u in &upstream {
        u.set_far(&far);
    }
    Ok(())
}

/// Undoes [`connect`]; silently nothing if `source` does not point at `sink`.
pub(crate) fn disconnect(source: &SlotRef, sink: &SlotRef) {
    let place = {
        let mut wires = source.wires().borrow_mut();
        match &wires.next {
            Some(next) if same(next, sink) => wires.next = None,
            _ => return,
        }
        wires.place
    };
    sink.wires().borrow_mut().sources.remove(place);
    for u in upstream(source) {
        u.set_far(source);
    }
}

fn same(a: &SlotRef, b: &SlotRef) -> bool {
    Rc::as_ptr(a).cast::<()>() == Rc::as_ptr(b).cast::<()>()
}

/// The box and everything that leads to it, in the order of linking.
fn upstream(slot: &SlotRef) -> Vec<SlotRef> {
    let mut found = Vec::new();
    let mut stack = vec![slot.clone()];
    while let Some(at) = stack.pop() {
        stack.extend(at.wires().borrow().sources.iter().rev().filter_map(Weak::upgrade));
        found.push(at);
    }
    found
}

fn fits(source: &dyn AnySlot, sink: &dyn AnySlot) -> Result<(), LinkError> {
    let untyped = TypeId::of::<Message>();
    let (a, b) = (source.type_id(), sink.type_id());
    if a == b || a == untyped || b == untyped {
        return Ok(());
    }
    Err(LinkError::Type {
        from: address(source),
        carries: source.type_name(),
        to: address(sink),
        takes: sink.type_name(),
    })
}
