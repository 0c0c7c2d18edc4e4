//! Nine slow components in nested Pars shut down cleanly, although the message is a producerFinished.
//!
//! Original (PR-13): `Code/Python/Kamaelia/Examples/UsingChassis/PAR/par_shutdown_simple.py`.
//!
//! ```text
//! Pipeline(TimedShutdown,
//!          Par(slow, Par(slow, slow, Pipeline(Par(Pipeline(Par(slow × 3)), Pipeline(Par(slow × 3)))))))
//! ```
//!
//! All of them are threads. `par_shutdown_simple [--tick MILLISECONDS]`: the length of a second.

use std::thread;

use axon::BoxError;
use axon::prelude::*;
use axon::threaded::ThreadedComponent;
use examples::shutdown::Boxes;
use examples::tick;

struct TimedShutdown {
    ttl: u32,
}

impl ThreadedComponent for TimedShutdown {
    type Ports = Boxes;
    fn main(self, cx: ThreadCx<Boxes>) -> Result<(), BoxError> {
        thread::sleep(self.ttl * tick());
        Ok(cx.signal.blocking_send(Ipc::producer_finished())?)
    }
}

struct ChattySlowShutdown;

impl ThreadedComponent for ChattySlowShutdown {
    type Ports = Boxes;
    fn main(self, cx: ThreadCx<Boxes>) -> Result<(), BoxError> {
        while cx.control.is_empty() {
            println!("{} Still waiting", cx.name());
            thread::sleep(tick());
        }
        for _ in 0..3 {
            println!("{} Shutting down slowly", cx.name());
            thread::sleep(tick());
        }
        Ok(cx.signal.blocking_send(cx.control.recv()?)?)
    }
}

fn main() -> axon::Result<()> {
    let slow = || Threaded::new(ChattySlowShutdown);
    let three = || Pipeline::new().then(Par::new().with(slow()).with(slow()).with(slow()));
    Pipeline::new()
        .then(Threaded::new(TimedShutdown { ttl: 3 }))
        .then(
            Par::new().with(slow()).with(
                Par::new()
                    .with(slow())
                    .with(slow())
                    .with(Pipeline::new().then(Par::new().with(three()).with(three()))),
            ),
        )
        .run()?;
    println!("PAR shutdown");
    Ok(())
}
