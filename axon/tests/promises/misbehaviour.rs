//! What a component does wrong is a clear error, and harms nobody else. Panics are in `panics`, components that never
//! yield in `watchdog`, crashes in every state in `supervisor`, rings and deleted boxes also in `defects`.

use std::cell::Cell;
use std::rc::Rc;

use axon::prelude::*;
use axon::util::Fanout;
use axon::{LinkError, link, ports};

use crate::common::*;
use crate::rounds;

/// Messages of a flood.
const FLOOD: i32 = rounds(100_000) as i32;

/// Runs until idle with a bystander beside, which must still be there and run.
fn harmless(s: &Scheduler, wrong: &Instance<Boxes>) {
    let (bystander, ran) = sleeper();
    s.activate(&bystander);
    s.activate(wrong);
    s.run_until_idle().unwrap();
    bystander.unpause();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 2);
}

/// A bounded inbox takes what it is bounded to; the sender is told, with the message back, and the reader is not hurt.
#[test]
fn a_flood_meets_a_bounded_inbox() {
    let s = fresh();
    let to = plain();
    to.inbox.set_bound(10);
    let refused = Rc::new(Cell::new(0));
    let count = refused.clone();
    let flood = body(async move |cx| {
        for n in 0..FLOOD {
            if let Err(e) = cx.outbox.send(Message::new(n)) {
                assert_eq!(e.to_string(), "no space in box (10 of 10 messages)");
                assert_eq!(e.into_message().downcast::<i32>().unwrap(), n);
                count.set(count.get() + 1);
            }
        }
    });
    link(&flood.outbox, &to.inbox).unwrap();
    harmless(&s, &flood);
    assert_eq!((refused.get(), to.inbox.len()), (FLOOD - 10, 10));
    assert_eq!(numbers(&to), (0..10).collect::<Vec<_>>());
}

/// An unbounded one takes everything, in order; what is asleep is woken once, and the snapshot shows the pile.
#[test]
fn a_flood_meets_an_unbounded_inbox() {
    let s = fresh();
    let (to, woken) = sleeper();
    let flood = body(async |cx| (0..FLOOD).for_each(|n| cx.outbox.send(Message::new(n)).unwrap()));
    link(&flood.outbox, &to.inbox).unwrap();
    s.activate(&to);
    s.run_until_idle().unwrap();
    harmless(&s, &flood);
    assert_eq!((woken.get(), to.inbox.len()), (2, FLOOD as usize));
    let shot = axon::introspect::Snapshot::of(&s);
    assert_eq!(shot.component(to.id()).unwrap().inboxes[0].waiting, FLOOD as usize);
    assert!(numbers(&to).into_iter().eq(0..FLOOD));
}

/// Into one's own inbox is allowed: it is a loop of messages, not of links, and others have their turns.
#[test]
fn a_component_linked_to_itself_does_not_keep_others_from_running() {
    let s = fresh();
    let turns = Rc::new(Cell::new(0));
    let count = turns.clone();
    let own = body(async move |cx| {
        link(&cx.outbox, &cx.inbox).unwrap();
        cx.outbox.send(Message::new(0)).unwrap();
        while turns.get() < 1000 {
            let n = cx.inbox.recv().await;
            turns.set(turns.get() + 1);
            cx.outbox.send(n).unwrap();
            cx.yield_now().await;
        }
    });
    harmless(&s, &own);
    assert_eq!(count.get(), 1000);
}

/// D-12: a ring of passing boxes is refused with both names, from inside too, and what was linked stays so.
#[test]
fn d12_a_component_that_links_itself_in_a_ring_is_told() {
    let s = fresh();
    let (a, b) = (plain(), plain());
    let (x, y) = (a.clone(), b.clone());
    let wrong = body(async move |cx| {
        cx.link(&x.inbox, &y.inbox).unwrap();
        let e = cx.link(&y.inbox, &x.inbox).unwrap_err();
        assert!(matches!(&e, LinkError::Loop { .. }));
        assert!(e.to_string().contains(&x.name()) && e.to_string().contains(&y.name()), "{e}");
        let e = cx.link(&cx.inbox, &cx.inbox).unwrap_err().to_string();
        assert!(e.contains("would form a ring"), "{e}");
        x.inbox.deliver(Message::new(1)).unwrap();
        assert_eq!(numbers(&y), [1]);
    });
    harmless(&s, &wrong);
}

