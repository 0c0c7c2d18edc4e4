//! Boxes and linkages, where the original has no test of its own (AX-BOX, AX-COMP, AX-LINK, AX-PO).

use axon::prelude::*;
use axon::{LinkOptions, Postoffice, link, link_with};

use crate::common::*;

/// AX-BOX-02: an outbox that leads nowhere keeps nothing, and never refuses.
#[test]
fn ax_box_02_an_unlinked_outbox_discards_whatever_its_bound() {
    let (a, b) = (plain(), plain());
    // The bound is put on an outbox, which ignores it.
    let l = link_with((&a, "outbox"), (&b, "outbox"), LinkOptions::pass_out().pipewidth(1)).unwrap();
    for n in 0..5 {
        assert!(send(&a, n) && send(&b, n));
    }
    assert_eq!((a.outbox.len(), b.outbox.len()), (0, 0));
    assert!(!a.outbox.is_full() && !b.outbox.is_full());
    assert_eq!((a.outbox.discarded(), b.outbox.discarded()), (5, 5));
    l.unlink();
}

/// AX-BOX-01, 03: a delivery is refused first of all, then stored, then told to the owner; a collection is told to the
/// senders.
#[test]
fn ax_box_03_a_refused_delivery_wakes_nobody_and_a_collection_wakes_the_sender() {
    let s = fresh();
    let ((sender, sent), (owner, ran)) = (sleeper(), sleeper());
    link(&sender.outbox, &owner.inbox).unwrap();
    owner.inbox.set_bound(1);
    s.activate(&sender);
    s.activate(&owner);
    s.run_until_idle().unwrap();
    assert!(send(&sender, 1));
    s.run_until_idle().unwrap();
    assert_eq!((sent.get(), ran.get()), (1, 2));
    assert!(!send(&sender, 2));
    s.run_until_idle().unwrap();
    assert_eq!((sent.get(), ran.get()), (1, 2), "nothing arrived, so nobody is told");
    assert_eq!(numbers(&owner), [1]);
    s.run_until_idle().unwrap();
    assert_eq!((sent.get(), ran.get()), (2, 2));
}

/// AX-BOX-05: what waits in an inbox goes to the end of the queue that it comes to point at, oldest first, and wakes
/// whoever is there.
#[test]
fn ax_box_05_waiting_messages_move_behind_those_that_are_there() {
    let s = fresh();
    let (a, b) = (plain(), plain());
    let (c, ran) = sleeper();
    s.activate(&c);
    for n in [3, 4] {
        a.inbox.deliver(Message::new(n)).unwrap();
    }
    c.inbox.deliver(Message::new(1)).unwrap();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 1, "the delivery came before its first step");
    link(&b.inbox, &c.inbox).unwrap();
    b.inbox.deliver(Message::new(2)).unwrap();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 2);
    link(&a.inbox, &b.inbox).unwrap();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 3);
    assert_eq!((a.inbox.len(), b.inbox.len()), (0, 0));
    assert_eq!(numbers(&c), [1, 2, 3, 4]);
}

/// AX-COMP-10: what arrives while the messages are gone through is among them.
#[test]
fn ax_comp_10_a_drain_takes_what_arrives_meanwhile() {
    let c = plain();
    c.inbox.deliver(Message::new(3)).unwrap();
    let mut got = Vec::new();
    for m in c.inbox.drain() {
        let n = m.downcast::<i32>().unwrap();
        got.push(n);
        if n > 0 {
            c.inbox.deliver(Message::new(n - 1)).unwrap();
        }
    }
    assert_eq!(got, [3, 2, 1, 0]);
}

#[test]
fn ax_comp_15_an_inbox_is_bounded_by_its_name() {
    let c = plain().any();
    let a = plain();
    axon::link((&a, "outbox"), (&c, "inbox")).unwrap();
    c.set_inbox_size("inbox", Some(2)).unwrap();
    assert_eq!((0..5).filter(|n| send(&a, *n)).count(), 2);
    c.set_inbox_size("inbox", None).unwrap();
    assert_eq!((0..5).filter(|n| send(&a, *n)).count(), 5);
    assert!(c.set_inbox_size("outbox", Some(2)).unwrap_err().to_string().contains("no inbox \"outbox\""));
}

/// AX-PO-06.
#[test]
fn ax_po_06_all_links_are_undone_and_only_those_registered() {
    let (a, b, c) = (plain(), plain(), plain());
    let mut p = Postoffice::new();
    p.link((&a, "outbox"), (&b, "inbox")).unwrap();
    p.link_with((&b, "inbox"), (&c, "inbox"), LinkOptions::pass_in()).unwrap();
    let stays = link(&c.outbox, &a.inbox).unwrap();
    p.unlink_all();
    assert!(p.linkages().is_empty());
    assert!(send(&a, 1) && send(&c, 2));
    assert_eq!((a.outbox.discarded(), numbers(&a)), (1, vec![2]));
    b.inbox.deliver(Message::new(3)).unwrap();
    assert_eq!((numbers(&b), c.inbox.len()), (vec![3], 0));
    stays.unlink();
}
