//! `test_Postoffice.py`.

use crate::common::*;
use axon::prelude::*;
use axon::{Kind, LinkError, LinkOptions, Postoffice};

fn three() -> (Instance<Boxes>, Instance<Boxes>, Instance<Boxes>) {
    (plain(), plain(), plain())
}

/// AX-PO-01.
#[test]
fn test___init__SmokeTest_NoArguments() {
    let p = Postoffice::new();
    assert!(p.linkages().is_empty());
    assert_eq!(p.to_string(), "{{ POSTOFFICE: links [] }}");
}

/// AX-PO-01.
#[test]
fn test___init__SmokeTest_DebugnameArgument() {
    assert_eq!(Postoffice::with_name("po").to_string(), "{{ POSTOFFICE: po:debug links [] }}");
}

/// AX-PO-02.
#[test]
fn test__str__checksStringFormatStrict() {
    let (a, b, _) = three();
    let mut p = Postoffice::with_name("po");
    p.link((&a, "outbox"), (&b, "inbox")).unwrap();
    p.link((&a, "signal"), (&b, "control")).unwrap();
    let link = |x, y| format!("Link( source:[{},{x}], sink:[{},{y}] )", a.name(), b.name());
    assert_eq!(
        p.to_string(),
        format!(
            "{{{{ POSTOFFICE: po:debug links [{}, {}] }}}}",
            link("outbox", "inbox"),
            link("signal", "control")
        )
    );
}

/// AX-PO-03, AX-LINK-02.
#[test]
fn test_linkestablishes() {
    let (a, b, _) = three();
    let l = Postoffice::new().link((&a, "outbox"), (&b, "inbox")).unwrap();
    assert_eq!(l.kind(), Kind::Normal);
    assert!(send(&a, 1));
    assert_eq!(numbers(&b), [1]);
}

/// AX-PO-03, AX-LINK-02.
#[test]
fn test_linkestablishes_inboxinboxpassthrough() {
    let (a, b, _) = three();
    let mut p = Postoffice::new();
    let l = p.link_with((&a, "inbox"), (&b, "inbox"), LinkOptions::pass_in()).unwrap();
    assert_eq!(l.kind(), Kind::PassIn);
    a.inbox.deliver(Message::new(1)).unwrap();
    assert_eq!((a.inbox.len(), b.inbox.len()), (0, 1));
    // The box names are looked up among the inboxes.
    let e = p.link_with((&a, "outbox"), (&b, "inbox"), LinkOptions::pass_in()).unwrap_err();
    assert!(matches!(e, LinkError::NoSuchBox { .. }), "{e}");
}

/// AX-PO-03, AX-LINK-02.
#[test]
fn test_linkestablishes_outboxoutboxpassthrough() {
    let (a, b, c) = three();
    let mut p = Postoffice::new();
    let l = p.link_with((&a, "outbox"), (&b, "outbox"), LinkOptions::pass_out()).unwrap();
    assert_eq!(l.kind(), Kind::PassOut);
    p.link((&b, "outbox"), (&c, "inbox")).unwrap();
    assert!(send(&a, 1));
    assert_eq!(numbers(&c), [1]);
    let e = p.link_with((&a, "signal"), (&b, "control"), LinkOptions::pass_out()).unwrap_err();
    assert!(matches!(e, LinkError::NoSuchBox { .. }), "{e}");
}

/// AX-PO-03, 08.
#[test]
fn test_linkregistered() {
    let (a, b, _) = three();
    let mut p = Postoffice::new();
    let l = p.link((&a, "outbox"), (&b, "inbox")).unwrap();
    assert_eq!(p.is_registered(&l), 1);
    assert_eq!(p.linkages(), [l]);
    assert_eq!(Postoffice::new().is_registered(&p.linkages()[0]), 0);
}

/// AX-PO-04.
#[test]
fn test_linkderegisters() {
    let (a, b, c) = three();
    let mut p = Postoffice::new();
    let all = [
        p.link((&a, "outbox"), (&b, "inbox")).unwrap(),
        p.link((&b, "outbox"), (&c, "inbox")).unwrap(),
        p.link((&c, "outbox"), (&a, "inbox")).unwrap(),
    ];
    p.unlink(&all[1]);
    assert_eq!(p.linkages(), [all[0].clone(), all[2].clone()]);
    let mut other = Postoffice::new();
    other.unlink(&all[0]); // not registered there: nothing happens
    assert!(a.outbox.is_linked());
}

