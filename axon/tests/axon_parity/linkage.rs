//! `test_Linkage.py`.

use crate::common::*;
use axon::prelude::*;
use axon::{Kind, LinkOptions, link, link_with};

/// AX-LINK-01.
#[test]
fn test_SmokeTest_MinArguments() {
    let (a, b) = (plain(), plain());
    let l = link(&a.outbox, &b.inbox).unwrap();
    assert_eq!(l.source_pair().1, "outbox");
    assert_eq!(l.sink_pair().1, "inbox");
}

/// AX-LINK-01.
#[test]
fn test_SmokeTest_SpecificBoxesArguments() {
    let (a, b) = (plain(), plain());
    let l = link((&a, "signal"), (&b, "control")).unwrap();
    assert_eq!((l.source_pair().1, l.sink_pair().1), ("signal".into(), "control".into()));
}

/// AX-LINK-01, 02.
#[test]
fn test_SmokeTest_defaultPassthrough() {
    let (a, b) = (plain(), plain());
    assert_eq!(link(&a.outbox, &b.inbox).unwrap().kind(), Kind::Normal);
}

/// AX-LINK-01, 02.
#[test]
fn test_SmokeTest_inboxPassthrough() {
    let (a, b) = (plain(), plain());
    // Handles tell by their types what is meant.
    assert_eq!(link(&a.inbox, &b.inbox).unwrap().kind(), Kind::PassIn);
    assert_eq!(
        link_with((&a, "control"), (&b, "control"), LinkOptions::pass_in()).unwrap().kind(),
        Kind::PassIn
    );
}

/// AX-LINK-01, 02.
#[test]
fn test_SmokeTest_outboxPassthrough() {
    let (a, b) = (plain(), plain());
    assert_eq!(link(&a.outbox, &b.outbox).unwrap().kind(), Kind::PassOut);
}

/// AX-LINK-04.
#[test]
fn test_sourcePair() {
    let (a, b) = (plain(), plain());
    let l = link(&a.outbox, &b.inbox).unwrap();
    assert_eq!(l.source_pair(), (Some(a.any()), "outbox".to_string()));
}

/// AX-LINK-04.
/// Defined under the same name as the one before, and so never run, in the original.
#[test]
fn test_sinkPair() {
    let (a, b) = (plain(), plain());
    let l = link(&a.outbox, &b.inbox).unwrap();
    assert_eq!(l.sink_pair(), (Some(b.any()), "inbox".to_string()));
}

/// AX-LINK-05, 06.
#[test]
fn test___str__strict() {
    let (a, b) = (plain(), plain());
    let l = link(&a.outbox, &b.inbox).unwrap();
    let (x, y) = (a.name(), b.name());
    assert_eq!(l.to_string(), format!("Link( source:[{x},outbox], sink:[{y},inbox] )"));
    // AX-LINK-06.
    let short = |n: &str| n.rsplit('.').next().unwrap().to_string();
    assert_eq!(l.short_text(), format!("({},outbox):({},inbox)", short(&x), short(&y)));
}

/// AX-LINK-03, 07, 08; not in the original's list.
#[test]
fn a_width_bounds_the_sink_and_equality_is_identity() {
    let (a, b) = (plain(), plain());
    let l = link_with((&a, "outbox"), (&b, "inbox"), LinkOptions::new().pipewidth(3)).unwrap();
    assert_eq!(b.inbox.bound(), Some(3));
    assert_eq!(l.set_synchronous(7), 7);
    assert_eq!(b.inbox.bound(), Some(7));
    assert_eq!(l, l.clone());
    l.unlink();
    assert_ne!(l, link(&a.outbox, &b.inbox).unwrap());
}
