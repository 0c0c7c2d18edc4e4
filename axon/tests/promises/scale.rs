//! Many components, many producers.

use std::cell::RefCell;
use std::rc::Rc;

use axon::prelude::*;
use axon::{link, ports};

use crate::common::*;
use crate::rounds;

ports! {
    pub struct Numbers {
        in  { inbox: u32, control: Ipc }
        out { outbox: u32, signal: Ipc }
    }
}

struct Idle;
impl Component for Idle {
    type Ports = Numbers;
    async fn main(self, cx: Cx<Numbers>) {
        cx.pause().await;
    }
}

#[test]
fn a_million_idle_components_are_made_and_dropped() {
    let all: Vec<_> = (0..if cfg!(miri) { 500 } else { 1_000_000 }).map(|_| Idle.create()).collect();
    assert!(all[0].id() < all[all.len() - 1].id());
    drop(all);
}

/// Components that were activated go too when their scheduler does, and take what they hold with them.
#[test]
fn a_dropped_scheduler_drops_everybody() {
    let token = Rc::new(());
    let s = fresh();
    for _ in 0..rounds(10_000) {
        let mine = token.clone();
        let c = body(async move |cx| {
            let _mine = mine;
            loop {
                cx.pause().await;
            }
        });
        let me = c.clone();
        link(&c.outbox, &me.inbox).unwrap(); // to itself, so that it refers to itself
        s.activate(&c);
    }
    s.run_until_idle().unwrap();
    assert_eq!(Rc::strong_count(&token), rounds(10_000) + 1);
    Scheduler::set_thread_default(None);
    drop(s);
    assert_eq!(Rc::strong_count(&token), 1);
}