/// AX-PO-05, 06.
#[test]
fn test_componentlinksderegisters() {
    let (a, b, c) = three();
    let mut p = Postoffice::new();
    p.link((&a, "outbox"), (&b, "inbox")).unwrap();
    p.link((&b, "outbox"), (&c, "inbox")).unwrap();
    let stays = p.link((&c, "outbox"), (&a, "inbox")).unwrap();
    p.unlink_component(&b);
    assert_eq!(p.linkages(), [stays]);
    assert!(!a.outbox.is_linked() && !b.outbox.is_linked() && c.outbox.is_linked());
    p.unlink_all();
    assert!(p.linkages().is_empty() && !c.outbox.is_linked());
}

/// AX-PO-04, AX-BOX-07.
#[test]
fn test_linkdisengages() {
    let (a, b, _) = three();
    let mut p = Postoffice::new();
    let l = p.link((&a, "outbox"), (&b, "inbox")).unwrap();
    assert!(send(&a, 1));
    p.unlink(&l);
    assert!(send(&a, 2));
    assert_eq!(numbers(&b), [1]);
}

/// AX-PO-04.
#[test]
fn test_linkdisengages_inboxinboxpassthrough() {
    let (a, b, _) = three();
    let mut p = Postoffice::new();
    let l = p.link_with((&a, "inbox"), (&b, "inbox"), LinkOptions::pass_in()).unwrap();
    p.unlink(&l);
    a.inbox.deliver(Message::new(1)).unwrap();
    assert_eq!((a.inbox.len(), b.inbox.len()), (1, 0));
}

/// AX-PO-04.
#[test]
fn test_linkdisengages_outboxoutboxpassthrough() {
    let (a, b, c) = three();
    let mut p = Postoffice::new();
    let l = p.link_with((&a, "outbox"), (&b, "outbox"), LinkOptions::pass_out()).unwrap();
    p.link((&b, "outbox"), (&c, "inbox")).unwrap();
    p.unlink(&l);
    assert!(send(&a, 1));
    assert!(c.inbox.is_empty());
}

/// AX-BOX-06, AX-PO-03.
#[test]
fn test_BoxAlreadyLinkedToDestinationException() {
    let (a, b, c) = three();
    let mut p = Postoffice::new();
    let l = p.link((&a, "outbox"), (&b, "inbox")).unwrap();
    let e = p.link((&a, "outbox"), (&c, "inbox")).unwrap_err();
    assert!(matches!(&e, LinkError::AlreadyLinked { .. }));
    let text = e.to_string();
    assert!([&a, &b, &c].iter().all(|x| text.contains(&x.name())), "{text}");
    assert_eq!(p.linkages().len(), 1);
    p.unlink(&l);
    p.link((&a, "outbox"), (&c, "inbox")).unwrap();
}

/// AX-PO-07, AX-BOX-04.
#[test]
fn test_Simple() {
    test_linkestablishes();
}

/// `a.outbox -> b.inbox -> c.inbox`, in both orders of building.
fn inward(link_first: bool) {
    let (a, b, c) = three();
    let mut p = Postoffice::new();
    if link_first {
        p.link((&a, "outbox"), (&b, "inbox")).unwrap();
    }
    p.link_with((&b, "inbox"), (&c, "inbox"), LinkOptions::pass_in()).unwrap();
    if !link_first {
        p.link((&a, "outbox"), (&b, "inbox")).unwrap();
    }
    assert!(send(&a, 1));
    assert_eq!((b.inbox.len(), c.inbox.len()), (0, 1));
}

/// AX-PO-07, AX-BOX-04.
#[test]
fn test_SimpleThenInboxPassthrough() {
    inward(true);
}

/// AX-PO-07, AX-BOX-04.
#[test]
fn test_InboxPassthroughThenNormal() {
    inward(false);
}

/// `a.outbox -> b.outbox -> c.inbox`, in both orders of building.
fn outward(link_first: bool) {
    let (a, b, c) = three();
    let mut p = Postoffice::new();
    if link_first {
        p.link((&b, "outbox"), (&c, "inbox")).unwrap();
    }
    p.link_with((&a, "outbox"), (&b, "outbox"), LinkOptions::pass_out()).unwrap();
    if !link_first {
        p.link((&b, "outbox"), (&c, "inbox")).unwrap();
    }
    assert!(send(&a, 1) && send(&b, 2));
    assert_eq!(numbers(&c), [1, 2]);
}

