//! Who tells components that a socket is ready (Kamaelia: `Kamaelia/Internet/Selector.py`).

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Interest, Token};

use super::messages::SelectorRequest;
use super::park::{own_waker, park};
use super::poller::{Poller, Ready, Shared, interest};
use super::socket::{Socket, WeakSocket};
use crate::boxes::{Direction, Mailbox};
use crate::component::{AnyInstance, Component, Cx, Instance, Microprocess, Service};
use crate::ipc::Ipc;
use crate::tracker::{Tracker, TrackerError};

crate::ports! {
    /// Boxes of a [`Selector`].
    pub struct SelectorPorts {
        in  { /// What to watch, and what no longer.
              notify: SelectorRequest,
              /// `Shutdown`: end when nothing is watched any more.
              control: Ipc }
        out { /// Unused.
              signal: Ipc }
    }
}

/// Watches sockets and tells components, once for each request, that one is ready.
///
/// Components find it by name: [`Selector::services`] gives the one of this scheduler. One serves all sockets of a
/// scheduler, thousands of them.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `notify` | [`SelectorRequest`] | what to watch, in which of three roles, and which inbox to tell |
/// | `control` | [`Ipc`] | [`Ipc::Shutdown`] ends it; others are ignored |
/// | the inbox of a request | [`Socket`] | the socket, when it is ready |
///
/// # Example
/// A component is told when a connection waits:
/// ```
/// use axon::internet::{Selector, SelectorRequest, Socket, SocketOptions};
/// use axon::prelude::*;
///
/// ports! { struct DoorPorts { in { knock: Socket } out { ask: SelectorRequest } } }
/// struct Door(Socket);
/// impl Component for Door {
///     type Ports = DoorPorts;
///     async fn main(self, cx: Cx<DoorPorts>) {
///         let selector = Selector::services(&cx);
///         cx.link(&cx.ask, &selector.notify).unwrap();
///         let request = SelectorRequest::NewReader {
///             caller: cx.id(),
///             target: cx.service("knock"),
///             socket: self.0.clone(),
///         };
///         cx.ask.send(request).unwrap();
///         let socket = cx.knock.recv().await;
///         assert!(socket.accept().is_ok());
///         cx.stop_scheduler();
///     }
/// }
///
/// let socket = SocketOptions::new().listen("127.0.0.1:0".parse()?)?;
/// let caller = std::net::TcpStream::connect(socket.local_addr()?)?;
/// Door(socket).run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # How it works
/// A thread blocks on the system's table of sockets and hands over what became ready; the component sends the sockets
/// on. A watch is dropped when it has told (one-shot). A request looks at the socket anew, so what is there already is
/// told too, and so is an end or an error, to readers and writers alike. A socket that is watched in that role already
/// is not watched twice. A socket may turn out not to be ready after all: try, and ask again.
///
/// Unlike the original it makes no outbox and no link for a watch, so a graph shows none; a request costs one call of
/// the system, a message nothing but itself. It keeps no socket open: a socket that is closed, or whose last handle
/// goes, is forgotten.
///
/// # Shutdown
/// It ends when nothing has been watched for [3.5 s](Selector::idle_time). A role that has told counts as watched
/// until it is removed or the socket is closed: a connection that waits for its reader is not forgotten meanwhile. On
/// [`Ipc::Shutdown`] its names are given up, so that the next component that asks gets another selector, and it ends
/// in the same way. (The original waits 5 s then, but its other rule is always quicker.) The names are also given up
/// when it ends in any other way.
///
/// # Errors
/// It fails if the system gives it no table or no thread.
pub struct Selector {
    idle_time: Duration,
}

/// How to reach a selector.
#[derive(Clone, Debug)]
pub struct SelectorServices {
    /// Where requests go.
    pub notify: Service,
    /// Where [`Ipc::Shutdown`] goes.
    pub shutdown: Service,
}

impl Default for Selector {
    fn default() -> Self {
        Self::new()
    }
}

impl Selector {
    /// A selector that nobody knows yet.
    pub fn new() -> Self {
        Self { idle_time: Duration::from_millis(3500) }
    }

    /// How long it stays with nothing to watch.
    #[must_use]
    pub fn idle_time(mut self, time: Duration) -> Self {
        self.idle_time = time;
        self
    }

    /// Registers a selector with a tracker under the names `selector` and `selectorshutdown`
    /// (`setSelectorServices`).
    ///
    /// # Errors
    /// One of the names is taken; nothing is registered then.
    pub fn set_services(
        selector: &Instance<SelectorPorts>,
        tracker: &Rc<Tracker>,
    ) -> Result<(), TrackerError> {
        tracker.register_service(NOTIFY, selector, "notify")?;
        if let Err(e) = tracker.register_service(SHUTDOWN, selector, "control") {
            let _ = tracker.deregister_service(NOTIFY);
            return Err(e);
        }
        selector.set_tracker(tracker.clone());
        let (tracker, me) = (tracker.clone(), selector.reference());
        selector.on_stop(move || give_up_names(&tracker, me.id()));
        Ok(())
    }

