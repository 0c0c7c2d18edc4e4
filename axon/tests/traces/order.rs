//! T01, T02, T10, T14: order, activation, the old style, stepping by hand.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

use axon::prelude::*;
use axon::{BoxError, Stepwise, StepwiseComponent};

use crate::harness::*;

/// AX-SCHED-01, 02, 03, 09.
#[test]
fn t01_order_ends_close_down_hooks() {
    let c = |name: &str, k: u32| {
        let c = actor(name, async move |me: Actor| {
            for i in 0..k {
                me.log(i);
                me.yield_now().await;
            }
            me.log("last");
        });
        log_end(&c, name, true);
        c
    };
    check_in_any_order(
        "\
p1: A 0 | B last | B stop | B closedown | D 0
p2: A 1 | D last | D stop | D closedown
p3: A last | A stop | A closedown
end pass=3 left=[]
",
        |t| t.activate(&[&c("A", 2), &c("B", 0), &c("D", 1)]),
    );
}

/// AX-SCHED-05, AX-IPC-01.
#[test]
fn t02_activation_from_inside() {
    let s = |name| {
        actor(name, async |me: Actor| {
            me.log("s1");
            me.yield_now().await;
            me.log("s2");
        })
    };
    check_in_any_order(
        "\
p1: A 1 | B 1
p2: A 2 | B 2 | X s1 | Y s1 | Z s1 | W s1
p3: A 3 | X s2 | Y s2 | Z s2 | W s2
end pass=3 left=[]
",
        |t| {
            let a = actor("A", async move |me: Actor| {
                me.log(1);
                s("X").activate();
                for name in ["Y", "Z"] {
                    me.activate(s(name));
                }
                me.yield_now().await;
                me.log(2);
                me.yield_now().await;
                me.log(3);
            });
            let b = actor("B", async move |me: Actor| {
                me.log(1);
                s("W").activate();
                me.yield_now().await;
                me.log(2);
            });
            t.activate(&[&a, &b]);
        },
    );
}

struct Old {
    k: u32,
}

impl StepwiseComponent for Old {
    type Ports = Boxes;
    fn initialise(&mut self, _: &Cx<Boxes>) {
        log("O init");
    }
    fn main_body(&mut self, _: &Cx<Boxes>) -> bool {
        self.k += 1;
        log(format!("O body {}", self.k));
        self.k < 3
    }
    fn close_down(&mut self, _: &Cx<Boxes>) -> Result<(), BoxError> {
        log("O close");
        Ok(())
    }
}

/// AX-COMP-14.
#[test]
fn t10_old_style_component() {
    check_in_any_order(
        "\
p1: O init | Q 0
p2: O body 1 | Q 1
p3: O body 2 | Q 2
p4: O body 3 | O close | Q 3
p5: Q 4
p6: Q 5
p7: Q 6
end pass=8 left=[]
",
        |t| {
            let o = Stepwise(Old { k: 0 }).create();
            label(&o, "O");
            let q = actor("Q", async |me: Actor| {
                for i in 0..=6 {
                    me.log(i);
                    me.yield_now().await;
                }
            });
            t.activate(&[&o, &q]);
        },
    );
}

/// AX-SCHED-08, 15.
#[test]
fn t14_stepping_by_hand() {
    let out = Rc::new(RefCell::new(String::new()));
    let t = trace();
    let c = |name| {
        let out = out.clone();
        actor(name, async move |me: Actor| {
            for i in 0..2 {
                writeln!(out.borrow_mut(), "  C {i}").unwrap();
                me.yield_now().await;
            }
            me.pause().await;
        })
    };
    let (a, b) = (c("a"), c("b"));
    t.activate(&[&a, &b]);
    for n in 0..16 {
        assert!(t.scheduler.step().unwrap());
        let state: Vec<_> = t
            .scheduler
            .processes()
            .iter()
            .map(|p| {
                let paused = if t.scheduler.is_paused(p) { "True" } else { "False" };
                format!("('{}', {paused})", if *p == a.any() { "a" } else { "b" })
            })
            .collect();
        let state = state.join(", ");
        writeln!(out.borrow_mut(), "yield {n} pass {} [{state}]", t.scheduler.pass()).unwrap();
    }
    assert_eq!(
        *out.borrow(),
        "\
yield 0 pass 0 []
yield 1 pass 1 [('a', False), ('b', False)]
  C 0
yield 2 pass 1 [('a', False), ('b', False)]
  C 0
yield 3 pass 1 [('a', False), ('b', False)]
yield 4 pass 2 [('a', False), ('b', False)]
  C 1
yield 5 pass 2 [('a', False), ('b', False)]
  C 1
yield 6 pass 2 [('a', False), ('b', False)]
yield 7 pass 3 [('a', False), ('b', False)]
yield 8 pass 3 [('a', False), ('b', False)]
yield 9 pass 3 [('a', False), ('b', False)]
yield 10 pass 4 [('a', False), ('b', False)]
yield 11 pass 4 [('a', True), ('b', False)]
yield 12 pass 4 [('a', True), ('b', True)]
yield 13 pass 5 [('a', True), ('b', True)]
yield 14 pass 6 [('a', True), ('b', True)]
yield 15 pass 7 [('a', True), ('b', True)]
"
    );
}
