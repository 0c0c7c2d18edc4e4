//! Boxes added and deleted while a component runs (Kamaelia: `Axon/AdaptiveCommsComponent.py`).
//!
//! Every component can do this through its context; there is no separate base type.

use std::any::Any;
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;

use crate::boxes::{AnyInbox, AnyOutbox, Direction, Inbox, Outbox, SlotRef};
use crate::error::LinkError;
use crate::id::ProcessId;
use crate::linkage::find_slot;
use crate::microprocess::Process;

/// An inbox or outbox that was added to a running component, with the name that it really got.
pub struct Added<B> {
    name: Rc<str>,
    handle: Rc<B>,
}

impl<B> Added<B> {
    /// The name: as asked for, or with a number appended if that was taken (AX-ADAPT-02).
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<B> Clone for Added<B> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), handle: self.handle.clone() }
    }
}

impl<B> Deref for Added<B> {
    type Target = B;
    fn deref(&self) -> &B {
        &self.handle
    }
}

/// What was stored for a resource: inboxes, outboxes and a value.
#[derive(Clone)]
pub struct Tracked {
    /// Names of its inboxes.
    pub inboxes: Vec<String>,
    /// Names of its outboxes.
    pub outboxes: Vec<String>,
    /// Whatever belongs to it.
    pub info: Rc<dyn Any>,
}

/// The added boxes of one component, and what it tracks by them.
#[derive(Default)]
pub(crate) struct DynamicBoxes {
    inboxes: Vec<(Rc<str>, Rc<dyn AnyInbox>)>,
    outboxes: Vec<(Rc<str>, Rc<dyn AnyOutbox>)>,
    /// Declared boxes that were deleted.
    deleted: Vec<(Direction, String)>,
    by_inbox: HashMap<String, Rc<dyn Any>>,
    tracked: HashMap<String, Tracked>,
}

impl DynamicBoxes {
    pub(crate) fn inboxes(&self) -> impl Iterator<Item = &(Rc<str>, Rc<dyn AnyInbox>)> {
        self.inboxes.iter()
    }

    pub(crate) fn outboxes(&self) -> impl Iterator<Item = &(Rc<str>, Rc<dyn AnyOutbox>)> {
        self.outboxes.iter()
    }

    pub(crate) fn is_deleted(&self, direction: Direction, name: &str) -> bool {
        self.deleted.iter().any(|(d, n)| *d == direction && n == name)
    }

    pub(crate) fn find(&self, direction: Direction, name: &str) -> Option<SlotRef> {
        match direction {
            Direction::In => self.inboxes.iter().find(|(n, _)| **n == *name).map(|(_, b)| b.slot()),
            Direction::Out => self.outboxes.iter().find(|(n, _)| **n == *name).map(|(_, b)| b.slot()),
        }
    }
}

fn free_name(process: &Rc<Process>, direction: Direction, wanted: &str) -> Rc<str> {
    let mut name = wanted.to_string();
    while find_slot(process, direction, &name).is_ok() {
        name = format!("{name}{}", ProcessId::next());
    }
    name.into()
}

pub(crate) fn add_inbox<T: Send + 'static>(process: &Rc<Process>, wanted: &str) -> Added<Inbox<T>> {
    let name = free_name(process, Direction::In, wanted);
    let handle = Rc::new(Inbox::dynamic(process, &name));
    process.extras().dynamic.borrow_mut().inboxes.push((name.clone(), handle.clone()));
    Added { name, handle }
}

pub(crate) fn add_outbox<T: Send + 'static>(process: &Rc<Process>, wanted: &str) -> Added<Outbox<T>> {
    let name = free_name(process, Direction::Out, wanted);
    let handle = Rc::new(Outbox::dynamic(process, &name));
    process.extras().dynamic.borrow_mut().outboxes.push((name.clone(), handle.clone()));
    Added { name, handle }
}

/// Deletes a box with its messages, undoing first every link at it (D-15), whoever made it.
pub(crate) fn delete_box(process: &Rc<Process>, direction: Direction, name: &str) -> Result<(), LinkError> {
    let slot = find_slot(process, direction, name)?;
    let next = slot.wires().borrow().next.clone();
    if let Some(next) = next {
        crate::boxes::disconnect(&slot, &next);
    }
    let sources: Vec<SlotRef> =
        slot.wires().borrow().sources.iter().filter_map(std::rc::Weak::upgrade).collect();
    for source in sources {
        crate::boxes::disconnect(&source, &slot);
    }
    let extras = process.extras();
    extras.postoffice.borrow_mut().unlink_slot(&slot);
    let mut dynamic = extras.dynamic.borrow_mut();
    let before = dynamic.inboxes.len() + dynamic.outboxes.len();
    match direction {
        Direction::In => dynamic.inboxes.retain(|(n, _)| **n != *name),
        Direction::Out => dynamic.outboxes.retain(|(n, _)| **n != *name),
    }
    if before == dynamic.inboxes.len() + dynamic.outboxes.len() {
        dynamic.deleted.push((direction, name.to_string()));
        drop(dynamic);
        slot.clear();
    }
    Ok(())
}

pub(crate) fn track(process: &Rc<Process>, resource: Rc<dyn Any>, inbox: &str) -> Result<(), LinkError> {
    find_slot(process, Direction::In, inbox)?;
    process.extras().dynamic.borrow_mut().by_inbox.insert(inbox.to_string(), resource);
    Ok(())
}

pub(crate) fn tracked_by(process: &Rc<Process>, inbox: &str) -> Option<Rc<dyn Any>> {
    process.extras_if_any()?.dynamic.borrow().by_inbox.get(inbox).cloned()
}

pub(crate) fn track_information(
    process: &Rc<Process>,
    resource: &str,
    tracked: Tracked,
) -> Result<(), LinkError> {
    for name in &tracked.inboxes {
        find_slot(process, Direction::In, name)?;
    }
    for name in &tracked.outboxes {
        find_slot(process, Direction::Out, name)?;
    }
    process.extras().dynamic.borrow_mut().tracked.insert(resource.to_string(), tracked);
    Ok(())
}

pub(crate) fn tracked_information(process: &Rc<Process>, resource: &str) -> Option<Tracked> {
    process.extras_if_any()?.dynamic.borrow().tracked.get(resource).cloned()
}

pub(crate) fn cease_tracking(process: &Rc<Process>, resource: &str) -> Option<Tracked> {
    process.extras_if_any()?.dynamic.borrow_mut().tracked.remove(resource)
}
