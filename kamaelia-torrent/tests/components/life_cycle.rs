//! Patrons coming and going in every order, with a stand-in client.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use axon::prelude::*;
use axon::tracker::Tracker as Cat;
use kamaelia_torrent::components::{
    CloseTorrent, CreateNewTorrent, PatronPorts, RequestTag, TorrentEvent, TorrentPatron, TorrentService,
};
use kamaelia_torrent::engine::TorrentId;

ports! {
    struct StandInPorts {
        in  { inbox: Message, control: Ipc }
        out { outbox: TorrentEvent, signal: Ipc }
    }
}

/// What the stand-in clients of one test saw.
#[derive(Default)]
struct Record {
    clients: Cell<usize>,
    alive: Cell<usize>,
    closed: RefCell<Vec<u32>>,
}

struct StandIn {
    record: Rc<Record>,
    /// Steps between a request and its answer.
    delay: usize,
    /// Ends without having been told to after so many requests.
    dies_after: usize,
}

impl Component for StandIn {
    type Ports = StandInPorts;

    async fn main(self, cx: Cx<StandInPorts>) {
        let record = &self.record;
        record.clients.set(record.clients.get() + 1);
        record.alive.set(record.alive.get() + 1);
        let mut known: BTreeMap<Vec<u8>, TorrentId> = BTreeMap::new();
        let mut requests = 0;
        loop {
            while let Some(message) = cx.inbox.try_recv() {
                match CreateNewTorrent::from_message(message) {
                    Ok(create) => {
                        requests += 1;
                        if requests > self.dies_after {
                            record.alive.set(record.alive.get() - 1);
                            return;
                        }
                        for _ in 0..self.delay {
                            cx.yield_now().await;
                        }
                        let (key, tag) = (create.raw_metainfo.to_vec(), create.tag);
                        let next = TorrentId(known.len() as u32 + 1);
                        let answer = match known.get(&key) {
                            Some(id) => TorrentEvent::TorrentAlreadyDownloading { torrent_id: *id, tag },
                            None => {
                                known.insert(key, next);
                                TorrentEvent::NewTorrentCreated {
                                    torrent_id: next,
                                    save_folder: "".into(),
                                    listen: None,
                                    tag,
                                }
                            }
                        };
                        cx.outbox.send(answer).unwrap();
                    }
                    Err(message) => {
                        let close = message.downcast::<CloseTorrent>().unwrap();
                        record.closed.borrow_mut().push(close.torrent_id.0);
                    }
                }
            }
            if cx.control.try_recv().is_some_and(|m| matches!(m, Ipc::Shutdown)) {
                for _ in 0..self.delay {
                    cx.yield_now().await;
                }
                record.alive.set(record.alive.get() - 1);
                cx.signal.send(Ipc::producer_finished_by(cx.id())).unwrap();
                return;
            }
            cx.pause().await;
        }
    }
}

struct World {
    s: Scheduler,
    cat: Rc<Cat>,
    record: Rc<Record>,
    delay: usize,
    dies_after: usize,
}

impl World {
    fn new(delay: usize) -> Self {
        let s = Scheduler::new();
        World { s, cat: Cat::new(), record: Rc::default(), delay, dies_after: usize::MAX }
    }

    fn patron(&self) -> Instance<PatronPorts> {
        self.patron_with(|p| p)
    }

    fn patron_with(&self, change: impl FnOnce(TorrentPatron) -> TorrentPatron) -> Instance<PatronPorts> {
        let (record, delay, dies_after) = (self.record.clone(), self.delay, self.dies_after);
        let make = move || StandIn { record: record.clone(), delay, dies_after }.create().any();
        let patron = change(TorrentPatron::with_client(make)).create();
        patron.set_tracker(self.cat.clone());
        self.s.activate(&patron);
        patron
    }

    fn hear(&self, patron: &Instance<PatronPorts>) -> Instance<EarPorts> {
        let ear = Ear.create();
        axon::link(&patron.outbox, &ear.inbox).unwrap();
        axon::link(&patron.signal, &ear.control).unwrap();
        ear
    }

    fn settle(&self) {
        self.s.run_until_idle().unwrap();
    }

