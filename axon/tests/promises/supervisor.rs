//! Supervisors: children crash in every state, and are started again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use axon::prelude::*;
use axon::supervisor::{Restart, Strategy, Supervisor, SupervisorError, SupervisorEvent};
use axon::{Cause, Clock, Error, OnFailure, SchedulerOptions, link};

use crate::common::*;

type Log = Rc<RefCell<Vec<String>>>;

/// Mortal, so that a failure that reaches the scheduler ends the run; virtual time; with each of several orders.
fn schedulers() -> impl Iterator<Item = Scheduler> {
    [None, Some(1), Some(2), Some(3)].into_iter().map(|shuffle| {
        Scheduler::set_thread_default(None);
        let options = SchedulerOptions { clock: Clock::Virtual, shuffle, on_failure: OnFailure::EndRun };
        Scheduler::with_options(options)
    })
}

/// Runs a supervisor with one child of the given kind beside a bystander. `crash(n)` makes the `n`th child, from 0;
/// the third lives. Returns the causes that the supervisor told of.
fn crashes(crash: impl Fn(u32) -> AnyInstance + Clone + 'static) -> Vec<String> {
    let mut causes = Vec::new();
    for s in schedulers() {
        let made = Rc::new(Cell::new(0));
        let (count, crash) = (made.clone(), crash.clone());
        let supervisor = Supervisor::new()
            .child("it", move || {
                count.set(count.get() + 1);
                if count.get() <= 2 { crash(count.get() - 1) } else { sleeper().0.any() }
            })
            .create();
        let watcher = plain();
        link(supervisor.outbox.untyped(), &watcher.inbox).unwrap();
        let (bystander, ran) = sleeper();
        s.activate(&bystander);
        s.activate(&supervisor);
        while made.get() < 3 {
            s.run_until_idle().unwrap(); // a mortal scheduler would end with the failure
            std::thread::yield_now(); // a child's thread may have something to do
        }
        s.run_until_idle().unwrap();
        assert!(!supervisor.is_stopped());
        bystander.unpause();
        s.run_until_idle().unwrap();
        assert_eq!(ran.get(), 2, "nobody else was harmed");
        causes = watcher
            .inbox
            .drain()
            .filter_map(|m| match m.downcast::<SupervisorEvent>().unwrap() {
                SupervisorEvent::Failed { child, cause } => Some(format!("{child}: {cause}")),
                _ => None,
            })
            .collect();
        assert_eq!(causes.len(), 2);
        supervisor.control.deliver(Ipc::shutdown_microprocess()).unwrap();
        bystander.stop();
        s.run().unwrap();
        assert!(supervisor.is_stopped());
    }
    causes
}

#[test]
fn a_child_that_fails_in_its_first_step() {
    let causes = crashes(|n| match n {
        0 => body(async |cx| cx.end_with(Err("an error"))).any(),
        _ => body(async |_| panic!("a panic")).any(),
    });
    assert_eq!(causes, ["it: an error", "it: panicked: a panic"]);
}

#[test]
fn a_child_that_fails_in_mid_run_or_while_it_is_woken() {
    let causes = crashes(|n| {
        body(async move |cx| {
            cx.yield_now().await;
            cx.launch(Waker(cx.instance()));
            cx.pause().await;
            if n == 0 {
                return cx.end_with(Err("woken by a message"));
            }
            panic!("woken by {} message", cx.inbox.len());
        })
        .any()
    });
    assert_eq!(
        causes,
        ["it: woken by a message", "it: panicked: woken by 2 message"],
        "the unread one is handed on"
    );
}

struct Waker(Instance<Boxes>);
impl Component for Waker {
    type Ports = Boxes;
    async fn main(self, cx: Cx<Boxes>) {
        cx.yield_now().await;
        self.0.inbox.deliver(Message::new(1)).unwrap();
    }
}

#[test]
fn a_child_that_panics_in_its_stop_hook_or_in_its_close_down_hook() {
    let causes = crashes(|n| {
        let c = plain();
        if n == 0 {
            c.on_stop(|| panic!("in stop"));
        } else {
            c.on_close_down(|| panic!("in close down"));
        }
        c.any()
    });
    assert_eq!(causes, ["it: panicked: in stop", "it: panicked: in close down"]);
}

#[test]
fn a_child_that_panics_while_it_is_dropped_or_stopped() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let causes = crashes(|n| {
        let c = body(async move |cx| {
            let _bomb = Bomb;
            if n == 0 {
                return cx.yield_now().await;
            }
            cx.launch(Stopper(cx.instance().any()));
            cx.pause().await;
        });
        c.any()
    });
    assert_eq!(causes, ["it: panicked: in drop", "it: panicked: in drop"]);
}

