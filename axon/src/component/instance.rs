//! Components seen from outside.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::rc::Rc;

use super::{Component, ComponentRef, Cx, Outcome, Ports, Service};
use crate::boxes::{Direction, Opener, SlotRef};
use crate::error::{Failure, InterfaceError, LinkError};
use crate::id::ProcessId;
use crate::linkage::{LinkEnd, LinkOptions, LinkTo, Linkage, find_slot};
use crate::microprocess::{Process, State};
use crate::scheduler::Scheduler;
use crate::tracker::Tracker;

/// What can be done with any microprocess, from outside or by itself (Kamaelia: `Axon/Microprocess.py`).
pub trait Microprocess {
    #[doc(hidden)]
    fn process(&self) -> &Rc<Process>;

    /// Its number.
    fn id(&self) -> ProcessId {
        self.process().id()
    }

    /// Type, number and tag: `demo.Upper_7` (AX-MP-01).
    fn name(&self) -> String {
        self.process().name()
    }

    /// Appends a text to its name (AX-MP-02).
    fn set_tag(&self, tag: &str) {
        *self.process().extras().tag.borrow_mut() = tag.to_string();
    }

    /// Puts it to sleep from the next pass on (AX-MP-12). Nothing happens before activation.
    fn request_pause(&self) {
        self.process().request_pause();
    }

    /// Wakes it (AX-MP-12).
    fn unpause(&self) {
        self.process().wake();
    }

    /// Ends it without running any more of its body; its stop hooks run now, and it is closed down at its next turn
    /// (AX-MP-09, D-02). A second call does nothing.
    fn stop(&self) {
        self.process().stop();
    }

    /// Stops it and everything in it, the inmost first.
    ///
    /// [`stop`](Microprocess::stop) on a chassis leaves the components in it running, with nobody to tell them anything.
    fn stop_tree(&self) {
        let mut order = vec![self.process().clone()];
        let mut known = HashSet::from([self.id()]);
        let mut next = 0;
        while let Some(process) = order.get(next).cloned() {
            if let Some(extras) = process.extras_if_any() {
                let children: Vec<_> = extras.children.borrow().iter().cloned().collect();
                for child in children {
                    // One that two components have adopted is stopped once, before both.
                    if known.insert(child.id()) {
                        order.push(child);
                    }
                }
            }
            next += 1;
        }
        order.iter().rev().for_each(|p| p.stop());
    }

    /// Whether it has ended or was told to stop (AX-MP-10).
    fn is_stopped(&self) -> bool {
        self.process().has_ended()
    }

    /// Whether the scheduler does not say that it is asleep (AX-MP-11). True before activation and after the end, when
    /// no scheduler says anything.
    fn is_runnable(&self) -> bool {
        self.process().core().is_none() || self.process().has_ended() || !self.process().is_paused()
    }