    fn assert_all_over(&self) {
        self.settle();
        assert!(self.cat.services().is_empty(), "still registered: {:?}", self.cat.services());
        assert_eq!(self.record.alive.get(), 0, "a client is still alive");
        assert!(self.s.processes().is_empty(), "still there: {:?}", self.s.processes());
    }
}

ports! { struct EarPorts { in { inbox: TorrentEvent, control: Ipc } out { } } }

/// Never activated: its inboxes keep what arrives.
struct Ear;
impl Component for Ear {
    type Ports = EarPorts;
    async fn main(self, _: Cx<EarPorts>) {}
}

fn ask(patron: &Instance<PatronPorts>, what: &str, tag: u64) {
    let mut create = CreateNewTorrent::new(what.as_bytes());
    create.tag = Some(RequestTag(tag));
    patron.inbox.deliver(Message::new(create)).unwrap();
}

fn texts(ear: &Instance<EarPorts>) -> Vec<(Option<RequestTag>, String)> {
    ear.inbox.drain().map(|e| (e.tag(), e.to_string())).collect()
}

/// TO-SRV-05, 07, 09; TO-PAT-03; D-34, D-35, D-37, D-50.
#[test]
fn every_order_of_coming_asking_and_leaving_ends_clean() {
    // Four patrons; each comes, asks, leaves. All 24 orders of leaving, slow and fast clients.
    for delay in [0, 3] {
        for order in permutations(&[0, 1, 2, 3]) {
            let w = World::new(delay);
            let patrons: Vec<_> = (0..4).map(|_| w.patron()).collect();
            let ears: Vec<_> = patrons.iter().map(|p| w.hear(p)).collect();
            for (i, p) in patrons.iter().enumerate() {
                ask(p, "shared", i as u64);
                ask(p, &format!("own {i}"), 10 + i as u64);
            }
            w.settle();
            for (i, ear) in ears.iter().enumerate() {
                let tags: Vec<_> = texts(ear).into_iter().map(|(tag, _)| tag.unwrap().0).collect();
                assert_eq!(tags, [i as u64, 10 + i as u64], "each answer once, to its asker, in order");
            }
            for i in order {
                patrons[i].control.deliver(Ipc::Shutdown).unwrap();
                w.settle();
                assert!(patrons[i].is_stopped());
                assert_eq!(ears[i].control.len(), 1, "producer finished");
            }
            assert_eq!(w.record.clients.get(), 1);
            w.assert_all_over();
        }
    }
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (i, first) in items.iter().enumerate() {
        let rest: Vec<usize> = items.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, x)| *x).collect();
        all.extend(permutations(&rest).into_iter().map(|mut p| {
            p.insert(0, *first);
            p
        }));
    }
    all
}

/// TO-SRV-09.
#[test]
fn d_32_a_patron_that_comes_while_the_client_stops_gets_a_new_client() {
    for wait in 0..12 {
        let w = World::new(5);
        let first = w.patron();
        w.settle();
        first.control.deliver(Ipc::Shutdown).unwrap();
        // Somewhere on the way down.
        for _ in 0..wait * 3 {
            w.s.step().unwrap();
        }
        let second = w.patron();
        let ear = w.hear(&second);
        ask(&second, "x", 1);
        w.settle();
        assert_eq!(texts(&ear).len(), 1, "after {wait} steps");
        second.control.deliver(Ipc::Shutdown).unwrap();
        w.assert_all_over();
    }
}

#[test]
fn d_35_a_torrent_created_for_a_patron_that_left_is_closed() {
    let w = World::new(6);
    let (stays, leaves) = (w.patron(), w.patron());
    w.settle();
    ask(&leaves, "x", 1);
    for _ in 0..9 {
        w.s.step().unwrap();
    }
    leaves.control.deliver(Ipc::Shutdown).unwrap();
    w.settle();
    assert_eq!(*w.record.closed.borrow(), [1]);
    stays.control.deliver(Ipc::Shutdown).unwrap();
    w.assert_all_over();
}

#[test]
fn d_45_a_torrent_is_closed_with_its_last_owner() {
    let w = World::new(0);
    let (a, b) = (w.patron(), w.patron());
    ask(&a, "x", 1);
    w.settle();
    ask(&b, "x", 2);
    w.settle();
    let close = || Message::new(CloseTorrent { torrent_id: TorrentId(1) });
    a.inbox.deliver(close()).unwrap();
    a.inbox.deliver(close()).unwrap(); // a second time: no owner any more, so nothing
    w.settle();
    assert!(w.record.closed.borrow().is_empty(), "b still wants it");
    b.inbox.deliver(close()).unwrap();
    w.settle();
    assert_eq!(*w.record.closed.borrow(), [1]);
    for p in [a, b] {
        p.control.deliver(Ipc::Shutdown).unwrap();
    }
    w.assert_all_over();
}