    /// The selector that is registered with a tracker, or a new one, which is registered now and which whoever gets it
    /// must activate (`getSelectorServices`).
    ///
    /// One that has ended without giving up its names is replaced.
    ///
    /// # Panics
    /// If somebody took one of the two names for something that is alive and no selector.
    pub fn get_services(tracker: &Rc<Tracker>) -> (SelectorServices, Option<Instance<SelectorPorts>>) {
        Self::find_or_make(tracker, |_| true)
    }

    /// The selector of a component's scheduler and tracker; it is made and activated if there is none.
    ///
    /// # Panics
    /// As [`Selector::get_services`].
    pub fn services<P>(cx: &Cx<P>) -> SelectorServices {
        let here = cx.core();
        // The shared tracker belongs to the thread, which may have had another scheduler before.
        let (services, new) = Self::find_or_make(&cx.tracker(), |found| {
            found.process().core().is_none_or(|core| Rc::ptr_eq(core, here))
        });
        if let Some(new) = new {
            cx.activate(&new);
        }
        services
    }

    fn find_or_make(
        tracker: &Rc<Tracker>,
        fits: impl Fn(&AnyInstance) -> bool,
    ) -> (SelectorServices, Option<Instance<SelectorPorts>>) {
        if let (Ok(notify), Ok(shutdown)) =
            (tracker.retrieve_service(NOTIFY), tracker.retrieve_service(SHUTDOWN))
        {
            if notify.component().resolve().is_some_and(|s| !s.is_stopped() && fits(&s)) {
                return (SelectorServices { notify, shutdown }, None);
            }
            give_up_names(tracker, notify.component().id());
        }
        let new = Self::new().create();
        Self::set_services(&new, tracker).expect("the names of a selector are used for a selector");
        let services = SelectorServices { notify: new.service("notify"), shutdown: new.service("control") };
        (services, Some(new))
    }
}

/// Gives the names up, if they are that selector's.
fn give_up_names(tracker: &Tracker, selector: crate::id::ProcessId) {
    for name in [NOTIFY, SHUTDOWN] {
        if tracker.retrieve_service(name).is_ok_and(|s| s.component().id() == selector) {
            let _ = tracker.deregister_service(name);
        }
    }
}

impl Component for Selector {
    type Ports = SelectorPorts;

    async fn main(self, cx: Cx<SelectorPorts>) {
        let poller = match Poller::start(own_waker().await) {
            Ok(poller) => poller,
            Err(e) => return cx.end_with(Err::<(), _>(e)),
        };
        let result = self.serve(&cx, poller.shared()).await;
        cx.end_with(result);
    }
}

impl Selector {
    async fn serve(self, cx: &Cx<SelectorPorts>, shared: &Arc<Shared>) -> io::Result<()> {
        let mut table = Table::default();
        let (mut ready, mut gone) = (Vec::new(), Vec::new());
        let mut idle_since: Option<Instant> = None;
        loop {
            while let Some(request) = cx.notify.try_recv() {
                table.handle(request, shared);
            }
            while let Some(message) = cx.control.try_recv() {
                if matches!(message, Ipc::Shutdown) {
                    give_up_names(&cx.tracker(), cx.id());
                }
            }
            shared.take(&mut ready, &mut gone)?;
            for event in ready.drain(..) {
                table.tell(event, cx);
            }
            for token in gone.drain(..) {
                table.forget(token);
            }
            table.try_again(cx);
            if table.in_use > 0 {
                idle_since = None;
                park(cx, None).await;
            } else {
                let now = cx.core().now();
                let until = *idle_since.get_or_insert(now) + self.idle_time;
                if now >= until {
                    return Ok(());
                }
                park(cx, Some(until)).await;
            }
        }
    }
}

/// What is watched.
#[derive(Default)]
struct Table {
    sockets: HashMap<Token, Watched>,
    serial: usize,
    /// Roles in use, of all sockets.
    in_use: usize,
    /// Told to inboxes that were full.
    waiting: Vec<(Mailbox<Socket>, Socket)>,
}

struct Watched {
    socket: WeakSocket,
    roles: [Role; 3],
}

#[derive(Default)]
enum Role {
    /// Nobody has asked, or it was removed.
    #[default]
    Unused,
    Watched(Mailbox<Socket>),
    /// Has told, and was not asked again so far.
    Told,
}

