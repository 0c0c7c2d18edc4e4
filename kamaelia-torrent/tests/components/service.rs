//! The service and the patron by themselves, message by message (TO-SRV, TO-PAT, TO-IPC).

use std::cell::RefCell;
use std::rc::Rc;

use axon::prelude::*;
use axon::tracker::Tracker as Cat;
use kamaelia_torrent::components::{
    CreateNewTorrent, GetSessionStats, News, NewsKinds, PatronPorts, PauseTorrent, RequestTag,
    ServiceMessage, ServicePorts, Subscribe, TorrentEvent, TorrentPatron, TorrentService, TorrentStartFail,
};
use kamaelia_torrent::engine::TorrentId;

use crate::support::Bounded;

ports! {
    pub(crate) struct ClientPorts {
        in  { inbox: Message, control: Ipc }
        out { outbox: TorrentEvent, signal: Ipc }
    }
}

/// A client that does nothing by itself: the test reads its inbox and speaks for it. It ends when it is told to.
struct Puppet;
impl Component for Puppet {
    type Ports = ClientPorts;
    async fn main(self, cx: Cx<ClientPorts>) {
        while !matches!(cx.control.recv().await, Ipc::Shutdown) {}
        cx.signal.send(Ipc::producer_finished_by(cx.id())).unwrap();
    }
}

ports! {
    pub(crate) struct PatronSidePorts {
        in  { reply: TorrentEvent, words: String }
        out { notify: ServiceMessage }
    }
}

/// What a patron looks like from the service; never activated.
struct Side;
impl Component for Side {
    type Ports = PatronSidePorts;
    async fn main(self, _: Cx<PatronSidePorts>) {}
}

pub(crate) struct World {
    s: Scheduler,
    cat: Rc<Cat>,
    clients: Rc<RefCell<Vec<Instance<ClientPorts>>>>,
    service: Instance<ServicePorts>,
    debug: Instance<PatronSidePorts>,
}

impl World {
    /// A service that runs, with one patron so that it stays.
    pub(crate) fn new() -> (Self, Instance<PatronSidePorts>) {
        let (s, cat) = (Scheduler::new(), Cat::new());
        // A service activates its client when it is made, where whoever makes it runs.
        Scheduler::set_thread_default(Some(s.clone()));
        let clients = Rc::new(RefCell::new(Vec::new()));
        let made = clients.clone();
        let client = move || {
            let c = Puppet.create();
            made.borrow_mut().push(c.clone());
            c.any()
        };
        let service = TorrentService::get_with(&cat, client).unwrap().new.unwrap();
        let debug = Side.create();
        axon::link(&service.debug, &debug.words).unwrap();
        s.activate(&service);
        let w = World { s, cat, clients, service, debug };
        let patron = w.patron();
        w.tell(&patron, add(&patron));
        (w, patron)
    }

    pub(crate) fn patron(&self) -> Instance<PatronSidePorts> {
        let side = Side.create();
        axon::link(&side.notify, &self.service.notify).unwrap();
        side
    }

    pub(crate) fn tell(&self, patron: &Instance<PatronSidePorts>, message: ServiceMessage) {
        patron.notify.send(message).unwrap();
        self.s.run_until_idle().unwrap();
    }

    pub(crate) fn client(&self) -> Instance<ClientPorts> {
        self.clients.borrow().last().unwrap().clone()
    }

    pub(crate) fn say(&self, event: TorrentEvent) {
        self.client().outbox.send(event).unwrap();
        self.s.run_until_idle().unwrap();
    }

    fn outboxes(&self) -> usize {
        self.service.any().outboxes().iter().filter(|n| n.starts_with("clientoutbox")).count()
    }
}

pub(crate) fn add(side: &Instance<PatronSidePorts>) -> ServiceMessage {
    ServiceMessage::Add { reply_service: side.service("reply") }
}

fn remove(side: &Instance<PatronSidePorts>) -> ServiceMessage {
    ServiceMessage::Remove { reply_service: side.service("reply") }
}

pub(crate) fn pass_on(side: &Instance<PatronSidePorts>, message: Message) -> ServiceMessage {
    ServiceMessage::PassOn { reply_service: side.service("reply"), message }
}

