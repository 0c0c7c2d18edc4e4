//! `test_Component.py`, class `Component_Test`.

use std::cell::RefCell;
use std::rc::Rc;

use crate::common::*;
use axon::prelude::*;
use axon::{BoxError, LinkOptions, Stepwise, StepwiseComponent, link, link_with};

/// AX-COMP-01.
#[test]
fn test_SmokeTest_NoArguments() {
    let c = plain();
    let any = c.any();
    assert_eq!(any.inboxes(), ["inbox", "control"]);
    assert_eq!(any.outboxes(), ["outbox", "signal"]);
    assert!(c.inbox.is_empty() && c.control.is_empty());
    assert!(c.children().is_empty());
}

/// AX-COMP-03.
#[test]
fn test___str__strict() {
    let c = plain();
    c.inbox.deliver("x".into()).unwrap();
    assert_eq!(
        c.any().to_string(),
        format!("Component {} [ inboxes : inbox(1) control(0) outboxes : outbox signal ]", c.name())
    );
}

/// AX-COMP-03.
#[test]
fn test___str__relaxed() {
    let c = plain();
    let text = c.any().to_string();
    assert!(text.to_lowercase().contains("component") && text.contains(&c.name()));
}

/// AX-COMP-04.
#[test]
fn test___addChild() {
    let s = fresh();
    let parent = plain();
    let child = plain();
    parent.add_child(&child);
    assert_eq!(parent.children(), [child.any()]);
    s.activate(&parent);
    s.run().unwrap();
    assert!(!child.is_stopped(), "adopting does not activate");
}

/// AX-COMP-04.
#[test]
fn test_addChildren() {
    let parent = plain();
    let kids = [plain(), plain(), plain()];
    kids.iter().for_each(|k| parent.add_child(k));
    assert_eq!(parent.children(), kids.each_ref().map(|k| k.any()));
}

/// AX-COMP-04.
#[test]
fn test_childComponents() {
    let parent = plain();
    assert!(parent.children().is_empty());
    let kid = plain();
    parent.add_child(&kid);
    let mut copy = parent.children();
    copy.clear();
    assert_eq!(parent.children().len(), 1);
}

/// AX-COMP-05.
#[test]
fn test_removeChild() {
    let parent = plain();
    let (a, b) = (plain(), plain());
    for k in [&a, &b, &a] {
        parent.add_child(k);
    }
    parent.link((&a, "outbox"), (&b, "inbox")).unwrap();
    parent.link((&b, "outbox"), (&parent, "inbox")).unwrap();
    parent.remove_child(&a);
    assert_eq!(parent.children(), [b.any()]);
    assert!(!a.outbox.is_linked() && b.outbox.is_linked());
    assert_eq!(parent.linkages().len(), 1);
}

/// AX-COMP-06, 08, 09.
#[test]
fn test_dataReady() {
    let (a, b) = (plain(), plain());
    assert_eq!(b.any().data_ready("inbox").unwrap(), 0);
    link(&a.outbox, &b.inbox).unwrap();
    for n in 1..=3 {
        assert!(send(&a, n as i32));
        assert_eq!(b.any().data_ready("inbox").unwrap(), n);
    }
    assert_eq!(b.any().data_ready("control").unwrap(), 0);
    b.inbox.try_recv().unwrap();
    assert_eq!(b.inbox.len(), 2);
    assert!(b.any().data_ready("nothing").is_err());
}

/// AX-COMP-11.
#[test]
fn test_link() {
    let c = plain();
    let (a, b) = (plain(), plain());
    let l = c.link((&a, "outbox"), (&b, "control")).unwrap();
    assert_eq!(l.source_pair(), (Some(a.any()), "outbox".into()));
    assert_eq!(l.sink_pair(), (Some(b.any()), "control".into()));
    assert_eq!(c.linkages(), [l]);
}

/// AX-COMP-08, 16.
#[test]
fn test_recv() {
    let c = plain();
    assert!(c.inbox.try_recv().is_none());
    for n in 0..3 {
        c.inbox.deliver(Message::new(n)).unwrap();
    }
    assert_eq!(numbers(&c), [0, 1, 2]);
}

/// AX-BOX-02, 04, AX-COMP-08, 09.
/// A message lies at the end of the chain at once, and a receive on the way takes it there.
#[test]
fn test_send() {
    let (a, b, c) = (plain(), plain(), plain());
    assert!(send(&a, 1), "to nobody: discarded, not refused");
    assert_eq!(a.outbox.discarded(), 1);
    link(&a.outbox, &b.inbox).unwrap();
    link_with((&b, "inbox"), (&c, "inbox"), LinkOptions::pass_in()).unwrap();
    assert!(send(&a, 2));
    assert_eq!((b.inbox.len(), c.inbox.len(), a.outbox.len()), (0, 1, 1));
    assert_eq!(numbers(&b), [2]);
}

