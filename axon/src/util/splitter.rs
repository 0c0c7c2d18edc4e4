//! Copies messages to any number of components that come and go (Kamaelia: `Kamaelia/Util/Splitter.py`).

use std::fmt;
use std::marker::PhantomData;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::unsent::Copies;
use crate::adaptive::Added;
use crate::boxes::Outbox;
use crate::component::{AnyInstance, Component, ComponentRef, Cx, Microprocess};
use crate::error::LinkError;
use crate::ipc::Ipc;
use crate::linkage::{LinkOptions, Linkage};
use crate::microprocess::Process;

crate::ports! {
    /// Boxes of a [`PlugSplitter`].
    pub struct PlugSplitterPorts<T> {
        in  { /// What to copy.
              inbox: T,
              /// What to copy to the control boxes.
              control: Ipc,
              /// Who wants copies, and who does not any more.
              configuration: Configuration<T>,
              /// From the source inside, if there is one.
              _inbox: T,
              /// From the source's `signal`.
              _control: Ipc }
        out { /// The first copy.
              outbox: T,
              /// The first copy of the control messages.
              signal: Ipc }
    }
}

/// Asks a [`PlugSplitter`] of `T` to send copies to a component, or to stop doing so (`addsink`, `removesink`).
///
/// ```
/// use axon::prelude::*;
/// use axon::util::{Configuration, NullSink};
///
/// let sink = NullSink::new().create();
/// let request = Configuration::<String>::add_sink(sink.reference()).sinkcontrol("control");
/// assert!(format!("{request:?}").starts_with("addsink("));
/// ```
pub struct Configuration<T> {
    adds: bool,
    sink: ComponentRef,
    sinkbox: Option<Arc<str>>,
    sinkcontrol: Option<Arc<str>>,
    message: PhantomData<fn(T)>,
}

impl<T> Configuration<T> {
    /// Copies data to the `inbox` of `sink`.
    pub fn add_sink(sink: ComponentRef) -> Self {
        Self { adds: true, sink, sinkbox: Some("inbox".into()), sinkcontrol: None, message: PhantomData }
    }

    /// Stops copying data to the `inbox` of `sink`; nothing happens if there is no such copy.
    pub fn remove_sink(sink: ComponentRef) -> Self {
        Self { adds: false, ..Self::add_sink(sink) }
    }

    /// Means another inbox for data, or none.
    #[must_use]
    pub fn sinkbox(mut self, inbox: Option<&str>) -> Self {
        self.sinkbox = inbox.map(Into::into);
        self
    }

    /// Means this inbox for control messages too.
    #[must_use]
    pub fn sinkcontrol(mut self, inbox: &str) -> Self {
        self.sinkcontrol = Some(inbox.into());
        self
    }
}

impl<T> fmt::Debug for Configuration<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.adds { "addsink" } else { "removesink" };
        write!(f, "{verb}({:?}, {:?}, {:?})", self.sink, self.sinkbox, self.sinkcontrol)
    }
}

/// Sends copies of each message to every component that asked for them.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | what to copy to `outbox` and to each data sink, in the order of their adding |
/// | `control` | [`Ipc`] | copied to `signal` and to each control sink |
/// | `configuration` | [`Configuration<T>`] | adds and removes sinks; looked at before data |
/// | `outbox`, `signal` | `T`, [`Ipc`] | the first copies |
/// | `_inbox`, `_control` | `T`, [`Ipc`] | from the source, if there is one inside |
///
/// # Example
/// [`Plug`] does the asking:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, Plug, PlugSplitter};
///
/// let splitter = PlugSplitter::<&str>::with_source(DataSource::new(["one ", "two "])).create();
/// Plug::<&str>::new(&splitter, ConsoleEchoer::new()).activate();
/// Plug::<&str>::new(&splitter, ConsoleEchoer::new().tag("-")).activate();
/// splitter.activate();
/// Scheduler::thread_default().run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// Each sink has an outbox of its own. If a sink is full the others get their copies all the same, and the next
/// message is taken when all have theirs: none is lost, none overtakes another (D-24). A sink that has ended is
/// forgotten, so it cannot hold up the rest. With a source inside, `inbox` and `control` are the source's, and the
/// copies are of what the source sends.
///
/// # Shutdown
/// Without a source it ends when a `producerFinished` or `shutdownMicroprocess` has been copied. The first waits until
/// all data has gone out; the second does not wait for a full sink. With a source it ends when the source has ended
/// and all that it sent has gone out. Then all sinks are unlinked (D-29).
///
/// # Errors
/// It fails in its first step if the source has no usual boxes or sends another type. A request for an inbox that does
/// not exist or takes another type is refused with a warning in the log.
pub struct PlugSplitter<T> {
    source: Option<AnyInstance>,
    message: PhantomData<fn(T)>,
}

/// The old name. The original's `Splitter` never worked; this one does what its `PlugSplitter` does (U-06, D-24).
pub type Splitter<T> = PlugSplitter<T>;

