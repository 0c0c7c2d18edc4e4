//! The client: the engine's event loop as a threaded component (Kamaelia: `TorrentClient.py`).

mod limits;
mod reading;
mod selection;
mod session;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axon::threaded::ThreadCx;
use axon::{BoxError, Component, Cx, Ipc, Message, ports};

use super::ipc::{
    self, AddPeers, CloseTorrent, CreateNewTorrent, NewsKinds, RemoveTorrent, RequestTag, RestoreTorrents,
    TorrentEvent, TorrentStartFail,
};
use super::status::StatusSnapshot;
use super::updates::Updates;
use crate::engine::{Activity, AddError, AddTorrent, Engine, Event, ReadId, Settings, TorrentId};
use crate::proto::metainfo::Metainfo;

ports! {
    /// Boxes of a [`TorrentClient`].
    pub struct ClientPorts {
        in  { /// Requests: [`CreateNewTorrent`] (or bare bytes or text), [`CloseTorrent`], [`AddPeers`],
              /// [`SetFilePriorities`](super::SetFilePriorities), [`ListFiles`](super::ListFiles),
              /// [`MoveTorrent`](super::MoveTorrent), [`RenameFile`](super::RenameFile),
              /// [`RecheckTorrent`](super::RecheckTorrent), [`RetryDisk`](super::RetryDisk),
              /// [`SetLimits`](super::SetLimits), [`SetConnectionLimits`](super::SetConnectionLimits),
              /// [`RestoreTorrents`], [`RemoveTorrent`].
              inbox: Message,
              /// [`Ipc::Shutdown`] or a `shutdownMicroprocess` stops the client in order.
              control: Ipc }
        out { /// One answer to each create request; status updates of running torrents; what trackers said.
              outbox: TorrentEvent,
              /// Producer finished, when the client has stopped.
              signal: Ipc }
    }
}

/// Downloads and shares torrents.
///
/// Use [`TorrentPatron`](super::TorrentPatron), which shares one client among all who need it, unless you want a client
/// of your own.
///
/// # Boxes
/// See [`ClientPorts`]. Each request to create a torrent gets exactly one answer, at once:
/// [`NewTorrentCreated`](TorrentEvent::NewTorrentCreated),
/// [`TorrentAlreadyDownloading`](TorrentEvent::TorrentAlreadyDownloading) or
/// [`TorrentStartFail`](TorrentEvent::TorrentStartFail) (D-31). If a torrent fails later, there is a start fail with its
/// number, which is then forgotten.
///
/// In each tick there is a status update of every torrent to which something happened, and of 64 others in turn, in
/// the order of their numbers: with up to 64 torrents of every one (TO-CLI-06).
///
/// With a [`state_dir`](Settings::state_dir), torrents are kept from one run to the next: [`RestoreTorrents`] or
/// [`restore`](TorrentClient::restore) brings them back.
///
/// # Shutdown
/// [`Ipc::Shutdown`] and `shutdownMicroprocess`: every torrent is stopped in order (trackers are told, what was verified
/// is recorded), within a few seconds at most; then `producerFinished` on `signal`. A `producerFinished` is ignored, as
/// in the original (TO-CLI-07): who reads torrent files into a client and stops reading wants the downloads to go on.
///
/// # Example
/// ```no_run
/// use axon::prelude::*;
/// use axon::{file::TriggeredFileReader, util::{ConsoleEchoer, ConsoleReader}};
/// use kamaelia_torrent::components::{BasicTorrentExplainer, TorrentClient};
///
/// Pipeline::new()
///     .then(ConsoleReader::new(">>> ").eol(""))
///     .then(TriggeredFileReader::new())
///     .then(TorrentClient::new())
///     .then(BasicTorrentExplainer::new())
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
pub struct TorrentClient {
    settings: Settings,
    dir: PathBuf,
    tick: Duration,
    restore: bool,
}

impl Default for TorrentClient {
    fn default() -> Self {
        Self::new()
    }
}

impl TorrentClient {
    /// A client that saves in the current folder and reports every second.
    pub fn new() -> Self {
        Self::with_settings(Settings::default())
    }

    /// A client with settings of the engine.
    pub fn with_settings(settings: Settings) -> Self {
        Self { settings, dir: PathBuf::from("."), tick: DEFAULT_TICK, restore: false }
    }

    /// Saves in another folder than the current one (D-47).
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Time between status updates; the original's `tickInterval`, there 5 s. At least 10 ms.
    pub fn tick_interval(mut self, interval: Duration) -> Self {
        self.tick = interval.max(Duration::from_millis(10));
        self
    }
}

impl TorrentClient {
    /// Begins with the torrents of earlier sessions that are in the
    /// [`state_dir`](crate::engine::Settings::state_dir). They belong to nobody until somebody asks for them, and go on
    /// as long as the client does. Default off.
    pub fn restore(mut self, on: bool) -> Self {
        self.restore = on;
        self
    }
}

