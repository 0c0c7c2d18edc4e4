//! The component that asks a patron for torrents, shows how they do, and decides when it is over.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use axon::prelude::*;
use kamaelia_torrent::components::{
    CreateNewTorrent, News, NewsKinds, RequestTag, RestoreTorrents, StatusSnapshot, TorrentEvent,
};
use kamaelia_torrent::engine::{State, StopRule, TorrentId};
use kamaelia_torrent::proto::info_hash::InfoHash;
use serde_json::json;

use super::disk_news::DiskNews;
use super::loneliness::Loneliness;
use super::output::Output;
use super::units::{bytes, duration};

ports! {
    /// Boxes of a [`Session`].
    pub(crate) struct SessionPorts {
        in  { /// What the patron says.
              inbox: TorrentEvent,
              /// The user wants to stop.
              interrupt: (),
              /// The patron's end.
              control: Ipc }
        out { /// To the patron.
              outbox: Message,
              /// Tells the patron to leave.
              signal: Ipc,
              /// Ends whoever else has to end with the session.
              finished: Ipc }
    }
}

/// When a complete torrent has been shared enough.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Share {
    Not,
    /// Until the engine has paused it by this rule.
    Enough(StopRule),
    UntilStopped,
}

/// How it went.
#[derive(Default)]
pub(crate) struct Report {
    /// What failed, with the reason.
    pub(crate) failures: Vec<String>,
    /// Whether everything that was asked for is there.
    pub(crate) complete: bool,
    /// Whether the user stopped it.
    pub(crate) interrupted: bool,
    /// Last figures of each torrent.
    pub(crate) last: BTreeMap<TorrentId, StatusSnapshot>,
}

/// A torrent that the user asks for.
pub(crate) struct Wanted {
    /// What the user called it.
    pub(crate) label: String,
    pub(crate) name: String,
    pub(crate) info_hash: InfoHash,
    /// Whether there is anybody to ask for peers, or a peer.
    pub(crate) has_sources: bool,
    /// What the user ought to know beforehand.
    pub(crate) notes: Vec<String>,
    pub(crate) request: CreateNewTorrent,
}

pub(crate) struct Session {
    pub(crate) wanted: Vec<Wanted>,
    /// The folder of which all torrents are wanted.
    pub(crate) restore: Option<PathBuf>,
    pub(crate) share: Share,
    pub(crate) output: Rc<RefCell<Output>>,
    pub(crate) report: Rc<RefCell<Report>>,
}

/// The torrents of a session. A look at one of them, and at whether all are over, costs the same however many there
/// are.
#[derive(Default)]
struct Torrents {
    all: Vec<Torrent>,
    by_id: HashMap<TorrentId, Vec<usize>>,
    /// All before this one are over, for good.
    open: usize,
    /// More may come.
    restoring: bool,
}

impl Torrents {
    /// Those that the user called for and that turned out to be this one.
    fn of(&mut self, id: TorrentId) -> impl Iterator<Item = &mut Torrent> {
        let places = self.by_id.get(&id).map_or(&[][..], Vec::as_slice);
        let mut rest = &mut self.all[..];
        let mut at = 0;
        places.iter().filter_map(move |place| {
            let (_, tail) = std::mem::take(&mut rest).split_at_mut_checked(place - at)?;
            let (found, tail) = tail.split_first_mut()?;
            (rest, at) = (tail, place + 1);
            Some(found)
        })
    }

    /// Notes which torrent an answer is about; gives what the user called it.
    fn name(&mut self, tag: Option<RequestTag>, id: TorrentId) -> Option<&Torrent> {
        let place = usize::try_from(tag?.0).ok().filter(|place| *place < self.all.len())?;
        self.all[place].id = Some(id);
        let places = self.by_id.entry(id).or_default();
        // In order, as `of` walks through them.
        if let Err(at) = places.binary_search(&place) {
            places.insert(at, place);
        }
        self.all.get(place)
    }
}

struct Torrent {
    /// What the user called it.
    label: String,
    name: String,
    info_hash: InfoHash,
    asked: Instant,
    id: Option<TorrentId>,
    /// Whether it is known what was there before.
    checked: bool,
    complete_since: Option<Instant>,
    over: bool,
    /// It is paused.
    rests: bool,
    loneliness: Loneliness,
    disk: DiskNews,
    /// What was said of each tracker last.
    tracker_said: HashMap<String, String>,
}