pub(crate) fn created(id: u32) -> TorrentEvent {
    TorrentEvent::NewTorrentCreated {
        torrent_id: TorrentId(id),
        save_folder: "./x".into(),
        listen: None,
        tag: None,
    }
}

pub(crate) fn heard(side: &Instance<PatronSidePorts>) -> Vec<String> {
    side.reply.drain().map(|e| e.to_string()).collect()
}

/// TO-SRV-02, TO-SRV-03: both names lead to the service, which has made, linked and activated its client.
#[test]
fn to_srv_02_03_a_second_caller_finds_the_service_that_the_first_one_made() {
    let (w, _patron) = World::new();
    let found = TorrentService::get_with(&w.cat, || panic!("there is one already")).unwrap();
    assert!(found.new.is_none());
    assert_eq!(found.service.component().resolve(), Some(w.service.any()));
    assert_eq!((found.service.inbox(), found.shutdown.inbox()), ("notify", "control"));
    assert_eq!(w.cat.services(), ["torrentsrv", "torrentsrvshutdown"]);
    assert_eq!(w.service.children(), [w.client().any()]);
    assert!(w.s.contains(w.client().id()));
    let text = w.service.postoffice_text();
    for ends in
        [("outbox", "inbox"), ("signal", "control"), ("outbox", "inbox"), ("signal", "_torrentcontrol")]
    {
        assert!(text.contains(&format!(",{}], sink:[", ends.0)) && text.contains(&format!(",{}] )", ends.1)));
    }
}

/// TO-SRV-04: the first step does nothing; then patrons are heard before the client, and the client before a shutdown.
#[test]
fn to_srv_04_patrons_are_heard_first_then_the_client_then_control() {
    let cat = Cat::new();
    let client = Rc::new(RefCell::new(None));
    let made = client.clone();
    let service = TorrentService::get_with(&cat, move || {
        let c = Puppet.create();
        made.replace(Some(c.clone()));
        c.any()
    });
    let service = service.unwrap().new.unwrap();
    let client = client.take().unwrap();
    let side = Side.create();
    axon::link(&side.notify, &service.notify).unwrap();
    axon::link(&service.debug, &side.words).unwrap();
    service.control.deliver(Ipc::Status("first".into())).unwrap();
    client.outbox.send(created(1)).unwrap();
    side.notify.send(add(&side)).unwrap();
    let s = Scheduler::new();
    s.activate(&service);
    while s.pass() < 2 {
        s.step().unwrap();
    }
    assert!(side.words.is_empty(), "the first step");
    s.run_until_idle().unwrap();
    let words: Vec<_> = side.words.drain().step_by(2).collect();
    assert_eq!(words, ["NOTIFY", "INBOX", "CONTROL"]);
}

/// TO-SRV-01, TO-SRV-05, TO-IPC-03, TO-IPC-04: one outbox for each patron, however often it says that it comes or goes
/// (D-35); what is said to it arrives until it goes.
#[test]
fn to_srv_05_a_patron_that_comes_is_linked_and_one_that_goes_is_not() {
    let (w, stays) = World::new();
    let guest = w.patron();
    w.tell(&guest, add(&guest));
    w.tell(&guest, add(&guest));
    assert_eq!(w.outboxes(), 2);
    w.tell(&guest, pass_on(&guest, Message::from("x")));
    w.say(created(1));
    assert_eq!(heard(&guest), ["New torrent 1 created in ./x"]);
    w.tell(&guest, remove(&guest));
    w.tell(&guest, remove(&guest));
    assert_eq!(w.outboxes(), 1);
    assert!(!w.service.is_stopped(), "the other one is still there");
    w.say(created(2));
    assert!(heard(&guest).is_empty() && heard(&stays).is_empty());
    w.tell(&stays, remove(&stays));
    assert!(w.service.is_stopped() && w.client().is_stopped());
}

