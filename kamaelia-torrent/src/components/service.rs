//! The service that shares one client among patrons (Kamaelia: `TorrentService.py`).

mod reading;

mod stored;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use axon::tracker::{Tracker, TrackerError};
use axon::{
    Added, AnyInstance, Component, Cx, Instance, Ipc, LinkError, Message, Microprocess, Outbox, Service,
    ports,
};

use super::client::TorrentClient;
use super::ipc::{
    CloseTorrent, CreateNewTorrent, GetSessionStats, News, NewsKinds, RequestTag, ServiceMessage, Subscribe,
    TorrentEvent, TorrentStartFail, about,
};
use crate::engine::TorrentId;

ports! {
    /// Boxes of a [`TorrentService`]; it adds one outbox for each patron, named after `clientoutbox`.
    pub struct ServicePorts {
        in  { /// [`Ipc::Shutdown`] or `shutdownMicroprocess` stops the service and its client.
              control: Ipc,
              /// What the client says.
              inbox: TorrentEvent,
              /// What patrons say.
              notify: ServiceMessage,
              /// The client's `signal`.
              _torrentcontrol: Ipc }
        out { /// The client's `control`.
              signal: Ipc,
              /// The client's `inbox`.
              outbox: Message,
              /// Every message handled, preceded by a word that says where it came from (TO-SRV-10).
              debug: String }
    }
}

/// The name under which the service's `notify` is registered (TO-SRV-02).
pub(crate) const SERVICE: &str = "torrentsrv";
/// The name under which the service's `control` is registered.
pub(crate) const SHUTDOWN_SERVICE: &str = "torrentsrvshutdown";

/// Makes a client: the real one, or a stand-in with the same boxes.
pub(crate) type ClientFactory = Rc<dyn Fn() -> AnyInstance>;

/// Shares one [`TorrentClient`] among [`TorrentPatron`](super::TorrentPatron)s, which find it by name in the tracker.
///
/// A torrent belongs to every patron that asked for it (D-45): each gets its status updates, and when the last of them
/// closes it or leaves, it is closed. When the last patron has left, the client is stopped, the names are deregistered
/// and the service ends (D-37); if a patron comes meanwhile, a new client is made (D-32).
///
/// # Boxes
/// See [`ServicePorts`]. The client's answers are told apart by tags, so that they cannot reach the wrong patron
/// (D-31); a stand-in client that sets none is expected to answer in order.
///
/// # Shutdown
/// [`Ipc::Shutdown`] or `shutdownMicroprocess` on `control`: the client is stopped, create requests that are still
/// without an answer fail, the names are deregistered, the service ends (D-36).
pub struct TorrentService {
    tracker: Rc<Tracker>,
    factory: ClientFactory,
    client: AnyInstance,
    patrons: Vec<Patron>,
    owners: BTreeMap<TorrentId, Vec<Service>>,
    pending: VecDeque<Pending>,
    readers: reading::Readers,
    /// Who wants which news of a torrent.
    subscriptions: BTreeMap<TorrentId, Vec<(Service, NewsKinds)>>,
    /// Who asked for the figures of the session.
    curious: Vec<Pending>,
    last_tag: u64,
}

/// What [`TorrentService::get`] found or made.
pub struct TorrentServices {
    /// Where patrons send [`ServiceMessage`]s.
    pub service: Service,
    /// Where a shutdown request goes.
    pub shutdown: Service,
    /// A service that was made by the call and has to be activated.
    pub new: Option<Instance<ServicePorts>>,
}

struct Patron {
    reply: Service,
    outbox: Added<Outbox<TorrentEvent>>,
}

/// A create request that the client has not answered.
struct Pending {
    tag: RequestTag,
    asker: Asker,
    /// What the asker of a torrent wants to hear of it.
    news: NewsKinds,
}

/// Who asked; nobody, if the patron has left since (D-35).
type Asker = Option<(Service, Option<RequestTag>)>;

impl TorrentService {
    /// The service registered with the tracker, or a new one with a client of default settings
    /// (`getTorrentServices`, TO-SRV-02).
    ///
    /// # Errors
    /// [`TrackerError`], if only one of the two names is taken.
    pub fn get(tracker: &Rc<Tracker>) -> Result<TorrentServices, TrackerError> {
        Self::get_with(tracker, || TorrentClient::new().create().any())
    }