impl Torrent {
    fn new(wanted: Wanted) -> Self {
        Self {
            label: wanted.label,
            name: wanted.name,
            info_hash: wanted.info_hash,
            asked: Instant::now(),
            id: None,
            checked: false,
            complete_since: None,
            over: false,
            rests: false,
            loneliness: Loneliness::new(wanted.has_sources),
            disk: DiskNews { moves: wanted.request.move_on_complete.is_some(), ..DiskNews::default() },
            tracker_said: HashMap::new(),
        }
    }

    /// One that was there in an earlier run. Whether there is anybody to ask for peers is not known here.
    fn restored(name: &str, info_hash: InfoHash, id: TorrentId) -> Self {
        Self {
            label: name.to_owned(),
            name: name.to_owned(),
            info_hash,
            asked: Instant::now(),
            id: Some(id),
            checked: false,
            rests: false,
            complete_since: None,
            over: false,
            loneliness: Loneliness::new(true),
            disk: DiskNews::default(),
            tracker_said: HashMap::new(),
        }
    }
}

impl Component for Session {
    type Ports = SessionPorts;

    async fn main(mut self, cx: Cx<SessionPorts>) {
        let mut torrents = Torrents { restoring: self.restore.is_some(), ..Torrents::default() };
        if torrents.restoring {
            let _ = cx.outbox.send(Message::new(RestoreTorrents { tag: None }));
        }
        for mut wanted in std::mem::take(&mut self.wanted) {
            for note in &wanted.notes {
                let object = json!({"event": "note", "torrent": wanted.label, "text": note});
                self.output.borrow().say(&format!("{}: {note}", wanted.label), object);
            }
            wanted.request.news = NewsKinds::PAUSES;
            wanted.request.tag = Some(RequestTag(torrents.all.len() as u64));
            let _ = cx.outbox.send(Message::new(wanted.request.clone()));
            torrents.all.push(Torrent::new(wanted));
        }
        let mut listening = None;
        let mut leaving = false;
        loop {
            while let Some(event) = cx.inbox.try_recv() {
                self.tell_address(&event, &mut listening);
                self.heard(&mut torrents, &event);
            }
            if cx.interrupt.try_recv().is_some() && !leaving {
                self.report.borrow_mut().interrupted = true;
                self.output.borrow().say("stopping …", json!({"event": "stopping"}));
                leaving = true;
                let _ = cx.signal.send(Ipc::Shutdown);
            }
            while let Some(next) = torrents.all.get_mut(torrents.open)
                && self.is_over(next)
            {
                torrents.open += 1;
            }
            if !leaving && !torrents.restoring && torrents.open == torrents.all.len() {
                leaving = true;
                let _ = cx.signal.send(Ipc::Shutdown);
            }
            if cx.control.try_recv().is_some_and(|m| m.is_producer_finished()) {
                break;
            }
            cx.pause().await;
        }
        self.output.borrow_mut().finish();
        let mut report = self.report.borrow_mut();
        for t in torrents.all.iter().filter(|t| !t.over) {
            let trouble = t.disk.trouble.as_ref().filter(|_| t.complete_since.is_none());
            report.failures.extend(trouble.map(|error| format!("{}: {error}", t.label)));
        }
        report.failures.extend(torrents.all.iter().filter_map(|t| t.disk.failure.clone()));
        report.complete =
            report.failures.is_empty() && torrents.all.iter().all(|t| t.complete_since.is_some());
        let _ = cx.finished.send(Ipc::producer_finished());
    }
}

impl Session {
    /// Says once where peers reach us.
    fn tell_address(&self, event: &TorrentEvent, told: &mut Option<SocketAddr>) {
        if let TorrentEvent::NewTorrentCreated { listen: Some(addr), .. }
        | TorrentEvent::RestoreEnded { listen: Some(addr), .. } = event
            && *told != Some(*addr)
        {
            *told = Some(*addr);
            let object = json!({"event": "listening", "address": addr.to_string()});
            self.output.borrow().say(&format!("listening on {addr}"), object);
        }
    }