impl<T: Clone + Send + 'static> Default for PlugSplitter<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone + Send + 'static> PlugSplitter<T> {
    /// Copies what it receives.
    pub fn new() -> Self {
        Self { source: None, message: PhantomData }
    }

    /// Copies what `source` sends, a component that it runs inside.
    pub fn with_source(source: impl Into<AnyInstance>) -> Self {
        Self { source: Some(source.into()), message: PhantomData }
    }

    fn wire(&self, cx: &Cx<PlugSplitterPorts<T>>) -> Result<(), LinkError> {
        let Some(source) = &self.source else { return Ok(()) };
        cx.add_child(source);
        cx.link_with((cx, "inbox"), (source, "inbox"), LinkOptions::pass_in())?;
        cx.link_with((cx, "control"), (source, "control"), LinkOptions::pass_in())?;
        cx.link((source, "outbox"), (cx, "_inbox"))?;
        cx.link((source, "signal"), (cx, "_control"))?;
        cx.activate(source);
        Ok(())
    }
}

impl<T: Clone + Send + 'static> Component for PlugSplitter<T> {
    type Ports = PlugSplitterPorts<T>;

    async fn main(self, cx: Cx<PlugSplitterPorts<T>>) {
        let wired = self.wire(&cx);
        let has_source = self.source.is_some();
        drop(self);
        if wired.is_err() {
            return cx.end_with(wired);
        }
        cx.yield_now().await;
        let (inbox, control) = if has_source { (&cx._inbox, &cx._control) } else { (&cx.inbox, &cx.control) };
        let mut data = Sinks::after("outbox", &cx.outbox);
        let mut signals = Sinks::after("signal", &cx.signal);
        let mut last: Option<Ipc> = None;
        let mut ending = false;
        loop {
            while let Some(request) = cx.configuration.try_recv() {
                data.configure(&cx, request.adds, &request.sink, request.sinkbox.as_ref());
                signals.configure(&cx, request.adds, &request.sink, request.sinkcontrol.as_ref());
            }
            data.forget_ended(&cx);
            signals.forget_ended(&cx);
            while !ending
                && data.copies.flush()
                && let Some(message) = inbox.try_recv()
            {
                data.copies.put(message);
            }
            while last.is_none()
                && !ending
                && signals.copies.flush()
                && let Some(message) = control.try_recv()
            {
                if !has_source && message.ends_component() {
                    last = Some(message);
                } else {
                    signals.copies.put(message);
                }
            }
            if last.is_some() {
                last = control.drain().find(Ipc::is_shutdown_microprocess).or(last);
            }
            if signals.copies.flush()
                && let Some(message) =
                    last.take_if(|m| m.is_shutdown_microprocess() || !data.copies.is_busy())
            {
                signals.copies.put(message);
                ending = true;
            }
            let all_out = signals.copies.flush() && (ending || !data.copies.is_busy());
            if all_out && (ending || has_source && !cx.reap_children()) {
                break;
            }
            cx.pause().await;
        }
        cx.yield_now().await;
        data.clear(&cx);
        signals.clear(&cx);
    }
}

/// The sinks of one kind of message, each with an outbox of ours.
struct Sinks<M: 'static> {
    /// What their outboxes are called, before a number is added.
    name: &'static str,
    /// Our own outbox first, then those of the sinks.
    copies: Copies<M>,
    sinks: Vec<Sink<M>>,
}

struct Sink<M: 'static> {
    component: Weak<Process>,
    inbox: Arc<str>,
    outbox: Added<Outbox<M>>,
    linkage: Linkage,
}

impl<M: Clone + Send + 'static> Sinks<M> {
    fn after(name: &'static str, own: &Outbox<M>) -> Self {
        Self { name, copies: Copies::to([own]), sinks: Vec::new() }
    }

    fn configure<P: 'static>(
        &mut self,
        cx: &Cx<P>,
        add: bool,
        sink: &ComponentRef,
        inbox: Option<&Arc<str>>,
    ) {
        let Some(inbox) = inbox else { return };
        let Some(component) = sink.resolve() else { return };
        let process = component.process();
        let known =
            |s: &Sink<M>| s.inbox == *inbox && std::ptr::eq(s.component.as_ptr(), Rc::as_ptr(process));
        match (add, self.sinks.iter().position(known)) {
            (true, None) => self.add(cx, &component, inbox),
            (false, Some(at)) => self.remove(cx, at),
            _ => {}
        }
    }

    fn add<P: 'static>(&mut self, cx: &Cx<P>, component: &AnyInstance, inbox: &Arc<str>) {
        let outbox: Added<Outbox<M>> = cx.add_outbox(self.name);
        match cx.link(&*outbox, (component, &**inbox)) {
            Ok(linkage) => {
                self.copies.add(&outbox);
                wake_at_end_of(component.process(), cx.process());
                let component = Rc::downgrade(component.process());
                self.sinks.push(Sink { component, inbox: inbox.clone(), outbox, linkage });
            }
            Err(e) => {
                log::warn!("{} refuses a sink: {e}", cx.name());
                let _ = cx.delete_outbox(outbox.name()); // it was added five lines above
            }
        }
    }

    fn remove<P: 'static>(&mut self, cx: &Cx<P>, at: usize) {
        let sink = self.sinks.remove(at);
        self.copies.remove(at + 1);
        cx.unlink(&sink.linkage);
        let _ = cx.delete_outbox(sink.outbox.name()); // only we delete our boxes
    }

    fn forget_ended<P: 'static>(&mut self, cx: &Cx<P>) {
        for at in (0..self.sinks.len()).rev() {
            if self.sinks[at].component.upgrade().is_none_or(|p| p.has_ended()) {
                self.remove(cx, at);
            }
        }
    }

    fn clear<P: 'static>(&mut self, cx: &Cx<P>) {
        while !self.sinks.is_empty() {
            self.remove(cx, 0);
        }
    }
}

