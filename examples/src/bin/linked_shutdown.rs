//! A shutdown message that goes through a Graphline from component to component: only the first gets it from outside.
//!
//! Original (PR-10): `Code/Python/Kamaelia/Examples/UsingChassis/Graphline/LinkedShutdown.py`.
//!
//! ```text
//! Pipeline(Pinger, Graphline(Waiter 1, Waiter 2, Waiter 3), Whinger)      Pinger, Whinger: threads
//!   Waiter 1 signal -> Waiter 2 control      Waiter 2 signal -> Waiter 3 control
//! ```
//!
//! `linked_shutdown [--tick MILLISECONDS]`: the length of a second.

use axon::prelude::*;
use examples::shutdown::{Pinger, Waiter, Whinger};

fn main() -> axon::Result<()> {
    Pipeline::new()
        .then(Threaded::new(Pinger { tosend: vec![Ipc::producer_finished()] }))
        .then(
            Graphline::new()
                .node("TO_SHUTDOWN1", Waiter)
                .node("TO_SHUTDOWN2", Waiter)
                .node("TO_SHUTDOWN3", Waiter)
                .link(("TO_SHUTDOWN1", "signal"), ("TO_SHUTDOWN2", "control"))
                .link(("TO_SHUTDOWN2", "signal"), ("TO_SHUTDOWN3", "control")),
        )
        .then(Threaded::new(Whinger))
        .run()
}
