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

/// The method that the members of the family share.
macro_rules! ends_at_once {
    () => {
        /// Ends on `shutdownMicroprocess` too: at once, dropping what is queued, and passing the message on.
        #[must_use]
        pub fn ends_at_once(mut self) -> Self {
            self.ends_at_once = true;
            self
        }
    };
}
pub(super) use ends_at_once;

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

    ends_at_once!();
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
        let each = |message| self.transform.process_message(message);
        let last = match work_off(&cx, self.ends_at_once, ends_the_family, each).await {
            End::AtOnce(message) => message,
            End::Finish(_) => Ipc::producer_finished_by(cx.id()),
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}

/// What ended [`work_off`].
pub(super) enum End {
    /// A `shutdownMicroprocess`; what was queued is dropped.
    AtOnce(Ipc),
    /// Another message; all that was received is worked off.
    Finish(Ipc),
}

/// What ends the transformers and their relatives.
pub(super) fn ends_the_family(message: &Ipc) -> bool {
    message.is_producer_finished() || matches!(message, Ipc::Shutdown)
}

/// The life of a component of the PureTransformer family: each message of the inbox makes any number of others.
pub(super) async fn work_off<A, B, I>(
    cx: &Cx<TransformerPorts<A, B>>,
    ends_at_once: bool,
    finishes: impl Fn(&Ipc) -> bool,
    mut each: impl FnMut(A) -> I,
) -> End
where
    A: Send + 'static,
    B: Send + 'static,
    I: IntoIterator<Item = B>,
{
    cx.yield_now().await;
    let mut finish = None;
    loop {
        while let Some(message) = cx.control.try_recv() {
            if ends_at_once && message.is_shutdown_microprocess() {
                return End::AtOnce(message);
            }
            if finishes(&message) {
                finish = Some(message);
            }
        }
        // Control first: whatever its sender sent before is in the inbox by now, and is worked off below.
        while let Some(message) = cx.inbox.try_recv() {
            for result in each(message) {
                if let Err(e) = cx.outbox.send_wait(result).await {
                    log::warn!("a transformed message was dropped: {e}");
                }
            }
        }
        if let Some(message) = finish {
            return End::Finish(message);
        }
        cx.pause().await;
    }
}