/// D-15: whoever deletes a box that others are linked to takes the links away; the others send to nobody, and their own
/// later unlinking and ending is no error.
#[test]
fn d15_a_component_that_deletes_a_linked_box_harms_nobody() {
    let s = fresh();
    let sender = body(async |cx| {
        for n in 0..10 {
            cx.outbox.send(Message::new(n)).unwrap();
            cx.yield_now().await;
        }
    });
    let wrong = body(async |cx| {
        cx.yield_now().await;
        cx.yield_now().await;
        cx.delete_inbox("inbox").unwrap();
        let e = cx.delete_inbox("inbox").unwrap_err();
        assert!(matches!(e, LinkError::NoSuchBox { kind: "inbox", .. }));
        cx.pause().await;
    });
    let linkage = sender.link((&sender, "outbox"), (&wrong, "inbox")).unwrap();
    s.activate(&sender);
    harmless(&s, &wrong);
    assert!(sender.is_stopped() && sender.outbox.discarded() > 0);
    sender.unlink(&linkage);
    assert!(link((&sender, "outbox"), (&wrong, "inbox")).unwrap_err().to_string().contains("no inbox"));
}

/// A component whose last handle goes away while others are linked to it: they go on, unbounded and not stuck.
#[test]
fn a_component_that_is_dropped_while_others_write_to_it_is_no_error() {
    for bound in [None, Some(1)] {
        let s = fresh();
        let to = plain(); // never activated, so this handle is all that keeps it
        to.inbox.set_bound(bound);
        let sender = body(async |cx| {
            for n in 0..20 {
                cx.outbox.send_wait(Message::new(n)).await.unwrap();
                cx.yield_now().await;
            }
        });
        link(&sender.outbox, &to.inbox).unwrap();
        s.activate(&sender);
        s.step().unwrap();
        to_pass(&s, 2);
        if bound.is_none() {
            drop(to);
        } else {
            to.inbox.set_bound(None); // one that waits for room is let go before
            drop(to);
        }
        let bystander = plain();
        harmless(&s, &bystander);
        assert!(sender.is_stopped(), "bound {bound:?}");
    }
}

/// Senders that wait for room at a component that ends without reading: they wait, asleep; nobody spins or fails, and
/// a link to another reader sets them free.
#[test]
fn a_reader_that_ends_leaves_its_senders_waiting_not_spinning() {
    let s = fresh();
    let reader = body(async |_| ());
    reader.inbox.set_bound(1);
    let sender = body(async |cx| {
        for n in 0..3 {
            cx.outbox.send_wait(Message::new(n)).await.unwrap();
        }
    });
    let linkage = link(&sender.outbox, &reader.inbox).unwrap();
    s.activate(&reader);
    harmless(&s, &sender);
    let passes = s.pass();
    s.run_until_idle().unwrap();
    assert!(s.pass() - passes <= 1 && !sender.is_stopped());
    linkage.unlink();
    let other = plain();
    link(&sender.outbox, &other.inbox).unwrap();
    s.run_until_idle().unwrap();
    assert!(sender.is_stopped());
    assert_eq!((numbers(&reader), numbers(&other)), (vec![0], vec![1, 2]));
}

/// A message of another type: the untyped sender is told both types, and keeps its message.
#[test]
fn a_message_of_the_wrong_type_comes_back() {
    ports! { struct Texts { in { inbox: String } out {} } }
    struct Reader;
    impl Component for Reader {
        type Ports = Texts;
        async fn main(self, cx: Cx<Texts>) {
            assert_eq!(cx.inbox.recv().await, "right");
        }
    }
    let s = fresh();
    let reader = Reader.create();
    let wrong = body(async |cx| {
        let e = cx.outbox.send(Message::new(7_u8)).unwrap_err();
        assert!(e.to_string().contains("takes alloc::string::String"), "{e}");
        assert_eq!(e.into_message().downcast::<u8>().unwrap(), 7);
        cx.outbox.send(Message::new("right".to_string())).unwrap();
    });
    link(wrong.outbox.untyped(), &reader.inbox).unwrap();
    s.activate(&reader);
    harmless(&s, &wrong);
    assert!(reader.is_stopped());
}

/// A component that is asked to be two things at once fails alone.
#[test]
fn a_component_that_cannot_be_what_it_was_made_as_fails_alone() {
    let s = fresh();
    let (bystander, ran) = sleeper();
    s.activate(&bystander);
    s.activate(Fanout::<u8>::new(["twice", "twice"]));
    let e = s.run_until_idle().unwrap_err().to_string();
    assert!(e.contains("Fanout") && e.contains("twice"), "{e}");
    s.run_until_idle().unwrap();
    bystander.unpause();
    s.run_until_idle().unwrap();
    assert_eq!(ran.get(), 2);
}