/// TO-SRV-06, TO-IPC-02: what asks for a torrent gets an answer to its asker; anything else is only passed on.
#[test]
fn to_srv_06_requests_are_unwrapped_and_passed_on() {
    let (w, patron) = World::new();
    let mut create = CreateNewTorrent::new(&b"typed"[..]);
    create.tag = Some(RequestTag(77));
    for message in [Message::new(create), Message::from("text"), Message::new(b"bytes".to_vec())] {
        w.tell(&patron, pass_on(&patron, message));
    }
    w.tell(&patron, pass_on(&patron, Message::new(5_u8)));
    let client = w.client();
    for wanted in [&b"typed"[..], b"text", b"bytes"] {
        let request = client.inbox.try_recv().unwrap().downcast::<CreateNewTorrent>().unwrap();
        assert_eq!(*request.raw_metainfo, *wanted);
    }
    assert_eq!(client.inbox.try_recv().unwrap().downcast::<u8>().unwrap(), 5);
    // Three of the four wait for an answer; the asker's own mark comes back with the first.
    for id in 1..=4 {
        w.say(created(id));
    }
    let tags: Vec<_> = patron.reply.drain().map(|e| e.tag()).collect();
    assert_eq!(tags, [Some(RequestTag(77)), None, None]);
}

/// TO-SRV-07, D-46: answers go to the askers in the order of their requests, later news to the owners only.
#[test]
fn to_srv_07_answers_go_to_the_askers_in_order_and_news_to_the_owners() {
    let (w, a) = World::new();
    let b = w.patron();
    w.tell(&b, add(&b));
    for (patron, what) in [(&a, "1"), (&b, "2"), (&a, "bad"), (&b, "1")] {
        w.tell(patron, pass_on(patron, Message::from(what)));
    }
    w.say(created(1));
    w.say(created(2));
    let fail = |torrent_id| {
        TorrentEvent::TorrentStartFail(TorrentStartFail { reason: "no".into(), torrent_id, tag: None })
    };
    w.say(fail(None));
    w.say(TorrentEvent::TorrentAlreadyDownloading { torrent_id: TorrentId(1), tag: None });
    assert_eq!(heard(&a), ["New torrent 1 created in ./x", "Torrent failed to start: no"]);
    assert_eq!(heard(&b), ["New torrent 2 created in ./x", "That torrent is already downloading!"]);
    w.say(fail(Some(TorrentId(2))));
    w.say(fail(Some(TorrentId(2)))); // nobody's any more (D-46)
    w.say(fail(Some(TorrentId(1))));
    assert_eq!(heard(&a), ["Torrent 1 failed: no"]);
    assert_eq!(heard(&b), ["Torrent 2 failed: no", "Torrent 1 failed: no"]);
}

/// The client hears what all subscribers together want; each of them hears what it wants itself.
#[test]
fn news_go_to_those_who_subscribed_and_the_client_is_asked_for_no_more() {
    let (w, a) = World::new();
    let b = w.patron();
    w.tell(&b, add(&b));
    let torrent_id = TorrentId(1);
    w.tell(&a, pass_on(&a, Message::from("1")));
    w.say(created(1));
    w.tell(&b, pass_on(&b, Message::from("1")));
    w.say(TorrentEvent::TorrentAlreadyDownloading { torrent_id, tag: None });
    heard(&a);
    heard(&b);
    while w.client().inbox.try_recv().is_some() {}
    let subscribe = |patron: &Instance<PatronSidePorts>, kinds| {
        w.tell(patron, pass_on(patron, Message::new(Subscribe { torrent_id, kinds })));
        let told = w.client().inbox.try_recv();
        assert!(w.client().inbox.is_empty());
        told.map(|m| m.downcast::<Subscribe>().unwrap().kinds)
    };
    let (pauses, pieces) = (NewsKinds::PAUSES, NewsKinds::PIECES);
    assert_eq!(subscribe(&a, pauses), Some(pauses));
    assert_eq!(subscribe(&b, pieces | pauses), Some(pieces | pauses));
    // Nothing new for the client.
    assert_eq!(subscribe(&b, pieces), None);
    let say = |news| w.say(TorrentEvent::News { torrent_id, news });
    say(News::Started);
    say(News::PieceVerified { piece: 7 });
    say(News::Completed);
    assert_eq!(heard(&a), ["Torrent 1 started"]);
    assert_eq!(heard(&b), ["Torrent 1 piece 7 verified"]);
    // Who leaves is not asked for any more; nor who does not want to hear.
    w.tell(&b, remove(&b));
    let last = w.client().inbox.try_recv().unwrap().downcast::<Subscribe>().unwrap();
    assert_eq!(last.kinds, pauses);
    assert_eq!(subscribe(&a, NewsKinds::NONE), Some(NewsKinds::NONE));
    say(News::Started);
    assert!(heard(&a).is_empty() && heard(&b).is_empty());
}