impl Component for TorrentClient {
    type Ports = ClientPorts;

    async fn main(self, cx: Cx<ClientPorts>) {
        cx.on_thread(move |thread| self.serve(&thread)).await;
    }
}

/// Time between status updates.
const DEFAULT_TICK: Duration = Duration::from_secs(1);

impl TorrentClient {
    fn serve(self, cx: &ThreadCx<ClientPorts>) -> Result<(), BoxError> {
        let engine = match Engine::new(self.settings.clone()) {
            Ok(engine) => engine,
            Err(e) => return self.refuse_everything(cx, &e.to_string()),
        };
        let waker = engine.waker();
        // The bell of the boxes rings the poll of the sockets: one place to wait in, and a request is answered at once.
        cx.replace_bell(move || {
            if let Err(e) = waker.wake() {
                log::error!("cannot wake the event loop: {e}");
            }
        });
        let mut work = Work {
            cx,
            engine,
            dir: self.dir,
            running: BTreeMap::new(),
            closing: BTreeSet::new(),
            deferred: VecDeque::new(),
            reads: BTreeMap::new(),
            unsent: VecDeque::new(),
            updates: Updates::default(),
            restoring: VecDeque::new(),
            subscriptions: BTreeMap::new(),
        };
        if self.restore {
            work.restore(RestoreTorrents::default());
        }
        let mut next_tick = Instant::now();
        loop {
            cx.hear();
            while let Some(message) = cx.inbox.try_recv() {
                work.request(message);
            }
            let mut stop = cx.is_closed();
            while let Some(message) = cx.control.try_recv() {
                stop |= matches!(message, Ipc::Shutdown) || message.is_shutdown_microprocess();
            }
            if stop {
                break;
            }
            work.take_events();
            let now = Instant::now();
            if now >= next_tick {
                work.send_status_updates();
                next_tick = now + self.tick;
            }
            work.flush();
            work.engine.turn(Some(next_tick.saturating_duration_since(now)))?;
        }
        work.engine.stop();
        while !work.engine.is_stopped() {
            work.engine.turn(Some(Duration::from_millis(100)))?;
            work.take_events();
        }
        // Whoever asked until the very end gets an answer.
        loop {
            while let Some(message) = cx.inbox.try_recv() {
                work.request(message);
            }
            work.flush();
            // What did not fit into the thread's queue comes with the next round of its proxy.
            if cx.sync().is_err() || cx.inbox.is_empty() {
                break;
            }
        }
        while !work.unsent.is_empty() && !cx.is_closed() {
            work.flush();
            cx.pause(Some(Duration::from_millis(10)));
        }
        // Gives back the port and the folder of state: whoever hears of the end may want them.
        drop(work);
        let _ = cx.signal.blocking_send(Ipc::producer_finished_by(cx.id()));
        Ok(())
    }

    /// Without an engine (the port is taken, say) the component still keeps its promise of one answer a request.
    fn refuse_everything(&self, cx: &ThreadCx<ClientPorts>, reason: &str) -> Result<(), BoxError> {
        // The answers carry it to whoever asked.
        log::debug!("{reason}");
        loop {
            while let Some(message) = cx.inbox.try_recv() {
                match CreateNewTorrent::from_message(message) {
                    Ok(create) => {
                        let _ = cx.outbox.blocking_send(start_fail(create.tag, None, reason.to_string()));
                    }
                    Err(message) => {
                        if let Ok(RestoreTorrents { tag }) = message.downcast() {
                            let _ = cx.outbox.blocking_send(start_fail(tag, None, reason.to_string()));
                        }
                    }
                }
            }
            while let Some(message) = cx.control.try_recv() {
                if matches!(message, Ipc::Shutdown) || message.is_shutdown_microprocess() {
                    let _ = cx.signal.blocking_send(Ipc::producer_finished_by(cx.id()));
                    return Ok(());
                }
            }
            if cx.is_closed() {
                return Ok(());
            }
            cx.pause(None);
        }
    }
}

struct Work<'a> {
    cx: &'a ThreadCx<ClientPorts>,
    engine: Engine,
    dir: PathBuf,
    /// Torrents that have started (TO-CLI-04: no updates before), each with why its last connection ended.
    running: BTreeMap<TorrentId, Option<String>>,
    /// Torrents that were closed and have not stopped yet.
    closing: BTreeSet<TorrentId>,
    /// Requests that wait for one of these to stop, and those that came after: answers keep the order of the requests
    /// (TO-SRV-07).
    deferred: VecDeque<Message>,
    /// Files that are being read, with the tags of the requests.
    reads: BTreeMap<ReadId, RequestTag>,
    /// What did not fit into the queue towards the scheduler.
    unsent: VecDeque<TorrentEvent>,
    updates: Updates,
    /// Restores that were asked for; the first is under way.
    restoring: VecDeque<RestoreTorrents>,
    /// The news that somebody wants.
    subscriptions: BTreeMap<TorrentId, NewsKinds>,
}

