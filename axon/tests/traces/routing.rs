//! T13, T18, T20: Carousel, Backplane, Seq and Par.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use axon::prelude::*;
use axon::tracker::Tracker;
use axon::util::{Backplane, PublishTo, SubscribeTo};
use axon::{AnyInstance, link, ports};

use crate::harness::*;

ports! {
    /// Those of D in T13.
    struct DriverPorts {
        in  { inbox: Message, control: Ipc, req: String }
        out { outbox: Message, signal: Ipc, next: u32 }
    }
}

struct Driver;
impl Component for Driver {
    type Ports = DriverPorts;
    async fn main(self, cx: Cx<DriverPorts>) {
        for i in 0..16 {
            cx.req.drain().for_each(|m| log(format!("D req {m}")));
            cx.inbox.drain().for_each(|m| log(format!("D inbox {m}")));
            cx.control.drain().for_each(|m| log(format!("D control {}", m.kind())));
            let next = |n: u32| {
                log(format!("D >next {n}"));
                cx.next.send(n).unwrap();
            };
            match i {
                1 => next(2),
                3 => {
                    log("D >inbox");
                    cx.outbox.send("hey".into()).unwrap();
                }
                7 => next(9),
                10 => next(1),
                11 => {
                    log("D >pf");
                    cx.signal.send(Ipc::producer_finished()).unwrap();
                }
                _ => {}
            }
            cx.yield_now().await;
        }
        log("D fin");
    }
}

fn t13_child(name: String, k: u32) -> AnyInstance {
    let n = name.clone();
    actor(&name, async move |me: Actor| {
        me.log("start");
        for i in 0..k {
            me.log(format!("{i} {}", me.list_inbox()));
            me.outbox.send(format!("{n}:{i}").into()).unwrap();
            me.yield_now().await;
            if let Some(m) = me.control.try_recv() {
                me.log(format!("ctl {}", m.kind()));
                return;
            }
        }
        me.log("end");
    })
    .any()
}

/// CH-CAR-02..06. Not run shuffled: D steps whether anything came or not, so what it sees depends on the order.
#[test]
fn t13_carousel() {
    let t = trace();
    let mut made = 0;
    let car = Carousel::new(move |k: u32| {
        made += 1;
        log(format!("factory {k}"));
        t13_child(format!("c{made}"), k)
    })
    .make_first_request()
    .create();
    let d = Driver.create();
    label(&car, "car");
    label(&d, "D");
    link(&d.next, &car.next).unwrap();
    link(&d.outbox, &car.inbox).unwrap();
    link(&d.signal, &car.control).unwrap();
    link(&car.request_next, &d.req).unwrap();
    link(&car.outbox, &d.inbox).unwrap();
    link(&car.signal, &d.control).unwrap();
    t.scheduler.activate(&car);
    t.scheduler.activate(&d);
    assert_eq!(
        t.run(),
        "\
p1: D req NEXT
p2: D >next 2
p3: factory 2
p4: D >inbox | c1 start | c1 0 ['hey']
p5: D inbox c1:0 | c1 1 []
p6: D inbox c1:1 | c1 end
p7: D req NEXT
p8: D >next 9 | factory 9
p9: c2 start | c2 0 []
p10: D inbox c2:0 | c2 1 []
p11: D inbox c2:1 | D >next 1 | c2 2 []
p12: D inbox c2:2 | D >pf | c2 ctl shutdownMicroprocess | factory 1
p13: c3 start | c3 0 []
p14: D inbox c3:0 | c3 ctl producerFinished
p16: D control producerFinished
p17: D fin
end pass=17 left=[]
"
    );
}

/// U-01..05, as the original's current revision runs it; D-29 (a splitter's end is an error) is mended.
#[test]
fn t18_backplane() {
    let t = trace();
    let plane = Backplane::<i32>::new("X").unwrap().create();
    t.scheduler.activate(&plane);
    let services = || {
        let names: Vec<_> = Tracker::shared().services().iter().map(|s| format!("'{s}'")).collect();
        format!("[{}]", names.join(", "))
    };
    let registered = services();
    let src = actor("src", async |me: Actor| {
        for i in 0..6 {
            me.log(format!("pub {i}"));
            me.outbox.send(Message::new(i)).unwrap();
            me.yield_now().await;
        }
        me.signal.send(Ipc::producer_finished()).unwrap();
        me.log("end");
    });
    let publisher = PublishTo::<i32>::new("X").create();
    let subscribers = [SubscribeTo::<i32>::new("X").create(), SubscribeTo::<i32>::new("X").create()];
    let ends = ["d1", "d2"].map(|name| {
        actor(name, async |me: Actor| {
            loop {
                while let Some(m) = me.inbox.try_recv() {
                    me.log(format!("in {m}"));
                }
                if let Some(m) = me.control.try_recv() {
                    me.log(format!("ctl {}", m.kind()));
                    return;
                }
                me.pause().await;
            }
        })
    });
    link(src.outbox.untyped(), &publisher.inbox).unwrap();
    link(&src.signal, &publisher.control).unwrap();
    for (s, d) in subscribers.iter().zip(&ends) {
        link(s.outbox.untyped(), &d.inbox).unwrap();
        link(&s.signal, &d.control).unwrap();
    }
    let others = [subscribers[0].any(), subscribers[1].any(), plane.any(), publisher.any()];
    let theirs = plane.clone();
    let l = actor("L", async move |me: Actor| {
        for _ in 0..12 {
            me.yield_now().await;
        }
        me.log("shut backplane");
        theirs.control.deliver(Ipc::producer_finished()).unwrap();
        for _ in 0..9 {
            me.yield_now().await;
        }
        let stopped = others.map(|o| if o.is_stopped() { "True" } else { "False" });
        me.log(format!("{} stopped {}", services(), stopped.join(" ")));
    });
    for s in &subscribers {
        t.scheduler.activate(s);
    }
    t.scheduler.activate(&publisher);
    t.activate(&[&src, &ends[0], &ends[1], &l]);
    assert_eq!(
        format!("{registered}\n{}", t.run()),
        "\
['Backplane_I_X', 'Backplane_O_X']
p1: src pub 0
p2: src pub 1
p3: src pub 2
p4: src pub 3
p5: src pub 4 | d1 in 0 | d1 in 1 | d1 in 2 | d1 in 3 | d1 in 4 | d2 in 0 | d2 in 1 | d2 in 2 | d2 in 3 | d2 in 4
p6: src pub 5 | d1 in 5 | d2 in 5
p7: src end
p13: L shut backplane
p16: d1 ctl producerFinished | d2 ctl producerFinished
p22: L [] stopped True True True True
end pass=22 left=[]
"
    );
}

