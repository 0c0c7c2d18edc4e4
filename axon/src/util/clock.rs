//! A steady pulse (Kamaelia: `Kamaelia/Util/Clock.py`).

use std::time::Duration;

use super::SourcePorts;
use super::stage::Orders;
use crate::component::{Component, Cx};

/// Sends `true` at once, and again after each interval.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`](crate::Message) | unused |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`bool`] | `true` |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// The original's own: "Fish" every three seconds.
/// ```no_run
/// use std::time::Duration;
/// use axon::prelude::*;
/// use axon::util::{CheapAndCheerfulClock, ConsoleEchoer, TriggeredSource};
///
/// Pipeline::new()
///     .then(CheapAndCheerfulClock::new(Duration::from_secs(3)))
///     .then(TriggeredSource::new("Fish\n"))
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// It sleeps on the scheduler's clock, so it takes no thread, as it does in the original, and goes with virtual time.
/// Pulses keep to their schedule: a late one does not delay those after it. Those that are missed altogether, because
/// the receiver was full, are left out.
///
/// # Shutdown
/// It passes the message on and ends at once. The original cannot be stopped.
pub struct CheapAndCheerfulClock {
    interval: Duration,
}

impl CheapAndCheerfulClock {
    /// With this time from pulse to pulse. No time means a pulse in every pass.
    pub fn new(interval: Duration) -> Self {
        Self { interval }
    }
}

impl Component for CheapAndCheerfulClock {
    type Ports = SourcePorts<bool>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut orders = Orders::default();
        let mut next = cx.core().now();
        loop {
            // Either message ends it, so that neither the rest of the interval nor room is waited for.
            if orders.unless_ended(&cx.control, cx.outbox.send_wait(true)).await.is_none() {
                break;
            }
            let now = cx.core().now();
            next = (next + self.interval).max(now);
            if next == now {
                cx.yield_now().await; // sleeping until now is no sleep
                orders.hear(&cx.control);
                if orders.end() {
                    break;
                }
            }
            if orders.unless_ended(&cx.control, cx.sleep_until(next)).await.is_none() {
                break;
            }
        }
        orders.pass_on(&cx.signal).await;
    }
}
