//! `Chassis/test_Pipeline.py`.

use std::cell::Cell;
use std::rc::Rc;

use crate::common::*;
use axon::chassis::ChassisPorts;
use axon::prelude::*;
use axon::{Error, link};

struct Line {
    s: Scheduler,
    pipeline: Instance<ChassisPorts>,
    kids: Vec<Instance<Boxes>>,
    ran: Vec<Rc<Cell<u32>>>,
}

fn line(n: usize) -> Line {
    let s = fresh();
    let (kids, ran): (Vec<_>, Vec<_>) = (0..n).map(|_| sleeper()).unzip();
    let pipeline = kids.iter().fold(Pipeline::new(), |p, k| p.then(k)).create();
    Line { s, pipeline, kids, ran }
}

fn running(n: usize) -> Line {
    let l = line(n);
    l.s.activate(&l.pipeline);
    l.s.run_until_idle().unwrap();
    l
}

/// CH-PIPE-01, CH-PIPE-02.
#[test]
fn test_PipelineActivatesChildrenOnlyWhenActivated() {
    let l = line(4);
    l.s.run_until_idle().unwrap();
    assert!(l.pipeline.children().is_empty() && l.ran.iter().all(|r| r.get() == 0));
    l.s.activate(&l.pipeline);
    l.s.run_until_idle().unwrap();
    assert_eq!(l.pipeline.children().len(), 4);
    assert!(l.ran.iter().all(|r| r.get() == 1));
}

/// CH-PIPE-04.
#[test]
fn test_PipelineTerminatesOnlyWhenAllChildrenHaveTerminated() {
    let l = running(4);
    for k in &l.kids {
        assert!(!l.pipeline.is_stopped());
        k.stop();
        l.s.run_until_idle().unwrap();
    }
    assert!(l.pipeline.is_stopped());
}

/// CH-PIPE-02, CH-PIPE-05.
#[test]
fn test_PipelineChildrenWiredOutboxInbox() {
    let l = running(4);
    for n in 0..3 {
        assert!(send(&l.kids[n], n as i32));
        assert_eq!(numbers(&l.kids[n + 1]), [n as i32]);
    }
    assert!(l.kids.iter().all(|k| k.inbox.is_empty()));
}

/// CH-PIPE-02.
#[test]
fn test_PipelineChildrenWiredSignalControl() {
    let l = running(4);
    for n in 0..3 {
        l.kids[n].signal.send(Ipc::producer_finished()).unwrap();
        assert!(l.kids[n + 1].control.try_recv().is_some());
    }
}

/// CH-PIPE-02.
#[test]
fn test_PipelineFirstChildWiredToParentInboxes() {
    let l = line(4);
    let before = plain();
    link(&before.outbox, &l.pipeline.inbox).unwrap();
    assert!(send(&before, 1), "messages wait until it is activated");
    l.s.activate(&l.pipeline);
    l.s.run_until_idle().unwrap();
    assert!(send(&before, 2));
    l.pipeline.control.deliver(Ipc::Shutdown).unwrap();
    assert_eq!(numbers(&l.kids[0]), [1, 2]);
    assert!(l.kids[0].control.try_recv().is_some());
}

/// CH-PIPE-02.
#[test]
fn test_PipelineLastChildWiredToParentOutboxes() {
    let l = running(4);
    let after = plain();
    link(&l.pipeline.outbox, &after.inbox).unwrap();
    link(&l.pipeline.signal, &after.control).unwrap();
    assert!(send(&l.kids[3], 1));
    l.kids[3].signal.send(Ipc::Shutdown).unwrap();
    assert_eq!(numbers(&after), [1]);
    assert!(after.control.try_recv().is_some());
}

/// CH-PIPE-01, CH-PIPE-03; not in the original's list.
#[test]
fn a_circular_pipeline_leads_back_and_an_empty_one_fails() {
    let s = fresh();
    let (a, b) = (sleeper().0, sleeper().0);
    s.activate(Pipeline::new().then(&a).then(&b).circular());
    s.run_until_idle().unwrap();
    assert!(send(&b, 7));
    assert_eq!(numbers(&a), [7]);
    assert!(b.signal.is_linked());

    fresh();
    let e = Pipeline::new().run().unwrap_err();
    let Error::Component(failure) = &e else { panic!("{e}") };
    assert!(failure.to_string().contains("at least one component"), "{failure}");
}
