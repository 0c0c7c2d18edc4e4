//! `test_CoordinatingAssistantTracker.py`.

use std::rc::Rc;

use crate::common::*;
use axon::ports;
use axon::prelude::*;
use axon::tracker::{Tracker, TrackerError};

ports! { pub struct NoInboxes { in {} out { outbox: u8 } } }
struct Mute;
impl Component for Mute {
    type Ports = NoInboxes;
    async fn main(self, _: Cx<NoInboxes>) {}
}

/// AX-CAT-01.
#[test]
fn test_SmokeTest_NoArguments() {
    let t = Tracker::new();
    assert!(t.services().is_empty() && t.information_items_logged().is_empty() && t.parent().is_none());
    assert!(Rc::ptr_eq(&t, &Tracker::shared()), "the first one made becomes the shared one");
    assert!(!Rc::ptr_eq(&Tracker::new(), &Tracker::shared()));
}

/// AX-CAT-02.
#[test]
fn test_SmokeTest_SingleParent() {
    let parent = Tracker::new();
    parent.track_value("v", 1).unwrap();
    let t = Tracker::with_parent(parent.clone());
    assert!(Rc::ptr_eq(t.parent().unwrap(), &parent));
    assert!(t.retrieve_value("v").is_err(), "a parent is never asked");
}

/// AX-CAT-03, 04.
#[test]
fn test_registerService_Add() {
    let t = Tracker::new();
    let c = plain();
    t.register_service("s", &c, "control").unwrap();
    assert_eq!(t.services(), ["s"]);
}

/// AX-CAT-03.
#[test]
fn test_registerService_AddExisting() {
    let t = Tracker::new();
    let c = plain();
    t.register_service("s", &c, "inbox").unwrap();
    // The name is looked at before the box.
    for b in ["inbox", "control", "nothing"] {
        assert_eq!(t.register_service("s", &c, b), Err(TrackerError::ServiceAlreadyExists("s".into())));
    }
}

/// AX-CAT-03.
#[test]
fn test_registerService_BadComponent() {
    let c = Mute.create();
    let e = Tracker::new().register_service("s", &c, "inbox").unwrap_err();
    assert_eq!(e, TrackerError::BadComponent(c.name()));
}

/// AX-CAT-03.
#[test]
fn test_registerService_BadInbox() {
    let t = Tracker::new();
    let c = plain();
    let e = t.register_service("s", &c, "outbox").unwrap_err();
    assert_eq!(e, TrackerError::BadInbox { component: c.name(), inbox: "outbox".into() });
    assert!(t.services().is_empty());
}

/// AX-CAT-04.
#[test]
fn test_retrieveService_basic() {
    let t = Tracker::new();
    let (a, b) = (plain(), plain());
    t.register_service("s", &b, "inbox").unwrap();
    let service = t.retrieve_service("s").unwrap();
    assert_eq!(service.inbox(), "inbox");
    assert_eq!(service.component().resolve(), Some(b.any()));
    axon::link(&a.outbox, &service).unwrap();
    assert!(send(&a, 4));
    assert_eq!(numbers(&b), [4]);
}

/// AX-CAT-04.
#[test]
fn test_retrieveService_nonexistantservice() {
    assert!(matches!(Tracker::new().retrieve_service("s"), Err(TrackerError::NoSuchService(_))));
}

/// AX-CAT-05.
#[test]
fn test_deRegisterService() {
    let t = Tracker::new();
    t.register_service("s", plain(), "inbox").unwrap();
    t.deregister_service("s").unwrap();
    assert!(t.services().is_empty());
}

/// AX-CAT-05.
#[test]
fn test_deRegisterService_nonExistantService() {
    let e = Tracker::new().deregister_service("s").unwrap_err();
    assert_eq!(e, TrackerError::MultipleServiceDeletion("s".into()));
}

fn value(t: &Tracker, name: &str) -> i32 {
    *t.retrieve_value(name).unwrap().downcast_ref::<i32>().unwrap()
}

/// AX-CAT-06, 08.
#[test]
fn test_trackValue_basic() {
    let t = Tracker::new();
    t.track_value("a", 1).unwrap();
    t.track_value("b", 2).unwrap();
    assert_eq!((value(&t, "a"), value(&t, "b")), (1, 2));
}

/// AX-CAT-06.
#[test]
fn test_trackValue_addTwice() {
    let t = Tracker::new();
    t.track_value("a", 1).unwrap();
    assert_eq!(t.track_value("a", 2), Err(TrackerError::NamespaceClash("a".into())));
    assert_eq!(value(&t, "a"), 1);
}

/// AX-CAT-08.
#[test]
fn test_retrieveValue_basic() {
    test_trackValue_basic();
}

/// AX-CAT-08.
#[test]
fn test_retrieveValue_notStored() {
    let e = Tracker::new().retrieve_value("a").unwrap_err();
    assert_eq!(e, TrackerError::AccessToUndeclaredTrackedVariable("a".into()));
}

/// AX-CAT-07.
#[test]
fn test_updateValue_basic() {
    let t = Tracker::new();
    t.track_value("a", 1).unwrap();
    t.update_value("a", 5).unwrap();
    assert_eq!(value(&t, "a"), 5);
}

/// AX-CAT-07.
#[test]
fn test_updateValue_undeclaredTrackedVariable() {
    let t = Tracker::new();
    assert!(t.update_value("a", 5).is_err());
    assert!(t.retrieve_value("a").is_err());
}

/// AX-CAT-08, 09.
#[test]
fn test_informationItemsLogged() {
    let t = Tracker::new();
    for name in ["x", "y"] {
        t.track_value(name, 0).unwrap();
    }
    assert_eq!(t.information_items_logged(), ["x", "y"]);
    t.zap();
    assert!(t.information_items_logged().is_empty());
}

/// AX-MP-16; not in the original's list.
#[test]
fn a_component_can_have_a_tracker_of_its_own() {
    let s = fresh();
    let own = Tracker::new();
    let other = Tracker::new();
    let theirs = other.clone();
    let c = body(async move |cx| assert!(Rc::ptr_eq(&cx.tracker(), &theirs)));
    c.set_tracker(other);
    let shared = body(async move |cx| assert!(Rc::ptr_eq(&cx.tracker(), &own)));
    s.activate(&c);
    s.activate(&shared);
    s.run().unwrap();
}