    /// The same, with a client made by `client` if one is needed. It must have a [`TorrentClient`]'s boxes.
    ///
    /// # Errors
    /// [`TrackerError`], if only one of the two names is taken.
    pub fn get_with(
        tracker: &Rc<Tracker>,
        client: impl Fn() -> AnyInstance + 'static,
    ) -> Result<TorrentServices, TrackerError> {
        Self::get_from(tracker, Rc::new(client))
    }

    pub(crate) fn get_from(
        tracker: &Rc<Tracker>,
        factory: ClientFactory,
    ) -> Result<TorrentServices, TrackerError> {
        if let (Ok(service), Ok(shutdown)) =
            (tracker.retrieve_service(SERVICE), tracker.retrieve_service(SHUTDOWN_SERVICE))
            && service.component().resolve().is_some_and(|c| !c.is_stopped())
        {
            return Ok(TorrentServices { service, shutdown, new: None });
        }
        // A service that was stopped from outside could not deregister itself.
        for name in [SERVICE, SHUTDOWN_SERVICE] {
            let _ = tracker.deregister_service(name);
        }
        let new = Self::make(tracker, factory);
        tracker.register_service(SERVICE, &new, "notify")?;
        tracker.register_service(SHUTDOWN_SERVICE, &new, "control")?;
        Ok(TorrentServices {
            service: new.service("notify"),
            shutdown: new.service("control"),
            new: Some(new),
        })
    }

    /// Makes a service with its client, which is linked and activated at once (TO-SRV-03).
    fn make(tracker: &Rc<Tracker>, factory: ClientFactory) -> Instance<ServicePorts> {
        let client = factory();
        let service = Self {
            tracker: tracker.clone(),
            factory,
            client: client.clone(),
            patrons: Vec::new(),
            owners: BTreeMap::new(),
            pending: VecDeque::new(),
            readers: reading::Readers::default(),
            subscriptions: BTreeMap::new(),
            curious: Vec::new(),
            last_tag: 0,
        };
        let service = service.create();
        if let Err(e) = adopt_client(&service, &client) {
            log::error!("a torrent service cannot use its client: {e}");
        }
        client.activate();
        service
    }
}

fn adopt_client(service: &Instance<ServicePorts>, client: &AnyInstance) -> Result<(), LinkError> {
    service.add_child(client);
    service.link(&service.outbox, (client, "inbox"))?;
    service.link(&service.signal, (client, "control"))?;
    service.link((client, "outbox"), &service.inbox)?;
    service.link((client, "signal"), &service._torrentcontrol)?;
    Ok(())
}

impl Component for TorrentService {
    type Ports = ServicePorts;

    fn kind() -> &'static str {
        "Kamaelia.Protocol.Torrent.TorrentService.TorrentService"
    }

    async fn main(mut self, cx: Cx<ServicePorts>) {
        cx.yield_now().await; // the first step does nothing else (TO-SRV-04)
        loop {
            while let Some(message) = cx.notify.try_recv() {
                self.notified(&cx, message);
            }
            while let Some(event) = cx.inbox.try_recv() {
                self.client_said(&cx, event);
            }
            let mut shutdown = false;
            while let Some(message) = cx.control.try_recv() {
                debug(&cx, "CONTROL", &message);
                shutdown |= matches!(message, Ipc::Shutdown) || message.is_shutdown_microprocess();
            }
            if shutdown {
                self.stop_client(&cx).await;
                while let Some(message) = cx.notify.try_recv() {
                    self.notified(&cx, message);
                }
                self.fail_pending("the torrent service was shut down");
                self.fail_reads("the torrent service was shut down");
                return self.deregister();
            }
            if self.client.is_stopped() {
                self.lost_client(&cx);
            }
            if self.patrons.is_empty() {
                self.stop_client(&cx).await;
                if cx.notify.is_empty() {
                    return self.deregister();
                }
                self.renew_client(&cx);
                continue; // somebody waits at `notify`
            }
            cx.pause().await;
        }
    }
}

impl TorrentService {
    fn notified(&mut self, cx: &Cx<ServicePorts>, message: ServiceMessage) {
        debug(cx, "NOTIFY", &format!("{message:?}"));
        match message {
            ServiceMessage::Add { reply_service } => self.add_patron(cx, reply_service),
            ServiceMessage::Remove { reply_service } => self.remove_patron(cx, &reply_service),
            ServiceMessage::PassOn { reply_service, message } => self.pass_on(cx, reply_service, message),
        }
    }

