//! T03, T04, T05, T08, T21, T22: sleeping and waking.

use axon::prelude::*;
use axon::{LinkOptions, link, link_with};

use crate::harness::*;

fn t03_producer() -> Instance<Boxes> {
    actor("P", async |me: Actor| {
        for i in 0..=3 {
            me.log(format!("send {i}"));
            me.outbox.send(Message::new(i)).unwrap();
            me.yield_now().await;
            me.log("idle");
            me.yield_now().await;
        }
        me.signal.send(Ipc::producer_finished()).unwrap();
        me.log("done");
    })
}

fn t03_consumer() -> Instance<Boxes> {
    actor("C", async |me: Actor| {
        loop {
            me.log(format!("awake {} {}", me.inbox.len(), me.control.len()));
            while let Some(m) = me.inbox.try_recv() {
                me.log(format!("got {m}"));
            }
            if !me.control.is_empty() {
                me.log("ctl");
                return;
            }
            me.pause().await;
        }
    })
}

/// AX-SCHED-04, 06, 07, AX-COMP-12.
#[test]
fn t03_sleeping_consumer_activated_last() {
    let t = trace();
    let (p, c) = (t03_producer(), t03_consumer());
    link(&p.outbox, &c.inbox).unwrap();
    link(&p.signal, &c.control).unwrap();
    t.activate(&[&p, &c]);
    assert_eq!(
        t.run(),
        "\
p1: P send 0 | C awake 1 0 | C got 0
p2: P idle | C awake 0 0
p3: P send 1
p4: P idle | C awake 1 0 | C got 1
p5: P send 2
p6: P idle | C awake 1 0 | C got 2
p7: P send 3
p8: P idle | C awake 1 0 | C got 3
p9: P done
p10: C awake 0 1 | C ctl
end pass=10 left=[]
"
    );
}

#[test]
fn t03_sleeping_consumer_activated_first() {
    let t = trace();
    let (p, c) = (t03_producer(), t03_consumer());
    link(&p.outbox, &c.inbox).unwrap();
    link(&p.signal, &c.control).unwrap();
    t.activate(&[&c, &p]);
    assert_eq!(
        t.run(),
        "\
p1: C awake 0 0 | P send 0
p2: C awake 1 0 | C got 0 | P idle
p3: P send 1
p4: P idle | C awake 1 0 | C got 1
p5: P send 2
p6: P idle | C awake 1 0 | C got 2
p7: P send 3
p8: P idle | C awake 1 0 | C got 3
p9: P done
p10: C awake 0 1 | C ctl
end pass=10 left=[]
"
    );
}

/// AX-SCHED-06, 07, 18.
#[test]
fn t04_place_in_the_queue_after_sleeping() {
    let t = trace();
    let c = actor("C", async |me: Actor| {
        loop {
            me.log(format!("awake {}", me.list_inbox()));
            me.pause().await;
        }
    });
    let p = actor("P", async |me: Actor| {
        for i in 0..=7 {
            if i == 1 || i == 5 {
                me.log("send");
                me.outbox.send(Message::new(i)).unwrap();
            } else {
                me.log(".");
            }
            me.yield_now().await;
        }
    });
    let q = actor("Q", async |me: Actor| {
        for _ in 0..=7 {
            me.log(".");
            me.yield_now().await;
        }
        me.stop_scheduler();
    });
    link(&p.outbox, &c.inbox).unwrap();
    t.activate(&[&c, &p, &q]);
    assert_eq!(
        t.run(),
        "\
p1: C awake [] | P . | Q .
p2: P send | Q .
p3: P . | Q . | C awake [1]
p4: P . | Q .
p5: P . | Q .
p6: P send | Q .
p7: P . | Q . | C awake [5]
p8: P . | Q .
end pass=9 left=['C']
"
    );
}

/// AX-BOX-08, 10, AX-LINK-03.
#[test]
fn t05_bounded_box_producer_woken_by_collection() {
    let t = trace();
    let p = actor("P", async |me: Actor| {
        for i in 0..=3 {
            let mut message = Message::new(i);
            while let Err(e) = me.outbox.send(message) {
                let SendError::Full { message: back, len, bound } = e else { panic!("{e}") };
                message = back;
                me.log(format!("full ({len}, {bound})"));
                me.pause().await;
            }
            me.log(format!("sent {i}"));
            me.yield_now().await;
        }
        me.log("end");
    });
    let c = actor("C", async |me: Actor| {
        for _ in 0..4 {
            for _ in 0..3 {
                me.log("busy");
                me.yield_now().await;
            }
            me.log(format!("got {}", me.inbox.try_recv().unwrap()));
        }
        me.log("end");
    });
    link_with((&p, "outbox"), (&c, "inbox"), LinkOptions::new().pipewidth(1)).unwrap();
    t.activate(&[&p, &c]);
    assert_eq!(
        t.run(),
        "\
p1: P sent 0 | C busy
p2: P full (1, 1) | C busy
p3: C busy
p4: C got 0 | C busy
p5: C busy | P sent 1
p6: C busy | P full (1, 1)
p7: C got 1 | C busy
p8: C busy | P sent 2
p9: C busy | P full (1, 1)
p10: C got 2 | C busy
p11: C busy | P sent 3
p12: C busy | P end
p13: C got 3 | C end
end pass=13 left=[]
"
    );
}