    /// Runs `hook` when it is stopped, at its end or by [`Microprocess::stop`]; the original overrides `stop`.
    fn on_stop(&self, hook: impl FnOnce() + 'static)
    where
        Self: Sized,
    {
        self.process().extras().on_stop.borrow_mut().push(Box::new(hook));
    }

    /// Runs `hook` when it is closed down, before its links are undone; the original overrides
    /// `_closeDownMicroprocess`.
    #[doc(alias = "_closeDownMicroprocess")]
    fn on_close_down(&self, hook: impl FnOnce() + 'static)
    where
        Self: Sized,
    {
        self.process().extras().on_close_down.borrow_mut().push(Box::new(hook));
    }

    /// Has `told` called when it fails, after it has been closed down, instead of what the scheduler does with failures
    /// (AX-SCHED-11); the run goes on. A second call replaces the first. [`Supervisor`] is built on this.
    ///
    /// [`Supervisor`]: crate::supervisor::Supervisor
    fn on_failure(&self, told: impl FnOnce(Failure) + 'static)
    where
        Self: Sized,
    {
        let told = |failure| {
            told(failure);
            None
        };
        self.process().extras().on_failure.replace(Some(Box::new(told)));
    }

    /// Ends `other` too when this one ends: the close-down value `shutdownMicroprocess(other)` (AX-SCHED-10, D-05).
    fn take_along(&self, other: &AnyInstance)
    where
        Self: Sized,
    {
        self.process().extras().ends_with_it.borrow_mut().push(other.process().clone());
    }

    /// Adopts a component: when it ends, this one is woken (AX-COMP-04). Does not activate it.
    #[doc(alias = "addChildren")]
    fn add_child(&self, child: impl Into<AnyInstance>)
    where
        Self: Sized,
    {
        let child = child.into();
        let child = child.process();
        let extras = self.process().extras();
        let number = extras.children.borrow_mut().push(child.clone());
        child.extras().parents.borrow_mut().push((Rc::downgrade(self.process()), Some(number)));
        if child.state() == State::Stopped {
            extras.ended_children.borrow_mut().push(child.clone());
        }
    }

    /// Removes every adoption of the child, and undoes the links that this component made with it (AX-COMP-05).
    fn remove_child(&self, child: impl Into<AnyInstance>)
    where
        Self: Sized,
    {
        let child = child.into();
        let extras = self.process().extras();
        if let Some(theirs) = child.process().extras_if_any() {
            let mut children = extras.children.borrow_mut();
            theirs.parents.borrow_mut().retain(|(parent, number)| {
                let ours = std::ptr::eq(parent.as_ptr(), Rc::as_ptr(self.process()));
                match number {
                    Some(number) if ours => {
                        children.remove(*number);
                        false
                    }
                    _ => true,
                }
            });
            extras.ended_children.borrow_mut().retain(|c| !Rc::ptr_eq(c, child.process()));
        }
        extras.postoffice.borrow_mut().unlink_component(child);
    }

    /// The adopted components.
    #[doc(alias = "childComponents")]
    fn children(&self) -> Vec<AnyInstance> {
        let Some(extras) = self.process().extras_if_any() else { return Vec::new() };
        extras.children.borrow().iter().cloned().map(AnyInstance::from_process).collect()
    }

    /// Links two boxes; the link belongs to this component and is undone when it ends.
    ///
    /// # Errors
    /// [`LinkError`]; nothing has changed then.
    fn link<K: LinkEnd>(&self, source: impl LinkTo<K>, sink: K) -> Result<Linkage, LinkError>
    where
        Self: Sized,
    {
        self.link_with(source, sink, LinkOptions::new())
    }

    /// Links two boxes with options; the link belongs to this component and is undone when it ends.
    ///
    /// # Errors
    /// [`LinkError`]; nothing has changed then.
    fn link_with<K: LinkEnd>(
        &self,
        source: impl LinkTo<K>,
        sink: K,
        options: LinkOptions,
    ) -> Result<Linkage, LinkError>
    where
        Self: Sized,
    {
        self.process().extras().postoffice.borrow_mut().link_with(source, sink, options)
    }

    /// Undoes a link that this component made; others are left alone (AX-PO-04).
    fn unlink(&self, linkage: &Linkage) {
        self.process().extras().postoffice.borrow_mut().unlink(linkage);
    }

    /// Undoes all links that this component made and that have an end at the other (AX-PO-05).
    fn unlink_component(&self, other: impl Into<AnyInstance>)
    where
        Self: Sized,
    {
        self.process().extras().postoffice.borrow_mut().unlink_component(other);
    }

    /// The linkages that it made.
    fn linkages(&self) -> Vec<Linkage> {
        self.process().extras_if_any().map_or(Vec::new(), |e| e.postoffice.borrow().linkages())
    }

    /// The text of its postoffice (AX-PO-02), whose debug name is `component :` and its own name (AX-COMP-18).
    fn postoffice_text(&self) -> String {
        self.process().extras().postoffice.borrow().text_of(&format!("component :{}", self.name()))
    }

    /// A reference that can travel in messages.
    fn reference(&self) -> ComponentRef {
        ComponentRef::to(self.process())
    }

    /// The component and one of its inboxes, as a service that others can link to.
    fn service(&self, inbox: &str) -> Service {
        Service::new(self.reference(), inbox)
    }
}

/// A component whose boxes are known by type; its boxes are the fields behind it.
///
/// A clone is the same component.
pub struct Instance<P: 'static> {
    process: Rc<Process>,
    ports: Rc<P>,
}

/// A component, or a plain microprocess, whose boxes are known by name only.
///
/// A clone is the same component.
#[derive(Clone)]
pub struct AnyInstance(Rc<Process>);

impl<P> Clone for Instance<P> {
    fn clone(&self) -> Self {
        Self { process: self.process.clone(), ports: self.ports.clone() }
    }
}

impl<P> Deref for Instance<P> {
    type Target = P;
    fn deref(&self) -> &P {
        &self.ports
    }
}

impl<P> Microprocess for Instance<P> {
    fn process(&self) -> &Rc<Process> {
        &self.process
    }
}

impl Microprocess for AnyInstance {
    fn process(&self) -> &Rc<Process> {
        &self.0
    }
}

impl<P: 'static> Instance<P> {
    pub(crate) fn from_parts(process: Rc<Process>, ports: Rc<P>) -> Self {
        Self { process, ports }
    }

    /// The same component without the types of its boxes.
    pub fn any(&self) -> AnyInstance {
        AnyInstance(self.process.clone())
    }

    /// Activates it on the scheduler that is running on this thread, else on the thread's default (AX-MP-05).
    pub fn activate(&self) {
        Scheduler::ambient().activate(&self.process);
    }

    /// Activates it on the thread's default scheduler and runs that until nobody is left (AX-MP-15).
    ///
    /// # Errors
    /// As [`Scheduler::run`].
    pub fn run(&self) -> crate::Result<()> {
        let scheduler = Scheduler::thread_default();
        scheduler.activate(self);
        scheduler.run()
    }

    /// Gives it a tracker of its own, in place of the shared one (AX-MP-16).
    pub fn set_tracker(&self, tracker: Rc<Tracker>) {
        *self.process.extras().tracker.borrow_mut() = Some(tracker);
    }
}

impl<P: Ports> Instance<P> {
    pub(crate) fn create<C: Component<Ports = P>>(component: C) -> Self {
        let process = Process::new(C::kind);
        let ports = Rc::new(P::open(&Opener { owner: &process }));
        process.set_ports(ports.clone());
        // One allocation for the component and its body, which is made in place at the first step.
        let (weak, theirs) = (Rc::downgrade(&process), ports.clone());
        process.set_body(async move {
            let process = weak.upgrade().expect("a process that takes a step exists");
            drop(weak);
            component.main(Cx::new(process, theirs)).await;
        });
        Self { process, ports }
    }
}

impl AnyInstance {
    pub(crate) fn from_process(process: Rc<Process>) -> Self {
        Self(process)
    }