    /// A second Add of the same patron is ignored (D-35).
    fn add_patron(&mut self, cx: &Cx<ServicePorts>, reply: Service) {
        if self.patron(&reply).is_some() {
            return;
        }
        let outbox = cx.add_outbox::<TorrentEvent>("clientoutbox");
        if let Err(e) = cx.link(&*outbox, &reply) {
            log::warn!("a torrent patron cannot be reached: {e}");
            let _ = cx.delete_outbox(outbox.name());
            return;
        }
        self.patrons.push(Patron { reply, outbox });
    }

    /// Unlinks the patron, forgets its requests and closes what nobody else asked for (D-34, D-35, D-45). Removing an
    /// unknown patron is ignored.
    fn remove_patron(&mut self, cx: &Cx<ServicePorts>, reply: &Service) {
        let Some(at) = self.patrons.iter().position(|p| p.reply == *reply) else { return };
        let patron = self.patrons.remove(at);
        if let Err(e) = cx.delete_outbox(patron.outbox.name()) {
            log::warn!("a patron's outbox: {e}");
        }
        for p in self.pending.iter_mut().chain(&mut self.curious) {
            p.asker.take_if(|(asker, _)| asker == reply);
        }
        self.stop_reading(cx, reply, None);
        for id in self.owners.keys().copied().collect::<Vec<_>>() {
            self.disown(cx, id, reply);
        }
    }

    fn pass_on(&mut self, cx: &Cx<ServicePorts>, reply: Service, message: Message) {
        let message = match CreateNewTorrent::from_message(message) {
            Ok(create) => return self.pass_on_create(cx, reply, create),
            Err(message) => message,
        };
        let message = match self.pass_on_reading(cx, &reply, message) {
            Ok(()) => return,
            Err(message) => message,
        };
        let Some(message) = self.pass_on_stored(cx, &reply, message) else { return };
        match message.downcast::<CloseTorrent>() {
            Ok(close) => {
                self.stop_reading(cx, &reply, Some(close.torrent_id));
                self.disown(cx, close.torrent_id, &reply);
            }
            Err(message) => {
                // Only those who asked for a torrent may change it.
                if let Some((torrent_id, request)) = about(&message)
                    && !self.owners.get(&torrent_id).is_some_and(|owners| owners.contains(&reply))
                {
                    let reason = NOT_YOURS.to_owned();
                    return self.send_to(&reply, TorrentEvent::RequestFailed { torrent_id, request, reason });
                }
                if let Some(get) = message.downcast_ref::<GetSessionStats>() {
                    return self.pass_on_curiosity(cx, reply, get.tag);
                }
                if let Some(subscribe) = message.downcast_ref::<Subscribe>() {
                    return self.subscribe(cx, subscribe.torrent_id, &reply, subscribe.kinds);
                }
                let _ = cx.outbox.send(message);
            }
        }
    }

    fn pass_on_curiosity(&mut self, cx: &Cx<ServicePorts>, reply: Service, tag: Option<RequestTag>) {
        if self.client.is_stopped() {
            return self.no_figures(&reply);
        }
        self.last_tag += 1;
        let ours = RequestTag(self.last_tag);
        self.curious.push(Pending { tag: ours, asker: Some((reply, tag)), news: NewsKinds::NONE });
        let _ = cx.outbox.send(Message::new(GetSessionStats { tag: Some(ours) }));
    }

    fn no_figures(&self, reply: &Service) {
        let reason = "the torrent client has ended".to_owned();
        // No torrent has the number 0.
        let (torrent_id, request) = (TorrentId(0), "GetSessionStats");
        self.send_to(reply, TorrentEvent::RequestFailed { torrent_id, request, reason });
    }

    /// Notes what a patron wants to hear and tells the client what all of them together do.
    fn subscribe(&mut self, cx: &Cx<ServicePorts>, torrent_id: TorrentId, reply: &Service, kinds: NewsKinds) {
        let all = self.subscriptions.entry(torrent_id).or_default();
        let before = all.iter().fold(NewsKinds::NONE, |sum, (_, kinds)| sum | *kinds);
        all.retain(|(patron, _)| patron != reply);
        if kinds != NewsKinds::NONE {
            all.push((reply.clone(), kinds));
        }
        let kinds = all.iter().fold(NewsKinds::NONE, |sum, (_, kinds)| sum | *kinds);
        if all.is_empty() {
            self.subscriptions.remove(&torrent_id);
        }
        if kinds != before {
            let _ = cx.outbox.send(Message::new(Subscribe { torrent_id, kinds }));
        }
    }

    fn tell_subscribers(&self, torrent_id: TorrentId, news: &News) {
        for (patron, kinds) in self.subscriptions.get(&torrent_id).into_iter().flatten() {
            if kinds.contains(news.kind()) {
                self.send_to(patron, TorrentEvent::News { torrent_id, news: news.clone() });
            }
        }
    }