impl Table {
    fn handle(&mut self, request: SelectorRequest, shared: &Arc<Shared>) {
        match request {
            SelectorRequest::NewReader { target, socket, .. } => self.add(0, &target, &socket, shared),
            SelectorRequest::NewWriter { target, socket, .. } => self.add(1, &target, &socket, shared),
            SelectorRequest::NewExceptional { target, socket, .. } => self.add(2, &target, &socket, shared),
            SelectorRequest::RemoveReader { socket, .. } => self.remove(0, &socket, shared),
            SelectorRequest::RemoveWriter { socket, .. } => self.remove(1, &socket, shared),
            SelectorRequest::RemoveExceptional { socket, .. } => self.remove(2, &socket, shared),
        }
    }

    fn add(&mut self, role: usize, target: &Service, socket: &Socket, shared: &Arc<Shared>) {
        let known = socket.token(shared).and_then(|t| self.sockets.get(&t));
        if known.is_some_and(|w| matches!(w.roles[role], Role::Watched(_))) {
            return;
        }
        let target = match target.mailbox() {
            Ok(target) => target,
            Err(e) => return log::warn!("a socket is not watched: {e}"),
        };
        let others = known.map_or([false; 3], |w| w.roles.each_ref().map(|r| matches!(r, Role::Watched(_))));
        let interest = wanted(others, role);
        let serial = &mut self.serial;
        let token = socket.watch(shared, interest, || {
            *serial += 1;
            Token(*serial - 1)
        });
        let token = match token {
            Ok(token) => token,
            // Whoever asked finds out the reason by trying.
            Err(e) => {
                log::debug!("{socket:?} cannot be watched: {e}");
                return self.deliver(target, socket.clone());
            }
        };
        let watched = self
            .sockets
            .entry(token)
            .or_insert_with(|| Watched { socket: socket.downgrade(), roles: Default::default() });
        if matches!(watched.roles[role], Role::Unused) {
            self.in_use += 1;
        }
        watched.roles[role] = Role::Watched(target);
    }

    fn remove(&mut self, role: usize, socket: &Socket, shared: &Arc<Shared>) {
        let Some(token) = socket.token(shared) else { return };
        let Some(watched) = self.sockets.get_mut(&token) else { return };
        if !matches!(std::mem::take(&mut watched.roles[role]), Role::Unused) {
            self.in_use -= 1;
        }
        if watched.roles.iter().all(|r| matches!(r, Role::Unused)) {
            self.sockets.remove(&token);
            socket.unwatch();
        }
    }

    fn forget(&mut self, token: Token) {
        if let Some(watched) = self.sockets.remove(&token) {
            self.in_use -= watched.roles.iter().filter(|r| !matches!(r, Role::Unused)).count();
        }
    }

    fn tell(&mut self, event: Ready, cx: &Cx<SelectorPorts>) {
        let Some(watched) = self.sockets.get_mut(&event.token) else { return };
        let Some(socket) = watched.socket.upgrade() else { return };
        let mut told = [const { None }; 3];
        for (role, told) in told.iter_mut().enumerate() {
            if event.roles[role] && matches!(watched.roles[role], Role::Watched(_)) {
                *told = Some(std::mem::replace(&mut watched.roles[role], Role::Told));
            }
        }
        for role in told.into_iter().flatten() {
            if let Role::Watched(target) = role {
                self.deliver(target, socket.clone());
            }
        }
        self.listen_for_room(cx);
    }

    fn deliver(&mut self, target: Mailbox<Socket>, socket: Socket) {
        match target.deliver(socket) {
            Ok(()) => {}
            Err(e) if e.is_full() => self.waiting.push((target, e.into_message())),
            Err(e) => log::warn!("a socket was not sent on: {e}"),
        }
    }

    /// A full inbox is tried again when something was taken out of it.
    fn try_again(&mut self, cx: &Cx<SelectorPorts>) {
        for (target, socket) in std::mem::take(&mut self.waiting) {
            self.deliver(target, socket);
        }
        self.listen_for_room(cx);
    }

    fn listen_for_room(&self, cx: &Cx<SelectorPorts>) {
        for (target, _) in &self.waiting {
            target.wake_when_collected(cx.process());
        }
    }
}

/// What the system is asked for: the roles that are watched, and one more.
fn wanted(others: [bool; 3], role: usize) -> Interest {
    let mut all = interest(role);
    for (i, on) in others.into_iter().enumerate() {
        if on {
            all = all.add(interest(i));
        }
    }
    all
}

impl Service {
    /// The inbox as something to deliver to.
    fn mailbox<T: Send + 'static>(&self) -> Result<Mailbox<T>, crate::LinkError> {
        Mailbox::find(&crate::linkage::LinkEnd::find(&self, Direction::In)?)
    }
}

const NOTIFY: &str = "selector";
const SHUTDOWN: &str = "selectorshutdown";
