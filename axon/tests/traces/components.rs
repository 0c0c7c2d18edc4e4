//! T07: children.

use axon::prelude::*;

use crate::harness::*;

/// AX-COMP-04, 05, 13.
#[test]
fn t07_children_ending_parent_woken() {
    let t = trace();
    let k = |name: &str, k: u32| {
        actor(name, async move |me: Actor| {
            for i in 0..k {
                me.log(i);
                me.yield_now().await;
            }
            me.outbox.send("bye".into()).unwrap();
            me.log("end");
        })
    };
    let par = actor("par", async move |me: Actor| {
        let kids = [("a", k("a", 1)), ("b", k("b", 3))];
        for (_, kid) in &kids {
            me.add_child(kid);
        }
        for (_, kid) in &kids {
            me.link((kid, "outbox"), (&*me, "inbox")).unwrap();
            me.activate(kid);
        }
        while !me.children().is_empty() {
            let mut stopped = Vec::new();
            for (name, kid) in &kids {
                if kid.is_stopped() && me.children().contains(&kid.any()) {
                    stopped.push(format!("'{name}'"));
                }
            }
            me.log(format!("look [{}] {}", stopped.join(", "), me.list_inbox()));
            if me.reap_children() {
                me.pause().await;
            }
        }
        let links = me.instance().linkages().len();
        me.log(format!("links {links} left {}", me.list_inbox()));
    });
    t.activate(&[&par]);
    assert_eq!(
        t.run(),
        "\
p1: par look [] []
p2: a 0 | b 0
p3: a end | b 1
p4: b 2 | par look ['a'] ['bye']
p5: b end
p6: par look ['b'] ['bye'] | par links 0 left []
end pass=6 left=[]
"
    );
}