    fn pass_on_create(&mut self, cx: &Cx<ServicePorts>, reply: Service, mut create: CreateNewTorrent) {
        if !self.has_client(cx, &reply) {
            return;
        }
        create.tag = Some(self.expect_answer(reply, create.tag, create.news));
        let _ = cx.outbox.send(Message::new(create));
    }

    /// Whether there is a client for a patron's request; one that has ended is replaced.
    fn has_client(&mut self, cx: &Cx<ServicePorts>, reply: &Service) -> bool {
        if self.client.is_stopped() {
            if self.patron(reply).is_none() {
                return false;
            }
            self.renew_client(cx);
        }
        true
    }

    /// Notes who gets the answer to a request, and gives the tag under which it will come.
    fn expect_answer(&mut self, reply: Service, theirs: Option<RequestTag>, news: NewsKinds) -> RequestTag {
        self.last_tag += 1;
        let tag = RequestTag(self.last_tag);
        self.pending.push_back(Pending { tag, asker: Some((reply, theirs)), news });
        tag
    }

    fn client_said(&mut self, cx: &Cx<ServicePorts>, event: TorrentEvent) {
        debug(cx, "INBOX", &event);
        let event = match self.pass_back_reading(event) {
            Ok(()) => return,
            Err(event) => event,
        };
        match &event {
            TorrentEvent::NewTorrentCreated { torrent_id, .. } => {
                let id = *torrent_id;
                match self.take_asker(&event) {
                    (Some((asker, tag)), news) => {
                        self.owners.insert(id, vec![asker.clone()]);
                        if news != NewsKinds::NONE {
                            // The client knows from the request.
                            self.subscriptions.insert(id, vec![(asker.clone(), news)]);
                        }
                        self.send_to(&asker, event.with_tag(tag));
                    }
                    // Created for nobody: whoever asked has left.
                    (None, _) => close(cx, id),
                }
            }
            TorrentEvent::TorrentAlreadyDownloading { torrent_id, .. } => {
                let id = *torrent_id;
                if let (Some((asker, tag)), news) = self.take_asker(&event) {
                    let owners = self.owners.entry(id).or_default();
                    if !owners.contains(&asker) {
                        owners.push(asker.clone());
                    }
                    if news != NewsKinds::NONE {
                        self.subscribe(cx, id, &asker, news);
                    }
                    self.send_to(&asker, event.with_tag(tag));
                }
            }
            TorrentEvent::TorrentStartFail(TorrentStartFail { torrent_id: Some(id), .. }) => {
                self.subscriptions.remove(id);
                for owner in self.owners.remove(id).unwrap_or_default() {
                    self.send_to(&owner, event.clone());
                }
            }
            TorrentEvent::TorrentStartFail(_) => {
                if let (Some((asker, tag)), _) = self.take_asker(&event) {
                    self.send_to(&asker, event.with_tag(tag));
                }
            }
            TorrentEvent::TorrentRestored { torrent_id, tag, .. } => {
                let (id, tag) = (*torrent_id, *tag);
                self.restored(cx, id, tag, event);
            }
            // The client's own restore has no tag.
            TorrentEvent::RestoreEnded { tag: None, .. } => {}
            TorrentEvent::RestoreEnded { .. } => {
                if let (Some((asker, tag)), _) = self.take_asker(&event) {
                    self.send_to(&asker, event.with_tag(tag));
                }
            }
            _ if event.is_for_all() => {
                self.patrons.iter().for_each(|patron| self.send_to(&patron.reply, event.clone()));
            }
            TorrentEvent::News { torrent_id, news } => self.tell_subscribers(*torrent_id, news),
            TorrentEvent::SessionStats { tag, .. } => {
                let at = self.curious.iter().position(|p| Some(p.tag) == *tag);
                if let Some((asker, tag)) = at.and_then(|at| self.curious.remove(at).asker) {
                    self.send_to(&asker, event.with_tag(tag));
                }
            }
            // One without an owner is dropped (D-46).
            _ => {
                let owners = event.torrent_id().and_then(|id| self.owners.get(&id));
                for owner in owners.into_iter().flatten() {
                    self.send_to(owner, event.clone());
                }
            }
        }
    }

    /// Takes the request that an answer belongs to off the list: by its tag, or the oldest (TO-SRV-07).
    fn take_asker(&mut self, answer: &TorrentEvent) -> (Asker, NewsKinds) {
        let at = match answer.tag() {
            Some(tag) => self.pending.iter().position(|p| p.tag == tag),
            None => Some(0),
        };
        let pending = at.and_then(|at| self.pending.remove(at));
        pending.map_or((None, NewsKinds::NONE), |p| (p.asker, p.news))
    }

