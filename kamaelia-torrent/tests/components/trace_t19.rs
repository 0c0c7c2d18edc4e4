//! T19: the service with a stand-in client, compared line by line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use axon::prelude::*;
use axon::tracker::Tracker as Cat;
use kamaelia_torrent::components::{
    CloseTorrent, CreateNewTorrent, StatusSnapshot, TorrentEvent, TorrentPatron, TorrentStartFail,
};
use kamaelia_torrent::engine::{State, TorrentId};

use crate::support::Bounded;

/// What was logged, by pass.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<BTreeMap<u64, Vec<String>>>>);

impl Log {
    fn note(&self, pass: u64, text: impl Into<String>) {
        self.0.borrow_mut().entry(pass).or_default().push(text.into());
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for (pass, entries) in &*self.0.borrow() {
            writeln!(out, "p{pass}: {}", entries.join(" | ")).unwrap();
        }
        out
    }
}

ports! {
    struct StandInPorts {
        in  { inbox: Message, control: Ipc }
        out { outbox: TorrentEvent, signal: Ipc }
    }
}

/// Knows torrents by their text. "bad" is refused; the original's stand-in gave no answer there, as its client did.
struct StandIn(Log);

impl Component for StandIn {
    type Ports = StandInPorts;

    async fn main(self, cx: Cx<StandInPorts>) {
        let mut known: BTreeMap<String, TorrentId> = BTreeMap::new();
        let mut last = 0;
        for step in 1_u64.. {
            while let Some(message) = cx.inbox.try_recv() {
                let create = match CreateNewTorrent::from_message(message) {
                    Ok(create) => create,
                    Err(message) => {
                        let close = message.downcast::<CloseTorrent>().unwrap();
                        known.retain(|_, id| *id != close.torrent_id);
                        self.0.note(cx.pass(), format!("TC close {}", close.torrent_id));
                        continue;
                    }
                };
                let text = String::from_utf8(create.raw_metainfo.to_vec()).unwrap();
                self.0.note(cx.pass(), format!("TC str {text}"));
                let tag = create.tag;
                let answer = if text == "bad" {
                    let reason = "not a torrent".to_string();
                    TorrentEvent::TorrentStartFail(TorrentStartFail { reason, torrent_id: None, tag })
                } else if let Some(id) = known.get(&text) {
                    TorrentEvent::TorrentAlreadyDownloading { torrent_id: *id, tag }
                } else {
                    last += 1;
                    known.insert(text.clone(), TorrentId(last));
                    let save_folder = format!("./{text}").into();
                    TorrentEvent::NewTorrentCreated {
                        torrent_id: TorrentId(last),
                        save_folder,
                        listen: None,
                        tag,
                    }
                };
                cx.outbox.send(answer).unwrap();
            }
            if cx.control.try_recv().is_some_and(|m| matches!(m, Ipc::Shutdown)) {
                self.0.note(cx.pass(), "TC ctl shutdown");
                cx.signal.send(Ipc::producer_finished_by(cx.id())).unwrap();
                self.0.note(cx.pass(), "TC end");
                return;
            }
            if step % 4 == 0 {
                let mut ids: Vec<_> = known.values().copied().collect();
                ids.sort();
                for torrent_id in ids {
                    cx.outbox.send(TorrentEvent::TorrentStatusUpdate { torrent_id, status: half() }).unwrap();
                }
            }
            cx.yield_now().await;
        }
    }
}

fn half() -> Arc<StatusSnapshot> {
    Arc::new(StatusSnapshot {
        state: State::Downloading,
        name: String::new(),
        fraction_done: 0.5,
        verified: 0,
        total: 1,
        wanted: 1,
        wanted_left: 1,
        downloaded: 0,
        uploaded: 0,
        figures: Default::default(),
        wasted: 0,
        down_rate: 0,
        up_rate: 0,
        peers: 0,
        seeds: 0,
        pieces_have: 0,
        piece_count: 1,
        save_path: "".into(),
        tracker_message: None,
        peer_message: None,
        disk_message: None,
        listen: None,
    })
}

ports! {
    struct UserPorts {
        in  { inbox: TorrentEvent, control: Ipc }
        out { outbox: Message, signal: Ipc }
    }
}

struct User {
    name: &'static str,
    script: Vec<(usize, &'static str)>,
    steps: usize,
    cat: Rc<Cat>,
    log: Log,
}

impl Component for User {
    type Ports = UserPorts;

    async fn main(self, cx: Cx<UserPorts>) {
        let log = self.log.clone();
        let note = |cx: &Cx<UserPorts>, text: String| log.note(cx.pass(), format!("{} {text}", self.name));
        let theirs = self.log.clone();
        let patron = TorrentPatron::with_client(move || StandIn(theirs.clone()).create().any()).create();
        patron.set_tracker(self.cat.clone());
        cx.link(&cx.outbox, &patron.inbox).unwrap();
        cx.link(&cx.signal, &patron.control).unwrap();
        cx.link(&patron.outbox, &cx.inbox).unwrap();
        cx.link(&patron.signal, &cx.control).unwrap();
        cx.activate(&patron);
        for i in 0..self.steps {
            for (_, what) in self.script.iter().filter(|(step, _)| *step == i) {
                note(&cx, format!("send {what}"));
                match *what {
                    "shutdown" => cx.signal.send(Ipc::Shutdown).unwrap(),
                    text => cx.outbox.send(Message::from(text)).unwrap(),
                }
            }
            while let Some(event) = cx.inbox.try_recv() {
                note(&cx, format!("got {event}"));
            }
            if let Some(m) = cx.control.try_recv() {
                note(&cx, format!("ctl {}", m.kind()));
            }
            cx.yield_now().await;
        }
        note(&cx, format!("done; patron inbox backlog {}", patron.torrent_inbox.len()));
    }
}

ports! { struct NoPorts { in { } out { } } }

/// After some passes: what is registered, who is there; then the end. `late` is started in pass 10.
struct End {
    cat: Rc<Cat>,
    log: Log,
    late: Option<User>,
}

impl Component for End {
    type Ports = NoPorts;