struct Stopper(AnyInstance);
impl Component for Stopper {
    type Ports = Boxes;
    async fn main(self, cx: Cx<Boxes>) {
        cx.yield_now().await;
        self.0.stop();
    }
}

#[test]
fn a_child_that_fails_while_it_waits_to_be_complete() {
    let causes = crashes(|n| {
        body(async move |cx| {
            cx.wait_complete(async {
                cx.yield_now().await;
                if n == 0 {
                    cx.end_with(Err("inner error"));
                } else {
                    panic!("inner panic");
                }
            })
            .await;
        })
        .any()
    });
    assert_eq!(causes, ["it: inner error", "it: panicked: inner panic"]);
}

#[test]
fn a_child_that_fails_in_its_thread() {
    let causes = crashes(|n| {
        threaded::<Boxes, _, _>(
            move |_| {
                if n == 0 { Err("a thread's error") } else { panic!("a thread's panic") }
            },
        )
        .into()
    });
    assert_eq!(causes, ["it: a thread's error", "it: panicked: a thread's panic"]);
}

/// The failed child's inbox was full and a producer waited for room: nothing of what it had not read is lost.
#[test]
fn a_child_that_fails_while_its_bounded_box_is_full() {
    for s in schedulers() {
        let read = Log::default();
        let (log, fails) = (read.clone(), Rc::new(Cell::new(2)));
        let supervisor = Supervisor::new()
            .child("producer", || {
                body(async |cx| {
                    for n in 0..10 {
                        cx.outbox.send_wait(Message::new(n)).await.unwrap();
                    }
                })
            })
            .child("consumer", move || {
                let (log, fails) = (log.clone(), fails.clone());
                let c = body(async move |cx| {
                    cx.yield_now().await; // the inbox is full by now
                    cx.yield_now().await;
                    loop {
                        let n = cx.inbox.recv().await.downcast::<i32>().unwrap();
                        log.borrow_mut().push(n.to_string());
                        if n % 4 == 3 && fails.get() > 0 {
                            fails.set(fails.get() - 1);
                            panic!("over {n}");
                        }
                    }
                });
                c.inbox.set_bound(2);
                c
            })
            .link(("producer", "outbox"), ("consumer", "inbox"))
            .create();
        s.activate(&supervisor);
        s.run_until_idle().unwrap();
        assert_eq!(*read.borrow(), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
        supervisor.stop();
        s.run().unwrap();
    }
}

/// One for one: the other child is the same one; its links to the new child are made again, and so is what the
/// program's own callback makes.
#[test]
fn one_for_one_restarts_one_and_makes_its_links_again() {
    for s in schedulers() {
        let (outside, made) = (plain(), Log::default());
        let (log_a, log_b) = (made.clone(), made.clone());
        let sink = outside.clone();
        let supervisor = Supervisor::new()
            .child("a", move || {
                log_a.borrow_mut().push("a".into());
                body(async |cx| {
                    for n in 0..4 {
                        cx.outbox.send(Message::new(n)).unwrap();
                        cx.yield_now().await;
                    }
                    cx.control.recv().await;
                })
            })
            .child("b", move || {
                log_b.borrow_mut().push("b".into());
                body(async |cx| {
                    loop {
                        let n = cx.inbox.recv().await.downcast::<i32>().unwrap();
                        cx.outbox.send(Message::new(n)).unwrap();
                        assert_ne!(n, 1, "the second one kills it");
                    }
                })
            })
            .link(("a", "outbox"), ("b", "inbox"))
            .wire(move |cx, name, child| {
                if name == "b" {
                    cx.link((child, "outbox"), (&sink, "inbox"))?;
                }
                Ok(())
            })
            .create();
        s.activate(&supervisor);
        s.run_until_idle().unwrap();
        assert_eq!(*made.borrow(), ["a", "b", "b"]);
        assert_eq!(numbers(&outside), [0, 1, 2, 3]);
        supervisor.stop();
        s.run().unwrap();
        assert!(s.processes().is_empty(), "they are stopped with it");
    }
}

#[test]
fn one_for_all_ends_the_others_first_in_reverse_order() {
    for s in schedulers() {
        let log = Log::default();
        let child = |name: &'static str, log: &Log, fails: bool| {
            let (log, once) = (log.clone(), Rc::new(Cell::new(fails)));
            move || {
                log.borrow_mut().push(format!("{name} made"));
                let (log, once) = (log.clone(), once.clone());
                body(async move |cx| {
                    if once.replace(false) {
                        cx.yield_now().await;
                        panic!("once");
                    }
                    let end = cx.control.recv().await;
                    log.borrow_mut().push(format!("{name} {}", end.kind()));
                })
            }
        };
        let supervisor = Supervisor::new()
            .strategy(Strategy::OneForAll)
            .child("a", child("a", &log, false))
            .child("b", child("b", &log, true))
            .child("c", child("c", &log, false))
            .child_with("d", Restart::Never, child("d", &log, false))
            .create();
        s.activate(&supervisor);
        s.run_until_idle().unwrap();
        let all = log.take();
        assert_eq!(
            all,
            [
                "a made",
                "b made",
                "c made",
                "d made",
                "d shutdownMicroprocess",
                "c shutdownMicroprocess",
                "a shutdownMicroprocess",
                "a made",
                "b made",
                "c made"
            ]
        );
        // At the end of the input, in the order in which they were made.
        supervisor.control.deliver(Ipc::producer_finished()).unwrap();
        s.run().unwrap();
        assert_eq!(log.take(), ["a producerFinished", "b producerFinished", "c producerFinished"]);
    }
}

