//! `test_AdaptiveCommsComponent.py`. Boxes are added through the running component's context.

use std::rc::Rc;

use crate::common::*;
use axon::prelude::*;
use axon::{Inbox, Outbox, Tracked};

/// Runs a body to its end.
fn run(f: impl AsyncFnOnce(Cx<Boxes>) + 'static) {
    let s = fresh();
    s.activate(body(f));
    s.run().unwrap();
}

/// AX-ADAPT-01.
#[test]
fn test_SmokeTest_NoArguments() {
    run(async |cx| {
        let me = cx.instance().any();
        assert_eq!((me.inboxes().len(), me.outboxes().len()), (2, 2));
    });
}

/// AX-ADAPT-02.
#[test]
fn test_addInbox_newName() {
    run(async |cx| {
        let b = cx.add_inbox::<u8>("extra");
        assert_eq!(b.name(), "extra");
        assert!(b.is_empty() && cx.instance().any().inboxes().contains(&"extra".into()));
        b.deliver(1).unwrap();
        assert_eq!(b.try_recv(), Some(1));
    });
}

/// AX-ADAPT-02.
#[test]
fn test_addInbox_existingName() {
    run(async |cx| {
        let b = cx.add_inbox::<u8>("inbox");
        assert!(b.name().starts_with("inbox") && b.name() != "inbox", "{}", b.name());
        let c = cx.add_inbox::<u8>("inbox");
        assert_ne!(b.name(), c.name());
        cx.add_outbox::<u8>("inbox"); // names of inboxes and outboxes are apart
    });
}

/// AX-ADAPT-02.
#[test]
fn test_addOutbox_newName() {
    run(async |cx| {
        let b = cx.add_outbox::<Message>("extra");
        assert_eq!(b.name(), "extra");
        let l = cx.link((&cx, "extra"), (&cx, "inbox")).unwrap();
        b.send(Message::new(5)).unwrap();
        cx.unlink(&l);
        assert_eq!(cx.inbox.len(), 1);
    });
}

/// AX-ADAPT-02.
#[test]
fn test_addOutbox_existingName() {
    run(async |cx| {
        let b = cx.add_outbox::<u8>("outbox");
        assert!(b.name().starts_with("outbox") && b.name() != "outbox", "{}", b.name());
    });
}

/// AX-ADAPT-02, 03.
#[test]
fn test_InboxModification() {
    run(async |cx| {
        let b = cx.add_inbox::<u8>("x");
        b.deliver(1).unwrap();
        cx.delete_inbox("x").unwrap();
        let again = cx.add_inbox::<u8>("x");
        assert_eq!(again.name(), "x");
        assert!(again.is_empty(), "its messages went with the old one");
    });
}

/// AX-ADAPT-02, 03.
#[test]
fn test_OutboxModification() {
    run(async |cx| {
        cx.add_outbox::<u8>("x");
        cx.delete_outbox("x").unwrap();
        assert_eq!(cx.add_outbox::<u8>("x").name(), "x");
    });
}

/// AX-ADAPT-03.
#[test]
fn test_deleteInbox_invalidInbox() {
    run(async |cx| {
        assert!(cx.delete_inbox("nothing").is_err());
    });
}

/// AX-ADAPT-03.
#[test]
fn test_deleteInbox_validInbox() {
    run(async |cx| {
        for name in ["inbox", "control"] {
            cx.delete_inbox(name).unwrap();
            assert!(cx.delete_inbox(name).is_err());
        }
        assert!(cx.instance().any().inboxes().is_empty());
    });
}

/// AX-ADAPT-03.
#[test]
fn test_deleteOutbox_invalidOutbox() {
    run(async |cx| {
        assert!(cx.delete_outbox("inbox").is_err());
    });
}

/// AX-ADAPT-03.
#[test]
fn test_deleteOutbox_validOutbox() {
    run(async |cx| {
        cx.delete_outbox("outbox").unwrap();
        assert!(cx.delete_outbox("outbox").is_err());
        assert_eq!(cx.instance().any().outboxes(), ["signal"]);
    });
}

/// AX-ADAPT-04.
#[test]
fn test_trackResource_validDefaultInbox() {
    run(async |cx| {
        cx.track_resource(Rc::new("thing"), "inbox").unwrap();
        let found = cx.tracked_resource("inbox").unwrap();
        assert_eq!(found.downcast_ref::<&str>(), Some(&"thing"));
    });
}

/// AX-ADAPT-04.
#[test]
fn test_trackResource_validDynamicInbox() {
    run(async |cx| {
        let b: axon::Added<Inbox<u8>> = cx.add_inbox("x");
        cx.track_resource(Rc::new(1), b.name()).unwrap();
        assert!(cx.tracked_resource("x").is_some());
    });
}

/// AX-ADAPT-04.
#[test]
fn test_trackResource_invalidInbox() {
    run(async |cx| {
        assert!(cx.track_resource(Rc::new(1), "nothing").is_err());
        assert!(cx.tracked_resource("nothing").is_none());
    });
}

fn tracked(inboxes: &[&str], outboxes: &[&str], info: i32) -> Tracked {
    let names = |n: &[&str]| n.iter().map(|n| n.to_string()).collect();
    Tracked { inboxes: names(inboxes), outboxes: names(outboxes), info: Rc::new(info) }
}

/// AX-ADAPT-05, 06.
#[test]
fn test_trackResourceInformation_validDefaultBoxes() {
    run(async |cx| {
        cx.track_resource_information("r", tracked(&["inbox"], &["outbox", "signal"], 1)).unwrap();
        let t = cx.tracked_resource_information("r").unwrap();
        assert_eq!((t.inboxes.len(), t.outboxes.len()), (1, 2));
        assert_eq!(t.info.downcast_ref::<i32>(), Some(&1));
        cx.track_resource_information("r", tracked(&[], &[], 2)).unwrap();
        assert_eq!(cx.tracked_resource_information("r").unwrap().info.downcast_ref::<i32>(), Some(&2));
        assert!(cx.cease_tracking_resource("r").is_some());
        assert!(cx.cease_tracking_resource("r").is_none());
    });
}

/// AX-ADAPT-05.
#[test]
fn test_trackResourceInformation_validDynamicBoxes() {
    run(async |cx| {
        let _: axon::Added<Inbox<u8>> = cx.add_inbox("x");
        let _: axon::Added<Outbox<u8>> = cx.add_outbox("y");
        cx.track_resource_information("r", tracked(&["x"], &["y"], 1)).unwrap();
        assert_eq!(cx.tracked_resource_information("r").unwrap().outboxes, ["y"]);
    });
}

/// AX-ADAPT-05.
#[test]
fn test_trackResourceInformation_invalidInboxes() {
    run(async |cx| {
        assert!(cx.track_resource_information("r", tracked(&["x"], &["outbox"], 1)).is_err());
        assert!(cx.tracked_resource_information("r").is_none());
    });
}

/// AX-ADAPT-05.
#[test]
fn test_trackResourceInformation_invalidOutboxes() {
    run(async |cx| {
        assert!(cx.track_resource_information("r", tracked(&["inbox"], &["y"], 1)).is_err());
        assert!(cx.tracked_resource_information("r").is_none());
    });
}
