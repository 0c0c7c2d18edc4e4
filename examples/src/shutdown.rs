//! The parts of the three programs about shutting a Graphline down (`Examples/UsingChassis/Graphline/*.py`).

use std::thread;
use std::time::Duration;

use axon::BoxError;
use axon::prelude::*;
use axon::threaded::ThreadedComponent;

use crate::tick;

ports! { /// The default boxes.
pub struct Boxes {
    in { /// Unused.
         inbox: Message,
         /// What the component waits for.
         control: Ipc }
    out { /// Unused.
          outbox: Message,
          /// What was waited for, or what is sent.
          signal: Ipc }
} }

/// Sends its messages out of `signal`, one a second.
pub struct Pinger {
    /// What to send.
    pub tosend: Vec<Ipc>,
}

impl ThreadedComponent for Pinger {
    type Ports = Boxes;
    fn main(self, cx: ThreadCx<Boxes>) -> Result<(), BoxError> {
        for i in self.tosend {
            thread::sleep(tick());
            println!("PINGER: sends {i}");
            cx.signal.blocking_send(i)?;
        }
        Ok(())
    }
}

/// Ends when it is told to.
pub struct Waiter;

impl Component for Waiter {
    type Ports = Boxes;
    async fn main(self, cx: Cx<Boxes>) {
        println!("WAITER {} waiting", cx.id());
        let msg = cx.control.recv().await;
        println!("WAITER {} shutting down having received: {msg}", cx.id());
        let _ = cx.signal.send(msg);
        cx.yield_now().await;
    }
}

/// Complains every second until it is told to end.
pub struct Whinger;

impl ThreadedComponent for Whinger {
    type Ports = Boxes;
    fn main(self, cx: ThreadCx<Boxes>) -> Result<(), BoxError> {
        while cx.control.is_empty() {
            if cx.is_closed() {
                return Ok(()); // stopped, not told
            }
            println!("WHINGER: waiting for shutdown");
            thread::sleep(tick());
        }
        println!("WHINGER: shutdown");
        Ok(())
    }
}

/// Stops the scheduler after some seconds, for a program that would never end.
pub struct StopAfter(
    /// Seconds.
    pub u32,
);

impl Component for StopAfter {
    type Ports = Boxes;
    async fn main(self, cx: Cx<Boxes>) {
        cx.sleep(self.0 * tick().max(Duration::from_millis(1))).await;
        println!("stopped from outside");
        cx.stop_scheduler();
    }
}
