//! T11, T15: ends that somebody else brings about.

use axon::OnFailure;
use axon::prelude::*;

use crate::harness::*;

/// AX-SCHED-18, and D-08: close-down hooks run after all stop hooks (the original runs none).
#[test]
fn t11_stopping_the_scheduler() {
    let t = trace();
    let eternal = |name: &str| {
        let e = actor(name, async |me: Actor| {
            loop {
                me.pause().await;
            }
        });
        log_end(&e, name, true);
        e
    };
    let k = actor("k", async move |me: Actor| {
        me.log(0);
        me.yield_now().await;
        me.log("request stop");
        me.stop_scheduler();
        me.activate(eternal("new"));
        me.yield_now().await;
        me.log("never");
    });
    log_end(&k, "k", true);
    let r = actor("r", async |me: Actor| {
        for i in 0.. {
            me.log(i);
            me.yield_now().await;
        }
    });
    log_end(&r, "r", true);
    t.activate(&[&eternal("e"), &k, &r]);
    assert_eq!(
        t.run(),
        "\
p1: k 0 | r 0
p2: k request stop | r 1 | e stop | k stop | r stop | new stop | e closedown | k closedown | r closedown | new closedown
end pass=2 left=['e', 'k', 'new', 'r']
"
    );
}

/// AX-SCHED-11, AX-MP-09, and D-02: A leaves at its next turn, and each of its hooks runs once (the original: one pass
/// later, and the stop hook twice).
#[test]
fn t15_stop_on_another_process_immortalise() {
    let t = trace();
    t.scheduler.set_on_failure(OnFailure::GoOn);
    let a = actor("A", async |me: Actor| {
        for i in 0.. {
            me.log(i);
            me.yield_now().await;
        }
    });
    let x = actor("X", async |me: Actor| {
        me.log("x");
        me.yield_now().await;
        me.end_with(Err("an error"));
    });
    log_end(&a, "A", true);
    log_end(&x, "X", true);
    let b = {
        let a = a.clone();
        actor("B", async move |me: Actor| {
            for i in 0..=6 {
                me.log(i);
                if i == 2 {
                    me.log("stops A");
                    a.stop();
                }
                me.yield_now().await;
            }
        })
    };
    t.activate(&[&a, &x, &b]);
    assert_eq!(
        t.run(),
        "\
p1: A 0 | X x | B 0
p2: A 1 | X stop | X closedown | B 1
p3: A 2 | B 2 | B stops A | A stop
p4: A closedown | B 3
p5: B 4
p6: B 5
p7: B 6
end pass=8 left=[]
"
    );
}
