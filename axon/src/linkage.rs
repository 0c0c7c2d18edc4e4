//! Linkages: which box leads to which (Kamaelia: `Axon/Linkage.py`).

use std::cell::Cell;
use std::fmt;
use std::rc::{Rc, Weak};

use crate::adaptive::Added;
use crate::boxes::{AnyInbox, AnyOutbox, Direction, Inbox, Outbox, SlotRef, connect, disconnect};
use crate::component::{AnyInstance, Microprocess, Service};
use crate::error::LinkError;
use crate::id::short;
use crate::microprocess::Process;

/// What a linkage joins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kind {
    /// An outbox to an inbox (0).
    #[default]
    Normal,
    /// An inbox to an inbox further in (1).
    PassIn,
    /// An outbox to an outbox further out (2).
    PassOut,
}

/// How a linkage made by names shall be.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkOptions {
    kind: Kind,
    pipewidth: Option<usize>,
}

impl LinkOptions {
    /// Outbox to inbox, without a bound.
    pub fn new() -> Self {
        Self::default()
    }

    /// Inbox to inbox, going in.
    #[doc(alias = "passthrough")]
    pub fn pass_in() -> Self {
        Self { kind: Kind::PassIn, pipewidth: None }
    }

    /// Outbox to outbox, going out.
    #[doc(alias = "passthrough")]
    pub fn pass_out() -> Self {
        Self { kind: Kind::PassOut, pipewidth: None }
    }

    /// Bounds the sink to so many messages (AX-LINK-03).
    pub fn pipewidth(mut self, messages: usize) -> Self {
        self.pipewidth = Some(messages);
        self
    }

    /// Bounds the sink to one message; `false` changes nothing (D-14).
    pub fn synchronous(mut self, on: bool) -> Self {
        if on && self.pipewidth.is_none() {
            self.pipewidth = Some(1);
        }
        self
    }
}

/// One link. Two linkages with the same ends are different ones (AX-LINK-08).
///
/// A clone is the same linkage. Dropping it does not undo it.
#[derive(Clone)]
pub struct Linkage(Rc<Ends>);

struct Ends {
    kind: Kind,
    /// Its number in the postoffice that it was made by.
    number: Cell<Option<u64>>,
    source: End,
    sink: End,
}

struct End {
    owner: Weak<Process>,
    component: String,
    slot: SlotRef,
}

/// One end of a link that is asked for: a box handle, or a component and the name of its box.
pub trait LinkEnd {
    #[doc(hidden)]
    fn find(&self, direction: Direction) -> Result<SlotRef, LinkError>;
    /// The kind that the end's type decides; names leave it open.
    #[doc(hidden)]
    fn direction(&self) -> Option<Direction>;
}

impl<T: Send + 'static> LinkEnd for &Inbox<T> {
    fn find(&self, _: Direction) -> Result<SlotRef, LinkError> {
        Ok(self.slot())
    }
    fn direction(&self) -> Option<Direction> {
        Some(Direction::In)
    }
}

impl<T: Send + 'static> LinkEnd for &Outbox<T> {
    fn find(&self, _: Direction) -> Result<SlotRef, LinkError> {
        Ok(self.slot())
    }
    fn direction(&self) -> Option<Direction> {
        Some(Direction::Out)
    }
}

/// A box that was added is an end like a declared one.
impl<'a, B> LinkEnd for &'a Added<B>
where
    &'a B: LinkEnd,
{
    fn find(&self, direction: Direction) -> Result<SlotRef, LinkError> {
        (&***self).find(direction)
    }
    fn direction(&self) -> Option<Direction> {
        (&***self).direction()
    }
}

impl<C> LinkEnd for (&C, &str)
where
    for<'a> &'a C: Into<AnyInstance>,
{
    fn find(&self, direction: Direction) -> Result<SlotRef, LinkError> {
        let instance: AnyInstance = self.0.into();
        find_slot(instance.process(), direction, self.1)
    }
    fn direction(&self) -> Option<Direction> {
        None
    }
}

/// What may be linked to what, as far as the compiler can tell.
///
/// Two handles have to carry the same type of message, and messages cannot flow from an inbox to an outbox. A name
/// stands for a box that is found, and checked, when the link is made; [`Outbox::untyped`] and [`Inbox::untyped`] make
/// such an end of a handle, to link a typed box to one of [`Message`](crate::Message).
pub trait LinkTo<K>: LinkEnd {}

