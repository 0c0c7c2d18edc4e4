//! T06, T12: Pipeline and Graphline.

use axon::link;
use axon::prelude::*;

use crate::harness::*;

/// CH-PIPE-01..05.
#[test]
fn t06_pipeline_shutdown_running_down_it() {
    check_in_any_order(
        "\
p2: Src send 1 | Mid fwd 1 | Dst out 10
p3: Src send 2 | Mid fwd 2 | Dst out 20
p4: Src send 3 | Mid fwd 3 | Dst out 30
p5: Src signal | Mid ctl producerFinished | Dst ctl producerFinished
p6: PL stop | W ctl producerFinished
end pass=6 left=[]
",
        |t| {
            let src = actor("Src", async |me: Actor| {
                for i in 1..=3 {
                    me.log(format!("send {i}"));
                    me.outbox.send(Message::new(i)).unwrap();
                    me.yield_now().await;
                }
                me.log("signal");
                me.signal.send(Ipc::producer_finished()).unwrap();
            });
            let stage = |name: &str, forwards: bool| {
                actor(name, async move |me: Actor| {
                    loop {
                        while let Some(m) = me.inbox.try_recv() {
                            let m = m.downcast::<i32>().unwrap();
                            me.log(format!("{} {m}", if forwards { "fwd" } else { "out" }));
                            if forwards {
                                me.outbox.send(Message::new(10 * m)).unwrap();
                            }
                        }
                        if let Some(m) = me.control.try_recv() {
                            me.log(format!("ctl {}", m.kind()));
                            me.signal.send(m).unwrap();
                            return;
                        }
                        me.pause().await;
                    }
                })
            };
            let w = actor("W", async |me: Actor| {
                while me.control.is_empty() {
                    me.pause().await;
                }
                me.log(format!("ctl {}", me.control.try_recv().unwrap().kind()));
            });
            let pl = Pipeline::new().then(src).then(stage("Mid", true)).then(stage("Dst", false)).create();
            label(&pl, "PL");
            log_end(&pl, "PL", false);
            link(&pl.signal, &w.control).unwrap();
            t.scheduler.activate(&pl);
            t.scheduler.activate(&w);
        },
    );
}

type Links = &'static [((&'static str, &'static str), (&'static str, &'static str))];

fn t12(links: Links, message: fn() -> Message, expected: &str) {
    check_in_any_order(expected, |t| {
        let ch = |name: &str| {
            actor(name, async |me: Actor| {
                while me.control.is_empty() {
                    me.pause().await;
                }
                let m = me.control.try_recv().unwrap();
                me.log(format!("ctl {}", m.kind().trim_start_matches('&')));
                me.signal.send(m).unwrap();
                me.yield_now().await;
                me.log("end");
            })
        };
        let mut g = Graphline::new().node("A", ch("A")).node("B", ch("B")).node("C", ch("C"));
        for (from, to) in links {
            g = g.link(*from, *to);
        }
        let g = g.create();
        label(&g, "G");
        log_end(&g, "G", false);
        let w = actor("W", async move |me: Actor| {
            me.yield_now().await;
            me.yield_now().await;
            me.log("send");
            me.outbox.send(message()).unwrap();
            while me.inbox.is_empty() {
                me.pause().await;
            }
            let m = me.inbox.try_recv().unwrap().downcast::<Ipc>().unwrap();
            me.log(format!("signal {} {}", m.kind(), me.inbox.len()));
        });
        link(w.outbox.untyped(), &g.control).unwrap();
        link(g.signal.untyped(), &w.inbox).unwrap();
        t.scheduler.activate(&g);
        t.scheduler.activate(&w);
    });
}

fn finished() -> Message {
    Ipc::producer_finished().into()
}

fn shutdown() -> Message {
    Ipc::shutdown_microprocess().into()
}

const LINKED: Links = &[(("A", "signal"), ("B", "control"))];
const CTL: Links = &[
    (("self", "control"), ("A", "control")),
    (("A", "signal"), ("B", "control")),
    (("B", "signal"), ("C", "control")),
    (("C", "signal"), ("self", "signal")),
];

/// CH-GRAPH-08..12, as the next six.
#[test]
fn t12_plain_producer_finished() {
    t12(
        &[],
        finished,
        "\
p3: W send
p5: A ctl producerFinished | B ctl producerFinished | C ctl producerFinished
p6: A end | B end | C end
p7: G stop
p8: W signal producerFinished 0
end pass=8 left=[]
",
    );
}

#[test]
fn t12_plain_shutdown_microprocess() {
    t12(
        &[],
        shutdown,
        "\
p3: W send
p5: A ctl shutdownMicroprocess | B ctl shutdownMicroprocess | C ctl shutdownMicroprocess
p6: A end | B end | C end
p7: G stop
p8: W signal shutdownMicroprocess 0
end pass=8 left=[]
",
    );
}

#[test]
fn t12_plain_text() {
    t12(
        &[],
        || "some text".into(),
        "\
p3: W send
p5: A ctl str | B ctl str | C ctl str
p6: A end | B end | C end
p7: G stop
p8: W signal producerFinished 0
end pass=8 left=[]
",
    );
}

#[test]
fn t12_linked_producer_finished() {
    t12(
        LINKED,
        finished,
        "\
p3: W send
p5: A ctl producerFinished | C ctl producerFinished
p6: A end | C end | B ctl producerFinished
p7: B end | G stop
p8: W signal producerFinished 0
end pass=8 left=[]
",
    );
}

#[test]
fn t12_linked_shutdown_microprocess() {
    t12(
        LINKED,
        shutdown,
        "\
p3: W send
p5: A ctl shutdownMicroprocess | C ctl shutdownMicroprocess
p6: A end | C end | B ctl shutdownMicroprocess
p7: B end | G stop
p8: W signal shutdownMicroprocess 0
end pass=8 left=[]
",
    );
}

#[test]
fn t12_ctl_producer_finished() {
    t12(
        CTL,
        finished,
        "\
p3: W send
p4: A ctl producerFinished
p5: A end | B ctl producerFinished
p6: B end | C ctl producerFinished
p7: C end | W signal producerFinished 0
p8: G stop
end pass=8 left=[]
",
    );
}

#[test]
fn t12_ctl_shutdown_microprocess() {
    t12(
        CTL,
        shutdown,
        "\
p3: W send
p4: A ctl shutdownMicroprocess
p5: A end | B ctl shutdownMicroprocess
p6: B end | C ctl shutdownMicroprocess
p7: C end | W signal shutdownMicroprocess 0
p8: G stop
end pass=8 left=[]
",
    );
}
