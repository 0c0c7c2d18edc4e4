//! `test_util.py`, as far as it can exist; see the head of `main.rs`.

use axon::InterfaceError;
use axon::prelude::*;

use crate::common::*;

/// AX-UTIL-04: a minimal match on the interface of the component.
#[test]
fn test_testInterface_smokeSuccess() {
    let c = plain().any();
    c.test_interface(&["inbox", "control"], &["outbox", "signal"]).unwrap();
    c.test_interface(&[], &[]).unwrap();
    c.test_interface(&["inbox"], &[]).unwrap();
    c.test_interface(&[], &["outbox"]).unwrap();
}

/// AX-UTIL-04.
#[test]
fn test_testInterface_failmodes() {
    let c = plain().any();
    let error = |inboxes: &[&str], outboxes: &[&str]| c.test_interface(inboxes, outboxes).unwrap_err();
    let wrong = |kind| InterfaceError { kind, component: c.name(), missing: vec!["fred".into()] };
    assert_eq!(error(&["fred"], &[]), wrong("inboxes"));
    assert_eq!(error(&[], &["fred"]), wrong("outboxes"));
    assert_eq!(error(&["inbox", "control", "fred"], &["outbox", "signal"]), wrong("inboxes"));
    assert_eq!(error(&["inbox", "control"], &["outbox", "signal", "fred"]), wrong("outboxes"));
    assert_eq!(error(&["fred"], &["john"]), wrong("inboxes"), "inboxes are looked at first");
    assert_eq!(error(&["fred"], &[]).to_string(), format!("{} has no inboxes [\"fred\"]", c.name()));
}

/// AX-UTIL-04.
/// Declared boxes count, added ones do not; a plain microprocess has none.
#[test]
fn test_testInterface_declared() {
    let s = fresh();
    let c = body(async |cx| {
        cx.add_inbox::<Message>("more");
        let me = cx.instance().any();
        assert!(me.test_interface(&["more"], &[]).is_err());
        assert!(me.inboxes().contains(&"more".to_string()));
    });
    s.activate(&c);
    let p = s.spawn(async {});
    assert!(p.test_interface(&["inbox"], &[]).is_err() && p.test_interface(&[], &[]).is_ok());
    s.run().unwrap();
}