/// TO-PAT-03.
#[test]
fn d_49_producer_finished_waits_for_the_answers() {
    let w = World::new(7);
    let p = w.patron();
    let ear = w.hear(&p);
    ask(&p, "x", 1);
    ask(&p, "y", 2);
    p.control.deliver(Ipc::producer_finished()).unwrap();
    w.settle();
    assert_eq!(texts(&ear).len(), 2);
    w.assert_all_over();
}

#[test]
fn d_49_shutdown_microprocess_ends_a_patron_with_a_busy_sender() {
    let w = World::new(0);
    let p = w.patron();
    w.settle();
    for i in 0..1000 {
        ask(&p, "x", i);
    }
    p.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    w.assert_all_over();
    assert!(p.inbox.len() > 900);
}

/// TO-SRV-08.
#[test]
fn d_36_a_shutdown_of_the_service_stops_the_client_and_patrons_can_go_on_with_a_new_one() {
    let w = World::new(2);
    let p = w.patron();
    let ear = w.hear(&p);
    w.settle();
    let service = TorrentService::get(&w.cat).unwrap();
    assert!(service.new.is_none());
    let inbox = Knock.create();
    axon::link(&inbox.outbox, &service.shutdown).unwrap();
    inbox.outbox.send(Ipc::Shutdown).unwrap();
    w.settle();
    assert_eq!(w.record.alive.get(), 0);
    assert!(w.cat.services().is_empty());
    ask(&p, "x", 1);
    w.settle();
    assert_eq!(texts(&ear).len(), 1);
    assert_eq!(w.record.clients.get(), 2);
    p.control.deliver(Ipc::Shutdown).unwrap();
    w.assert_all_over();
}

ports! { struct KnockPorts { in { } out { outbox: Ipc } } }
struct Knock;
impl Component for Knock {
    type Ports = KnockPorts;
    async fn main(self, _: Cx<KnockPorts>) {}
}

#[test]
fn a_client_that_dies_fails_its_torrents_and_is_replaced() {
    let mut w = World::new(0);
    w.dies_after = 1;
    let p = w.patron();
    let ear = w.hear(&p);
    ask(&p, "x", 1);
    ask(&p, "y", 2);
    w.settle();
    let heard = texts(&ear);
    assert!(heard[0].1.starts_with("New torrent 1"), "{heard:?}");
    assert!(heard.iter().any(|(tag, t)| *tag == Some(RequestTag(2)) && t.contains("has ended")), "{heard:?}");
    assert!(heard.iter().any(|(_, t)| t.starts_with("Torrent 1 failed")), "{heard:?}");
    ask(&p, "z", 3);
    w.settle();
    assert!(texts(&ear)[0].1.starts_with("New torrent 1"), "numbers start again with a new client");
    p.control.deliver(Ipc::Shutdown).unwrap();
    w.assert_all_over();
}

#[test]
fn a_patron_can_wait_for_its_downloads() {
    let w = World::new(0);
    let p = w.patron_with(|p| p.finish_downloads(true));
    ask(&p, "x", 1);
    p.control.deliver(Ipc::producer_finished()).unwrap();
    w.settle();
    assert!(!p.is_stopped(), "the torrent is not complete");
    p.control.deliver(Ipc::Shutdown).unwrap();
    w.assert_all_over();
}

#[test]
fn a_slow_reader_loses_nothing() {
    let w = World::new(0);
    let p = w.patron();
    let ear = w.hear(&p);
    ear.inbox.set_bound(2);
    for i in 0..20 {
        ask(&p, &format!("t{i}"), i);
    }
    p.control.deliver(Ipc::producer_finished()).unwrap();
    let mut heard = 0;
    while heard < 20 {
        w.settle();
        assert_eq!(p.is_stopped(), heard == 18, "it leaves when everything is said");
        assert_eq!(ear.inbox.len(), 2);
        heard += ear.inbox.drain().count();
    }
    w.assert_all_over();
}
