//! Pausing, queueing, stop rules, figures and news as messages.

use std::cell::RefCell;
use std::fs;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use axon::prelude::*;
use axon::tracker::Tracker as Cat;
use kamaelia_torrent::components::{
    AddPeers, CreateNewTorrent, GetSessionStats, News, NewsKinds, PauseTorrent, RequestTag, ResumeTorrent,
    SetQueueLimits, SetQueuePosition, SetStopRule, Subscribe, TorrentClient, TorrentEvent, TorrentPatron,
};
use kamaelia_torrent::engine::{Activity, PauseCause, QueueLimits, Settings, State, StopRule, TorrentId};
use kamaelia_torrent::make::Maker;

use crate::support::{Bounded, Seen, UserPorts};

/// Says what to send next, given what has been heard last; `None` ends it.
type Script = Box<dyn FnMut(&TorrentEvent) -> Option<Vec<Message>>>;

/// Begins with some requests, then follows its script.
struct Conductor {
    first: Vec<Message>,
    script: Script,
    seen: Seen,
}

impl Component for Conductor {
    type Ports = UserPorts;

    async fn main(mut self, cx: Cx<UserPorts>) {
        for request in self.first.drain(..) {
            cx.outbox.send(request).unwrap();
        }
        loop {
            while let Some(event) = cx.inbox.try_recv() {
                match (self.script)(&event) {
                    Some(next) => next.into_iter().for_each(|message| cx.outbox.send(message).unwrap()),
                    None => {
                        cx.signal.send(Ipc::Shutdown).unwrap();
                    }
                }
                self.seen.push(event);
            }
            if cx.control.try_recv().is_some_and(|m| m.is_producer_finished()) {
                return;
            }
            cx.pause().await;
        }
    }
}

fn client(dir: &std::path::Path) -> TorrentClient {
    let settings = Settings { listen: Some("127.0.0.1:0".parse().unwrap()), ..Settings::default() };
    TorrentClient::with_settings(settings).dir(dir).tick_interval(Duration::from_millis(20))
}

fn patron(cat: &Rc<Cat>, dir: &std::path::Path) -> AnyInstance {
    let dir = dir.to_path_buf();
    let patron = TorrentPatron::with_client(move || client(&dir).create().any()).create();
    patron.set_tracker(cat.clone());
    patron.any()
}

fn conduct(s: &Scheduler, patron: &AnyInstance, first: Vec<Message>, script: Script) -> Seen {
    let seen = Seen::default();
    let user = Conductor { first, script, seen: seen.clone() }.create();
    axon::link((&user, "outbox"), (patron, "inbox")).unwrap();
    axon::link((&user, "signal"), (patron, "control")).unwrap();
    axon::link((patron, "outbox"), (&user, "inbox")).unwrap();
    axon::link((patron, "signal"), (&user, "control")).unwrap();
    s.activate(patron);
    s.activate(&user);
    seen
}

fn made(dir: &std::path::Path, name: &str) -> Vec<u8> {
    fs::write(dir.join(name), name.repeat(50_000)).unwrap();
    Maker::new(dir.join(name)).make(|_| ControlFlow::Continue(())).unwrap().bytes
}

fn news(event: &TorrentEvent) -> Option<News> {
    match event {
        TorrentEvent::News { news, .. } => Some(news.clone()),
        _ => None,
    }
}

#[test]
fn a_patron_pauses_and_resumes_and_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let create = CreateNewTorrent { paused: true, ..CreateNewTorrent::new(made(dir.path(), "x")) };
    let (s, cat) = (Scheduler::new(), Cat::new());
    let torrent_id = TorrentId(1);
    let asked = Rc::new(RefCell::new(0));
    let script: Script = Box::new(move |event| {
        Some(match event {
            TorrentEvent::NewTorrentCreated { .. } => {
                vec![
                    Message::new(Subscribe { torrent_id, kinds: NewsKinds::PAUSES | NewsKinds::CHECKS }),
                    Message::new(ResumeTorrent { torrent_id }),
                ]
            }
            TorrentEvent::News { news: News::Started, .. } => vec![Message::new(PauseTorrent { torrent_id })],
            TorrentEvent::TorrentStatusUpdate { status, .. }
                if status.state == State::Paused && status.is_complete() && asked.replace(1) == 0 =>
            {
                vec![Message::new(GetSessionStats { tag: Some(RequestTag(42)) })]
            }
            TorrentEvent::SessionStats { .. } => return None,
            _ => vec![],
        })
    });
    let seen = conduct(&s, &patron(&cat, dir.path()), vec![Message::new(create)], script);
    s.run_bounded().unwrap();
    let all = seen.all();
    let news: Vec<News> = all.iter().filter_map(news).collect();
    let total = 4;
    let expected = [
        News::Checking { checked: 0, total },
        News::Checking { checked: 4, total },
        News::Checked { have: 4, total },
        News::Started,
        News::Paused { cause: PauseCause::User },
    ];
    // Each worker may tell its part of the check.
    let partly = |n: &News| matches!(n, News::Checking { checked: 1..=3, .. });
    let news: Vec<News> = news.into_iter().filter(|n| !partly(n)).collect();
    // Who subscribes soon enough hears that it begins paused.
    let begins = usize::from(matches!(news.first(), Some(News::Paused { .. })));
    assert_eq!(news[begins..], expected);
    let stats = all.iter().find_map(|e| match e {
        TorrentEvent::SessionStats { stats, tag } => Some((stats.clone(), *tag)),
        _ => None,
    });
    let (stats, tag) = stats.unwrap();
    assert_eq!(
        (tag, stats.torrents, stats.paused, stats.removed.downloaded),
        (Some(RequestTag(42)), 1, 1, 0)
    );
}