    fn heard(&self, torrents: &mut Torrents, event: &TorrentEvent) {
        match event {
            TorrentEvent::NewTorrentCreated { torrent_id, save_folder, tag, .. } => {
                let Some(t) = torrents.name(*tag, *torrent_id) else { return };
                let path = save_folder.display().to_string();
                self.output.borrow().say(
                    &format!("{}: to {path}", t.label),
                    json!({
                        "event": "created", "id": torrent_id.0, "torrent": t.label, "path": path, "name": t.name,
                        "info_hash": t.info_hash.to_string(),
                    }),
                );
            }
            TorrentEvent::TorrentAlreadyDownloading { torrent_id, tag } => {
                let Some(t) = torrents.name(*tag, *torrent_id) else { return };
                self.output.borrow().say(
                    &format!("{}: the same as torrent {torrent_id}", t.label),
                    json!({"event": "already_downloading", "id": torrent_id.0, "torrent": t.label}),
                );
            }
            TorrentEvent::TorrentStartFail(fail) => {
                let mut found: Vec<&mut Torrent> = match fail.torrent_id {
                    Some(id) => torrents.of(id).collect(),
                    None if std::mem::take(&mut torrents.restoring) => {
                        // There is no client that could bring any back.
                        let object = json!({"event": "error", "error": fail.reason});
                        self.output.borrow().complain(&fail.reason, &object);
                        return self.report.borrow_mut().failures.push(fail.reason.clone());
                    }
                    None => by_tag(&mut torrents.all, fail.tag).into_iter().collect(),
                };
                for t in &mut found {
                    t.over = true;
                    let text = format!("{}: {}", t.label, fail.reason);
                    let id = fail.torrent_id.map(|i| i.0);
                    let object =
                        json!({"event": "error", "id": id, "torrent": t.label, "error": fail.reason});
                    self.output.borrow().complain(&text, &object);
                    self.report.borrow_mut().failures.push(text);
                }
            }
            TorrentEvent::TorrentRestored { torrent_id, name, info_hash, save_folder, .. } => {
                let place = torrents.all.len();
                torrents.all.push(Torrent::restored(name, *info_hash, *torrent_id));
                torrents.by_id.insert(*torrent_id, vec![place]);
                let path = save_folder.display().to_string();
                let hash = info_hash.to_string();
                let object = json!({
                    "event": "restored", "id": torrent_id.0, "name": name, "info_hash": hash, "path": path,
                });
                self.output.borrow().say_to_programs(&object);
            }
            TorrentEvent::RestoreEnded { restored, failed, .. } => {
                torrents.restoring = false;
                let object = json!({"event": "restore_ended", "restored": restored, "failed": failed});
                let dir = self.restore.as_ref().map(|dir| dir.display().to_string()).unwrap_or_default();
                let text = format!("{restored} torrents of earlier runs, from {dir}");
                self.output.borrow().say(&text, object);
                let failure = match (restored, failed) {
                    (0, 0) => format!("{dir} holds no torrents of an earlier run"),
                    (_, 0) => return,
                    (_, failed) => format!("{failed} torrents in {dir} could not be read"),
                };
                let object = json!({"event": "error", "error": failure});
                self.output.borrow().complain(&failure, &object);
                self.report.borrow_mut().failures.push(failure);
            }
            TorrentEvent::TrackerReport { torrent_id, tracker, result } => {
                for t in torrents.of(*torrent_id) {
                    self.tracker_said(t, *torrent_id, tracker, result);
                }
            }
            TorrentEvent::TorrentStatusUpdate { torrent_id, status } => {
                self.output.borrow_mut().status(*torrent_id, status);
                self.report.borrow_mut().last.insert(*torrent_id, (**status).clone());
                for t in torrents.of(*torrent_id) {
                    self.follow(t, *torrent_id, status);
                }
            }
            TorrentEvent::TorrentMoved { torrent_id, .. }
            | TorrentEvent::DiskTrouble { torrent_id, .. }
            | TorrentEvent::FilesChanged { torrent_id, .. }
            | TorrentEvent::RecordNotSaved { torrent_id, .. }
            | TorrentEvent::RequestFailed { torrent_id, request: "MoveTorrent", .. } => {
                let retries = matches!(self.share, Share::UntilStopped);
                for t in torrents.of(*torrent_id) {
                    let Some(line) = t.disk.hear(&t.label, *torrent_id, event, retries) else { continue };
                    if line.complaint {
                        self.output.borrow().complain(&line.text, &line.object);
                    } else {
                        self.output.borrow().say(&line.text, line.object);
                    }
                }
            }
            TorrentEvent::News { torrent_id, news } => {
                for t in torrents.of(*torrent_id) {
                    self.tell_news(t, *torrent_id, news);
                }
            }
            TorrentEvent::RequestFailed { torrent_id, request, reason } => {
                let text = format!("torrent {torrent_id}: {request}: {reason}");
                let object = json!({"event": "request_failed", "id": torrent_id.0, "request": request, "error": reason});
                self.output.borrow().complain(&text, &object);
            }
            _ => {}
        }
    }