/// Two patrons may use the same tag; figures come back to whom asked, also when there is nobody to ask any more.
#[test]
fn figures_come_back_to_those_who_asked() {
    let (w, a) = World::new();
    let b = w.patron();
    w.tell(&b, add(&b));
    let tag = Some(RequestTag(5));
    for patron in [&a, &b] {
        w.tell(patron, pass_on(patron, Message::new(GetSessionStats { tag })));
    }
    let client = w.client();
    let tags: Vec<_> = client.inbox.drain().map(|m| m.downcast::<GetSessionStats>().unwrap().tag).collect();
    assert!(tags[0] != tags[1] && !tags.contains(&None));
    // Answered in the other order.
    for (tag, torrents) in [(tags[1], 2), (tags[0], 1)] {
        let stats = kamaelia_torrent::engine::SessionStats { torrents, ..Default::default() };
        w.say(TorrentEvent::SessionStats { stats: stats.into(), tag });
    }
    for (patron, torrents) in [(&a, 1), (&b, 2)] {
        let answers: Vec<_> = patron.reply.drain().collect();
        let [TorrentEvent::SessionStats { stats, tag: back }] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((stats.torrents, *back), (torrents, tag));
    }
    w.tell(&a, pass_on(&a, Message::new(GetSessionStats { tag })));
    w.service.control.deliver(Ipc::Shutdown).unwrap();
    w.s.run_bounded().unwrap();
    assert_eq!(heard(&a), ["Torrent 0 GetSessionStats: the torrent client has ended"]);
}

/// Only those who asked for a torrent may change it; others hear why not.
#[test]
fn a_request_about_the_torrent_of_another_does_not_reach_the_client() {
    let (w, a) = World::new();
    let b = w.patron();
    w.tell(&b, add(&b));
    w.tell(&a, pass_on(&a, Message::from("1")));
    w.say(created(1));
    while w.client().inbox.try_recv().is_some() {}
    let pause = || Message::new(PauseTorrent { torrent_id: TorrentId(1) });
    w.tell(&b, pass_on(&b, pause()));
    assert!(w.client().inbox.is_empty());
    assert_eq!(heard(&b), ["Torrent 1 PauseTorrent: this patron has no torrent of this number"]);
    w.tell(&a, pass_on(&a, pause()));
    assert!(w.client().inbox.try_recv().unwrap().is::<PauseTorrent>());
}

/// TO-SRV-08 as D-36 mends it: the client is stopped and the names are given back before the service ends.
#[test]
fn to_srv_08_d_36_a_shutdown_ends_the_service_with_its_client() {
    for message in [Ipc::Shutdown, Ipc::shutdown_microprocess()] {
        let (w, patron) = World::new();
        w.service.control.deliver(Ipc::producer_finished()).unwrap();
        w.s.run_until_idle().unwrap();
        assert!(!w.service.is_stopped(), "a producer finished is nothing to it");
        w.tell(&patron, pass_on(&patron, Message::from("x")));
        w.service.control.deliver(message).unwrap();
        w.s.run_bounded().unwrap();
        assert!(w.service.is_stopped() && w.client().is_stopped() && w.cat.services().is_empty());
        assert_eq!(heard(&patron), ["Torrent failed to start: the torrent service was shut down"]);
    }
}

/// TO-SRV-10.
#[test]
fn to_srv_10_every_message_is_told_on_debug_after_a_word() {
    let (w, patron) = World::new();
    w.tell(&patron, pass_on(&patron, Message::from("x")));
    w.say(created(1));
    w.service.control.deliver(Ipc::Status("fine".into())).unwrap();
    w.s.run_until_idle().unwrap();
    let told: Vec<_> = w.debug.words.drain().collect();
    let words: Vec<_> = told.iter().step_by(2).collect();
    assert_eq!(words, ["NOTIFY", "NOTIFY", "INBOX", "CONTROL"]);
    assert!(told[1].starts_with("Add") && told[3].starts_with("PassOn"), "{told:?}");
    assert_eq!(told[5..], ["New torrent 1 created in ./x", "CONTROL", "status(fine)"]);
}