/// AX-PO-07, AX-BOX-04.
#[test]
fn test_SimpleThenOutboxPassthrough() {
    outward(true);
}

/// AX-PO-07, AX-BOX-04.
#[test]
fn test_OutboxPassthroughThenNormal() {
    outward(false);
}

/// AX-PO-07, AX-BOX-07.
#[test]
fn test_InboxPassthrougthDeletion() {
    let (a, b, c) = three();
    let mut p = Postoffice::new();
    p.link((&a, "outbox"), (&b, "inbox")).unwrap();
    let l = p.link_with((&b, "inbox"), (&c, "inbox"), LinkOptions::pass_in()).unwrap();
    assert!(send(&a, 1));
    p.unlink(&l);
    assert!(send(&a, 2));
    assert_eq!((numbers(&b), numbers(&c)), (vec![2], vec![1]));
}

// ---- class SizeLimitedBoxes_Test --------------------------------------------------------------------------------

fn bounded(bound: usize) -> (Instance<Boxes>, Instance<Boxes>) {
    let (a, b, _) = three();
    axon::link(&a.outbox, &b.inbox).unwrap();
    b.inbox.set_bound(bound);
    (a, b)
}

fn fill(a: &Instance<Boxes>) -> usize {
    (0..100).take_while(|n| send(a, *n)).count()
}

/// AX-BOX-08.
#[test]
fn test_smoketest() {
    let (_, b) = bounded(5);
    assert_eq!(b.inbox.bound(), Some(5));
}

/// AX-BOX-08.
#[test]
fn test_BoxSizeGetsLimited() {
    let (a, b) = bounded(5);
    assert_eq!(fill(&a), 5);
    assert!(b.inbox.is_full() && a.outbox.is_full());
}

/// AX-BOX-08.
#[test]
fn test_ExceedBoxSizeAndGetException() {
    let (a, _b) = bounded(5);
    fill(&a);
    match a.outbox.send(Message::new(77)) {
        Err(SendError::Full { message, len: 5, bound: 5 }) => {
            assert_eq!(message.downcast::<i32>().unwrap(), 77);
        }
        other => panic!("{other:?}"),
    }
}

/// AX-BOX-08.
#[test]
fn test_removingFromInboxAllowsYouToPutMoreIn() {
    let (a, b) = bounded(5);
    fill(&a);
    for _ in 0..3 {
        b.inbox.try_recv().unwrap();
    }
    assert_eq!(fill(&a), 3);
}

/// AX-BOX-08.
#[test]
fn test_SizeLimitMidLinkageChainHasNoEffect() {
    let (a, b) = bounded(5);
    let c = plain();
    axon::link_with((&b, "inbox"), (&c, "inbox"), LinkOptions::pass_in()).unwrap();
    assert_eq!(fill(&a), 100);
}

/// AX-BOX-07, 08.
#[test]
fn test_SizeLimitMidLinkageChainComesIntoEffectIfChainBroken() {
    let (a, b) = bounded(5);
    let c = plain();
    let l = axon::link_with((&b, "inbox"), (&c, "inbox"), LinkOptions::pass_in()).unwrap();
    assert_eq!(fill(&a), 100);
    l.unlink();
    assert_eq!(fill(&a), 5);
}

/// AX-BOX-08.
#[test]
fn test_SettingSizeLimitToNoneSetsToUnlimited() {
    let (a, b) = bounded(5);
    b.inbox.set_bound(None);
    assert_eq!(b.inbox.bound(), None);
    assert_eq!(fill(&a), 100);
}

/// AX-BOX-08, 09.
#[test]
fn test_TurningOffSizeLimit() {
    let (a, b) = bounded(5);
    assert_eq!(fill(&a), 5);
    b.inbox.set_bound(None);
    assert_eq!(fill(&a), 100);
    assert!(!b.inbox.is_full());
}

/// AX-BOX-08, 09.
#[test]
fn test_AllProducersExperienceSameSizeLimit() {
    let (a, b) = bounded(5);
    let others = [plain(), plain()];
    others.iter().for_each(|o| drop(axon::link(&o.outbox, &b.inbox).unwrap()));
    assert!(send(&a, 1) && send(&others[0], 2));
    assert_eq!(fill(&others[1]), 3);
    assert!(!send(&a, 3) && !send(&others[0], 4));
    assert!(others[0].outbox.is_full());
}
