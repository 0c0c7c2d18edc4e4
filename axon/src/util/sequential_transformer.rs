//! A list of functions as a component (Kamaelia: `Kamaelia/Util/SequentialTransformer.py`).

use super::pure_transformer::{End, TransformerPorts, ends_at_once, ends_the_family, work_off};
use crate::component::{Component, Cx, Microprocess};
use crate::ipc::Ipc;

/// Sends what a list of functions, one after the other, makes of each message.
///
/// The list is made at run time, so the functions have one type. [`PureTransformer::then`] chains functions of
/// different types.
///
/// [`PureTransformer::then`]: super::PureTransformer::then
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | what to transform |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdown` end it |
/// | `outbox` | `T` | the last function's results; `None` from any function drops the message |
/// | `signal` | [`Ipc`] | a fresh `producerFinished` |
///
/// # Example
/// The original's own: "foo" before and "bar!" after what is in capitals.
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, SequentialTransformer};
///
/// let wrap = SequentialTransformer::new()
///     .then(|text: String| Some(text.to_uppercase()))
///     .then(|text| Some(format!("foo{text}")))
///     .then(|text| Some(text + "bar!\n"));
/// Pipeline::new().then(DataSource::new(["a".to_string()])).then(wrap).then(ConsoleEchoer::new()).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// As [`PureTransformer`](super::PureTransformer): `shutdownMicroprocess` is dropped unless
/// [asked for](SequentialTransformer::ends_at_once).
pub struct SequentialTransformer<T> {
    functions: Vec<Box<dyn FnMut(T) -> Option<T>>>,
    ends_at_once: bool,
}

impl<T> Default for SequentialTransformer<T> {
    fn default() -> Self {
        Self { functions: Vec::new(), ends_at_once: false }
    }
}

impl<T: Send + 'static> SequentialTransformer<T> {
    /// An empty list, which passes everything on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a function.
    #[must_use]
    pub fn then(mut self, function: impl FnMut(T) -> Option<T> + 'static) -> Self {
        self.functions.push(Box::new(function));
        self
    }

    ends_at_once!();
}

impl<T: Send + 'static> Component for SequentialTransformer<T> {
    type Ports = TransformerPorts<T, T>;

    async fn main(mut self, cx: Cx<Self::Ports>) {
        let each = |message| self.functions.iter_mut().try_fold(message, |m, f| f(m));
        let last = match work_off(&cx, self.ends_at_once, ends_the_family, each).await {
            End::AtOnce(message) => message,
            End::Finish(_) => Ipc::producer_finished_by(cx.id()),
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}