/// 1,000 producers wait for room in an inbox of 10: all get their turn, in order, and none gets ahead by much.
#[test]
fn waiting_senders_are_served_fairly() {
    const PRODUCERS: u32 = if cfg!(miri) { 20 } else { 1000 };
    const EACH: u32 = 20;
    let s = fresh();
    let to = Idle.create();
    to.inbox.set_bound(10);
    let finished = Rc::new(RefCell::new(Vec::new()));
    struct Producer(u32, Rc<RefCell<Vec<u32>>>);
    impl Component for Producer {
        type Ports = Numbers;
        async fn main(self, cx: Cx<Numbers>) {
            for _ in 0..EACH {
                cx.outbox.send_wait(self.0).await.unwrap();
            }
            self.1.borrow_mut().push(self.0);
        }
    }
    for n in 0..PRODUCERS {
        let p = Producer(n, finished.clone()).create();
        link(&p.outbox, &to.inbox).unwrap();
        s.activate(&p);
    }
    let mut counts = vec![0_u32; PRODUCERS as usize];
    let mut total = 0;
    while total < PRODUCERS * EACH {
        s.run_until_idle().unwrap();
        assert!(to.inbox.len() <= 10);
        assert!(!to.inbox.is_empty(), "everybody sleeps with {total} messages delivered");
        for n in to.inbox.drain() {
            counts[n as usize] += 1;
            total += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        // The first ten places go to whoever runs first; from then on all wait in one queue.
        assert!(most - least <= 11, "one is at {most}, another at {least}");
    }
    s.run().unwrap();
    assert!(counts.iter().all(|c| *c == EACH));
    assert_eq!(finished.borrow().len(), PRODUCERS as usize);
}

/// Paused producers (the original's way) all get through too, woken by collections.
#[test]
fn paused_producers_all_get_through() {
    const PRODUCERS: i32 = if cfg!(miri) { 20 } else { 200 };
    let s = fresh();
    let to = plain();
    to.inbox.set_bound(3);
    for n in 0..PRODUCERS {
        let p = body(async move |cx| {
            let mut m = Message::new(n);
            while let Err(e) = cx.outbox.send(m) {
                m = e.into_message();
                cx.pause().await;
            }
        });
        link(&p.outbox, &to.inbox).unwrap();
        s.activate(&p);
    }
    let mut got = Vec::new();
    while got.len() < PRODUCERS as usize {
        s.run_until_idle().unwrap();
        assert!(!to.inbox.is_empty(), "everybody sleeps with {} messages delivered", got.len());
        got.push(numbers_one(&to));
    }
    s.run().unwrap();
    got.sort_unstable();
    assert!(got.into_iter().eq(0..PRODUCERS));
}

fn numbers_one(c: &Instance<Boxes>) -> i32 {
    c.inbox.try_recv().unwrap().downcast::<i32>().unwrap()
}

/// Raising the bound lets in as many as fit, not one.
#[test]
fn a_raised_bound_wakes_as_many_senders_as_fit() {
    let s = fresh();
    let to = plain();
    to.inbox.set_bound(0);
    for n in 0..10 {
        let p = body(async move |cx| cx.outbox.send_wait(Message::new(n)).await.unwrap());
        link(&p.outbox, &to.inbox).unwrap();
        s.activate(&p);
    }
    s.run_until_idle().unwrap();
    assert!(to.inbox.is_empty());
    to.inbox.set_bound(4);
    s.run_until_idle().unwrap();
    assert_eq!(to.inbox.len(), 4);
    to.inbox.set_bound(None);
    s.run().unwrap();
    assert!(numbers(&to).into_iter().eq(0..10));
}

/// Room that was promised at an inbox goes to the next there, when the outbox is linked elsewhere meanwhile.
#[test]
fn a_promise_does_not_move_with_the_link() {
    let s = fresh();
    let (old, new) = (plain(), plain());
    old.inbox.set_bound(1);
    old.inbox.deliver(Message::new(0)).unwrap();
    let sender = |n| body(async move |cx| cx.outbox.send_wait(Message::new(n)).await.unwrap());
    let (a, b) = (sender(1), sender(2));
    let l = link(&a.outbox, &old.inbox).unwrap();
    link(&b.outbox, &old.inbox).unwrap();
    s.activate(&a);
    s.activate(&b);
    s.run_until_idle().unwrap();
    assert_eq!(numbers(&old), [0]); // the room is a's
    l.unlink();
    link(&a.outbox, &new.inbox).unwrap();
    s.run().unwrap();
    assert_eq!((numbers(&old), numbers(&new)), (vec![2], vec![1]));
}

/// A dropped wait passes its turn on.
#[test]
fn a_sender_that_gives_up_does_not_swallow_the_room() {
    let s = fresh();
    let to = plain();
    to.inbox.set_bound(1);
    to.inbox.deliver(Message::new(0)).unwrap();
    let quitter = body(async |cx| {
        {
            let mut wait = cx.outbox.send_wait(Message::new(1));
            std::future::poll_fn(|task| {
                assert!(std::pin::Pin::new(&mut wait).poll(task).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            cx.pause().await; // told of room, and not interested any more
        }
        cx.pause().await;
    });
    let other = body(async |cx| cx.outbox.send_wait(Message::new(2)).await.unwrap());
    for p in [&quitter, &other] {
        link(&p.outbox, &to.inbox).unwrap();
        s.activate(p);
    }
    s.run_until_idle().unwrap();
    assert_eq!(numbers(&to), [0]);
    s.run_until_idle().unwrap();
    assert_eq!(numbers(&to), [2]);
}

/// A chain of pass-throughs is as long as the user likes: neither a message nor the end of all goes by recursion, which
/// this stack would not hold.
#[test]
fn a_chain_of_3000_pass_throughs_delivers_and_is_dropped() {
    let all = || {
        for forwards in [true, false] {
            let from = Idle.create();
            let length = if cfg!(miri) { 50 } else { 3000 };
            let chain: Vec<_> = (0..length).map(|_| Idle.create()).collect();
            link(&from.outbox, &chain[0].inbox).unwrap();
            let mut pairs: Vec<_> = chain.windows(2).collect();
            if !forwards {
                pairs.reverse();
            }
            for pair in pairs {
                link(&pair[0].inbox, &pair[1].inbox).unwrap();
            }
            from.outbox.send(7).unwrap();
            assert_eq!(chain[length - 1].inbox.try_recv(), Some(7));
            // The boxes hold each other now, from the first to the last.
            drop(chain);
            drop(from);
        }
    };
    let small = std::thread::Builder::new().stack_size(128 * 1024).spawn(all).unwrap();
    small.join().unwrap();
}

/// 100,000 links into one inbox are undone, by their maker and by the going of their sources, in far less time than the
/// square of their number would take.
#[test]
fn links_into_one_inbox_are_undone_at_a_cost_that_does_not_grow() {
    let to = Idle.create();
    let maker = Idle.create();
    let count = if cfg!(miri) { 100 } else { 100_000 };
    let producers: Vec<_> = (0..count).map(|_| Idle.create()).collect();
    for p in &producers {
        maker.link(&p.outbox, &to.inbox).unwrap();
    }
    for p in producers.iter().step_by(2) {
        maker.unlink_component(p);
    }
    assert_eq!(maker.linkages().len(), count / 2);
    assert!(!producers[0].outbox.is_linked() && producers[1].outbox.is_linked());
    drop(producers);
    maker.stop();
}

/// A parent hears of each end by itself, and does not look through all of its children for it.
#[test]
fn a_parent_of_100_000_children_that_end_one_by_one_keeps_up() {
    let children = if cfg!(miri) { 40 } else { 100_000 };
    let slow = children.min(1000);
    struct Child(u32);
    impl Component for Child {
        type Ports = Numbers;
        async fn main(self, cx: Cx<Numbers>) {
            for _ in 0..self.0 {
                cx.yield_now().await;
            }
        }
    }
    let reaped = Rc::new(RefCell::new(0));
    let seen = reaped.clone();
    let s = fresh();
    let parent = body(async move |cx| {
        for n in 0..children {
            let child = if n < slow { Child(n).create() } else { Child(0).create() };
            cx.add_child(&child);
            cx.activate(&child);
        }
        while cx.reap_children() {
            *seen.borrow_mut() += 1;
            cx.pause().await;
        }
        assert!(cx.children().is_empty());
    });
    s.activate(&parent);
    s.run().unwrap();
    assert!(*reaped.borrow() + 100 > slow, "{} wakes", reaped.borrow());
}

/// A child that is removed by hand is not kept for the next look at the ended ones.
#[test]
fn a_removed_child_is_let_go() {
    let s = fresh();
    let parent = Idle.create();
    let child = Idle.create();
    parent.add_child(&child);
    child.stop();
    let gone = Rc::new(());
    let held = gone.clone();
    child.on_close_down(move || drop(held));
    parent.remove_child(&child);
    assert!(parent.children().is_empty());
    drop(child);
    assert_eq!(Rc::strong_count(&gone), 1);
    drop(s);
}
