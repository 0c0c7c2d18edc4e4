//! Asks for data at a rate.

use std::future::pending;

use super::pace::{ByteRate, Pace};
use crate::boxes::{Inbox, Outbox};
use crate::component::{Component, Cx};
use crate::ipc::Ipc;
use crate::message::Message;
use crate::util::stage::Orders;

crate::ports! {
    /// Boxes of a [`ByteRateRequestControl`].
    pub struct RequestPorts {
        in  { /// Unused.
              inbox: Message,
              /// Shutdown requests.
              control: Ipc }
        out { /// How many items to fetch now.
              outbox: usize,
              /// The message that ended it.
              signal: Ipc }
    }
}

crate::ports! {
    /// Boxes of a [`VariableByteRateRequestControl`].
    pub struct VariableRequestPorts {
        in  { /// A new rate, in items a second.
              inbox: f64,
              /// Shutdown requests.
              control: Ipc }
        out { /// How many items to fetch now.
              outbox: usize,
              /// The message that ended it.
              signal: Ipc }
    }
}

/// Sends numbers that say how much to fetch, spread over time so that they add up to a rate.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | unused |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`usize`] | how many items to fetch now, at least 1 |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// A file at 1000 bytes a second, in portions of 32. The reader tells the control of its end, against the stream;
/// [`rate_controlled_file_reader`](crate::file::rate_controlled_file_reader) is this graph.
/// ```no_run
/// use axon::file::{PromptedFileReader, ReadMode};
/// use axon::prelude::*;
/// use axon::util::{ByteRate, ByteRateRequestControl};
///
/// Graphline::new()
///     .node("ctrl", ByteRateRequestControl::new(ByteRate::new(1000.0).chunk_size(32.0)))
///     .node("reader", PromptedFileReader::new("myfile", ReadMode::Bytes))
///     .link(("ctrl", "outbox"), ("reader", "inbox"))
///     .link(("reader", "outbox"), ("self", "outbox"))
///     .link(("self", "control"), ("reader", "control"))
///     .link(("reader", "signal"), ("ctrl", "control"))
///     .link(("ctrl", "signal"), ("self", "signal"))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// The first request goes out at once. A portion that is not a whole number is rounded down, and what was cut off is
/// asked for later, so that the rate is exact in the long run. If it comes late, or its receiver has no room for a
/// while, it catches up. The original looks at the clock in every pass; this one sleeps until the next request is due.
///
/// # Shutdown
/// It passes the message on and ends at once.
///
/// # Errors
/// A [`ByteRate`] that makes no sense ends it as failed in its first step.
pub struct ByteRateRequestControl {
    rate: ByteRate,
}

impl ByteRateRequestControl {
    /// Asks for data at this rate.
    pub fn new(rate: ByteRate) -> Self {
        Self { rate }
    }
}

impl Component for ByteRateRequestControl {
    type Ports = RequestPorts;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut pace = match Pace::new(self.rate, cx.core().now()) {
            Ok(pace) => pace,
            Err(e) => return cx.end_with(Err(e)),
        };
        let mut orders = Orders::default();
        loop {
            pace.advance(cx.core().now());
            if !ask(&mut pace, &mut orders, &cx.control, &cx.outbox).await {
                break;
            }
            if pace.next().is_some_and(|at| at <= cx.core().now()) {
                cx.yield_now().await; // the rate is more than we can do: others have to run all the same
            }
            let next = async {
                match pace.next() {
                    Some(at) => cx.sleep_until(at).await,
                    None => pending().await,
                }
            };
            if orders.unless_ended(&cx.control, next).await.is_none() {
                break;
            }
        }
        orders.pass_on(&cx.signal).await;
    }
}

/// [`ByteRateRequestControl`] whose rate can be changed while it runs.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`f64`] | the new rate, in items a second; 0 stops the requests until another comes |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`usize`] | how many items to fetch now, at least 1 |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ByteRate, VariableByteRateRequestControl};
///
/// let control = VariableByteRateRequestControl::new(ByteRate::new(1000.0)).create();
/// control.inbox.deliver(2000.0).unwrap();
/// ```
///
/// # How it works
/// The size of a portion stays, only the time between requests changes. A new rate counts from the moment at which it
/// is received; what had passed of the time to the next request counts at the old one, so that there is no glitch.
/// Unless the [`ByteRate`] says otherwise there are ten portions a second at the first rate. A rate that is negative,
/// infinite or no number is dropped, with a line in the log.
///
/// # Shutdown
/// It passes the message on and ends at once.
///
/// # Errors
/// A [`ByteRate`] that makes no sense ends it as failed in its first step.
pub struct VariableByteRateRequestControl {
    rate: ByteRate,
}

impl VariableByteRateRequestControl {
    /// Asks for data at this rate at first.
    pub fn new(rate: ByteRate) -> Self {
        Self { rate: rate.or_ten_a_second() }
    }
}

impl Component for VariableByteRateRequestControl {
    type Ports = VariableRequestPorts;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut pace = match Pace::new(self.rate, cx.core().now()) {
            Ok(pace) => pace,
            Err(e) => return cx.end_with(Err(e)),
        };
        let mut orders = Orders::default();
        loop {
            pace.advance(cx.core().now());
            if !ask(&mut pace, &mut orders, &cx.control, &cx.outbox).await {
                break;
            }
            if pace.next().is_some_and(|at| at <= cx.core().now()) {
                cx.yield_now().await; // the rate is more than we can do: others have to run all the same
            }
            let next = async {
                match pace.next() {
                    Some(at) => cx.sleep_until(at).await,
                    None => pending().await,
                }
            };
            let event = either(cx.inbox.recv(), next);
            match orders.unless_ended(&cx.control, event).await {
                None => break,
                Some(Some(rate)) if rate.is_finite() && rate >= 0.0 => {
                    pace.change_rate(rate, cx.core().now())
                }
                Some(Some(rate)) => log::warn!("{rate} items a second is no rate to ask for"),
                Some(None) => {}
            }
        }
        orders.pass_on(&cx.signal).await;
    }
}

/// Sends the requests that are due; false if it shall end.
async fn ask(pace: &mut Pace, orders: &mut Orders, control: &Inbox<Ipc>, outbox: &Outbox<usize>) -> bool {
    orders.hear(control);
    if orders.end() {
        return false;
    }
    while let Some(items) = pace.request() {
        match orders.unless_ended(control, outbox.send_wait(items)).await {
            None => return false,
            Some(Err(e)) => log::warn!("a request was dropped: {e}"),
            Some(Ok(())) => {}
        }
    }
    true
}

/// What the first future gives, or nothing if the second is over before.
async fn either<T>(first: impl Future<Output = T>, second: impl Future<Output = ()>) -> Option<T> {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    std::future::poll_fn(|task| match first.as_mut().poll(task) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => second.as_mut().poll(task).map(|()| None),
    })
    .await
}
