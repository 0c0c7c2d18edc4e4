//! `tracker`: the tracker's components, until Ctrl-C.

use axon::prelude::*;
use kamaelia_torrent::components::tracker::TrackerServer;
use kamaelia_torrent::proto::tracker::TrackerConfig;
use serde_json::json;

use super::args::Tracker;
use super::interrupt::Interrupt;
use super::output::line;
use super::{Done, Failure};

ports! {
    /// Boxes of a [`Stop`].
    struct StopPorts {
        in  { interrupt: () }
        out { server: Ipc, interrupter: Ipc }
    }
}

/// Turns the first Ctrl-C into the end of the others.
struct Stop;

impl Component for Stop {
    type Ports = StopPorts;

    async fn main(self, cx: Cx<StopPorts>) {
        cx.interrupt.recv().await;
        let _ = cx.server.send(Ipc::shutdown_microprocess());
        let _ = cx.interrupter.send(Ipc::shutdown_microprocess());
    }
}

pub(crate) fn run(args: &Tracker) -> Done {
    let config = TrackerConfig {
        interval: args.interval,
        min_interval: args.interval.min(TrackerConfig::default().min_interval),
        ..TrackerConfig::default()
    };
    let interrupt = Interrupt::install()?;
    let server = TrackerServer::bind_with(args.listen, config)
        .map_err(|e| Failure::Failed(format!("cannot listen on {}: {e}", args.listen)))?;
    let addr = server.local_addr();
    if args.json {
        let url = format!("http://{addr}/announce");
        line(&json!({"event": "listening", "address": addr.to_string(), "announce": url}).to_string());
    } else if addr.ip().is_unspecified() {
        line(&format!(
            "announce URL: http://HOST:{}/announce, HOST being any address of this machine",
            addr.port()
        ));
    } else {
        line(&format!("announce URL: http://{addr}/announce"));
    }
    let (server, stop, interrupt) = (server.create(), Stop.create(), interrupt.create());
    axon::link(&interrupt.outbox, &stop.interrupt)?;
    axon::link(&stop.server, &server.control)?;
    axon::link(&stop.interrupter, &interrupt.control)?;
    let scheduler = Scheduler::new();
    for part in [server.any(), stop.any(), interrupt.any()] {
        scheduler.activate(part);
    }
    Ok(scheduler.run()?)
}