/// Its limit is by the scheduler's clock: three restarts in ten seconds are allowed, a fourth is not.
#[test]
fn too_many_restarts_make_the_supervisor_fail() {
    for (rest, survives) in [(Duration::from_secs(4), true), (Duration::from_secs(3), false)] {
        for s in schedulers() {
            let lives = Rc::new(Cell::new(0));
            let count = lives.clone();
            let other_ended = Rc::new(Cell::new(false));
            let ended = other_ended.clone();
            let supervisor = Supervisor::new()
                .limit(3, Duration::from_secs(10))
                .child("other", move || {
                    let ended = ended.clone();
                    body(async move |cx| {
                        cx.control.recv().await;
                        ended.set(true);
                    })
                })
                .child("bad", move || {
                    count.set(count.get() + 1);
                    let n = count.get();
                    body(async move |cx| {
                        cx.sleep(rest).await;
                        if n < 8 {
                            panic!("number {n}");
                        }
                        cx.stop_scheduler();
                    })
                })
                .create();
            s.activate(&supervisor);
            let outcome = s.run();
            if survives {
                outcome.unwrap();
                assert_eq!(lives.get(), 8);
                continue;
            }
            let Err(Error::Component(failure)) = outcome else { panic!("it did not give up") };
            assert_eq!((failure.id, lives.get()), (supervisor.id(), 4));
            let Cause::Error(e) = failure.cause else { panic!("{failure}") };
            let e = e.downcast::<SupervisorError>().unwrap();
            assert!(
                matches!(&*e, SupervisorError::TooManyRestarts { child, restarts: 3, .. } if child == "bad")
            );
            assert!(e.to_string().contains("number 4"), "{e}");
            assert!(other_ended.get(), "the other child was ended in order");
            assert!(s.processes().is_empty());
        }
    }
}

/// A supervisor that gives up is a failed child of its own supervisor, which starts it again with new children.
#[test]
fn a_supervisor_that_gives_up_tells_its_own() {
    for s in schedulers() {
        let lives = Rc::new(Cell::new(0));
        let count = lives.clone();
        let top = Supervisor::new()
            .child("middle", move || {
                let count = count.clone();
                Supervisor::new().limit(2, Duration::from_secs(1)).child("bad", move || {
                    count.set(count.get() + 1);
                    let n = count.get();
                    body(async move |cx| {
                        if n <= 6 {
                            return cx.end_with(Err("again"));
                        }
                        cx.pause().await;
                    })
                })
            })
            .create();
        let watcher = plain();
        link(top.outbox.untyped(), &watcher.inbox).unwrap();
        s.activate(&top);
        s.run_until_idle().unwrap();
        assert_eq!(lives.get(), 7, "three lives in each of two, and one in the third");
        let events: Vec<_> =
            watcher.inbox.drain().map(|m| m.downcast::<SupervisorEvent>().unwrap()).collect();
        let failed = |e: &&SupervisorEvent| matches!(e, SupervisorEvent::Failed { child, cause } if child == "middle" && cause.contains("more than 2"));
        assert_eq!(events.iter().filter(failed).count(), 2);
        top.control.deliver(Ipc::shutdown_microprocess()).unwrap();
        s.run().unwrap();
        assert!(s.processes().is_empty());
    }
}

