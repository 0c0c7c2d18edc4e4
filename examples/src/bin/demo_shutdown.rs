//! A Graphline hands the shutdown message that it gets to all of its components.
//!
//! Original (PR-09): `Code/Python/Kamaelia/Examples/UsingChassis/Graphline/DemoShutdown.py`.
//!
//! ```text
//! Pipeline(Pinger, Graphline(Waiter, Waiter, Waiter, no links), Whinger)      Pinger, Whinger: threads
//! ```
//!
//! `demo_shutdown [--tick MILLISECONDS]`: the length of a second.

use axon::prelude::*;
use examples::shutdown::{Pinger, Waiter, Whinger};

fn main() -> axon::Result<()> {
    println!(
        "
Basic Acceptance Test

This example creates 3 components inside a graphline that wait for shutdown
from the outside world. When they get this passed onto them, they shut down,
causing the graphline (and pipeline) to shut down
"
    );
    Pipeline::new()
        .then(Threaded::new(Pinger { tosend: vec![Ipc::producer_finished()] }))
        .then(
            Graphline::new()
                .node("TO_SHUTDOWN1", Waiter)
                .node("TO_SHUTDOWN2", Waiter)
                .node("TO_SHUTDOWN3", Waiter),
        )
        .then(Threaded::new(Whinger))
        .run()
}
