//! T16: a thread in the graph.

use axon::prelude::*;
use axon::{link, ports};

use crate::harness::*;

ports! {
    /// Boxes of the echo.
    pub struct EchoPorts {
        in  { inbox: Message, control: Ipc }
        out { outbox: (&'static str, i32), signal: Ipc }
    }
}

fn t16(t: &Trace) {
    let number = |m: Message| m.downcast::<i32>().unwrap();
    let echo = threaded::<EchoPorts, _, _>(move |cx| {
        loop {
            while cx.inbox.is_empty() && cx.control.is_empty() {
                cx.pause(None);
            }
            for m in cx.inbox.drain() {
                cx.outbox.send(("echo", number(m))).unwrap();
            }
            if let Some(stop) = cx.control.try_recv() {
                for m in cx.inbox.drain() {
                    cx.outbox.send(("late", number(m))).unwrap();
                }
                cx.signal.send(stop).unwrap();
                return;
            }
        }
    });
    let echo = echo.create();
    label(&echo, "T");
    let s = actor("S", async |me: Actor| {
        for i in 0..=4 {
            me.outbox.send(Message::new(i)).unwrap();
        }
        me.signal.send(Ipc::producer_finished()).unwrap();
        me.yield_now().await;
    });
    let r = actor("R", async |me: Actor| {
        while me.control.is_empty() {
            me.pause().await;
        }
        let got: Vec<_> =
            me.inbox.drain().map(|m| Message::new(m.downcast::<(&'static str, i32)>().unwrap().1)).collect();
        me.log(format!("at control: {} {}", list(got), me.inbox.len()));
    });
    link(&s.outbox, &echo.inbox).unwrap();
    link(&s.signal, &echo.control).unwrap();
    link(echo.outbox.untyped(), &r.inbox).unwrap();
    link(&echo.signal, &r.control).unwrap();
    t.scheduler.activate(&echo);
    t.scheduler.activate(&s);
    t.scheduler.activate(&r);
    t.run();
    let text = &t.by_process()["R"][0];
    assert_eq!(text, "at control: [0, 1, 2, 3, 4] 0");
    assert_eq!(t.scheduler.processes().len(), 0);
    assert!(echo.is_stopped());
}

/// AX-THR-03, 09, 11: independent of the thread's timing, so it is run many times and in any order.
#[test]
fn t16_threaded_echo() {
    let rounds = if cfg!(miri) { 2 } else { 50 }; // each takes Miri a second
    for _ in 0..rounds {
        t16(&trace());
    }
    for seed in 1..=rounds {
        t16(&shuffled(seed));
    }
}