    /// A plain microprocess without boxes.
    pub(crate) fn microprocess<F>(body: F) -> Self
    where
        F: Future<Output: Outcome> + 'static,
    {
        let process = Process::new(|| "axon.Microprocess");
        let weak = Rc::downgrade(&process);
        process.set_body(async move {
            if let Err(cause) = body.await.into_cause()
                && let Some(process) = weak.upgrade()
            {
                process.extras().failure.replace(Some(cause));
            }
        });
        Self(process)
    }

    /// Activates it on the scheduler that is running on this thread, else on the thread's default (AX-MP-05).
    pub fn activate(&self) {
        Scheduler::ambient().activate(&self.0);
    }

    /// Activates it on the thread's default scheduler and runs that until nobody is left (AX-MP-15).
    ///
    /// # Errors
    /// As [`Scheduler::run`].
    pub fn run(&self) -> crate::Result<()> {
        let scheduler = Scheduler::thread_default();
        scheduler.activate(self);
        scheduler.run()
    }

    /// The names of its inboxes: declared ones in order, then added ones.
    pub fn inboxes(&self) -> Vec<String> {
        let declared = self.0.ports().map_or(&[][..], |p| p.inboxes()).iter().map(|i| i.name.to_string());
        let mut names: Vec<String> = declared.filter(|n| self.slot(Direction::In, n).is_ok()).collect();
        if let Some(extras) = self.0.extras_if_any() {
            names.extend(extras.dynamic.borrow().inboxes().map(|(n, _)| n.to_string()));
        }
        names
    }

