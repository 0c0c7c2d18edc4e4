//! A user of a patron: sends by script, keeps what comes back.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use axon::prelude::*;
use kamaelia_torrent::components::TorrentEvent;

ports! {
    pub(crate) struct UserPorts {
        in  { inbox: TorrentEvent, control: Ipc }
        out { outbox: Message, signal: Ipc }
    }
}

/// What a user has seen so far.
#[derive(Clone, Default)]
pub(crate) struct Seen(Rc<RefCell<Vec<TorrentEvent>>>);

impl Seen {
    pub(crate) fn push(&self, event: TorrentEvent) {
        self.0.borrow_mut().push(event);
    }

    /// Everything, in order.
    pub(crate) fn all(&self) -> Vec<TorrentEvent> {
        self.0.borrow().clone()
    }

    /// What trackers said, as texts.
    pub(crate) fn reports(&self) -> Vec<String> {
        let all = self.0.borrow();
        let reports = all.iter().filter(|e| matches!(e, TorrentEvent::TrackerReport { .. }));
        reports.map(|e| e.to_string()).collect()
    }

    /// The texts of everything but status updates and tracker reports.
    pub(crate) fn answers(&self) -> Vec<String> {
        let all = self.0.borrow();
        all.iter()
            .filter(|e| {
                !matches!(e, TorrentEvent::TorrentStatusUpdate { .. } | TorrentEvent::TrackerReport { .. })
            })
            .map(|e| e.to_string())
            .collect()
    }

    pub(crate) fn has_complete(&self) -> bool {
        self.0.borrow().iter().any(|e| match e {
            TorrentEvent::TorrentStatusUpdate { status, .. } => status.is_complete(),
            _ => false,
        })
    }

    pub(crate) fn updates(&self) -> usize {
        self.0.borrow().iter().filter(|e| matches!(e, TorrentEvent::TorrentStatusUpdate { .. })).count()
    }
}

/// Sends its requests, then collects until `done` says so, then shuts the patron down and waits for its end.
pub(crate) struct User {
    pub(crate) requests: Vec<Message>,
    pub(crate) seen: Seen,
    pub(crate) done: Box<dyn Fn(&Seen) -> bool>,
}

impl Component for User {
    type Ports = UserPorts;

    async fn main(self, cx: Cx<UserPorts>) {
        for request in self.requests {
            cx.outbox.send(request).unwrap();
        }
        let mut told = false;
        loop {
            while let Some(event) = cx.inbox.try_recv() {
                self.seen.push(event);
            }
            if !told && (self.done)(&self.seen) {
                told = true;
                cx.signal.send(Ipc::Shutdown).unwrap();
            }
            if cx.control.try_recv().is_some_and(|m| m.is_producer_finished()) {
                return;
            }
            cx.pause().await;
        }
    }
}

/// Links a user to a patron both ways and activates both.
pub(crate) fn attach(s: &Scheduler, user: User, patron: impl Into<AnyInstance>) -> AnyInstance {
    let patron = patron.into();
    let user = user.create();
    axon::link((&user, "outbox"), (&patron, "inbox")).unwrap();
    axon::link((&user, "signal"), (&patron, "control")).unwrap();
    axon::link((&patron, "outbox"), (&user, "inbox")).unwrap();
    axon::link((&patron, "signal"), (&user, "control")).unwrap();
    s.activate(&patron);
    s.activate(&user);
    patron
}

/// Longest time that a run in a test may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs that end: a message that never comes is a failure, and not a test that hangs.
pub(crate) trait Bounded {
    /// Runs until everything has ended, which must not take longer than [`LIMIT`].
    fn run_bounded(&self) -> axon::Result<()>;
}

impl Bounded for Scheduler {
    fn run_bounded(&self) -> axon::Result<()> {
        let (ended, end) = channel::<()>();
        let handle = self.handle();
        let watch = thread::spawn(move || {
            let late = end.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout);
            if late {
                handle.stop();
            }
            late
        });
        let result = self.run();
        drop(ended);
        let late = watch.join().unwrap();
        assert!(!late, "after {LIMIT:?} there still were {:?}", self.processes());
        result
    }
}