type Log = Rc<RefCell<Vec<&'static str>>>;

struct Old(Log, u32);
impl StepwiseComponent for Old {
    type Ports = Boxes;
    fn initialise(&mut self, _: &Cx<Boxes>) {
        self.0.borrow_mut().push("init");
    }
    fn main_body(&mut self, _: &Cx<Boxes>) -> bool {
        self.0.borrow_mut().push("body");
        self.1 -= 1;
        self.1 > 0
    }
    fn close_down(&mut self, _: &Cx<Boxes>) -> Result<(), BoxError> {
        self.0.borrow_mut().push("close");
        Err("surfaces".into())
    }
}

struct Stubs;
impl StepwiseComponent for Stubs {
    type Ports = Boxes;
}

/// AX-COMP-14.
#[test]
fn test_main_smokeTest() {
    let s = fresh();
    let c = s.activate(Stepwise(Stubs));
    s.run().unwrap();
    assert!(c.is_stopped());
    assert_eq!(s.pass(), 3, "initialise; body and close; end");
}

/// AX-COMP-14.
/// One step each, the close-down in the step of the last body; an error of it surfaces from that step.
#[test]
fn test_main_closedowntest() {
    let s = fresh();
    let log = Log::default();
    s.activate(Stepwise(Old(log.clone(), 2)));
    let e = s.run().unwrap_err();
    assert!(e.to_string().contains("surfaces"), "{e}");
    assert_eq!(*log.borrow(), ["init", "body", "body", "close"]);
    assert_eq!(s.pass(), 3);
}

/// AX-COMP-14.
#[test]
fn test_initialiseComponent() {
    let s = fresh();
    let log = Log::default();
    s.activate(Stepwise(Old(log.clone(), 9)));
    to_pass(&s, 2);
    assert_eq!(*log.borrow(), ["init"]);
}

/// AX-COMP-14.
#[test]
fn test_mainBody() {
    let s = fresh();
    let log = Log::default();
    s.activate(Stepwise(Old(log.clone(), 9)));
    to_pass(&s, 4);
    assert_eq!(*log.borrow(), ["init", "body", "body"]);
}

/// AX-COMP-13, AX-PO-06, AX-BOX-07.
#[test]
fn test_linkagesRemovedOnComponentShutdown() {
    let s = fresh();
    let (a, b) = (plain(), plain());
    let owner = plain();
    owner.link((&a, "outbox"), (&b, "inbox")).unwrap();
    let others = link(&a.signal, &b.control).unwrap();
    assert!(send(&a, 1));
    s.activate(&owner);
    s.run().unwrap();
    assert!(owner.linkages().is_empty());
    assert!(!a.outbox.is_linked(), "the owner's link went with it");
    assert!(a.signal.is_linked(), "links made by others stay");
    assert_eq!(numbers(&b), [1], "messages stay where they are");
    others.unlink();
}

/// AX-COMP-04, 13.
#[test]
fn test__closeDownMicroprocess_smoketest() {
    let s = fresh();
    let (parent, woken) = sleeper();
    let child = plain();
    parent.add_child(&child);
    s.activate(&parent);
    s.activate(&child);
    s.run_until_idle().unwrap();
    assert_eq!(woken.get(), 2, "a child's end wakes its parent");
    assert!(child.is_stopped());
}

/// AX-COMP-13.
/// Unlike a plain process's, a component's close-down value is never used: nobody is activated or ended by it.
#[test]
fn test__closeDownMicroprocess_None() {
    let s = fresh();
    let (other, ran) = sleeper();
    let c = s.activate(plain());
    s.activate(&other);
    s.run_until_idle().unwrap();
    assert!(c.is_stopped() && !other.is_stopped());
    assert_eq!((ran.get(), s.processes()), (1, vec![other.any()]));
}

/// AX-COMP-14.
/// The stub does nothing and is no error; one of its own is called once, at the end.
#[test]
fn test_closeDownComponent() {
    let s = fresh();
    s.activate(Stepwise(Stubs));
    s.run().unwrap();
    let log = Log::default();
    s.activate(Stepwise(Old(log.clone(), 1)));
    assert!(s.run().is_err());
    assert_eq!(*log.borrow(), ["init", "body", "close"]);
}