/// What was written, for reading after the run.
#[derive(Clone, Default)]
struct Screen(Rc<RefCell<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, b: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(b)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn t20_part(name: &'static str, k: u32) -> Instance<Boxes> {
    actor(name, async move |me: Actor| {
        me.log(format!("start {}", me.list_inbox()));
        me.outbox.send(format!("{name}-out").into()).unwrap();
        for _ in 0..k {
            me.yield_now().await;
            if let Some(m) = me.control.try_recv() {
                me.log(format!("ctl {}", m.kind()));
                me.signal.send(m).unwrap();
                return;
            }
        }
        me.signal.send(Ipc::producer_finished()).unwrap();
        me.log("end");
    })
}

fn t20(k: u32, expected: &str, make: impl FnOnce(Screen) -> AnyInstance) {
    let t = trace();
    let screen = Screen::default();
    let x = make(screen.clone());
    label(&x, "x");
    let r = actor("R", async |me: Actor| {
        loop {
            while let Some(m) = me.inbox.try_recv() {
                me.log(format!("in {m}"));
            }
            while let Some(m) = me.control.try_recv() {
                me.log(format!("ctl {}", m.kind()));
            }
            me.pause().await;
        }
    });
    let d = actor("D", async move |me: Actor| {
        me.outbox.send("i1".into()).unwrap();
        me.signal.send(Ipc::producer_finished()).unwrap();
        me.yield_now().await;
        for _ in 0..k {
            me.yield_now().await;
        }
        me.signal.send(Ipc::shutdown_microprocess()).unwrap();
        me.log("sm");
        for _ in 0..6 {
            me.yield_now().await;
        }
        me.stop_scheduler();
    });
    link((&x, "outbox"), (&r, "inbox")).unwrap();
    link((&x, "signal"), (&r, "control")).unwrap();
    link((&d, "outbox"), (&x, "inbox")).unwrap();
    link((&d, "signal"), (&x, "control")).unwrap();
    t.scheduler.activate(&x);
    t.activate(&[&r, &d]);
    let listing = t.run();
    let printed = String::from_utf8(screen.0.take()).unwrap();
    let stopped = if x.is_stopped() { "True" } else { "False" };
    assert_eq!(format!("{printed}{listing}stopped {stopped}\n"), expected);
}

/// CH-SEQ-01, CH-SEQ-02.
#[test]
fn t20_seq() {
    t20(
        12,
        "\
hello
p2: a start ['i1']
p3: a end | R in a-out
p5: b start []
p6: R in b-out
p7: b end
p8: R ctl producerFinished
p14: D sm
end pass=20 left=['R']
stopped True
",
        |screen| Seq::new().to(screen).say("hello").then(t20_part("a", 1)).then(t20_part("b", 2)).into(),
    );
}

/// CH-PAR-01, CH-PAR-02, as the next.
#[test]
fn t20_par() {
    t20(
        3,
        "\
p2: a start [] | b start []
p3: a ctl producerFinished | b ctl producerFinished | R in a-out | R in b-out | R ctl producerFinished | R ctl producerFinished
p5: D sm | R ctl producerFinished
end pass=11 left=['R']
stopped True
",
        |_| Par::new().with(t20_part("a", 9)).with(t20_part("b", 9)).into(),
    );
}

#[test]
fn t20_par2() {
    t20(
        9,
        "\
p2: a start [] | b start []
p3: a ctl producerFinished | b ctl producerFinished | R in a-out | R in b-out | R ctl producerFinished | R ctl producerFinished
p5: R ctl producerFinished
p11: D sm
end pass=17 left=['R']
stopped True
",
        |_| Par::new().with(t20_part("a", 1)).with(t20_part("b", 2)).into(),
    );
}