/// Has the end of a sink wake its splitter, which may be waiting for room in it, and the splitter's end its plugs.
fn wake_at_end_of(ends: &Rc<Process>, wakes: &Rc<Process>) {
    let mut parents = ends.extras().parents.borrow_mut();
    if !parents.iter().any(|(p, _)| std::ptr::eq(p.as_ptr(), Rc::as_ptr(wakes))) {
        parents.push((Rc::downgrade(wakes), None));
    }
}

crate::ports! {
    /// Boxes of a [`Plug`].
    pub struct PlugPorts<T> {
        in  { /// From the splitter, passed on to the component.
              inbox: T,
              /// From the splitter, passed on to the component.
              control: Ipc }
        out { /// From the component.
              outbox: crate::Message,
              /// From the component.
              signal: Ipc,
              /// To the splitter's `configuration`.
              splitter_config: Configuration<T> }
    }
}

/// Runs a component as a sink of a [`PlugSplitter`] of `T`.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox`, `control` | `T`, [`Ipc`] | the component's; the splitter's copies come in here |
/// | `outbox`, `signal` | [`Message`](crate::Message), [`Ipc`] | the component's |
/// | `splitter_config` | [`Configuration<T>`] | to the splitter's `configuration` |
///
/// # Example
/// See [`PlugSplitter`].
///
/// # Shutdown
/// It ends when the component has, after it has told the splitter. When the splitter has ended, the component is told
/// `producerFinished`, in case it has not heard of the end from the splitter itself.
///
/// # Errors
/// It fails in its first step, with nothing activated, if the splitter's messages are not of type `T` or if the
/// component's `inbox` takes another type.
pub struct Plug<T> {
    splitter: AnyInstance,
    component: AnyInstance,
    message: PhantomData<fn(T)>,
}

impl<T: Clone + Send + 'static> Plug<T> {
    /// Plugs `component` into `splitter`, anything that takes [`Configuration<T>`] at an inbox `configuration`.
    pub fn new(splitter: impl Into<AnyInstance>, component: impl Into<AnyInstance>) -> Self {
        Self { splitter: splitter.into(), component: component.into(), message: PhantomData }
    }

    fn wire(&self, cx: &Cx<PlugPorts<T>>) -> Result<Linkage, LinkError> {
        let plug = cx.link(&cx.splitter_config, (&self.splitter, "configuration"))?;
        cx.add_child(&self.component);
        cx.link_with((cx, "inbox"), (&self.component, "inbox"), LinkOptions::pass_in())?;
        cx.link_with((cx, "control"), (&self.component, "control"), LinkOptions::pass_in())?;
        cx.link_with((&self.component, "outbox"), (cx, "outbox"), LinkOptions::pass_out())?;
        cx.link_with((&self.component, "signal"), (cx, "signal"), LinkOptions::pass_out())?;
        Ok(plug)
    }
}

impl<T: Clone + Send + 'static> Component for Plug<T> {
    type Ports = PlugPorts<T>;

    async fn main(self, cx: Cx<PlugPorts<T>>) {
        let plug = match self.wire(&cx) {
            Ok(plug) => plug,
            Err(e) => return cx.end_with(Err(e)),
        };
        let request = Configuration::add_sink(cx.reference()).sinkcontrol("control");
        let _ = cx.splitter_config.send_wait(request).await; // the link has compared the types
        cx.activate(&self.component);
        let Self { splitter, .. } = self;
        wake_at_end_of(splitter.process(), cx.process());
        let mut told = false;
        while cx.reap_children() {
            // It may end without a word to us: when our request came too late, say, or when its source said nothing.
            if splitter.is_stopped() && !std::mem::replace(&mut told, true) {
                let _ = cx.control.deliver(Ipc::producer_finished()); // a full control has been told something
            }
            cx.pause().await;
        }
        let request = Configuration::remove_sink(cx.reference()).sinkcontrol("control");
        let _ = cx.splitter_config.send_wait(request).await;
        cx.yield_now().await;
        cx.unlink(&plug);
    }
}
