//! Boxes: where messages arrive and leave (Kamaelia: `Axon/Box.py`).
//!
//! A component's declared boxes are handles of two words; what makes a box work (its queue, its links) is allocated
//! when it is first linked, sent to or read from. So an idle component is small.
//!
//! A box may point at one other box. The far end of such a chain is worked out when a link changes, and every outbox
//! upstream is given it: a message goes straight to the final inbox, whatever lies between (AX-BOX-04).

mod collect;
mod inbox;
#[cfg(feature = "internet")]
mod mailbox;
mod outbox;
mod slot;

use std::any::type_name;
use std::rc::Weak;

use crate::microprocess::Process;

pub(crate) use self::collect::Downlink;
pub(crate) use self::inbox::InSlot;
pub use self::inbox::{Inbox, Recv};
#[cfg(feature = "internet")]
pub(crate) use self::mailbox::Mailbox;
pub use self::outbox::{Outbox, SendWait};
pub use self::slot::{AnyInbox, AnyOutbox};
pub(crate) use self::slot::{AnySlot, Direction, SlotRef};
pub(crate) use self::slot::{address, connect, disconnect};

/// A declared box.
#[derive(Debug)]
pub struct PortInfo {
    /// Its name.
    pub name: &'static str,
    /// What it is for, from the declaration's doc comment.
    pub doc: &'static str,
    type_name: fn() -> &'static str,
}

impl PortInfo {
    /// Describes a box for messages of type `T`.
    pub const fn new<T: 'static>(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, type_name: type_name::<T> }
    }

    /// The type of its messages.
    pub fn type_name(&self) -> &'static str {
        (self.type_name)()
    }
}

/// The boxes of one component, seen without their types.
pub trait PortSet: 'static {
    /// The declared inboxes, in order.
    fn inboxes(&self) -> &'static [PortInfo];
    /// The declared outboxes, in order.
    fn outboxes(&self) -> &'static [PortInfo];
    /// The inbox at a position of [`PortSet::inboxes`].
    fn inbox(&self, index: usize) -> &dyn AnyInbox;
    /// The outbox at a position of [`PortSet::outboxes`].
    fn outbox(&self, index: usize) -> &dyn AnyOutbox;
}

/// Makes the boxes of a component that is being built; for [`ports!`](crate::ports).
#[doc(hidden)]
pub struct Opener<'a> {
    pub(crate) owner: &'a std::rc::Rc<Process>,
}

impl Opener<'_> {
    /// Makes an inbox.
    pub fn inbox<T: Send + 'static>(&self) -> Inbox<T> {
        Inbox::declared(self.owner)
    }

    /// Makes an outbox.
    pub fn outbox<T: Send + 'static>(&self) -> Outbox<T> {
        Outbox::declared(self.owner)
    }
}

static DYNAMIC: PortInfo = PortInfo::new::<()>("", "a box added while running");

/// What was declared for the box whose handle is at that address; asked once, when its working part is made. The
/// handles do not keep it, because an idle component has four of them.
fn declaration(owner: &Weak<Process>, direction: Direction, handle: *const ()) -> &'static PortInfo {
    let owner = owner.upgrade();
    let Some(ports) = owner.as_ref().and_then(|p| p.ports()) else { return &DYNAMIC };
    let (infos, at) = match direction {
        Direction::In => {
            let infos = ports.inboxes();
            (infos, (0..infos.len()).find(|i| std::ptr::from_ref(ports.inbox(*i)).cast() == handle))
        }
        Direction::Out => {
            let infos = ports.outboxes();
            (infos, (0..infos.len()).find(|i| std::ptr::from_ref(ports.outbox(*i)).cast() == handle))
        }
    };
    at.map_or(&DYNAMIC, |i| &infos[i])
}
