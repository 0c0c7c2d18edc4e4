//! The coordinating assistant tracker: services and values by name (Kamaelia:
//! `Axon/CoordinatingAssistantTracker.py`).

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::boxes::Direction;
use crate::component::{AnyInstance, Microprocess, Service};
use crate::linkage::find_slot;

/// Why the tracker refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrackerError {
    /// A service of that name is registered already, even by the same component.
    ServiceAlreadyExists(String),
    /// The object has no inboxes at all.
    BadComponent(String),
    /// The component has no inbox of that name.
    BadInbox {
        /// The component's name.
        component: String,
        /// The name of the inbox.
        inbox: String,
    },
    /// No service of that name (the original raises a key error).
    NoSuchService(String),
    /// A service that is not registered was to be deregistered.
    MultipleServiceDeletion(String),
    /// A value of that name is tracked already.
    NamespaceClash(String),
    /// No value of that name is tracked.
    AccessToUndeclaredTrackedVariable(String),
}

impl fmt::Display for TrackerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAlreadyExists(n) => write!(f, "a service {n:?} is registered already"),
            Self::BadComponent(c) => write!(f, "{c} has no inboxes"),
            Self::BadInbox { component, inbox } => write!(f, "{component} has no inbox {inbox:?}"),
            Self::NoSuchService(n) => write!(f, "no service {n:?} is registered"),
            Self::MultipleServiceDeletion(n) => {
                write!(f, "service {n:?} is not registered and cannot be removed")
            }
            Self::NamespaceClash(n) => write!(f, "a value {n:?} is tracked already"),
            Self::AccessToUndeclaredTrackedVariable(n) => write!(f, "no value {n:?} is tracked"),
        }
    }
}

impl std::error::Error for TrackerError {}

/// A registry of services (a component and one of its inboxes) and values, by name.
#[doc(alias = "coordinatingassistanttracker")]
#[derive(Default)]
pub struct Tracker {
    parent: Option<Rc<Tracker>>,
    services: RefCell<BTreeMap<String, Service>>,
    values: RefCell<BTreeMap<String, Rc<dyn Any>>>,
}

thread_local! {
    static SHARED: RefCell<Option<Rc<Tracker>>> = const { RefCell::new(None) };
}

impl Tracker {
    /// An empty tracker. The first one made on a thread becomes the shared one (AX-CAT-01).
    pub fn new() -> Rc<Self> {
        Self::made(Self::default())
    }

    /// An empty tracker with a parent, which is kept and never asked (AX-CAT-02).
    pub fn with_parent(parent: Rc<Tracker>) -> Rc<Self> {
        Self::made(Self { parent: Some(parent), ..Self::default() })
    }

    fn made(tracker: Self) -> Rc<Self> {
        let tracker = Rc::new(tracker);
        SHARED.with_borrow_mut(|s| {
            s.get_or_insert_with(|| tracker.clone());
        });
        tracker
    }

    /// The shared tracker of this thread (`getcat`); it is made if there is none.
    #[doc(alias = "getcat")]
    pub fn shared() -> Rc<Self> {
        let found = SHARED.with_borrow(Clone::clone);
        match found {
            Some(shared) => shared,
            None => Self::new(), // becomes the shared one, which `Default` does not
        }
    }

    /// The parent given at construction.
    pub fn parent(&self) -> Option<&Rc<Tracker>> {
        self.parent.as_ref()
    }

    /// Registers an inbox of a component as a service (AX-CAT-03).
    ///
    /// # Errors
    /// The name is taken, the component has no inboxes, or not that one; looked at in this order.
    pub fn register_service(
        &self,
        name: &str,
        component: impl Into<AnyInstance>,
        inbox: &str,
    ) -> Result<(), TrackerError> {
        let component = component.into();
        let mut services = self.services.borrow_mut();
        if services.contains_key(name) {
            return Err(TrackerError::ServiceAlreadyExists(name.into()));
        }
        if component.inboxes().is_empty() {
            return Err(TrackerError::BadComponent(component.name()));
        }
        if find_slot(component.process(), Direction::In, inbox).is_err() {
            return Err(TrackerError::BadInbox { component: component.name(), inbox: inbox.into() });
        }
        services.insert(name.into(), Service::new(component.reference(), inbox));
        Ok(())
    }

    /// The service of that name (AX-CAT-04).
    ///
    /// # Errors
    /// [`TrackerError::NoSuchService`].
    pub fn retrieve_service(&self, name: &str) -> Result<Service, TrackerError> {
        self.services.borrow().get(name).cloned().ok_or_else(|| TrackerError::NoSuchService(name.into()))
    }

    /// Forgets a service (AX-CAT-05). Components that end are not deregistered by themselves.
    ///
    /// # Errors
    /// [`TrackerError::MultipleServiceDeletion`].
    pub fn deregister_service(&self, name: &str) -> Result<(), TrackerError> {
        match self.services.borrow_mut().remove(name) {
            Some(_) => Ok(()),
            None => Err(TrackerError::MultipleServiceDeletion(name.into())),
        }
    }

    /// The names of all services.
    pub fn services(&self) -> Vec<String> {
        self.services.borrow().keys().cloned().collect()
    }

    /// Starts tracking a value (AX-CAT-06).
    ///
    /// # Errors
    /// [`TrackerError::NamespaceClash`].
    pub fn track_value<T: Any>(&self, name: &str, value: T) -> Result<(), TrackerError> {
        let mut values = self.values.borrow_mut();
        if values.contains_key(name) {
            return Err(TrackerError::NamespaceClash(name.into()));
        }
        values.insert(name.into(), Rc::new(value));
        Ok(())
    }

    /// Replaces a tracked value (AX-CAT-07).
    ///
    /// # Errors
    /// [`TrackerError::AccessToUndeclaredTrackedVariable`].
    pub fn update_value<T: Any>(&self, name: &str, value: T) -> Result<(), TrackerError> {
        match self.values.borrow_mut().get_mut(name) {
            Some(slot) => {
                *slot = Rc::new(value);
                Ok(())
            }
            None => Err(TrackerError::AccessToUndeclaredTrackedVariable(name.into())),
        }
    }

    /// A tracked value (AX-CAT-08).
    ///
    /// # Errors
    /// [`TrackerError::AccessToUndeclaredTrackedVariable`].
    pub fn retrieve_value(&self, name: &str) -> Result<Rc<dyn Any>, TrackerError> {
        let found = self.values.borrow().get(name).cloned();
        found.ok_or_else(|| TrackerError::AccessToUndeclaredTrackedVariable(name.into()))
    }

    /// The names of all tracked values.
    pub fn information_items_logged(&self) -> Vec<String> {
        self.values.borrow().keys().cloned().collect()
    }

    /// Forgets all services and values (AX-CAT-09).
    pub fn zap(&self) {
        self.services.borrow_mut().clear();
        self.values.borrow_mut().clear();
    }
}
