//! The graph as data.

use axon::introspect::{Introspector, RunState, Snapshot};
use axon::prelude::*;
use axon::{Kind, link, link_with};

use crate::common::*;

/// What each box has passed on, kept or thrown away is counted (AX-BOX-12, AX-COMP-17).
#[test]
fn a_snapshot_tells_of_components_boxes_messages_and_links() {
    let s = fresh();
    let (a, b) = (sleeper().0, sleeper().0);
    let unknown = plain();
    link(&a.outbox, &b.inbox).unwrap();
    link_with((&b, "outbox"), (&unknown, "outbox"), axon::LinkOptions::pass_out()).unwrap();
    b.inbox.set_bound(5);
    a.add_child(&b);
    s.activate(&a);
    s.activate(&b);
    s.run_until_idle().unwrap();
    send(&a, 1);
    send(&a, 2);
    a.signal.send(Ipc::Shutdown).unwrap();
    b.inbox.try_recv().unwrap();

    let shot = Snapshot::of(&s);
    let names: Vec<_> = shot.components.iter().map(|c| &*c.name).collect();
    assert_eq!(names, [&*a.name(), &*b.name(), &*unknown.name()]);
    let [ca, cb, cu] = &shot.components[..] else { panic!("three were linked") };
    assert_eq!(ca.children, [b.id()]);
    assert_eq!((ca.outboxes[0].sent, ca.outboxes[0].discarded), (2, 0));
    assert_eq!((ca.outboxes[1].sent, ca.outboxes[1].discarded), (0, 1));
    let inbox = &cb.inboxes[0];
    assert_eq!((inbox.waiting, inbox.bound, inbox.received), (1, Some(5), 2));
    assert!(inbox.message_type.ends_with("Message"));
    // The collection woke a, the deliveries b.
    assert_eq!((ca.state, cb.state, cu.state), (RunState::Active, RunState::Active, RunState::New));
    let links: Vec<_> =
        shot.linkages.iter().map(|l| (l.kind, l.source.to_string(), l.sink.to_string())).collect();
    let at = |c: &Instance<Boxes>, letter, name| format!("({}, '{letter}', '{name}')", c.id());
    assert_eq!(
        links,
        [
            (Kind::Normal, at(&a, 'o', "outbox"), at(&b, 'i', "inbox")),
            (Kind::PassOut, at(&b, 'o', "outbox"), at(&unknown, 'o', "outbox")),
        ]
    );
    let dot = shot.to_dot();
    assert!(dot.contains(&format!("c{}:o0 -> c{}:i0;", a.id(), b.id())), "{dot}");
    assert!(dot.contains(&format!("c{}:o0 -> c{}:o0 [style=dashed];", b.id(), unknown.id())), "{dot}");
    assert!(dot.contains("inbox\u{5c} (1/5)") || dot.contains("inbox (1/5)"), "{dot}");
}

#[test]
fn a_component_takes_a_snapshot_of_its_own_scheduler() {
    let s = fresh();
    let c = body(async |cx| {
        let shot = Snapshot::from_within(&cx);
        let me = shot.component(cx.id()).unwrap();
        assert_eq!(me.state, RunState::Active);
        assert_eq!(shot.pass, cx.pass());
    });
    s.activate(&c);
    s.run().unwrap();
}

/// AX-INTRO-02: who was never activated is found as an end of a link, and then the links of that one are followed too.
#[test]
fn ax_intro_02_components_are_found_through_the_links_of_those_that_are_found() {
    let s = fresh();
    let (known, hidden, far, apart) = (sleeper().0, plain(), plain(), plain());
    known.link((&known, "outbox"), (&hidden, "inbox")).unwrap();
    hidden.link((&hidden, "outbox"), (&far, "inbox")).unwrap();
    apart.link((&apart, "outbox"), (&plain(), "inbox")).unwrap();
    s.activate(&known);
    let (i, ear) = (Introspector::new().create(), plain());
    link(i.outbox.untyped(), &ear.inbox).unwrap();
    s.activate(&i);
    to_pass(&s, 3);
    let text: String = ear.inbox.drain().map(|m| m.to_string()).collect();
    for c in [&known, &hidden, &far] {
        assert!(text.contains(&format!("ADD NODE \"{}\" \"{}\"", c.id(), c.name())), "{text}");
    }
    let link_line =
        format!("ADD LINK \"({}, 'o', 'outbox')\" \"({}, 'i', 'inbox')\"\n", hidden.id(), far.id());
    assert!(text.contains(&link_line), "{text}");
    assert!(!text.contains(&apart.name()), "nobody known leads to it");
}

