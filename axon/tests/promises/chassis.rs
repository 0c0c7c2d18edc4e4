//! Mistakes in graphs are found where they are made, and named (D-20 to D-23, CH-PIPE, CH-GRAPH).

use axon::prelude::*;
use axon::util::{ConsoleEchoer, DataSource, NullSink, PureTransformer};
use axon::{Error, link, ports};

use crate::common::*;

ports! { pub struct TextOut { in { inbox: String, control: Ipc } out { outbox: String, signal: Ipc } } }
ports! { pub struct NumberIn { in { inbox: u32, control: Ipc } out { outbox: u32, signal: Ipc } } }

struct Text;
impl Component for Text {
    type Ports = TextOut;
    async fn main(self, cx: Cx<TextOut>) {
        cx.pause().await;
    }
}

struct Number;
impl Component for Number {
    type Ports = NumberIn;
    async fn main(self, cx: Cx<NumberIn>) {
        cx.pause().await;
    }
}

fn failure(s: &Scheduler, c: impl Component) -> String {
    s.activate(c);
    s.run_until_idle().unwrap_err().to_string()
}

fn construction(g: &Graphline) -> String {
    match g.check() {
        Err(Error::Construction(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn neighbours_of_different_types_are_refused_with_both_ends_and_types() {
    let s = fresh();
    let (a, b) = (Text.create(), Number.create());
    let e = failure(&s, Pipeline::new().then(&a).then(&b));
    for part in [&*a.name(), ".outbox", "String", &*b.name(), ".inbox", "u32"] {
        assert!(e.contains(part), "{part:?} is not in {e}");
    }
    assert!(!s.contains(a.id()) && !s.contains(b.id()), "nothing was activated");
}

/// The untyped boxes of a chassis in between do not hide the types of the ends.
#[test]
fn a_type_mismatch_through_untyped_chassis_boxes_is_refused() {
    let s = fresh();
    let text = Text.create();
    let number = Number.create();
    let inner = Pipeline::new().then(&number).create();
    link(text.outbox.untyped(), &inner.inbox).unwrap(); // nothing is known of what is inside yet
    s.activate(&inner);
    let e = s.run_until_idle().unwrap_err().to_string();
    for part in [&*text.name(), "String", &*number.name(), "u32"] {
        assert!(e.contains(part), "{part:?} is not in {e}");
    }

    // Two levels, and the other way round: the inner end exists, the outer link comes last.
    let number = Number.create();
    let inner = Graphline::new().node("n", &number).link(("", "inbox"), ("n", "inbox")).create();
    let outer = Pipeline::new().then(&inner).create();
    s.activate(&outer);
    s.run_until_idle().unwrap();
    let text = Text.create();
    let e = link(text.outbox.untyped(), &outer.inbox).unwrap_err().to_string();
    for part in [&*text.name(), "String", &*number.name(), "u32"] {
        assert!(e.contains(part), "{part:?} is not in {e}");
    }
    let same = Number.create();
    link(same.outbox.untyped(), &outer.inbox).unwrap();
    same.outbox.send(5).unwrap();
    assert_eq!(number.inbox.try_recv(), Some(5), "straight through two levels");
}

#[test]
fn an_untyped_message_of_the_wrong_type_comes_back() {
    let s = fresh();
    let number = Number.create();
    let p = Pipeline::new().then(&number).create();
    let before = plain();
    link(&before.outbox, &p.inbox).unwrap();
    s.activate(&p);
    s.run_until_idle().unwrap();
    let e = before.outbox.send("text".into()).unwrap_err();
    assert!(e.to_string().contains("u32"), "{e}");
    assert_eq!(e.into_message().to_string(), "text");
    before.outbox.send(Message::new(1_u32)).unwrap();
    assert_eq!(number.inbox.len(), 1);
}

/// CH-PIPE-04, CH-PIPE-05, CH-GRAPH-07.
#[test]
fn chassis_nest_and_end_from_the_inside_out() {
    let s = fresh();
    let line = || Pipeline::new().then(PureTransformer::new(|n: i32| Some(n + 1)));
    let end = plain();
    let p = Pipeline::new()
        .then(DataSource::new(0..3))
        .then(line().then(line()))
        .then(
            Graphline::new()
                .node("x", line())
                .link(("", "inbox"), ("x", "inbox"))
                .link(("x", "outbox"), ("", "outbox")),
        )
        .create();
    link(&p.outbox, &end.inbox).unwrap();
    link(&p.signal, &end.control).unwrap();
    s.activate(&p);
    s.run().unwrap();
    assert_eq!(numbers(&end), [3, 4, 5]);
    assert!(end.control.try_recv().is_some());
}

/// CH-GRAPH-01.
/// CH-GRAPH-01.
#[test]
fn d20_a_graphline_without_links_is_one_with_an_empty_table() {
    let s = fresh();
    let c = plain();
    s.activate(Graphline::new().node("only", &c));
    s.run().unwrap();
    assert!(c.is_stopped());
}

/// CH-GRAPH-02.
/// CH-GRAPH-02.
#[test]
fn d21_a_misspelt_name_is_an_error_that_names_those_that_there_are() {
    let g = |name| {
        Graphline::new()
            .node("reader", plain())
            .node("echo", plain())
            .link(("reader", "outbox"), (name, "inbox"))
    };
    g("echo").check().unwrap();
    g("self").check().unwrap_or_else(|e| panic!("{e}"));
    let e = construction(&g("ehco"));
    for part in ["\"ehco\"", "\"reader\"", "\"echo\""] {
        assert!(e.contains(part), "{e}");
    }
    let e = failure(&fresh(), g("ehco"));
    assert!(e.contains("\"ehco\""), "it is found at the run too: {e}");
    g("ehco").lenient().check().unwrap();
}

/// CH-GRAPH-06.
/// CH-GRAPH-06.
#[test]
fn d22_own_inbox_to_own_outbox_is_refused() {
    let e = construction(&Graphline::new().link(("self", "a"), ("", "b")));
    assert!(e.contains("\"a\"") && e.contains("\"b\""), "{e}");
}

/// CH-GRAPH-05: a source leads to one sink.
#[test]
fn two_nodes_of_one_name_a_node_called_self_and_a_source_twice_are_refused() {
    let node = || Graphline::new().node("a", plain());
    assert!(construction(&node().node("a", plain())).contains("\"a\""));
    assert!(construction(&Graphline::new().node("self", plain())).contains("\"self\""));
    let twice = node()
        .node("b", plain())
        .link(("a", "outbox"), ("b", "inbox"))
        .link(("a", "outbox"), ("b", "control"));
    assert!(construction(&twice).contains("already"));
    let own = node().node("b", plain()).link(("", "x"), ("a", "inbox")).link(("self", "x"), ("b", "inbox"));
    assert!(construction(&own).contains("already"), "\"\" and \"self\" are the same");
}

#[test]
fn a_misspelt_box_is_named() {
    let c = plain();
    let e = failure(&fresh(), Graphline::new().node("a", &c).link(("a", "outbux"), ("", "outbox")));
    assert!(e.contains("\"outbux\"") && e.contains(&c.name()), "{e}");
}

/// CH-GRAPH-10, 13, D-23: it sleeps with a message at a box that nobody reads, and a broadcast to a full control waits for room.
#[test]
fn d23_a_broadcast_waits_for_a_full_control_and_then_goes_on() {
    let s = fresh();
    let (a, b) = (sleeper().0, sleeper().0);
    a.control.set_bound(1);
    a.control.deliver(Ipc::Shutdown).unwrap();
    let g = Graphline::new().node("a", &a).node("b", &b).create();
    s.activate(&g);
    g.inbox.deliver("nobody reads this".into()).unwrap();
    g.control.deliver(Ipc::producer_finished()).unwrap();
    s.run_until_idle().unwrap();
    assert!(!g.is_runnable() && b.control.is_empty());
    a.control.try_recv().unwrap();
    s.run_until_idle().unwrap();
    assert!(a.control.try_recv().unwrap().is_producer_finished());
    assert!(b.control.try_recv().unwrap().is_producer_finished());
    // A component that ends with a full control does not hold up the others.
    a.control.deliver(Ipc::Shutdown).unwrap();
    g.control.deliver(Ipc::producer_finished()).unwrap();
    s.run_until_idle().unwrap();
    a.stop();
    s.run_until_idle().unwrap();
    assert!(b.control.try_recv().is_some());
}

#[test]
fn a_failed_part_ends_the_run_and_the_rest_can_go_on() {
    let s = fresh();
    let bad = body(async |cx| cx.end_with(Err("no")));
    let p = Pipeline::new()
        .then(&bad)
        .then(NullSink::new())
        .then(ConsoleEchoer::new().to(std::io::sink()))
        .create();
    s.activate(&p);
    assert!(s.run_until_idle().is_err());
    s.run_until_idle().unwrap();
    assert_eq!(p.children().len(), 2);
}
