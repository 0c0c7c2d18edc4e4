//! T17: the Introspector.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

use axon::introspect::{Introspector, IntrospectorPorts};
use axon::ports;
use axon::prelude::*;

use crate::harness::*;

ports! { pub struct OnlyInbox { in { inbox: String } out {} } }
ports! { pub struct OnlyS { in {} out { s: Ipc } } }

type Out = Rc<RefCell<String>>;

struct N;
impl Component for N {
    type Ports = Boxes;
    fn kind() -> &'static str {
        "demo.N"
    }
    async fn main(self, _: Cx<Boxes>) {}
}

struct A(Instance<Boxes>);
impl Component for A {
    type Ports = Boxes;
    fn kind() -> &'static str {
        "demo.A"
    }
    async fn main(self, cx: Cx<Boxes>) {
        for _ in 0..3 {
            cx.yield_now().await;
        }
        let l = cx.link((&cx, "outbox"), (&self.0, "inbox")).unwrap();
        for _ in 0..2 {
            cx.yield_now().await;
        }
        cx.unlink(&l);
        for _ in 0..2 {
            cx.yield_now().await;
        }
    }
}

struct P(Out);
impl Component for P {
    type Ports = OnlyInbox;
    fn kind() -> &'static str {
        "demo.P"
    }
    async fn main(self, cx: Cx<OnlyInbox>) {
        loop {
            for m in cx.inbox.drain() {
                write!(self.0.borrow_mut(), "p{}\n{m}", cx.pass()).unwrap();
            }
            cx.pause().await;
        }
    }
}

struct K(Instance<IntrospectorPorts>);
impl Component for K {
    type Ports = OnlyS;
    fn kind() -> &'static str {
        "demo.K"
    }
    async fn main(self, cx: Cx<OnlyS>) {
        for _ in 0..10 {
            cx.yield_now().await;
        }
        cx.link((&cx, "s"), (&self.0, "control")).unwrap();
        cx.s.send(Ipc::shutdown_microprocess()).unwrap();
        for _ in 0..2 {
            cx.yield_now().await;
        }
        cx.stop_scheduler();
    }
}

/// AX-INTRO-01..06.
#[test]
fn t17_introspector_output() {
    let t = trace();
    let out = Out::default();
    let b = N.create();
    let a = A(b.clone()).create();
    let i = Introspector::new().create();
    let p = P(out.clone()).create();
    let k = K(i.clone()).create();
    let ids = [("b", b.id()), ("a", a.id()), ("i", i.id()), ("p", p.id()), ("k", k.id())];
    label(&p, "p");
    axon::link((&i, "outbox"), (&p, "inbox")).unwrap();
    t.scheduler.activate(&a);
    t.scheduler.activate(&i);
    t.scheduler.activate(&p);
    t.scheduler.activate(&k);
    t.scheduler.run().unwrap();
    // Numbers are handed out to all tests of this program; the original's run had 6 to 10.
    let mut text = out.take();
    for (n, (_, id)) in ids.iter().enumerate() {
        for (from, to) in
            [(format!("\"{id}\""), n + 6), (format!("({id}, "), n + 6), (format!("_{id}\""), n + 6)]
        {
            text = text.replace(&from, &from.replace(&id.to_string(), &format!("#{to}")));
        }
    }
    let text = text.replace('#', "");
    let end = t.text();
    assert_eq!(
        text + &end,
        r#"p1
DEL ALL
p2
ADD NODE "7" "demo.A_7" randompos component
ADD NODE "8" "Axon.Introspector.Introspector_8" randompos component
ADD NODE "9" "demo.P_9" randompos component
ADD NODE "10" "demo.K_10" randompos component
ADD NODE "(7, 'i', 'inbox')" "inbox" randompos inbox
ADD LINK "7" "(7, 'i', 'inbox')"
ADD NODE "(7, 'i', 'control')" "control" randompos inbox
ADD LINK "7" "(7, 'i', 'control')"
ADD NODE "(7, 'o', 'outbox')" "outbox" randompos outbox
ADD LINK "7" "(7, 'o', 'outbox')"
ADD NODE "(7, 'o', 'signal')" "signal" randompos outbox
ADD LINK "7" "(7, 'o', 'signal')"
ADD NODE "(8, 'i', 'inbox')" "inbox" randompos inbox
ADD LINK "8" "(8, 'i', 'inbox')"
ADD NODE "(8, 'i', 'control')" "control" randompos inbox
ADD LINK "8" "(8, 'i', 'control')"
ADD NODE "(8, 'o', 'outbox')" "outbox" randompos outbox
ADD LINK "8" "(8, 'o', 'outbox')"
ADD NODE "(8, 'o', 'signal')" "signal" randompos outbox
ADD LINK "8" "(8, 'o', 'signal')"
ADD NODE "(9, 'i', 'inbox')" "inbox" randompos inbox
ADD LINK "9" "(9, 'i', 'inbox')"
ADD NODE "(10, 'o', 's')" "s" randompos outbox
ADD LINK "10" "(10, 'o', 's')"
ADD LINK "(8, 'o', 'outbox')" "(9, 'i', 'inbox')"
p5
ADD NODE "6" "demo.N_6" randompos component
ADD NODE "(6, 'i', 'inbox')" "inbox" randompos inbox
ADD LINK "6" "(6, 'i', 'inbox')"
ADD NODE "(6, 'i', 'control')" "control" randompos inbox
ADD LINK "6" "(6, 'i', 'control')"
ADD NODE "(6, 'o', 'outbox')" "outbox" randompos outbox
ADD LINK "6" "(6, 'o', 'outbox')"
ADD NODE "(6, 'o', 'signal')" "signal" randompos outbox
ADD LINK "6" "(6, 'o', 'signal')"
ADD LINK "(7, 'o', 'outbox')" "(6, 'i', 'inbox')"
p7
DEL LINK "(7, 'o', 'outbox')" "(6, 'i', 'inbox')"
DEL NODE "6"
DEL NODE "(6, 'i', 'inbox')"
DEL NODE "(6, 'i', 'control')"
DEL NODE "(6, 'o', 'outbox')"
DEL NODE "(6, 'o', 'signal')"
p9
DEL NODE "7"
DEL NODE "(7, 'i', 'inbox')"
DEL NODE "(7, 'i', 'control')"
DEL NODE "(7, 'o', 'outbox')"
DEL NODE "(7, 'o', 'signal')"
end pass=13 left=['p']
"#
    );
}
