//! T09: linking, re-linking, chains; no scheduler.

use std::fmt::Write;

use axon::prelude::*;
use axon::{LinkError, LinkOptions, Postoffice};

use crate::harness::*;

/// AX-BOX-04..07, AX-COMP-06, 08, AX-PO-05.
#[test]
fn t09_linking_relinking_chains() {
    trace();
    let plain = |name| actor(name, async |_: Actor| {});
    let (a, b, c) = (plain("a"), plain("b"), plain("c"));
    let (mut of_a, mut of_b) = (Postoffice::new(), Postoffice::new());
    let mut out = String::new();
    let show = |out: &mut String, text: &str| {
        let n = |x: &Instance<Boxes>| format!("{}/{}", x.inbox.len(), x.inbox.far_len());
        let line = format!("a={} b={} c={} {text}", n(&a), n(&b), n(&c));
        writeln!(out, "{}", line.trim_end()).unwrap();
    };
    let send = |from: &Instance<Boxes>, n: i32| from.outbox.send(Message::new(n)).unwrap();

    let l1 = of_a.link((&a, "outbox"), (&b, "inbox")).unwrap();
    send(&a, 1);
    send(&a, 2);
    show(&mut out, "sent 1,2 to b");
    let l2 = of_b.link_with((&b, "inbox"), (&c, "inbox"), LinkOptions::pass_in()).unwrap();
    show(&mut out, "linked b.inbox->c.inbox");
    send(&a, 3);
    show(&mut out, "sent 3");
    writeln!(out, "b.recv {}", b.inbox.try_recv().unwrap()).unwrap();
    show(&mut out, "");
    of_b.unlink(&l2);
    show(&mut out, "unlinked");
    send(&a, 4);
    show(&mut out, "sent 4");
    of_a.unlink(&l1);
    send(&a, 5);
    show(&mut out, "unlinked, sent 5 (lost)");
    of_a.link_with((&c, "outbox"), (&a, "outbox"), LinkOptions::pass_out()).unwrap();
    of_a.link((&a, "outbox"), (&b, "inbox")).unwrap();
    send(&c, 6);
    show(&mut out, "c.outbox->a.outbox->b.inbox, sent 6");
    let full = if a.outbox.is_full() { "True" } else { "False" };
    writeln!(out, "{} {full}", a.outbox.len()).unwrap();
    let error = match of_a.link((&c, "outbox"), (&b, "control")) {
        Err(LinkError::AlreadyLinked { .. }) => "BoxAlreadyLinkedToDestination",
        other => panic!("{other:?}"),
    };
    writeln!(out, "{error} {}", of_a.linkages().len()).unwrap();
    of_a.unlink_component(&a);
    show(&mut out, "unlink(a)");
    send(&c, 7);
    show(&mut out, "");
    writeln!(out, "{}", of_a.linkages().len()).unwrap();
    let left = |x: &Instance<Boxes>| list(x.inbox.drain().collect());
    writeln!(out, "b {} c {}", left(&b), left(&c)).unwrap();
    assert_eq!(
        out,
        "\
a=0/0 b=2/2 c=0/0 sent 1,2 to b
a=0/0 b=0/2 c=2/2 linked b.inbox->c.inbox
a=0/0 b=0/3 c=3/3 sent 3
b.recv 1
a=0/0 b=0/2 c=2/2
a=0/0 b=0/0 c=2/2 unlinked
a=0/0 b=1/1 c=2/2 sent 4
a=0/0 b=1/1 c=2/2 unlinked, sent 5 (lost)
a=0/0 b=2/2 c=2/2 c.outbox->a.outbox->b.inbox, sent 6
2 False
BoxAlreadyLinkedToDestination 2
a=0/0 b=2/2 c=2/2 unlink(a)
a=0/0 b=2/2 c=2/2
0
b [4, 6] c [2, 3]
"
    );
}