    async fn main(mut self, cx: Cx<NoPorts>) {
        for i in 0..44 {
            if i == 9
                && let Some(user) = self.late.take()
            {
                cx.launch(user);
            }
            cx.yield_now().await;
        }
        let here = axon::introspect::Snapshot::from_within(&cx);
        let names: Vec<String> = here
            .components
            .iter()
            .filter(|c| c.is_component && c.state != axon::introspect::RunState::New)
            .map(|c| c.name.rsplit('.').next().unwrap().split('_').next().unwrap().to_string())
            .collect();
        self.log.note(cx.pass(), format!("e {:?} {names:?}", self.cat.services()));
        cx.stop_scheduler();
    }
}

fn run(users: impl FnOnce(&Rc<Cat>, &Log) -> (Vec<User>, Option<User>)) -> String {
    let s = Scheduler::new();
    let (cat, log) = (Cat::new(), Log::default());
    let (users, late) = users(&cat, &log);
    for user in users {
        s.activate(user);
    }
    s.activate(End { cat, log: log.clone(), late });
    s.run_bounded().unwrap();
    log.text()
}

/// TO-SRV-01, 04 to 07; TO-PAT-01, 02, 04. Differences from the original's trace, each from a mended defect:
/// * D-31: `bad` is answered, so z's answer is not taken for it.
/// * D-45: updates of x reach u2 too; when u1 leaves, y, which nobody else asked for, is closed, and x goes on.
/// * D-49: control is looked at first, so both leave two passes earlier, and what waited for them is passed on then.
/// * D-34: no backlog in u1's patron. D-37: the service has ended, so only `e` is left.
#[test]
fn t19_the_service_shares_a_client() {
    let trace = run(|cat, log| {
        let u1 = vec![(1, "x"), (2, "y"), (7, "shutdown")];
        let u2 = vec![(3, "x"), (4, "bad"), (5, "z"), (22, "shutdown")];
        let user = |name, script, steps| User { name, script, steps, cat: cat.clone(), log: log.clone() };
        (vec![user("u1", u1, 14), user("u2", u2, 26)], None)
    });
    assert_eq!(trace, SHARED);
}

/// TO-SRV-02, 09. The second user comes when the first generation is gone: a new service with a new client, whose numbers start at 1.
/// Differences: D-34 (no backlog), D-45 (x is closed), D-37 (the first service has ended).
#[test]
fn t19_a_patron_that_comes_later_makes_a_new_service() {
    let trace = run(|cat, log| {
        let user = |name, script, steps| User { name, script, steps, cat: cat.clone(), log: log.clone() };
        (vec![user("u1", vec![(1, "x"), (4, "shutdown")], 14)], Some(user("u2", vec![(1, "q")], 8)))
    });
    assert_eq!(trace, LATER);
}

const SHARED: &str = "\
p2: u1 send x
p3: u1 send y
p4: u2 send x
p5: u2 send bad | TC str x | TC str y
p6: u2 send z
p7: u1 got New torrent 1 created in ./x | TC str x
p8: u1 send shutdown | u1 got New torrent 2 created in ./y | TC str bad
p9: u1 got Torrent 1 status : 50% | u1 got Torrent 2 status : 50% | u1 ctl producerFinished \
| u2 got That torrent is already downloading! | TC str z | TC close 2
p10: u2 got Torrent failed to start: not a torrent
p11: u2 got New torrent 3 created in ./z
p12: u2 got Torrent 1 status : 50%
p13: u2 got Torrent 3 status : 50%
p15: u1 done; patron inbox backlog 0
p17: u2 got Torrent 1 status : 50%
p18: u2 got Torrent 3 status : 50%
p20: u2 got Torrent 1 status : 50%
p21: u2 got Torrent 3 status : 50%
p23: u2 send shutdown
p25: u2 got Torrent 1 status : 50% | u2 got Torrent 3 status : 50% | u2 ctl producerFinished
p26: TC close 1 | TC close 3 | TC ctl shutdown | TC end
p27: u2 done; patron inbox backlog 0
p45: e [] [\"End\"]
";

const LATER: &str = "\
p2: u1 send x
p5: u1 send shutdown | TC str x
p6: u1 ctl producerFinished
p7: TC close 1 | TC ctl shutdown | TC end
p12: u2 send q
p15: u1 done; patron inbox backlog 0 | TC str q
p18: u2 got New torrent 1 created in ./q
p19: u2 done; patron inbox backlog 0
p45: e [\"torrentsrv\", \"torrentsrvshutdown\"] [\"End\", \"TorrentPatron\", \"StandIn\", \"TorrentService\"]
";
