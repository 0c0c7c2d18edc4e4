//! `Chassis/test_Graphline.py`. The tests use names such as `flurble` for the graphline itself, so it is lenient here.
//!
//! `test_smokeTest` and `test_graphlineNoLinkagesArg` ask for an error if there is no table of links (D-20). A table
//! is always there with a builder; a graphline without links is one with an empty table.

use std::cell::Cell;
use std::rc::Rc;

use crate::common::*;
use axon::chassis::GraphlinePorts;
use axon::prelude::*;
use axon::{LinkOptions, link, link_with};

type Table<'a> = &'a [((&'a str, &'a str), (&'a str, &'a str))];

struct Graph {
    s: Scheduler,
    graphline: Instance<GraphlinePorts>,
    kids: Vec<Instance<Boxes>>,
    ran: Vec<Rc<Cell<u32>>>,
}

fn graph(names: &[&str], table: Table<'_>) -> Graph {
    let s = fresh();
    let (kids, ran): (Vec<_>, Vec<_>) = names.iter().map(|_| sleeper()).unzip();
    let g = names.iter().zip(&kids).fold(Graphline::new().lenient(), |g, (n, k)| g.node(n, k));
    let g = table.iter().fold(g, |g, (from, to)| g.link(*from, *to));
    Graph { s, graphline: g.create(), kids, ran }
}

fn running(names: &[&str], table: Table<'_>) -> Graph {
    let g = graph(names, table);
    g.s.activate(&g.graphline);
    g.s.run_until_idle().unwrap();
    g
}

impl Graph {
    /// Ends all components; what the graphline says at its end.
    fn signals_at_end(&self) -> Vec<&'static str> {
        let after = plain();
        link(&self.graphline.signal, &after.control).unwrap();
        self.kids.iter().for_each(|k| k.stop());
        self.s.run_until_idle().unwrap();
        assert!(self.graphline.is_stopped());
        after.control.drain().map(|m| m.kind()).collect()
    }

    fn control(&self, message: Ipc) {
        self.graphline.control.deliver(message).unwrap();
        self.s.run_until_idle().unwrap();
    }
}

/// CH-GRAPH-01.
#[test]
fn test_graphlineEmptyLinkagesArg() {
    let g = running(&["A"], &[]);
    assert_eq!(g.graphline.children().len(), 1);
}

/// CH-GRAPH-01.
#[test]
fn test_graphlineNoComponentsEmptyLinkagesArg() {
    let g = running(&[], &[]);
    assert!(g.graphline.is_stopped());
}

/// CH-GRAPH-04.
#[test]
fn test_graphlineHasChildren() {
    let g = running(&["A", "B", "C"], &[]);
    assert_eq!(g.graphline.children(), g.kids.iter().map(|k| k.any()).collect::<Vec<_>>());
}

/// CH-GRAPH-04.
#[test]
fn test_unactivatedGraphlineHasNoChildren() {
    let g = graph(&["A", "B"], &[]);
    assert!(g.graphline.children().is_empty());
}

/// CH-GRAPH-04.
#[test]
fn test_activatesChildrenOnlyWhenActivatedNotLinked() {
    let g = graph(&["A", "B"], &[]);
    g.s.run_until_idle().unwrap();
    assert!(g.ran.iter().all(|r| r.get() == 0));
    g.s.activate(&g.graphline);
    g.s.run_until_idle().unwrap();
    assert!(g.ran.iter().all(|r| r.get() == 1));
}

/// CH-GRAPH-04.
#[test]
fn test_activatesChildrenOnlyWhenActivatedLinked() {
    let g = running(&["A", "B"], &[(("A", "outbox"), ("B", "inbox"))]);
    assert!(g.ran.iter().all(|r| r.get() == 1));
}

/// CH-GRAPH-05.
#[test]
fn test_linkagesBetweenComponents() {
    let g = running(&["A", "B"], &[(("A", "outbox"), ("B", "inbox"))]);
    assert!(send(&g.kids[0], 1) && send(&g.kids[1], 2));
    assert_eq!(numbers(&g.kids[1]), [1]);
    assert!(g.kids[0].inbox.is_empty() && g.graphline.inbox.is_empty());
}

/// CH-GRAPH-05.
#[test]
fn test_severalLinkagesBetweenComponents() {
    let g = running(
        &["A", "B", "C"],
        &[
            (("A", "outbox"), ("B", "inbox")),
            (("B", "outbox"), ("C", "inbox")),
            (("C", "outbox"), ("B", "inbox")),
            (("A", "signal"), ("C", "control")),
        ],
    );
    assert!(send(&g.kids[0], 1) && send(&g.kids[1], 2) && send(&g.kids[2], 3));
    g.kids[0].signal.send(Ipc::Shutdown).unwrap();
    assert_eq!((numbers(&g.kids[1]), numbers(&g.kids[2])), (vec![1, 3], vec![2]));
    assert_eq!((g.kids[1].control.len(), g.kids[2].control.len()), (0, 1));
}

/// CH-GRAPH-07.
#[test]
fn test_terminateWhenAllChildrenHaveTerminated() {
    let g = running(&["A", "B", "C"], &[(("A", "outbox"), ("B", "inbox"))]);
    for k in &g.kids {
        assert!(!g.graphline.is_stopped());
        k.stop();
        g.s.run_until_idle().unwrap();
    }
    assert!(g.graphline.is_stopped());
}