#[test]
fn a_factory_that_panics_counts_as_a_failure() {
    for s in schedulers() {
        let tries = Rc::new(Cell::new(0));
        let count = tries.clone();
        let supervisor = Supervisor::new().child("it", move || {
            count.set(count.get() + 1);
            assert!(count.get() > 2, "not yet");
            plain()
        });
        let supervisor = supervisor.create();
        let end = plain();
        link(supervisor.signal.untyped(), &end.control).unwrap();
        s.activate(&supervisor);
        s.run().unwrap();
        assert_eq!(tries.get(), 3);
        assert!(end.control.try_recv().unwrap().is_producer_finished(), "all have ended normally");
        // One that gives a component that ran already fails as well.
        let used = plain();
        s.activate(&used);
        s.run().unwrap();
        s.activate(Supervisor::new().child("used", move || used.clone()));
        let e = s.run().unwrap_err().to_string();
        assert!(e.contains("gave a component that had been activated"), "{e}");
    }
}

#[test]
fn restarts_follow_the_childs_own_rule() {
    for s in schedulers() {
        let made = Log::default();
        let child = |name: &'static str| {
            let made = made.clone();
            move || {
                made.borrow_mut().push(name.to_string());
                let first = made.borrow().iter().filter(|n| **n == name).count() == 1;
                body(async move |_| {
                    if !first {
                        std::future::pending().await
                    }
                })
            }
        };
        let supervisor = Supervisor::new()
            .child("ends", child("ends"))
            .child_with("always", Restart::Always, child("always"))
            .child_with("never", Restart::Never, || body(async |_| panic!("and that was it")))
            .create();
        s.activate(&supervisor);
        s.run_until_idle().unwrap();
        assert_eq!(*made.borrow(), ["ends", "always", "always"]);
        supervisor.control.deliver(Ipc::Shutdown).unwrap();
        s.run_until_idle().unwrap();
        assert!(!supervisor.is_stopped(), "that child does not read its control");
        s.run().unwrap(); // so it is stopped after 5 s of virtual time
        assert!(s.processes().is_empty());
    }
}

#[test]
fn a_wrong_link_is_an_error_that_names_it() {
    for (from, to, told) in [
        (("a", "outbox"), ("x", "inbox"), "there is no child \"x\""),
        (("a", "outbux"), ("b", "inbox"), "has no outbox \"outbux\""),
    ] {
        let s = fresh();
        let children = [plain(), plain()];
        let [a, b] = children.clone();
        let supervisor =
            Supervisor::new().child("a", move || a.clone()).child("b", move || b.clone()).link(from, to);
        s.activate(supervisor);
        let e = s.run().unwrap_err().to_string();
        assert!(e.contains(told), "{e}");
        assert!(s.processes().is_empty());
    }
}

/// Events wait for a receiver that is full; none is lost while the supervisor lives.
#[test]
fn events_wait_for_room() {
    let s = fresh();
    let supervisor = Supervisor::new()
        .limit(10, Duration::from_secs(1))
        .child("it", {
            let n = Cell::new(0);
            move || {
                n.set(n.get() + 1);
                if n.get() < 5 { body(async |_| panic!("again")) } else { sleeper().0 }
            }
        })
        .create();
    let watcher = plain();
    watcher.inbox.set_bound(1);
    link(supervisor.outbox.untyped(), &watcher.inbox).unwrap();
    s.activate(&supervisor);
    let mut events = Vec::new();
    for _ in 0..20 {
        s.run_until_idle().unwrap();
        events.extend(watcher.inbox.try_recv().map(|m| m.downcast::<SupervisorEvent>().unwrap()));
    }
    assert_eq!(events.len(), 9, "{events:?}");
}

/// The same for programs that watch a child themselves.
#[test]
fn whoever_asks_is_told_of_a_failure_in_place_of_the_scheduler() {
    let s = fresh();
    let told = Log::default();
    for n in 0..3 {
        let log = told.clone();
        let c = body(async move |cx| {
            cx.yield_now().await;
            match n {
                0 => cx.end_with(Err("an error")),
                1 => panic!("a panic"),
                _ => {}
            }
        });
        c.on_failure(move |f| log.borrow_mut().push(f.cause.to_string()));
        s.activate(&c);
    }
    let c = body(async |cx| cx.end_with(Err("not told")));
    c.on_failure(|_| panic!("in the hook"));
    s.activate(&c);
    s.run().unwrap();
    assert_eq!(*told.borrow(), ["an error", "panicked: a panic"]);
}
