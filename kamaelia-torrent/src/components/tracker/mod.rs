//! A small tracker as components: an HTTP server whose requests go to a tracker and whose answers come back.
//!
//! ```text
//! http.outbox -> tracker.inbox    tracker.outbox -> http.inbox
//! ```

mod http;

use std::time::Instant;

use axon::{Component, Cx, Ipc, ports};

pub use self::http::{HttpPorts, HttpRequest, HttpResponse, HttpServer};
use crate::proto::tracker::{TrackerConfig, TrackerState};

ports! {
    /// Boxes of a [`Tracker`].
    pub struct TrackerPorts {
        in  { /// Requests of clients.
              inbox: HttpRequest,
              /// `producerFinished`, `shutdownMicroprocess` or [`Ipc::Shutdown`] end it.
              control: Ipc }
        out { /// The answers.
              outbox: HttpResponse,
              /// The control message, passed on.
              signal: Ipc }
    }
}

/// Answers `/announce` and `/scrape` (BEP 3, 23, 48); anything else gets a status 404.
///
/// # Boxes
/// See [`TrackerPorts`]. One answer to each request, in order.
///
/// # Shutdown
/// On `producerFinished`, `shutdownMicroprocess` or [`Ipc::Shutdown`], after what is queued; the message is passed on.
///
/// # Limits
/// Those of [`TrackerConfig`].
pub struct Tracker {
    config: TrackerConfig,
}

impl Tracker {
    /// A tracker with settings.
    pub fn new(config: TrackerConfig) -> Self {
        Self { config }
    }
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new(TrackerConfig::default())
    }
}

impl Component for Tracker {
    type Ports = TrackerPorts;

    async fn main(self, cx: Cx<TrackerPorts>) {
        let mut state = TrackerState::new(self.config, fastrand::Rng::new());
        loop {
            while let Some(request) = cx.inbox.try_recv() {
                let _ = cx.outbox.send_wait(answer(&mut state, &request)).await;
            }
            if let Some(stop) = cx.control.try_recv()
                && (stop.ends_component() || matches!(stop, Ipc::Shutdown))
            {
                let _ = cx.signal.send(stop);
                return;
            }
            cx.pause().await;
        }
    }
}

fn answer(state: &mut TrackerState, request: &HttpRequest) -> HttpResponse {
    let (now, id) = (Instant::now(), request.id);
    match request.path.as_str() {
        "/announce" => HttpResponse::text(id, state.announce(now, &request.query, request.source.ip())),
        "/scrape" => HttpResponse::text(id, state.scrape(now, &request.query)),
        _ => HttpResponse::not_found(id),
    }
}

ports! {
    /// Boxes of a [`TrackerServer`].
    pub struct TrackerServerPorts {
        in  { /// `producerFinished`, `shutdownMicroprocess` or [`Ipc::Shutdown`] end it.
              control: Ipc }
        out { /// The control message, passed on when both parts have ended.
              signal: Ipc }
    }
}

/// An [`HttpServer`] and a [`Tracker`], linked to each other.
///
/// ```
/// use axon::prelude::*;
/// use kamaelia_torrent::components::tracker::TrackerServer;
///
/// let server = TrackerServer::bind("127.0.0.1:0".parse()?)?;
/// let announce_url = format!("http://{}/announce", server.local_addr());
/// let server = server.create();
/// server.control.deliver(Ipc::shutdown_microprocess())?;
/// let scheduler = Scheduler::new();
/// scheduler.activate(&server);
/// scheduler.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TrackerServer {
    http: HttpServer,
    tracker: Tracker,
}

impl TrackerServer {
    /// Binds the address; port 0 takes any free one.
    ///
    /// # Errors
    /// The system's, for an address that is taken or not ours.
    pub fn bind(addr: std::net::SocketAddr) -> std::io::Result<Self> {
        Self::bind_with(addr, TrackerConfig::default())
    }

    /// Binds the address, with settings of the tracker.
    ///
    /// # Errors
    /// The system's, for an address that is taken or not ours.
    pub fn bind_with(addr: std::net::SocketAddr, config: TrackerConfig) -> std::io::Result<Self> {
        Ok(Self { http: HttpServer::bind(addr)?, tracker: Tracker::new(config) })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> std::net::SocketAddr {
        self.http.local_addr()
    }
}

impl Component for TrackerServer {
    type Ports = TrackerServerPorts;

    async fn main(self, cx: Cx<TrackerServerPorts>) {
        use axon::Microprocess;

        let (http, tracker) = (self.http.create(), self.tracker.create());
        let stop = cx.add_outbox::<Ipc>("_stop");
        let linked = cx
            .link(&http.outbox, &tracker.inbox)
            .and_then(|_| cx.link(&tracker.outbox, &http.inbox))
            .and_then(|_| cx.link(&http.signal, &tracker.control))
            .and_then(|_| cx.link(&*stop, &http.control));
        if let Err(e) = linked {
            return cx.end_with(Err(e));
        }
        for part in [http.any(), tracker.any()] {
            cx.add_child(&part);
            cx.activate(part);
        }
        let mut last = None;
        while cx.reap_children() {
            if let Some(message) = cx.control.try_recv()
                && (message.ends_component() || matches!(message, Ipc::Shutdown))
            {
                let _ = stop.send(message.clone());
                last = Some(message);
            }
            if cx.control.is_empty() {
                cx.pause().await;
            }
        }
        let _ = cx.signal.send(last.unwrap_or_else(Ipc::producer_finished));
    }
}