    /// The names of its outboxes: declared ones in order, then added ones.
    pub fn outboxes(&self) -> Vec<String> {
        let declared = self.0.ports().map_or(&[][..], |p| p.outboxes()).iter().map(|i| i.name.to_string());
        let mut names: Vec<String> = declared.filter(|n| self.slot(Direction::Out, n).is_ok()).collect();
        if let Some(extras) = self.0.extras_if_any() {
            names.extend(extras.dynamic.borrow().outboxes().map(|(n, _)| n.to_string()));
        }
        names
    }

    /// Checks that the component has declared all of these boxes, and maybe others (AX-UTIL-04, `testInterface`).
    ///
    /// # Errors
    /// [`InterfaceError`]; inboxes are looked at first.
    ///
    /// ```
    /// use axon::prelude::*;
    /// use axon::util::NullSink;
    ///
    /// let sink: AnyInstance = NullSink::new().into();
    /// sink.test_interface(&["inbox", "control"], &[])?;
    /// let e = sink.test_interface(&["inbox", "fred"], &[]).unwrap_err();
    /// assert!(e.to_string().ends_with("has no inboxes [\"fred\"]"));
    /// # Ok::<(), axon::InterfaceError>(())
    /// ```
    pub fn test_interface(&self, inboxes: &[&str], outboxes: &[&str]) -> Result<(), InterfaceError> {
        let (declared_in, declared_out) =
            self.0.ports().map_or_else(Default::default, |p| (p.inboxes(), p.outboxes()));
        for (kind, wanted, declared) in
            [("inboxes", inboxes, declared_in), ("outboxes", outboxes, declared_out)]
        {
            let lacks = |name: &&&str| !declared.iter().any(|info| info.name == **name);
            let missing: Vec<String> = wanted.iter().filter(lacks).map(|name| name.to_string()).collect();
            if !missing.is_empty() {
                return Err(InterfaceError { kind, component: self.name(), missing });
            }
        }
        Ok(())
    }

    /// Messages in the own queue of an inbox (AX-COMP-06).
    ///
    /// # Errors
    /// [`LinkError::NoSuchBox`].
    pub fn data_ready(&self, inbox: &str) -> Result<usize, LinkError> {
        Ok(self.slot(Direction::In, inbox)?.own_len())
    }

    /// Bounds the own queue of an inbox, or removes the bound (AX-COMP-15).
    ///
    /// # Errors
    /// [`LinkError::NoSuchBox`].
    pub fn set_inbox_size(&self, inbox: &str, messages: Option<usize>) -> Result<(), LinkError> {
        self.slot(Direction::In, inbox)?.set_bound(messages);
        Ok(())
    }

    pub(crate) fn slot(&self, direction: Direction, name: &str) -> Result<SlotRef, LinkError> {
        find_slot(&self.0, direction, name)
    }
}

impl PartialEq for AnyInstance {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for AnyInstance {}

impl<P> From<Instance<P>> for AnyInstance {
    fn from(i: Instance<P>) -> Self {
        Self(i.process)
    }
}

impl<P> From<&Instance<P>> for AnyInstance {
    fn from(i: &Instance<P>) -> Self {
        Self(i.process.clone())
    }
}

impl<P> From<&Cx<P>> for AnyInstance {
    fn from(cx: &Cx<P>) -> Self {
        Self(cx.process().clone())
    }
}

impl From<&AnyInstance> for AnyInstance {
    fn from(i: &AnyInstance) -> Self {
        i.clone()
    }
}

impl<C: Component> From<C> for AnyInstance {
    fn from(c: C) -> Self {
        c.create().any()
    }
}

/// `Component `, the name, then the boxes with the number of their messages (AX-COMP-03).
impl fmt::Display for AnyInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Component {} [ inboxes :", self.name())?;
        for name in self.inboxes() {
            let n = self.data_ready(&name).unwrap_or(0);
            write!(f, " {name}({n})")?;
        }
        write!(f, " outboxes :")?;
        for name in self.outboxes() {
            write!(f, " {name}")?;
        }
        f.write_str(" ]")
    }
}

impl fmt::Debug for AnyInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl<P> fmt::Debug for Instance<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