#[test]
fn without_a_subscription_nothing_new_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let (s, cat) = (Scheduler::new(), Cat::new());
    let script: Script = Box::new(|event| {
        let done = matches!(event, TorrentEvent::TorrentStatusUpdate { status, .. } if status.is_complete());
        (!done).then(Vec::new)
    });
    let first = vec![Message::new(made(dir.path(), "x"))];
    let seen = conduct(&s, &patron(&cat, dir.path()), first, script);
    s.run_bounded().unwrap();
    assert!(seen.all().iter().all(|e| news(e).is_none()));
}

#[test]
fn requests_about_torrents_of_others_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (s, cat) = (Scheduler::new(), Cat::new());
    let torrent_id = TorrentId(9);
    let rule = Some(StopRule { ratio: Some(1.0), ..StopRule::default() });
    let requests = vec![
        Message::new(PauseTorrent { torrent_id }),
        Message::new(ResumeTorrent { torrent_id }),
        Message::new(SetQueuePosition { torrent_id, position: 0 }),
        Message::new(SetStopRule { torrent_id, rule }),
        Message::new(Subscribe { torrent_id, kinds: NewsKinds::ALL }),
        Message::new(AddPeers { torrent_id, peers: vec![] }),
    ];
    let count = requests.len();
    let left = Rc::new(RefCell::new(count));
    let script: Script = Box::new(move |_| {
        *left.borrow_mut() -= 1;
        (*left.borrow() > 0).then(Vec::new)
    });
    let seen = conduct(&s, &patron(&cat, dir.path()), requests, script);
    s.run_bounded().unwrap();
    let names = ["PauseTorrent", "ResumeTorrent", "SetQueuePosition", "SetStopRule", "Subscribe", "AddPeers"];
    let expected = names.map(|name| format!("Torrent 9 {name}: this patron has no torrent of this number"));
    assert_eq!(seen.answers(), expected);
}

/// The same without a service between.
#[test]
fn a_client_refuses_what_cannot_be_done() {
    let dir = tempfile::tempdir().unwrap();
    let s = Scheduler::new();
    let torrent_id = TorrentId(1);
    let bad = Some(StopRule { ratio: Some(-2.0), ..StopRule::default() });
    let script: Script = Box::new(move |event| {
        Some(match event {
            TorrentEvent::NewTorrentCreated { .. } => {
                vec![
                    Message::new(SetStopRule { torrent_id, rule: bad }),
                    Message::new(PauseTorrent { torrent_id: TorrentId(5) }),
                    Message::new(Subscribe { torrent_id: TorrentId(5), kinds: NewsKinds::ALL }),
                    Message::new(CreateNewTorrent { stop_rule: bad, ..CreateNewTorrent::new(*b"de") }),
                ]
            }
            TorrentEvent::TorrentStartFail(_) => return None,
            _ => vec![],
        })
    });
    let first = vec![Message::new(made(dir.path(), "x"))];
    let client = client(dir.path()).create().any();
    let seen = conduct(&s, &client, first, script);
    s.run_bounded().unwrap();
    let answers = seen.answers();
    assert_eq!(
        answers[1],
        "Torrent 1 SetStopRule: a ratio of -2 makes no sense: it is a number of at least 0"
    );
    assert_eq!(answers[2], "Torrent 5 PauseTorrent: there is no torrent 5");
    assert_eq!(answers[3], "Torrent 5 Subscribe: there is no torrent 5");
}

