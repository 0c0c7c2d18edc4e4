//! The graph as data.

use axon::introspect::{RunState, Snapshot};
use axon::prelude::*;
use axon::{Kind, link, link_with};

use crate::common::*;

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
