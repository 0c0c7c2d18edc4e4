//! A Graphline that does not shut down, because its control goes to one component that tells nobody.
//!
//! Original (PR-11): `Code/Python/Kamaelia/Examples/UsingChassis/Graphline/FailShutdown.py`.
//!
//! ```text
//! Pipeline(Pinger, Graphline(Waiter 1, Waiter 2), Whinger)      Pinger, Whinger: threads
//!   graphline control -> Waiter 1 control
//! ```
//!
//! `fail_shutdown [--for SECONDS] [--tick MILLISECONDS]`: stops it from outside; the length of a second.

use axon::prelude::*;
use examples::shutdown::{Pinger, StopAfter, Waiter, Whinger};

fn main() -> axon::Result<()> {
    println!(
        "
This example will fail to shut down. The reason for this is threefold:

   * The user has chosen to link the graphline's control, passed through to a
     child
   * That child does not tell the other components to shut down, so they
     don't
   * No one passes on the shutdown as a result to the outside world, meaning
     the Whinger keeps on whinging
"
    );
    if let Some(seconds) = examples::option("--for") {
        StopAfter(seconds as u32).activate();
    }
    Pipeline::new()
        .then(Threaded::new(Pinger { tosend: vec![Ipc::producer_finished()] }))
        .then(
            Graphline::new()
                .node("TO_SHUTDOWN1", Waiter)
                .node("TO_SHUTDOWN2", Waiter)
                .link(("self", "control"), ("TO_SHUTDOWN1", "control")),
        )
        .then(Threaded::new(Whinger))
        .run()
}
