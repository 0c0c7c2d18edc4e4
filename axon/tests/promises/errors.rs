//! What errors say (AX-EXC).

use std::error::Error as _;

use axon::prelude::*;
use axon::tracker::TrackerError;
use axon::{Error, LinkError, LinkOptions, link, link_with};

use crate::common::*;

/// AX-EXC-01: each carries what the original's exception carries, and its text shows it.
#[test]
fn ax_exc_01_errors_carry_what_they_are_about() {
    let (a, b, c) = (plain(), plain(), plain());

    // noSpaceInBox(length, size)
    b.inbox.set_bound(1);
    link(&a.outbox, &b.inbox).unwrap();
    assert!(send(&a, 1));
    let e = a.outbox.send(Message::new(2)).unwrap_err();
    assert!(matches!(e, SendError::Full { len: 1, bound: 1, .. }));
    assert_eq!(e.to_string(), "no space in box (1 of 1 messages)");

    // BoxAlreadyLinkedToDestination(box, its target, source)
    let e = link(&a.outbox, &c.inbox).unwrap_err();
    let LinkError::AlreadyLinked { from, target, to } = &e else { panic!("{e}") };
    let at = |c: &Instance<Boxes>, name| format!("{}.{name}", c.name());
    assert_eq!((from, target, to), (&at(&a, "outbox"), &at(&b, "inbox"), &at(&c, "inbox")));
    assert!([from, target, to].iter().all(|part| e.to_string().contains(*part)), "{e}");

    // The key error of a missing box.
    let e = link_with((&a, "x"), (&b, "inbox"), LinkOptions::pass_in()).unwrap_err();
    assert_eq!(e.to_string(), format!("{} has no inbox \"x\"", a.name()));

    // ServiceAlreadyExists, BadComponent, BadInbox, MultipleServiceDeletion, NamespaceClash,
    // AccessToUndeclaredTrackedVariable.
    let inbox = "i".to_string();
    for e in [
        TrackerError::ServiceAlreadyExists("n".into()),
        TrackerError::BadComponent("n".into()),
        TrackerError::BadInbox { component: "n".into(), inbox },
        TrackerError::MultipleServiceDeletion("n".into()),
        TrackerError::NamespaceClash("n".into()),
        TrackerError::AccessToUndeclaredTrackedVariable("n".into()),
    ] {
        let text = e.to_string();
        assert!(text.contains('n') && text.chars().next().is_some_and(char::is_lowercase), "{text}");
        // All errors of the framework become one, which keeps the first as its source.
        let whole = Error::from(e.clone());
        assert_eq!(whole.to_string(), text);
        assert_eq!(whole.source().and_then(|s| s.downcast_ref::<TrackerError>()), Some(&e));
    }
}