fn passes_in(name: &str, own: &str) {
    let g = graph(&["A"], &[((name, own), ("A", "control"))]);
    let before = plain();
    link((&before, "signal"), (&g.graphline, own)).unwrap();
    before.signal.send(Ipc::Shutdown).unwrap();
    g.s.activate(&g.graphline);
    g.s.run_until_idle().unwrap();
    before.signal.send(Ipc::Shutdown).unwrap();
    assert_eq!(g.kids[0].control.len(), 2);
}

/// CH-GRAPH-02, CH-GRAPH-04.
#[test]
fn test_specifyingPassthruInLinkage() {
    for name in ["self", "", "flurble"] {
        passes_in(name, "inbox");
    }
}

/// CH-GRAPH-02, CH-GRAPH-03.
#[test]
fn test_specifyingPassthruInLinkageNewBox() {
    for name in ["self", "", "flurble"] {
        passes_in(name, "something");
    }
    // Boxes are made for the instance, not for all graphlines (D-21).
    assert!(!graph(&["A"], &[]).graphline.any().inboxes().contains(&"something".into()));
}

fn passes_out(name: &str, own: &str) {
    let g = graph(&["A"], &[(("A", "outbox"), (name, own))]);
    let after = plain();
    link((&g.graphline, own), (&after, "inbox")).unwrap();
    g.s.activate(&g.graphline);
    g.s.run_until_idle().unwrap();
    assert!(send(&g.kids[0], 1));
    assert_eq!(numbers(&after), [1]);
}

/// CH-GRAPH-02, CH-GRAPH-04.
#[test]
fn test_specifyingPassthruOutLinkage() {
    for name in ["self", "", "flurble"] {
        passes_out(name, "outbox");
    }
}

/// CH-GRAPH-02, CH-GRAPH-03.
#[test]
fn test_specifyingPassthruOutLinkageNewBox() {
    for name in ["self", "", "flurble"] {
        passes_out(name, "something");
    }
}

/// CH-GRAPH-12.
#[test]
fn test_emissionOfShutdownSignal_1() {
    assert_eq!(running(&["A", "B"], &[]).signals_at_end(), ["producerFinished"]);
}

/// CH-GRAPH-12, CH-GRAPH-11.
#[test]
fn test_emissionOfShutdownSignal_2() {
    let g = running(&["A", "B"], &[]);
    g.control(Ipc::shutdown_microprocess());
    assert_eq!(g.signals_at_end(), ["shutdownMicroprocess"]);
}

/// CH-GRAPH-08.
#[test]
fn test_receivesShutdownPassesThru() {
    let g = running(&["A", "B"], &[(("", "control"), ("A", "control"))]);
    g.control(Ipc::shutdown_microprocess());
    assert_eq!((g.kids[0].control.len(), g.kids[1].control.len()), (1, 0));
}

/// CH-GRAPH-09, CH-GRAPH-10.
#[test]
fn test_receivesShutdownDisseminated() {
    let g = running(&["A", "B", "C"], &[(("A", "outbox"), ("B", "inbox"))]);
    g.control(Ipc::producer_finished());
    assert!(g.kids.iter().all(|k| k.control.len() == 1));
    assert!(g.graphline.linkages().len() == 1, "the links of the broadcast are gone");
}

/// CH-GRAPH-11, CH-GRAPH-12, CH-GRAPH-07.
#[test]
fn test_receivesShutdownAndPropagates() {
    let g = running(&["A", "B"], &[]);
    g.control(Ipc::shutdown_microprocess());
    assert!(!g.graphline.is_stopped(), "not before its components");
    assert_eq!(g.signals_at_end(), ["shutdownMicroprocess"]);
}

/// CH-GRAPH-12.
#[test]
fn test_receivesShutdownAndPropagates2() {
    let g = running(&["A", "B"], &[]);
    g.control(Ipc::producer_finished());
    assert_eq!(g.signals_at_end(), ["producerFinished"]);
}

/// CH-GRAPH-12.
#[test]
fn test_receivesShutdownAndPropagates23() {
    let g = running(&["A", "B"], &[(("self", "control"), ("A", "control"))]);
    g.control(Ipc::shutdown_microprocess());
    assert_eq!(g.signals_at_end(), ["producerFinished"], "it never saw the message");
}

/// CH-GRAPH-12.
#[test]
fn test_doesNotPropagateShutdownMsg() {
    let g = running(&["A", "B"], &[(("B", "signal"), ("self", "signal"))]);
    g.control(Ipc::shutdown_microprocess());
    assert!(g.signals_at_end().is_empty());
}

/// CH-GRAPH-08, CH-GRAPH-12.
#[test]
fn test_manuallyImplementedShutdownOverrides() {
    let g = running(
        &["A", "B"],
        &[
            (("self", "control"), ("A", "control")),
            (("A", "signal"), ("B", "control")),
            (("B", "signal"), ("self", "signal")),
        ],
    );
    g.control(Ipc::producer_finished());
    assert_eq!((g.kids[0].control.len(), g.kids[1].control.len()), (1, 0));
    g.kids[0].signal.send(Ipc::Shutdown).unwrap();
    assert_eq!(g.kids[1].control.len(), 1);
    assert!(g.signals_at_end().is_empty());
}

/// CH-GRAPH-13, D-23: a message at a box of its own that nobody reads does not keep it awake.
#[test]
fn a_message_at_an_unlinked_own_inbox_lets_it_sleep() {
    let g = running(&["A"], &[]);
    let other = link_with((&plain(), "outbox"), (&g.graphline, "inbox"), LinkOptions::new());
    drop(other);
    g.graphline.inbox.deliver(Message::new(1)).unwrap();
    g.s.run_until_idle().unwrap(); // would not return
    assert!(!g.graphline.is_runnable());
}