fn t08(sub: impl AsyncFnOnce(&Actor) + 'static) -> Trace {
    let t = trace();
    let a = actor("A", async move |me: Actor| {
        me.log(1);
        me.yield_now().await;
        me.log("wait");
        me.wait_complete(sub(&me)).await;
        me.log(format!("resumed {}", me.list_inbox()));
        me.yield_now().await;
        me.log("end");
    });
    let b = actor("B", async |me: Actor| {
        for i in 0..=8 {
            if i == 3 {
                me.log("send");
                me.outbox.send("m".into()).unwrap();
            } else {
                me.log(i);
            }
            me.yield_now().await;
        }
    });
    link(&b.outbox, &a.inbox).unwrap();
    t.activate(&[&a, &b]);
    t
}

/// AX-SCHED-12, AX-IPC-08, 09. In the original the inner code's pauses have no effect, so they are left out here.
#[test]
fn t08_wait_complete() {
    let t = t08(async |me: &Actor| {
        for i in 0..=2 {
            me.log(format!("sub {i}"));
            me.yield_now().await;
        }
        me.log("subend");
    });
    assert_eq!(
        t.run(),
        "\
p1: A 1 | B 0
p2: A wait | B 1
p3: B 2 | A sub 0
p4: B send | A sub 1
p5: B 4 | A sub 2
p6: B 5 | A subend
p7: B 6 | A resumed ['m']
p8: B 7 | A end
p9: B 8
end pass=10 left=[]
"
    );
}

/// D-09: the inner code's pauses work, and a message to the waiting component wakes the inner code. Here it sleeps
/// after `sub 0`, is woken by B's message in p4, and sleeps for good after `sub 1`.
#[test]
fn t08_wait_complete_with_pauses_d09() {
    let t = t08(async |me: &Actor| {
        for i in 0..=2 {
            me.log(format!("sub {i}"));
            me.pause().await;
        }
        me.log("subend");
    });
    t.scheduler.run_until_idle().unwrap();
    assert_eq!(
        t.text(),
        "\
p1: A 1 | B 0
p2: A wait | B 1
p3: B 2 | A sub 0
p4: B send
p5: B 4 | A sub 1
p6: B 5
p7: B 6
p8: B 7
p9: B 8
end pass=10 left=['A']
"
    );
}

/// AX-SCHED-07, and D-03: z1, which was asleep when it was paused again, can still be woken. So z1 logs `awake` in
/// p12 too, and is asleep at the end (the original: `False`, and never runs again).
#[test]
fn t21_order_of_wakes_pausing_a_sleeper() {
    let t = trace();
    let z = |name| {
        actor(name, async |me: Actor| {
            loop {
                me.log("awake");
                me.pause().await;
            }
        })
    };
    let (z1, z2, z3) = (z("z1"), z("z2"), z("z3"));
    let scheduler = t.scheduler.clone();
    let (y1, y2, y3) = (z1.clone(), z2.clone(), z3.clone());
    let a = actor("A", async move |me: Actor| {
        for _ in 0..3 {
            me.yield_now().await;
        }
        me.log("wake z3,z1,z2,z1");
        for y in [&y3, &y1, &y2, &y1] {
            y.unpause();
        }
        for _ in 0..2 {
            me.yield_now().await;
        }
        me.log("pause self+z1");
        y1.request_pause();
        me.pause().await;
        me.log("woken");
        y1.unpause();
        for _ in 0..3 {
            me.yield_now().await;
        }
        let asleep = if scheduler.is_paused(&y1.any()) { "True" } else { "False" };
        me.log(format!("z1 asleep? {asleep}"));
        me.stop_scheduler();
        me.yield_now().await;
    });
    let b = {
        let a = a.clone();
        actor("B", async move |me: Actor| {
            for _ in 0..9 {
                me.yield_now().await;
            }
            me.log("wake A");
            a.unpause();
            me.yield_now().await;
        })
    };
    t.activate(&[&z1, &z2, &z3, &a, &b]);
    assert_eq!(
        t.run(),
        "\
p1: z1 awake | z2 awake | z3 awake
p4: A wake z3,z1,z2,z1
p5: z3 awake | z1 awake | z2 awake
p6: A pause self+z1
p10: B wake A
p11: A woken
p12: z1 awake
p14: A z1 asleep? True
end pass=14 left=['A', 'z1', 'z2', 'z3']
"
    );
}

/// AX-BOX-10, 11.
#[test]
fn t22_who_is_woken_by_a_collection() {
    let t = trace();
    let z = |name: &str| {
        actor(name, async |me: Actor| {
            me.log("start");
            loop {
                me.pause().await;
                me.log("awake");
            }
        })
    };
    let (i, o, q) = (z("i"), z("o"), z("q"));
    let p = actor("p", async |me: Actor| {
        me.outbox.send("m".into()).unwrap();
        me.log("sent");
        loop {
            me.pause().await;
            me.log("awake");
        }
    });
    let c = actor("c", async |me: Actor| {
        for _ in 0..3 {
            me.yield_now().await;
        }
        me.log(format!("recv {}", me.inbox.try_recv().unwrap()));
        for _ in 0..2 {
            me.yield_now().await;
        }
        me.stop_scheduler();
        me.yield_now().await; // it is among those that are left, so it has not ended
    });
    link_with((&i, "inbox"), (&c, "inbox"), LinkOptions::pass_in()).unwrap();
    link(&o.outbox, &i.inbox).unwrap();
    link_with((&q, "outbox"), (&o, "outbox"), LinkOptions::pass_out()).unwrap();
    link_with((&p, "outbox"), (&o, "outbox"), LinkOptions::pass_out()).unwrap();
    t.activate(&[&i, &o, &p, &q, &c]);
    assert_eq!(
        t.run(),
        "\
p1: i start | o start | p sent | q start
p4: c recv m
p5: o awake | q awake | p awake
end pass=6 left=['c', 'i', 'o', 'p', 'q']
"
    );
}
