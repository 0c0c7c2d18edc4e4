//! One component stops the whole system; one that would sleep for ever hears of it.
//!
//! Original (PR-05): `Code/Python/Axon/Examples/SystemShutdown.py`.
//!
//! ```text
//! Eternal    ShutterDown        no links
//! ```

use std::time::Duration;

use axon::prelude::*;
use axon::{Clock, SchedulerOptions};

ports! { /// No boxes.
pub struct NoPorts { in {} out {} } }

struct ShutterDown;
impl Component for ShutterDown {
    type Ports = NoPorts;
    async fn main(self, cx: Cx<NoPorts>) {
        for _ in 0..4 {
            println!("tick");
            cx.sleep(Duration::from_millis(500)).await;
        }
        println!("stopped");
        cx.stop_scheduler();
    }
}

struct Eternal;
impl Component for Eternal {
    type Ports = NoPorts;
    async fn main(self, cx: Cx<NoPorts>) {
        loop {
            cx.pause().await;
        }
    }
}

fn main() -> axon::Result<()> {
    // `--virtual`: time jumps from tick to tick.
    let clock = if std::env::args().any(|a| a == "--virtual") { Clock::Virtual } else { Clock::System };
    let scheduler = Scheduler::with_options(SchedulerOptions { clock, ..SchedulerOptions::default() });
    let eternal = Eternal.create();
    eternal.on_stop(|| println!("Urgent shutdown here, honest gov!"));
    scheduler.activate(&eternal);
    scheduler.activate(ShutterDown);
    scheduler.run()
}