impl<T: Send + 'static> LinkTo<&Inbox<T>> for &Outbox<T> {}
impl<T: Send + 'static> LinkTo<&Outbox<T>> for &Outbox<T> {}
impl<T: Send + 'static> LinkTo<&Inbox<T>> for &Inbox<T> {}
impl<T: Send + 'static, C> LinkTo<(&C, &str)> for &Outbox<T> {}
impl<T: Send + 'static, C> LinkTo<(&C, &str)> for &Inbox<T> {}
impl<T: Send + 'static> LinkTo<&Service> for &Outbox<T> {}
impl<T: Send + 'static> LinkTo<&Service> for &Inbox<T> {}
impl<T: Send + 'static> LinkTo<Untyped> for &Outbox<T> {}
impl<T: Send + 'static> LinkTo<Untyped> for &Inbox<T> {}
impl<T: Send + 'static> LinkTo<&Added<Inbox<T>>> for &Outbox<T> {}
impl<T: Send + 'static> LinkTo<&Added<Outbox<T>>> for &Outbox<T> {}
impl<T: Send + 'static> LinkTo<&Added<Inbox<T>>> for &Inbox<T> {}
impl<'a, B, K> LinkTo<K> for &'a Added<B> where &'a B: LinkTo<K> {}
impl<C, K> LinkTo<K> for (&C, &str) where Self: LinkEnd {}
impl<K> LinkTo<K> for Untyped {}

/// A box handle whose type is looked at only when the link is made; from [`Outbox::untyped`] or [`Inbox::untyped`].
pub struct Untyped {
    slot: SlotRef,
}

impl LinkEnd for Untyped {
    fn find(&self, _: Direction) -> Result<SlotRef, LinkError> {
        Ok(self.slot.clone())
    }
    fn direction(&self) -> Option<Direction> {
        Some(self.slot.direction())
    }
}

impl<T: Send + 'static> Inbox<T> {
    /// This box as an end of a link whose types are compared when it is made, not by the compiler.
    pub fn untyped(&self) -> Untyped {
        Untyped { slot: self.slot() }
    }
}

impl<T: Send + 'static> Outbox<T> {
    /// This box as an end of a link whose types are compared when it is made, not by the compiler.
    pub fn untyped(&self) -> Untyped {
        Untyped { slot: self.slot() }
    }
}

/// Links a source to a sink; nobody owns the link, so it lasts until it is [undone](Linkage::unlink).
///
/// Handles decide the kind by their types, and the compiler checks that they carry the same messages; names mean an outbox and an inbox, [`link_with`] says otherwise.
///
/// # Errors
/// [`LinkError`]; nothing has changed then.
///
/// ```
/// # use axon::prelude::*;
/// # use axon::util::{NullSink, OneShot};
/// let (a, b) = (OneShot::new("hello").create(), NullSink::new().create());
/// axon::link((&a, "outbox"), (&b, "inbox"))?;
/// let e = axon::link((&a, "outbux"), (&b, "inbox")).unwrap_err();
/// assert!(e.to_string().contains("has no outbox \"outbux\""));
/// # Ok::<(), axon::Error>(())
/// ```
///
/// Handles of different types do not compile:
///
/// ```compile_fail
/// # use axon::prelude::*;
/// axon::ports! { struct APorts { in { } out { outbox: String } } }
/// axon::ports! { struct BPorts { in { inbox: u32 } out { } } }
/// fn wrong(a: &Instance<APorts>, b: &Instance<BPorts>) {
///     axon::link(&a.outbox, &b.inbox).unwrap();
/// }
/// ```
pub fn link<K: LinkEnd>(source: impl LinkTo<K>, sink: K) -> Result<Linkage, LinkError> {
    link_with(source, sink, LinkOptions::new())
}

/// Links with options.
///
/// # Errors
/// [`LinkError`]; nothing has changed then.
pub fn link_with<K: LinkEnd>(
    source: impl LinkTo<K>,
    sink: K,
    options: LinkOptions,
) -> Result<Linkage, LinkError> {
    let from_direction = source.direction().unwrap_or(match options.kind {
        Kind::PassIn => Direction::In,
        _ => Direction::Out,
    });
    let to_direction = sink.direction().unwrap_or(match options.kind {
        Kind::PassOut => Direction::Out,
        _ => Direction::In,
    });
    let kind = match (from_direction, to_direction) {
        (Direction::Out, Direction::In) => Kind::Normal,
        (Direction::In, Direction::In) => Kind::PassIn,
        (Direction::Out, Direction::Out) => Kind::PassOut,
        (Direction::In, Direction::Out) => {
            let (from, to) = (source.find(from_direction)?, sink.find(to_direction)?);
            return Err(LinkError::WrongWay {
                from: crate::boxes::address(&*from),
                to: crate::boxes::address(&*to),
            });
        }
    };
    let (from, to) = (source.find(from_direction)?, sink.find(to_direction)?);
    connect(&from, &to)?;
    if let Some(width) = options.pipewidth {
        to.set_bound(Some(width));
    }
    let (source, sink) = (End::new(from), End::new(to));
    let linkage = Linkage(Rc::new(Ends { kind, number: Cell::new(None), source, sink }));
    if crate::transit::shows_all() {
        linkage.show_transit(Some(&linkage.short_text()));
    }
    Ok(linkage)
}

