//! References to components that can travel in messages, and between threads.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::{AnyInstance, Microprocess};
use crate::boxes::{Direction, SlotRef};
use crate::error::LinkError;
use crate::id::ProcessId;
use crate::linkage::{LinkEnd, find_slot};
use crate::microprocess::Process;

thread_local! {
    /// Only components that somebody made a reference to are in here.
    static KNOWN: RefCell<HashMap<ProcessId, Weak<Process>>> = RefCell::default();
}

/// Names a component. Messages must be able to cross threads, which components cannot; this can.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ComponentRef {
    id: ProcessId,
    name: Arc<str>,
}

/// A component and one of its inboxes: the pair that Kamaelia passes round as a service.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Service {
    component: ComponentRef,
    inbox: Arc<str>,
}

impl ComponentRef {
    pub(crate) fn to(process: &Rc<Process>) -> Self {
        KNOWN.with_borrow_mut(|k| k.insert(process.id(), Rc::downgrade(process)));
        Self { id: process.id(), name: process.name().into() }
    }

    /// The component's number.
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The component, if it still exists and lives on this thread.
    pub fn resolve(&self) -> Option<AnyInstance> {
        let process = KNOWN.with_borrow(|k| k.get(&self.id).and_then(Weak::upgrade))?;
        Some(AnyInstance::from_process(process))
    }
}

impl Service {
    /// Pairs a component with the name of one of its inboxes.
    pub fn new(component: ComponentRef, inbox: &str) -> Self {
        Self { component, inbox: inbox.into() }
    }

    /// The component.
    pub fn component(&self) -> &ComponentRef {
        &self.component
    }

    /// The name of the inbox.
    pub fn inbox(&self) -> &str {
        &self.inbox
    }
}

/// A service is the sink of a link.
impl LinkEnd for &Service {
    fn find(&self, direction: Direction) -> Result<SlotRef, LinkError> {
        match self.component.resolve() {
            Some(c) => find_slot(c.process(), direction, &self.inbox),
            None => Err(LinkError::NoSuchBox {
                component: format!("{} (gone)", self.component.name),
                kind: "inbox",
                name: self.inbox.to_string(),
            }),
        }
    }
    fn direction(&self) -> Option<Direction> {
        Some(Direction::In)
    }
}

pub(crate) fn forget(id: ProcessId) {
    // The table may be gone already when a thread ends.
    let _ = KNOWN.try_with(|k| {
        if let Ok(mut k) = k.try_borrow_mut()
            && !k.is_empty()
        {
            k.remove(&id);
        }
    });
}

impl fmt::Debug for ComponentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.component.name, self.inbox)
    }
}