ports! { struct EarPorts { in { inbox: TorrentEvent, control: Ipc } out { } } }
struct Ear;
impl Component for Ear {
    type Ports = EarPorts;
    async fn main(self, _: Cx<EarPorts>) {}
}

/// A patron at the service of a world, and what it says.
fn real_patron(w: &World) -> (Instance<PatronPorts>, Instance<EarPorts>) {
    let (patron, ear) = (TorrentPatron::with_client(|| panic!("there is one")).create(), Ear.create());
    patron.set_tracker(w.cat.clone());
    axon::link(&patron.outbox, &ear.inbox).unwrap();
    axon::link(&patron.signal, &ear.control).unwrap();
    w.s.activate(&patron);
    w.s.run_until_idle().unwrap();
    (patron, ear)
}

/// TO-PAT-01, TO-PAT-04: it registers with the service that is there, and shows what concerns its own torrents.
#[test]
fn to_pat_01_04_a_patron_registers_and_hears_of_its_own_torrents_only() {
    let (w, other) = World::new();
    let (patron, ear) = real_patron(&w);
    assert_eq!(w.outboxes(), 2);
    assert!(patron.children().is_empty(), "the service outlives it (D-50)");
    w.tell(&other, pass_on(&other, Message::from("theirs")));
    patron.inbox.deliver(Message::from("mine")).unwrap();
    w.s.run_until_idle().unwrap();
    w.say(created(1));
    w.say(created(2));
    assert_eq!(heard(&other), ["New torrent 1 created in ./x"]);
    let texts: Vec<_> = ear.inbox.drain().map(|e| e.to_string()).collect();
    assert_eq!(texts, ["New torrent 2 created in ./x"]);
}

/// TO-PAT-02: one message a step, requests before answers; control comes first of all (D-49).
#[test]
fn to_pat_02_a_patron_handles_one_message_a_step_and_requests_before_answers() {
    let (w, _other) = World::new();
    let (patron, ear) = real_patron(&w);
    for what in ["a", "b"] {
        patron.inbox.deliver(Message::from(what)).unwrap();
    }
    patron.torrent_inbox.deliver(created(1)).unwrap();
    let mut seen = Vec::new();
    let until = w.s.pass() + 5;
    while w.s.pass() < until {
        let now = (patron.inbox.len(), ear.inbox.len());
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        w.s.step().unwrap();
    }
    assert_eq!(seen, [(2, 0), (1, 0), (0, 0), (0, 1)]);
    patron.inbox.deliver(Message::from("too late")).unwrap();
    patron.control.deliver(Ipc::Shutdown).unwrap();
    w.s.run_until_idle().unwrap();
    assert!(patron.is_stopped());
    assert_eq!(patron.inbox.len(), 1);
}

/// TO-PAT-03 as D-49 mends it: all three messages end it, each in its way; others are dropped. It leaves the service and
/// says that it has ended.
#[test]
fn to_pat_03_a_patron_that_ends_leaves_the_service_and_says_so() {
    for message in [Ipc::Shutdown, Ipc::shutdown_microprocess(), Ipc::producer_finished()] {
        let (w, _other) = World::new();
        let (patron, ear) = real_patron(&w);
        patron.control.deliver(Ipc::Status("dropped".into())).unwrap();
        w.s.run_until_idle().unwrap();
        assert!(!patron.is_stopped() && patron.control.is_empty());
        patron.control.deliver(message).unwrap();
        w.s.run_until_idle().unwrap();
        assert!(patron.is_stopped());
        assert_eq!(w.outboxes(), 1);
        let said: Vec<_> = ear.control.drain().collect();
        assert!(matches!(&said[..], [Ipc::ProducerFinished(m)] if m.caller == Some(patron.id())), "{said:?}");
    }
}
