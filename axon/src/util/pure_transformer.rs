//! A function as a component (Kamaelia: `Kamaelia/Util/PureTransformer.py`).

use std::marker::PhantomData;

use crate::component::{Component, Cx, Microprocess};
use crate::ipc::Ipc;

crate::ports! {
    /// Boxes of a [`PureTransformer`].
    pub struct TransformerPorts<A, B> {
        in  { /// What to transform.
              inbox: A,
              /// Shutdown requests.
              control: Ipc }
        out { /// The results.
              outbox: B,
              /// A `producerFinished` when it stops.
              signal: Ipc }
    }
}

/// Makes a message of a message, or drops it: the original's `processMessage`.
pub trait Transform: 'static {
    /// What it takes.
    type In: Send + 'static;
    /// What it gives.
    type Out: Send + 'static;
    /// The result; nothing if the message is to be dropped.
    fn process_message(&mut self, message: Self::In) -> Option<Self::Out>;
}

/// Sends the result of a function for each message.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | the function's argument | what to transform |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdown` end it |
/// | `outbox` | the function's result | the results, as far as there are any |
/// | `signal` | [`Ipc`] | a fresh `producerFinished` |
///
/// # Example
/// Two functions, one after the other; the first drops what is no number:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, PureTransformer};
///
/// Pipeline::new()
///     .then(DataSource::new(["1", "x", "2"]))
///     .then(PureTransformer::new(|text: &'static str| text.parse::<u32>().ok()).then(|n| Some(n * n)))
///     .then(ConsoleEchoer::new().tag(" "))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// On `producerFinished` or `shutdown` it works off what it has received, sends a `producerFinished` of its own and
/// ends. As in the original, `shutdownMicroprocess` is dropped unless [asked for](PureTransformer::ends_at_once).
///
/// # Limits
/// The function runs in the scheduler's thread and should take some microseconds at most. If the receiver is full,
/// the component waits for room.
pub struct PureTransformer<F> {
    transform: F,
    ends_at_once: bool,
}

/// A closure as a [`Transform`].
pub struct Function<F, A, B> {
    function: F,
    types: PhantomData<fn(A) -> B>,
}

/// Two transforms, one after the other.
pub struct Chain<F, G> {
    first: F,
    second: G,
}

impl<F, A, B> PureTransformer<Function<F, A, B>>
where
    F: FnMut(A) -> Option<B> + 'static,
    A: Send + 'static,
    B: Send + 'static,
{
    /// Uses a function.
    pub fn new(function: F) -> Self {
        Self::with(Function { function, types: PhantomData })
    }
}

impl<F: Transform> PureTransformer<F> {
    /// Uses a type of your own.
    pub fn with(transform: F) -> Self {
        Self { transform, ends_at_once: false }
    }

    #[allow(clippy::type_complexity)] // nobody has to write it
    /// Uses another function on the results (Kamaelia: `SequentialTransformer`).
    #[must_use]
    pub fn then<G, B>(self, function: G) -> PureTransformer<Chain<F, Function<G, F::Out, B>>>
    where
        G: FnMut(F::Out) -> Option<B> + 'static,
        B: Send + 'static,
    {
        let second = Function { function, types: PhantomData };
        let transform = Chain { first: self.transform, second };
        PureTransformer { transform, ends_at_once: self.ends_at_once }
    }

    /// Ends on `shutdownMicroprocess` too: at once, dropping what is queued, and passing the message on.
    #[must_use]
    pub fn ends_at_once(mut self) -> Self {
        self.ends_at_once = true;
        self
    }
}

impl<F, A, B> Transform for Function<F, A, B>
where
    F: FnMut(A) -> Option<B> + 'static,
    A: Send + 'static,
    B: Send + 'static,
{
    type In = A;
    type Out = B;
    fn process_message(&mut self, message: A) -> Option<B> {
        (self.function)(message)
    }
}

impl<F: Transform, G: Transform<In = F::Out>> Transform for Chain<F, G> {
    type In = F::In;
    type Out = G::Out;
    fn process_message(&mut self, message: F::In) -> Option<G::Out> {
        self.second.process_message(self.first.process_message(message)?)
    }
}

impl<F: Transform> Component for PureTransformer<F> {
    type Ports = TransformerPorts<F::In, F::Out>;

    async fn main(mut self, cx: Cx<Self::Ports>) {
        cx.yield_now().await;
        let mut finish = false;
        let last = loop {
            while let Some(message) = cx.control.try_recv() {
                if self.ends_at_once && message.is_shutdown_microprocess() {
                    return drop(cx.signal.send_wait(message).await); // a control line takes any message
                }
                finish |= message.is_producer_finished() || matches!(message, Ipc::Shutdown);
            }
            // Control first: whatever its sender sent before is in the inbox by now, and is worked off below.
            while let Some(message) = cx.inbox.try_recv() {
                if let Some(result) = self.transform.process_message(message)
                    && let Err(e) = cx.outbox.send_wait(result).await
                {
                    log::warn!("a transformed message was dropped: {e}");
                }
            }
            if finish {
                break Ipc::producer_finished_by(cx.id());
            }
            cx.pause().await;
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}