impl End {
    fn new(slot: SlotRef) -> Self {
        let owner = slot.owner().clone();
        let component = owner.upgrade().map(|p| p.name()).unwrap_or_default();
        Self { owner, component, slot }
    }

    fn owner(&self) -> Option<AnyInstance> {
        self.owner.upgrade().map(AnyInstance::from_process)
    }
}

impl Linkage {
    /// Undoes the link; messages that were delivered stay where they are (AX-BOX-07). A second call does nothing.
    ///
    /// A link that a component owns is also forgotten by it when it ends.
    pub fn unlink(&self) {
        disconnect(&self.0.source.slot, &self.0.sink.slot);
    }

    /// What it joins.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The source's component, if it still exists, and the name of its box (AX-LINK-04).
    pub fn source_pair(&self) -> (Option<AnyInstance>, String) {
        (self.0.source.owner(), self.0.source.slot.name())
    }

    /// The sink's component, if it still exists, and the name of its box.
    pub fn sink_pair(&self) -> (Option<AnyInstance>, String) {
        (self.0.sink.owner(), self.0.sink.slot.name())
    }

    /// Bounds the sink box and returns the bound (AX-LINK-07).
    pub fn set_synchronous(&self, messages: usize) -> usize {
        self.0.sink.slot.set_bound(Some(messages));
        messages
    }

    /// Shows what is delivered to the sink box, or discarded there, in the log under a tag, or with `None` no longer
    /// (`setShowTransit`, AX-LINK-07); see [`transit`](crate::transit).
    pub fn show_transit(&self, tag: Option<&str>) {
        self.0.sink.slot.show_transit(tag);
    }

    /// The short text: component names cut to the part after the last dot (AX-LINK-06).
    pub fn short_text(&self) -> String {
        let (a, b) = (&self.0.source, &self.0.sink);
        format!("({},{}):({},{})", short(&a.component), a.slot.name(), short(&b.component), b.slot.name())
    }

    pub(crate) fn number(&self) -> Option<u64> {
        self.0.number.get()
    }

    pub(crate) fn set_number(&self, number: u64) {
        self.0.number.set(Some(number));
    }

    /// Where the components at its ends are, or were: they are held weakly, so that nobody else is there.
    pub(crate) fn owners(&self) -> [*const Process; 2] {
        [self.0.source.owner.as_ptr(), self.0.sink.owner.as_ptr()]
    }

    pub(crate) fn touches(&self, process: &Rc<Process>) -> bool {
        [&self.0.source, &self.0.sink].into_iter().any(|e| e.owner.as_ptr() == Rc::as_ptr(process))
    }

    pub(crate) fn touches_slot(&self, slot: &SlotRef) -> bool {
        let same = |s: &SlotRef| Rc::as_ptr(s).cast::<()>() == Rc::as_ptr(slot).cast::<()>();
        same(&self.0.source.slot) || same(&self.0.sink.slot)
    }
}

/// Identity (AX-LINK-08).
impl PartialEq for Linkage {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Linkage {}

/// The text of AX-LINK-05.
impl fmt::Display for Linkage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b) = (&self.0.source, &self.0.sink);
        write!(
            f,
            "Link( source:[{},{}], sink:[{},{}] )",
            a.component,
            a.slot.name(),
            b.component,
            b.slot.name()
        )
    }
}

impl fmt::Debug for Linkage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A box of a process by its name: declared first, then added ones.
pub(crate) fn find_slot(
    process: &Rc<Process>,
    direction: Direction,
    name: &str,
) -> Result<SlotRef, LinkError> {
    if let Some(ports) = process.ports() {
        let found = match direction {
            Direction::In => ports
                .inboxes()
                .iter()
                .position(|p| p.name == name)
                .map(|i| (ports.inbox(i) as &dyn AnyInbox).slot()),
            Direction::Out => ports
                .outboxes()
                .iter()
                .position(|p| p.name == name)
                .map(|i| (ports.outbox(i) as &dyn AnyOutbox).slot()),
        };
        if let Some(slot) = found {
            let deleted =
                process.extras_if_any().is_some_and(|e| e.dynamic.borrow().is_deleted(direction, name));
            if !deleted {
                return Ok(slot);
            }
        }
    }
    let added = process.extras_if_any().and_then(|e| e.dynamic.borrow().find(direction, name));
    added.ok_or_else(|| LinkError::NoSuchBox {
        component: process.name(),
        kind: if direction == Direction::In { "inbox" } else { "outbox" },
        name: name.to_string(),
    })
}