impl Work<'_> {
    fn request(&mut self, message: Message) {
        if self.deferred.is_empty() {
            self.serve(message);
        } else {
            self.deferred.push_back(message);
        }
    }

    fn serve(&mut self, message: Message) {
        let message = match CreateNewTorrent::from_message(message) {
            Ok(create) => return self.create(create),
            Err(message) => message,
        };
        let Err(message) = self.serve_limits(message) else { return };
        let Err(message) = self.serve_selection(message) else { return };
        let Err(message) = self.serve_reading(message) else { return };
        let Err(message) = self.serve_session(message) else { return };
        match message.downcast::<CloseTorrent>() {
            // An unknown number is ignored (D-33).
            Ok(close) => self.close(close.torrent_id),
            Err(message) => match message.downcast::<AddPeers>() {
                Ok(add) if self.engine.status(add.torrent_id).is_none() => {
                    self.refuse(add.torrent_id, "AddPeers", "there is no torrent of this number");
                }
                Ok(add) => self.engine.add_peers(add.torrent_id, &add.peers),
                Err(message) => self.serve_stored(message),
            },
        }
    }

    /// Requests about torrents that outlive a run.
    fn serve_stored(&mut self, message: Message) {
        match message.downcast::<RestoreTorrents>() {
            Ok(restore) => self.restore(restore),
            Err(message) => match message.downcast::<RemoveTorrent>() {
                Ok(remove) => {
                    self.running.remove(&remove.torrent_id);
                    if self.engine.remove(remove.torrent_id) {
                        self.closing.insert(remove.torrent_id);
                    } else {
                        let reason = "there is no torrent of this number";
                        self.refuse(remove.torrent_id, "RemoveTorrent", reason);
                    }
                }
                Err(message) => {
                    let other = match ipc::serve_files(&mut self.engine, message) {
                        Ok(refusal) => return refusal.into_iter().for_each(|event| self.send(event)),
                        Err(other) => other,
                    };
                    log::debug!("the torrent client ignores a message of type {}", other.type_name())
                }
            },
        }
    }

    fn restore(&mut self, restore: RestoreTorrents) {
        self.restoring.push_back(restore);
        if self.restoring.len() == 1 {
            self.begin_restore();
        }
    }

    /// Begins the next restore that was asked for, if there is one.
    fn begin_restore(&mut self) {
        while !self.restoring.is_empty() {
            match self.engine.restore() {
                Ok(()) => return,
                Err(e) => {
                    log::error!("nothing is restored: {e}");
                    self.restore_ended(0, 1);
                }
            }
        }
    }

    fn restore_ended(&mut self, restored: usize, failed: usize) {
        if let Some(RestoreTorrents { tag }) = self.restoring.pop_front() {
            let listen = self.engine.local_addr();
            self.send(TorrentEvent::RestoreEnded { restored, failed, listen, tag });
        }
    }

    /// Says that a request about a torrent was not done.
    fn refuse(&mut self, torrent_id: TorrentId, request: &'static str, reason: impl Into<String>) {
        self.send(TorrentEvent::RequestFailed { torrent_id, request, reason: reason.into() });
    }

    /// Stops a torrent; what is kept of it for later sessions stays.
    fn close(&mut self, id: TorrentId) {
        self.running.remove(&id);
        if self.engine.unload(id) {
            self.closing.insert(id);
        }
    }

    /// A closed torrent has stopped: who asked for it meanwhile gets a new one (TO-CLI-05).
    fn stopped(&mut self, id: TorrentId) {
        self.subscriptions.remove(&id);
        self.running.remove(&id);
        self.closing.remove(&id);
        for message in std::mem::take(&mut self.deferred) {
            self.request(message);
        }
    }

    fn create(&mut self, create: CreateNewTorrent) {
        let tag = create.tag;
        let again = (!self.closing.is_empty()).then(|| create.clone());
        let metainfo = match Metainfo::parse(&create.raw_metainfo) {
            Ok(metainfo) => metainfo,
            Err(e) => return self.send(start_fail(tag, None, format!("not a usable .torrent file: {e}"))),
        };
        let dir = create.dir.unwrap_or_else(|| self.dir.clone());
        let save_folder = dir.join(metainfo.name());
        let mut add = AddTorrent::new(metainfo, dir);
        add.peers = create.peers;
        add.check = create.check;
        add.trackers = create.trackers;
        add.sequential = create.sequential;
        add.priorities = create.priorities;
        add.allocation = create.allocation;
        add.move_on_complete = create.move_on_complete;
        (add.down_limit, add.up_limit) = (create.down_limit, create.up_limit);
        add.paused = create.paused;
        add.stop_rule = create.stop_rule;
        let listen = self.engine.local_addr();
        let answer = match self.engine.add(add) {
            Ok(torrent_id) => {
                if create.news != NewsKinds::NONE {
                    self.subscriptions.insert(torrent_id, create.news);
                }
                TorrentEvent::NewTorrentCreated { torrent_id, save_folder, listen, tag }
            }
            Err(AddError::Duplicate(id)) if self.closing.contains(&id) => {
                self.deferred.extend(again.map(Message::new));
                return;
            }
            Err(AddError::Duplicate(torrent_id)) => {
                TorrentEvent::TorrentAlreadyDownloading { torrent_id, tag }
            }
            Err(e) => start_fail(tag, None, e.to_string()),
        };
        self.send(answer);
    }

    fn take_events(&mut self) {
        // A status is that of now, so it comes after the news that led to it.
        let mut updates = Vec::new();
        while let Some(event) = self.engine.next_event() {
            self.tell_subscribers(&event);
            match event {
                Event::Started { id } => {
                    self.running.insert(id, None);
                    updates.push(id);
                }
                // It may never have started; that it rests is worth an update all the same. What is waiting to be checked
                // has no figures yet.
                Event::Paused { id, .. }
                | Event::Queued { id, activity: Activity::Download | Activity::Seed } => {
                    self.running.entry(id).or_insert(None);
                    updates.push(id);
                }
                // Whoever waits for the end need not wait for the next tick.
                Event::Completed { id } => updates.push(id),
                Event::Failed { id, error } => {
                    self.close(id);
                    self.send(start_fail(None, Some(id), error));
                }
                Event::Stopped { id } => self.stopped(id),
                Event::Restored { id } => {
                    if let Some(status) = self.engine.status(id) {
                        let tag = self.restoring.front().and_then(|restore| restore.tag);
                        let (name, info_hash, save_folder) =
                            (status.name, status.info_hash, status.save_path);
                        self.send(TorrentEvent::TorrentRestored {
                            torrent_id: id,
                            name,
                            info_hash,
                            save_folder,
                            tag,
                        });
                    }
                }
                Event::RestoreEnded { restored, failed } => {
                    self.restore_ended(restored, failed);
                    self.begin_restore();
                }
                Event::Tracker { id, url, result } => {
                    self.send(TorrentEvent::TrackerReport { torrent_id: id, tracker: url, result });
                }
                Event::FileData { id, read, data } => self.file_data(id, read, data),
                Event::ReadEnded { id, read, error } => self.read_ended(id, read, error),
                Event::DialFailed { id, addr, reason } => {
                    log::info!("torrent {id}: cannot connect to peer {addr}: {reason}");
                    self.note_peer(id, format!("{addr}: {reason}"));
                }
                Event::PeerGone { id, addr, reason } => {
                    log::info!("torrent {id}: peer {addr} has gone: {reason}");
                    self.note_peer(id, format!("{addr}: {reason}"));
                }
                other => {
                    if let Some(event) = TorrentEvent::of_files(other) {
                        self.send(event);
                    }
                }
            }
        }
        updates.into_iter().for_each(|id| self.send_status_of(id));
    }

    fn note_peer(&mut self, id: TorrentId, text: String) {
        if let Some(last) = self.running.get_mut(&id) {
            *last = Some(text);
        }
    }

    fn send_status_updates(&mut self) {
        if !self.unsent.is_empty() {
            return; // nobody reads; old figures would only pile up
        }
        for id in self.updates.due(self.engine.take_changed(), &self.running) {
            self.send_status_of(id);
        }
    }

    fn send_status_of(&mut self, id: TorrentId) {
        let Some(peer_message) = self.running.get(&id) else { return };
        if let Some(status) = self.engine.status(id) {
            if status.down_rate > 0 || status.up_rate > 0 {
                self.updates.fades(id);
            }
            let status = StatusSnapshot::new(status, self.engine.local_addr(), peer_message.clone());
            let status = Arc::new(status);
            self.send(TorrentEvent::TorrentStatusUpdate { torrent_id: id, status });
        }
    }

    fn send(&mut self, event: TorrentEvent) {
        self.unsent.push_back(event);
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(event) = self.unsent.pop_front() {
            if let Err(e) = self.cx.outbox.send(event) {
                if e.is_full() {
                    self.unsent.push_front(e.into_message());
                }
                return;
            }
        }
    }
}

fn start_fail(tag: Option<RequestTag>, torrent_id: Option<TorrentId>, reason: String) -> TorrentEvent {
    TorrentEvent::TorrentStartFail(TorrentStartFail { reason, torrent_id, tag })
}
