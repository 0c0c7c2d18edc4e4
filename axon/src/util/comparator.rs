//! Compares two streams (Kamaelia: `Kamaelia/Util/Comparator.py`).

use crate::component::{Component, Cx};
use crate::ipc::Ipc;
use crate::message::Message;

crate::ports! {
    /// Boxes of a [`Comparator`].
    pub struct ComparatorPorts<A, B> {
        in  { /// Unused.
              inbox: Message,
              /// One of the streams.
              in_a as "inA": A,
              /// The other.
              in_b as "inB": B,
              /// Shutdown requests.
              control: Ipc }
        out { /// Whether the two messages of a pair are equal.
              outbox: bool,
              /// A `producerFinished` when it stops.
              signal: Ipc }
    }
}

/// Tells for each pair of messages whether they are equal.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | unused |
/// | `inA`, `inB` (fields `in_a`, `in_b`) | `A`, `B` | the streams; the first message of one is compared with the first of the other, and so on |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`bool`] | whether they are equal |
/// | `signal` | [`Ipc`] | a fresh `producerFinished`, without a caller |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{Comparator, DataSource, TestResult};
///
/// Graphline::new()
///     .node("a", DataSource::new([1, 2, 3]))
///     .node("b", DataSource::new([1, 2, 3]))
///     .node("same", Comparator::<i32, i32>::new())
///     .node("check", TestResult::new())
///     .link(("a", "outbox"), ("same", "inA"))
///     .link(("b", "outbox"), ("same", "inB"))
///     .link(("b", "signal"), ("same", "control"))
///     .link(("same", "outbox"), ("check", "inbox"))
///     .link(("same", "signal"), ("check", "control"))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It compares the pairs that are there, sends the message and ends. It sleeps while there is no pair (D-23).
pub struct Comparator<A, B> {
    combine: Combine<A, B>,
}

type Combine<A, B> = Box<dyn FnMut(&A, &B) -> bool>;

impl<A: PartialEq<B> + Send + 'static, B: Send + 'static> Comparator<A, B> {
    /// Tests for equality: `Comparator::<u32, u32>::new()`.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<A: PartialEq<B> + Send + 'static, B: Send + 'static> Default for Comparator<A, B> {
    fn default() -> Self {
        Self::with(|a, b| a == b)
    }
}

impl<A: Send + 'static, B: Send + 'static> Comparator<A, B> {
    /// Tests for something else: the original's `combine`.
    pub fn with(combine: impl FnMut(&A, &B) -> bool + 'static) -> Self {
        Self { combine: Box::new(combine) }
    }
}

impl<A: Send + 'static, B: Send + 'static> Component for Comparator<A, B> {
    type Ports = ComparatorPorts<A, B>;

    async fn main(mut self, cx: Cx<Self::Ports>) {
        loop {
            while !cx.in_b.is_empty()
                && let Some(a) = cx.in_a.try_recv()
                && let Some(b) = cx.in_b.try_recv()
            {
                if let Err(e) = cx.outbox.send_wait((self.combine)(&a, &b)).await {
                    log::warn!("a comparison was dropped: {e}");
                }
            }
            if cx.control.drain().any(|m| m.ends_component()) {
                let _ = cx.signal.send_wait(Ipc::producer_finished()).await; // a control line takes any message
                return;
            }
            cx.pause().await;
        }
    }
}