/// AX-INTRO-01, 06: nothing before it is activated; then only a `shutdownMicroprocess` ends it, and is passed on.
#[test]
fn ax_intro_06_an_introspector_heeds_nothing_but_shutdown_microprocess() {
    let s = fresh();
    let (i, ear) = (Introspector::new().create(), plain());
    link(i.outbox.untyped(), &ear.inbox).unwrap();
    link(&i.signal, &ear.control).unwrap();
    to_pass(&s, 3);
    assert!(ear.inbox.is_empty());
    s.activate(&i);
    i.inbox.deliver("ignored".into()).unwrap();
    for other in [Ipc::producer_finished(), Ipc::Shutdown, Ipc::Status("x".into())] {
        i.control.deliver(other).unwrap();
    }
    to_pass(&s, 8);
    assert!(!i.is_stopped() && i.control.is_empty());
    assert_eq!(i.inbox.len(), 1);
    assert_eq!(ear.inbox.len(), 2, "the greeting and one message with everything: nothing changed since");
    i.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    s.run().unwrap();
    assert!(ear.control.try_recv().unwrap().is_shutdown_microprocess());
    assert!(ear.control.is_empty());
}

/// Every box has its counts: declared and added ones, control boxes, those on the way of a chain, and a thread's.
#[test]
fn every_box_has_its_counts_in_the_snapshot() {
    let s = fresh();
    let (outer, inner) = (plain(), plain());
    link(&outer.inbox, &inner.inbox).unwrap();
    let to = outer.clone();
    let c = body(async move |cx| {
        let (more, added) = (cx.add_outbox::<Message>("more"), cx.add_inbox::<Message>("added"));
        cx.link(&*more, &to.inbox).unwrap();
        cx.link(&cx.outbox, &*added).unwrap();
        for n in 0..3 {
            more.send(Message::new(n)).unwrap();
            cx.outbox.send(Message::new(n)).unwrap();
        }
        added.try_recv().unwrap();
        added.set_bound(9);
        cx.pause().await;
    });
    let thread = threaded::<Boxes, _, _>(|cx| while cx.control.recv().is_err() {}).create();
    for x in [&c, &thread] {
        s.activate(x);
    }
    c.control.deliver(Ipc::Shutdown).unwrap();
    to_pass(&s, 1);
    s.step().unwrap();
    let shot = Snapshot::of(&s);
    let me = shot.component(c.id()).unwrap();
    let inboxes: Vec<_> = me.inboxes.iter().map(|b| (&*b.name, b.waiting, b.bound, b.received)).collect();
    assert_eq!(inboxes, [("inbox", 0, None, 0), ("control", 1, None, 1), ("added", 2, Some(9), 3)]);
    let outboxes: Vec<_> = me.outboxes.iter().map(|b| (&*b.name, b.sent, b.discarded)).collect();
    assert_eq!(outboxes, [("outbox", 3, 0), ("signal", 0, 0), ("more", 3, 0)]);
    let counts = |c: &Instance<Boxes>| {
        let b = &shot.component(c.id()).unwrap().inboxes[0];
        (b.waiting, b.received)
    };
    assert_eq!(
        (counts(&outer), counts(&inner)),
        ((0, 0), (3, 3)),
        "messages go straight to the end of the chain"
    );
    assert_eq!(shot.component(thread.id()).unwrap().inboxes.len(), 2);
    thread.control.deliver(Ipc::Shutdown).unwrap();
    s.run_until_idle().unwrap();
}

/// The visualiser's tokens are in quotes: what would end one is escaped, and a line end cannot be in one.
#[test]
fn ax_intro_03_names_that_are_hard_to_write_down_stay_one_token() {
    let s = fresh();
    let watcher = axon::introspect::Introspector::new().create();
    let to = plain();
    link(watcher.outbox.untyped(), &to.inbox).unwrap();
    let c = body(async |cx| {
        let _odd = cx.add_inbox::<Message>("a \"b\\\n");
        cx.pause().await;
    });
    c.set_tag(" \"tag\"");
    s.activate(&c);
    s.activate(&watcher);
    to_pass(&s, 4);
    let text: String = to.inbox.drain().map(|m| m.downcast::<String>().unwrap()).collect();
    assert!(
        text.contains(&format!("\"test.Scripted_{} \\\"tag\\\"\" randompos component\n", c.id())),
        "{text}"
    );
    let id = format!("\"({}, 'i', 'a \\\"b\\\\ ')\"", c.id());
    assert!(text.contains(&format!("ADD NODE {id} \"a \\\"b\\\\ \" randompos inbox\n")), "{text}");
    assert!(text.contains(&format!("ADD LINK \"{}\" {id}\n", c.id())));
}
