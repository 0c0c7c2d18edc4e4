//! So many messages a second at most.

use std::marker::PhantomData;
use std::time::Duration;

use crate::component::{Component, Cx};
use crate::error::Error;
use crate::message::Message;
use crate::util::stage::{Orders, StagePorts};

/// Passes messages on at a limited rate, once it has a number of them.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | messages; they wait here |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `T` | the messages, not too fast |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it; other ones too, while it waits for its buffer to fill |
///
/// # Example
/// A file at two lines a second:
/// ```no_run
/// use axon::file::SimpleReader;
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, MessageRateLimit};
///
/// Pipeline::new()
///     .then(SimpleReader::new("/etc/fstab"))
///     .then(MessageRateLimit::new(2.0).buffer(1))
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// It sleeps until [`buffer`](MessageRateLimit::buffer) messages wait in its inbox, sends the first, and then each at
/// least 1/1.1 of the interval after the one before: the rate may be exceeded by a tenth, as in the original. It is a
/// ceiling: what comes slower goes out as it comes.
///
/// # Shutdown
/// On `producerFinished` it sends what waits, at its rate, on `shutdownMicroprocess` it stops at once; it passes the
/// message on. The original drops what waits if the `producerFinished` comes before the buffer is full.
///
/// # Errors
/// A rate that is not above zero ends it as failed in its first step.
pub struct MessageRateLimit<T = Message> {
    per_second: f64,
    buffer: usize,
    hard_limit: Option<usize>,
    types: PhantomData<fn(T)>,
}

impl MessageRateLimit {
    /// For messages of any type: so many of them a second.
    pub fn new(messages_per_second: f64) -> Self {
        Self::typed(messages_per_second)
    }
}

impl<T: Send + 'static> MessageRateLimit<T> {
    /// For messages of type `T`: `MessageRateLimit::<u32>::typed(2.0)`.
    pub fn typed(messages_per_second: f64) -> Self {
        Self { per_second: messages_per_second, buffer: 60, hard_limit: None, types: PhantomData }
    }

    /// Waits for so many messages before it sends the first; 60 unless given.
    #[must_use]
    pub fn buffer(mut self, messages: usize) -> Self {
        self.buffer = messages;
        self
    }

    /// Bounds the inbox to so many messages, once the buffer has been full. No bound unless given, or if 0.
    #[must_use]
    pub fn hard_limit(mut self, messages: usize) -> Self {
        self.hard_limit = Some(messages).filter(|n| *n > 0);
        self
    }

    fn interval(&self) -> Result<Duration, Error> {
        let seconds = 1.0 / (self.per_second * 1.1);
        match Duration::try_from_secs_f64(seconds) {
            Ok(interval) if self.per_second > 0.0 => Ok(interval),
            _ => Err(Error::Construction(format!(
                "{} messages a second is no rate to limit to",
                self.per_second
            ))),
        }
    }
}

impl<T: Send + 'static> Component for MessageRateLimit<T> {
    type Ports = StagePorts<T, T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let interval = match self.interval() {
            Ok(interval) => interval,
            Err(e) => return cx.end_with(Err(e)),
        };
        let mut orders = Orders::default();
        while cx.inbox.len() < self.buffer && !orders.end() {
            while let Some(message) = cx.control.try_recv() {
                if let Some(other) = orders.take(message) {
                    let _ = cx.signal.send_wait(other).await; // a control line takes any message
                }
            }
            if !orders.end() {
                cx.pause().await;
            }
        }
        if let Some(limit) = self.hard_limit {
            cx.inbox.set_bound(limit);
        }
        loop {
            orders.hear(&cx.control);
            if orders.stop() {
                break;
            }
            let Some(message) = cx.inbox.try_recv() else {
                if orders.end() {
                    break;
                }
                cx.pause().await;
                continue;
            };
            if !orders.send(&cx.control, &cx.outbox, message).await {
                break;
            }
            if orders.unless_stopped(&cx.control, cx.sleep(interval)).await.is_none() {
                break;
            }
        }
        orders.pass_on(&cx.signal).await;
    }
}