#[test]
fn limits_positions_and_rules_are_set_by_message() {
    let dir = tempfile::tempdir().unwrap();
    let (s, cat) = (Scheduler::new(), Cat::new());
    let create = |name: &str| {
        // Paused, so that nothing happens before it can be heard.
        Message::new(CreateNewTorrent { paused: true, ..CreateNewTorrent::new(made(dir.path(), name)) })
    };
    let limits = QueueLimits { downloads: None, seeds: Some(1), checks: Some(1) };
    let first = vec![Message::new(SetQueueLimits { limits }), create("x"), create("y")];
    let (one, two) = (TorrentId(1), TorrentId(2));
    let mut ended = false;
    let script: Script = Box::new(move |event| {
        let kinds = NewsKinds::PAUSES;
        let resume = |torrent_id| Message::new(ResumeTorrent { torrent_id });
        Some(match event {
            TorrentEvent::NewTorrentCreated { torrent_id: id, .. } => {
                let subscribe = Message::new(Subscribe { torrent_id: *id, kinds });
                if *id == one { vec![subscribe, resume(one)] } else { vec![subscribe] }
            }
            TorrentEvent::News { torrent_id: id, news } => match news {
                News::Started if *id == one && ended => return None,
                News::Started if *id == one => vec![resume(two)],
                // The second waits for the first until it is brought to the front.
                News::Queued { activity: Activity::Seed } if *id == two => {
                    vec![Message::new(SetQueuePosition { torrent_id: two, position: 0 })]
                }
                // When its rule pauses it, the first has its turn again.
                News::Started => {
                    let rule = Some(StopRule { ratio: Some(0.0), ..StopRule::default() });
                    vec![Message::new(SetStopRule { torrent_id: two, rule })]
                }
                News::Paused { cause: PauseCause::Ratio } => {
                    ended = *id == two;
                    vec![]
                }
                _ => vec![],
            },
            _ => vec![],
        })
    });
    let seen = conduct(&s, &patron(&cat, dir.path()), first, script);
    s.run_bounded().unwrap();
    let queued_one = TorrentEvent::News { torrent_id: one, news: News::Queued { activity: Activity::Seed } };
    assert!(seen.answers().contains(&queued_one.to_string()), "{:?}", seen.answers());
}

/// What happens at once is not missed by who asks for it together with the torrent.
#[test]
fn news_from_the_beginning_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = made(dir.path(), "x");
    let rule = StopRule { ratio: Some(0.0), ..StopRule::default() };
    let kinds = NewsKinds::CHECKS | NewsKinds::PAUSES;
    let create = CreateNewTorrent { stop_rule: Some(rule), news: kinds, ..CreateNewTorrent::new(bytes) };
    let (s, cat) = (Scheduler::new(), Cat::new());
    let script: Script = Box::new(|event| match news(event) {
        Some(News::Paused { .. }) => None,
        _ => Some(vec![]),
    });
    let seen = conduct(&s, &patron(&cat, dir.path()), vec![Message::new(create)], script);
    s.run_bounded().unwrap();
    let all: Vec<News> = seen.all().iter().filter_map(news).collect();
    assert!(matches!(all[0], News::Checking { checked: 0, .. }), "{all:?}");
    assert!(all.iter().any(|news| matches!(news, News::Started)), "{all:?}");
    assert_eq!(all.last(), Some(&News::Paused { cause: PauseCause::Ratio }));
}

/// Whoever ends when a torrent rests has heard why.
#[test]
fn a_status_that_says_paused_comes_after_the_news_of_it() {
    const COUNT: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let rule = StopRule { ratio: Some(0.0), ..StopRule::default() };
    let create = |n: usize| {
        let bytes = made(dir.path(), &format!("x{n}"));
        let news = NewsKinds::PAUSES;
        Message::new(CreateNewTorrent { stop_rule: Some(rule), news, ..CreateNewTorrent::new(bytes) })
    };
    let (s, cat) = (Scheduler::new(), Cat::new());
    let mut paused = 0;
    let script: Script = Box::new(move |event| {
        paused += usize::from(matches!(news(event), Some(News::Paused { .. })));
        (paused < COUNT).then(Vec::new)
    });
    let seen = conduct(&s, &patron(&cat, dir.path()), (0..COUNT).map(create).collect(), script);
    s.run_bounded().unwrap();
    let mut told = std::collections::BTreeSet::new();
    for event in seen.all() {
        match &event {
            TorrentEvent::News { torrent_id, news: News::Paused { .. } } => {
                told.insert(*torrent_id);
            }
            TorrentEvent::TorrentStatusUpdate { torrent_id, status } if status.state == State::Paused => {
                assert!(told.contains(torrent_id), "nobody was told that torrent {torrent_id} was paused");
            }
            _ => {}
        }
    }
    assert_eq!(told.len(), COUNT);
}
