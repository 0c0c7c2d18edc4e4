//! Messages shown on their way, in the log (AX-BOX-12, AX-COMP-17, AX-LINK-07).
#![allow(missing_docs)]

use std::cell::RefCell;

use axon::prelude::*;
use axon::{LinkOptions, ProcessId, link, link_with, ports, transit};

thread_local! {
    /// Each test has a thread of its own.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Keep;

impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if record.target() == "axon::transit" {
            LINES.with_borrow_mut(|l| l.push(record.args().to_string()));
        }
    }
    fn flush(&self) {}
}

fn shown() -> Vec<String> {
    LINES.take()
}

ports! { struct Boxes { in { inbox: Message, typed: Vec<u16> } out { outbox: Message, typed_out: Vec<u16> } } }

struct Idle;

impl Component for Idle {
    type Ports = Boxes;
    fn kind() -> &'static str {
        "test.Idle"
    }
    async fn main(self, _: Cx<Boxes>) {}
}

fn two() -> (Instance<Boxes>, Instance<Boxes>) {
    let _ = log::set_logger(&Keep);
    log::set_max_level(log::LevelFilter::Info);
    (Idle.create(), Idle.create())
}

fn number(i: &Instance<Boxes>) -> ProcessId {
    i.id()
}

#[test]
fn ax_link_07_ax_box_12_a_linkage_shows_what_is_delivered_to_its_sink() {
    let (a, b) = two();
    let linkage = link(&a.outbox, &b.inbox).unwrap();
    let typed = link(&a.typed_out, &b.typed).unwrap();
    a.outbox.send("before".into()).unwrap();
    linkage.show_transit(Some("here"));
    typed.show_transit(Some("typed"));
    a.outbox.send("during".into()).unwrap();
    a.outbox.send(Message::new(7_i32)).unwrap();
    a.typed_out.send(vec![1]).unwrap();
    linkage.show_transit(None);
    a.outbox.send("after".into()).unwrap();
    let wanted = [
        "Delivery via [ here ] of  during",
        "Delivery via [ here ] of  7",
        "Delivery via [ typed ] of  <alloc::vec::Vec<u16>>",
    ];
    assert_eq!(shown(), wanted);
    assert_eq!(b.inbox.len(), 4);
}

#[test]
fn ax_box_12_what_an_outbox_discards_is_shown_too() {
    let (a, b) = two();
    let linkage = link_with((&a, "outbox"), (&b, "outbox"), LinkOptions::pass_out()).unwrap();
    linkage.show_transit(Some("out"));
    b.outbox.send("nobody hears".into()).unwrap();
    assert_eq!(shown(), ["Discarding Delivery via [ out ] of  nobody hears"]);
}

#[test]
fn ax_box_12_all_links_show_their_deliveries_under_their_short_texts() {
    let (a, b) = two();
    link(&a.typed_out, &b.typed).unwrap();
    transit::show_all(true);
    link(&a.outbox, &b.inbox).unwrap();
    transit::show_all(false);
    a.outbox.send("x".into()).unwrap();
    a.typed_out.send(vec![1]).unwrap(); // linked before
    let (from, to) = (number(&a), number(&b));
    assert_eq!(shown(), [format!("Delivery via [ (Idle_{from},outbox):(Idle_{to},inbox) ] of  x")]);
}

#[test]
fn ax_comp_17_sends_and_receives_are_traced() {
    let (a, b) = two();
    transit::trace_all_sends(true);
    transit::trace_all_receives(true);
    a.outbox.send("lost".into()).unwrap();
    link(&a.outbox, &b.inbox).unwrap();
    transit::trace_all_sends(false);
    transit::trace_all_receives(false);
    b.inbox.set_bound(1);
    a.outbox.send("one".into()).unwrap();
    assert!(a.outbox.send("refused".into()).is_err());
    assert_eq!(b.inbox.try_recv().unwrap().to_string(), "one");
    assert!(b.inbox.try_recv().is_none());
    a.typed_out.send(vec![1]).unwrap(); // came into use after the switch
    let (a, b) = (number(&a), number(&b));
    let wanted = [
        format!("SEND: Idle_{a} 'outbox' : lost"),
        format!("SEND: Idle_{a} 'outbox' : one"),
        format!("RECV: Idle_{b} 'inbox' : one"),
    ];
    assert_eq!(shown(), wanted);
}

/// A listener that waits on a shown inbox is woken like on any other, and the inbox goes on being shown.
#[test]
fn ax_box_12_who_awaits_a_shown_inbox_is_woken() {
    struct Awaits;
    impl Component for Awaits {
        type Ports = Boxes;
        async fn main(self, cx: Cx<Boxes>) {
            for _ in 0..2 {
                cx.inbox.recv().await;
            }
        }
    }
    let (a, _) = two();
    let (awaits, s) = (Awaits.create(), Scheduler::new());
    link(&a.outbox, &awaits.inbox).unwrap().show_transit(Some("t"));
    s.activate(&awaits);
    for text in ["1", "2"] {
        s.run_until_idle().unwrap();
        a.outbox.send(text.into()).unwrap();
    }
    s.run().unwrap();
    assert_eq!(shown(), ["Delivery via [ t ] of  1", "Delivery via [ t ] of  2"]);
}