    /// Turns, and stop rules that were reached.
    fn tell_news(&self, t: &Torrent, id: TorrentId, news: &News) {
        let (id, name) = (id.0, &t.name);
        match news {
            News::Queued { activity } => {
                let activity = format!("{activity:?}").to_lowercase();
                let object = json!({"event": "queued", "id": id, "name": name, "activity": activity});
                self.output.borrow().say_to_programs(&object);
            }
            News::Started => {
                self.output.borrow().say_to_programs(&json!({"event": "started", "id": id, "name": name}));
            }
            News::Paused { cause } => {
                let cause = format!("{cause:?}").to_lowercase();
                let object = json!({"event": "paused", "id": id, "name": name, "cause": cause});
                self.output.borrow().say(&format!("{name}: {news}"), object);
            }
            _ => {}
        }
    }

    fn tracker_said(&self, t: &mut Torrent, id: TorrentId, tracker: &str, result: &Result<usize, String>) {
        let (text, object) = match result {
            Ok(peers) => (
                format!("{peers} peer{}", if *peers == 1 { "" } else { "s" }),
                json!({"event": "tracker", "id": id.0, "name": t.name, "tracker": tracker, "peers": peers}),
            ),
            Err(reason) => (
                format!("{reason}; it will be asked again"),
                json!({"event": "tracker", "id": id.0, "name": t.name, "tracker": tracker, "error": reason}),
            ),
        };
        // The same answer again and again is of interest to programs only.
        if t.tracker_said.insert(tracker.to_owned(), text.clone()) == Some(text.clone()) {
            self.output.borrow().say_to_programs(&object);
        } else {
            self.output.borrow().say(&format!("{}: tracker {tracker}: {text}", t.name), object);
        }
    }

    fn follow(&self, t: &mut Torrent, id: TorrentId, status: &StatusSnapshot) {
        t.rests = status.state == State::Paused;
        if !std::mem::replace(&mut t.checked, true) {
            let (have, all) = (status.pieces_have, status.piece_count);
            let object = json!({"event": "checked", "id": id.0, "name": t.name, "pieces_have": have, "piece_count": all});
            if 0 < have && have < all {
                let text = format!("{}: {have} of {all} pieces are here already", t.name);
                self.output.borrow().say(&text, object);
            } else {
                self.output.borrow().say_to_programs(&object);
            }
        }
        if let Some(reason) = t.loneliness.look(status, Instant::now()) {
            let object = json!({"event": "waiting", "id": id.0, "name": t.name, "reason": reason});
            self.output.borrow().say(&format!("{}: {reason}", t.name), object);
        }
        if !status.is_complete() || t.complete_since.is_some() {
            return;
        }
        t.complete_since = Some(Instant::now());
        let took = t.asked.elapsed();
        let rate = (status.downloaded as f64 / took.as_secs_f64().max(1e-6)) as u64;
        let text = if status.downloaded == 0 {
            format!("{}: complete, {}", status.name, bytes(status.wanted))
        } else {
            let (size, time) = (bytes(status.downloaded), duration(took));
            format!("{}: complete, {size} in {time} ({}/s)", status.name, bytes(rate))
        };
        let object = json!({
            "event": "complete", "id": id.0, "torrent": t.label, "name": status.name, "total": status.total,
            "wanted": status.wanted,
            "downloaded": status.downloaded, "seconds": took.as_secs_f64(),
        });
        self.output.borrow().say(&text, object);
    }

    /// Whether nothing is left to do for it.
    fn is_over(&self, t: &mut Torrent) -> bool {
        if t.over {
            return true;
        }
        if t.complete_since.is_none() {
            // The disk does not take it, and whoever waits for the end cannot do anything about that while we try.
            return t.disk.trouble.is_some() && !matches!(self.share, Share::UntilStopped);
        }
        if t.disk.moves {
            return false;
        }
        t.over = match self.share {
            Share::Not => true,
            Share::UntilStopped => false,
            Share::Enough(_) => t.rests,
        };
        t.over
    }
}

fn by_tag(torrents: &mut [Torrent], tag: Option<RequestTag>) -> Option<&mut Torrent> {
    torrents.get_mut(usize::try_from(tag?.0).ok()?)
}
