//! `test_Component.py`, class `MessageDeliveryNotifications_Test`: who is woken by what.

use std::cell::Cell;
use std::rc::Rc;

use crate::common::*;
use axon::prelude::*;
use axon::{LinkOptions, Linkage, link, link_with};

struct Sleepers {
    s: Scheduler,
    c: Vec<Instance<Boxes>>,
    counts: Vec<Rc<Cell<u32>>>,
}

fn sleepers(n: usize) -> Sleepers {
    let s = fresh();
    let (c, counts): (Vec<_>, Vec<_>) = (0..n).map(|_| sleeper()).unzip();
    c.iter().for_each(|c| drop(s.activate(c)));
    let all = Sleepers { s, c, counts };
    all.woken();
    all
}

impl Sleepers {
    /// Lets everybody run who is awake; who ran since the last call.
    fn woken(&self) -> Vec<usize> {
        self.s.run_until_idle().unwrap();
        let ran = self.counts.iter().enumerate().filter(|(_, n)| n.get() > 0).map(|(i, _)| i).collect();
        self.counts.iter().for_each(|n| n.set(0));
        ran
    }

    fn link(&self, from: usize, to: usize) -> Linkage {
        link(&self.c[from].outbox, &self.c[to].inbox).unwrap()
    }

    fn pass_in(&self, from: usize, to: usize) -> Linkage {
        link_with((&self.c[from], "inbox"), (&self.c[to], "inbox"), LinkOptions::pass_in()).unwrap()
    }

    fn pass_out(&self, from: usize, to: usize) -> Linkage {
        link_with((&self.c[from], "outbox"), (&self.c[to], "outbox"), LinkOptions::pass_out()).unwrap()
    }
}

/// AX-SCHED-06.
#[test]
fn test_NothingHappensIfNothingHappens() {
    let all = sleepers(3);
    all.link(0, 1);
    assert!(all.woken().is_empty());
}

/// AX-COMP-12.
#[test]
fn test_ConsumerWokenByDelivery() {
    let all = sleepers(2);
    all.link(0, 1);
    send(&all.c[0], 1);
    assert_eq!(all.woken(), [1]);
}

/// AX-COMP-12.
#[test]
fn test_ProducerNotWokenByDelivery() {
    let all = sleepers(2);
    all.link(0, 1);
    for n in 0..5 {
        send(&all.c[0], n);
        assert!(!all.woken().contains(&0));
    }
}

/// AX-BOX-10, AX-COMP-12.
#[test]
fn test_ProducerWokenByCollection() {
    let all = sleepers(2);
    all.link(0, 1);
    send(&all.c[0], 1);
    all.woken();
    all.c[1].inbox.try_recv().unwrap();
    assert_eq!(all.woken(), [0]);
}

/// AX-BOX-11.
#[test]
fn test_ChainOnlyFinalDestinationNotified() {
    let all = sleepers(4);
    all.link(0, 1);
    all.pass_in(1, 2);
    all.pass_in(2, 3);
    send(&all.c[0], 1);
    assert_eq!(all.woken(), [3]);
}

/// AX-BOX-10.
#[test]
fn test_ChainOnlyOutboxHoldersNotified() {
    let all = sleepers(5);
    all.pass_out(0, 1);
    all.link(1, 2);
    all.pass_in(2, 3);
    send(&all.c[0], 1);
    assert_eq!(all.woken(), [3]);
    all.c[3].inbox.try_recv().unwrap();
    assert_eq!(all.woken(), [0, 1]);
}

/// AX-BOX-10.
#[test]
fn test_AllOutboxOwnersNotified() {
    let all = sleepers(5);
    for n in 0..4 {
        all.link(n, 4);
    }
    send(&all.c[2], 1);
    all.woken();
    all.c[4].inbox.try_recv().unwrap();
    assert_eq!(all.woken(), [0, 1, 2, 3]);
}

/// AX-BOX-10.
#[test]
fn test_LinkBrokenNoNotify() {
    let all = sleepers(3);
    let l = all.link(0, 2);
    all.link(1, 2);
    send(&all.c[0], 1);
    send(&all.c[1], 2);
    all.woken();
    l.unlink();
    all.c[2].inbox.try_recv().unwrap();
    assert_eq!(all.woken(), [1]);
}

/// AX-BOX-10.
#[test]
fn test_LinkReestablishedNotify() {
    let all = sleepers(2);
    let l = all.link(0, 1);
    send(&all.c[0], 1);
    send(&all.c[0], 2);
    l.unlink();
    all.woken();
    all.c[1].inbox.try_recv().unwrap();
    assert!(all.woken().is_empty());
    all.link(0, 1);
    all.c[1].inbox.try_recv().unwrap();
    assert_eq!(all.woken(), [0]);
}

/// AX-BOX-10.
/// A producer that was linked in after the message was sent is told of its collection too.
#[test]
fn test_LinkNewlyEestablishedNotify() {
    let all = sleepers(3);
    all.link(0, 2);
    send(&all.c[0], 1);
    all.link(1, 2);
    all.woken();
    all.c[2].inbox.try_recv().unwrap();
    assert_eq!(all.woken(), [0, 1]);
}