    /// Removes an owner; without any left the torrent is closed.
    fn disown(&mut self, cx: &Cx<ServicePorts>, id: TorrentId, owner: &Service) {
        if self.subscriptions.get(&id).is_some_and(|all| all.iter().any(|(patron, _)| patron == owner)) {
            self.subscribe(cx, id, owner, NewsKinds::NONE);
        }
        let Some(owners) = self.owners.get_mut(&id) else { return };
        let before = owners.len();
        owners.retain(|o| o != owner);
        if owners.is_empty() && before > 0 {
            self.owners.remove(&id);
            close(cx, id);
        }
    }

    fn patron(&self, reply: &Service) -> Option<&Patron> {
        self.patrons.iter().find(|p| p.reply == *reply)
    }

    fn send_to(&self, reply: &Service, event: TorrentEvent) {
        if let Some(patron) = self.patron(reply)
            && let Err(e) = patron.outbox.send(event)
        {
            log::warn!("a message to a torrent patron was dropped: {e}");
        }
    }

    /// Tells the client to stop and waits until it has (TO-SRV-09).
    async fn stop_client(&mut self, cx: &Cx<ServicePorts>) {
        let _ = cx.signal.send(Ipc::Shutdown);
        cx.yield_now().await;
        loop {
            let mut finished = self.client.is_stopped();
            while let Some(message) = cx._torrentcontrol.try_recv() {
                finished |= message.is_producer_finished();
            }
            // What the client answers until its end still reaches its asker.
            while let Some(event) = cx.inbox.try_recv() {
                self.client_said(cx, event);
            }
            if finished {
                return cx.yield_now().await;
            }
            cx.pause().await;
        }
    }

    /// The client ended without having been told to: its torrents have failed.
    fn lost_client(&mut self, cx: &Cx<ServicePorts>) {
        if self.owners.is_empty() && self.pending.is_empty() && self.curious.is_empty() {
            return;
        }
        let reason = "the torrent client has ended";
        self.fail_pending(reason);
        self.fail_reads(reason);
        self.subscriptions.clear();
        for (id, owners) in std::mem::take(&mut self.owners) {
            for owner in owners {
                self.send_to(&owner, failed(None, Some(id), reason));
            }
        }
        cx.remove_child(&self.client);
    }

    /// Makes a new client in place of one that has ended, with nothing left of the old one (D-32).
    fn renew_client(&mut self, cx: &Cx<ServicePorts>) {
        cx.remove_child(&self.client);
        while cx._torrentcontrol.try_recv().is_some() {}
        self.fail_pending("the torrent client has ended");
        self.fail_reads("the torrent client has ended");
        self.owners.clear();
        self.subscriptions.clear();
        self.client = (self.factory)();
        if let Err(e) = adopt_client(&cx.instance(), &self.client) {
            log::error!("a torrent service cannot use its client: {e}");
        }
        cx.activate(&self.client);
    }

    fn fail_pending(&mut self, reason: &str) {
        for curious in std::mem::take(&mut self.curious) {
            if let Some((asker, _)) = curious.asker {
                self.no_figures(&asker);
            }
        }
        for pending in std::mem::take(&mut self.pending) {
            if let Some((asker, tag)) = pending.asker {
                self.send_to(&asker, failed(tag, None, reason));
            }
        }
    }

    fn deregister(&self) {
        for name in [SERVICE, SHUTDOWN_SERVICE] {
            if let Err(e) = self.tracker.deregister_service(name) {
                log::debug!("{e}");
            }
        }
    }
}

const NOT_YOURS: &str = "this patron has no torrent of this number";

fn close(cx: &Cx<ServicePorts>, torrent_id: TorrentId) {
    let _ = cx.outbox.send(Message::new(CloseTorrent { torrent_id }));
}

fn failed(tag: Option<RequestTag>, torrent_id: Option<TorrentId>, reason: &str) -> TorrentEvent {
    TorrentEvent::TorrentStartFail(TorrentStartFail { reason: reason.to_string(), torrent_id, tag })
}

/// The text is made only if somebody is linked to `debug`.
fn debug(cx: &Cx<ServicePorts>, word: &str, what: &dyn std::fmt::Display) {
    if cx.debug.is_linked() {
        let _ = cx.debug.send(word.to_string());
        let _ = cx.debug.send(what.to_string());
    }
}
