//! Shows messages on their way, through the [`log`] crate (Kamaelia: `setShowTransit` of `Axon/Box.py` and
//! `Axon/Linkage.py`, the debug switches of `Axon/Component.py`).
//!
//! The lines go to the target `axon::transit` at the level *info*. They hold the text of messages that have one here:
//! texts, numbers, bytes, control messages and whatever an untyped [`Message`] can show; of others the type.
//!
//! The switches here are for a whole thread and are looked at when a box comes into use or a link is made, so they come
//! first in a program. Without them none of this costs anything.
//!
//! ```
//! use axon::prelude::*;
//! use axon::util::{NullSink, OneShot};
//!
//! let (shot, sink) = (OneShot::new("hello".to_string()).create(), NullSink::new().create());
//! let linkage = axon::link((&shot, "outbox"), (&sink, "inbox"))?;
//! linkage.show_transit(Some("here")); // logs: Delivery via [ here ] of  hello
//! shot.activate();
//! # sink.control.deliver(Ipc::shutdown_microprocess()).unwrap();
//! sink.run()?;
//! # Ok::<(), axon::Error>(())
//! ```

use std::any::{Any, type_name};
use std::cell::{Cell, RefCell};

use crate::ipc::Ipc;
use crate::message::Message;

thread_local! {
    static SWITCHES: Cell<Switches> = const { Cell::new(Switches { transits: false, sends: false, receives: false }) };
}

#[derive(Clone, Copy)]
struct Switches {
    transits: bool,
    sends: bool,
    receives: bool,
}

fn set(change: impl FnOnce(&mut Switches)) {
    let mut switches = SWITCHES.get();
    change(&mut switches);
    SWITCHES.set(switches);
}

/// Shows every delivery over the links that are made from now on; each has its short text as tag (`ShowAllTransits`,
/// AX-BOX-12).
pub fn show_all(on: bool) {
    set(|s| s.transits = on);
}

/// Shows what is sent through the outboxes that come into use from now on (`TraceAllSends`, AX-COMP-17):
/// `SEND: Upper_7 'outbox' : hello`.
pub fn trace_all_sends(on: bool) {
    set(|s| s.sends = on);
}

/// Shows what is taken out of the inboxes that come into use from now on (`TraceAllRecvs`, AX-COMP-17):
/// `RECV: Upper_7 'inbox' : hello`. What a thread takes is not shown.
pub fn trace_all_receives(on: bool) {
    set(|s| s.receives = on);
}

pub(crate) fn shows_all() -> bool {
    SWITCHES.get().transits
}

pub(crate) fn traces_sends() -> bool {
    SWITCHES.get().sends
}

pub(crate) fn traces_receives() -> bool {
    SWITCHES.get().receives
}

/// The tag under which a box shows deliveries, if it does.
#[derive(Default)]
pub(crate) struct Tag(RefCell<Option<Box<str>>>);

impl Tag {
    pub(crate) fn set(&self, tag: Option<&str>) {
        self.0.replace(tag.map(Into::into));
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.borrow().is_some()
    }

    pub(crate) fn delivered<T: 'static>(&self, message: &T) {
        if let Some(tag) = &*self.0.borrow() {
            log::info!(target: "axon::transit", "Delivery via [ {tag} ] of  {}", text(message));
        }
    }

    pub(crate) fn discarded<T: 'static>(&self, message: &T) {
        if let Some(tag) = &*self.0.borrow() {
            log::info!(target: "axon::transit", "Discarding Delivery via [ {tag} ] of  {}", text(message));
        }
    }
}

/// Tells of a message, given by its text, at a box of a component.
pub(crate) fn trace(verb: &str, component: &str, name: &str, text: &str) {
    let component = crate::id::short(component);
    log::info!(target: "axon::transit", "{verb}: {component} '{name}' : {text}");
}

pub(crate) fn text<T: 'static>(message: &T) -> String {
    fn shown<T: 'static + ToString>(any: &dyn Any) -> Option<String> {
        any.downcast_ref::<T>().map(ToString::to_string)
    }
    let any: &dyn Any = message;
    let bytes = any.downcast_ref::<Vec<u8>>().map(|b| String::from_utf8_lossy(b).into_owned());
    let known = [
        shown::<Message>,
        shown::<String>,
        shown::<&'static str>,
        shown::<Ipc>,
        shown::<bool>,
        shown::<i32>,
        shown::<u32>,
        shown::<i64>,
        shown::<u64>,
        shown::<usize>,
        shown::<f64>,
    ];
    let text = bytes.or_else(|| known.iter().find_map(|shown| shown(any)));
    text.unwrap_or_else(|| format!("<{}>", type_name::<T>()))
}
