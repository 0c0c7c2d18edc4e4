//! A component used from ordinary code (Kamaelia: `Axon/Handle.py`).

mod error;
#[cfg(feature = "futures")]
mod futures;
mod proxy;
mod shared;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use crate::component::AnyInstance;
use crate::ipc::Ipc;
use crate::message::Message;
use crate::scheduler::SchedulerHandle;

pub use self::error::{GetError, PutError};
pub use self::proxy::HandlePorts;
use self::shared::{Lane, Shared};

/// A component from outside: messages are put into it and got from it, by blocking code or by async code of any
/// runtime.
///
/// `In` is what its `inbox` takes, `Out` what its `outbox` gives; with [`Message`] either may be anything. All methods
/// take `&self`, so threads can share a handle in an `Arc`.
///
/// ```
/// use axon::background::Background;
/// use axon::handle::Handle;
/// use axon::prelude::*;
/// use axon::util::{DataSource, PureTransformer};
///
/// let background = Background::new()?.stay().start()?;
/// // The component is made in the background's thread; only what makes it travels.
/// let squares: Handle<u64, u64> =
///     Handle::new(background.handle(), || PureTransformer::new(|n: u64| Some(n * n)));
/// squares.blocking_put(3)?;
/// squares.blocking_put(4)?;
/// squares.end_input(); // no more will come: it answers what it has, and ends
/// let answers: Vec<u64> = std::iter::from_fn(|| squares.blocking_get().ok()).collect();
/// assert_eq!(answers, [9, 16]);
/// # background.stop();
/// # background.join()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Boxes
/// In the graph stands a component of its own, `Axon.Handle.Handle`, with the original's boxes (AX-HDL-01); an
/// introspector shows them:
///
/// | box | linked to the wrapped component's | carries |
/// |---|---|---|
/// | inbox `_inbox` | `outbox` | what is got with [`blocking_get`](Handle::blocking_get) and the like |
/// | inbox `_control` | `signal` | what is got with [`blocking_get_signal`](Handle::blocking_get_signal) and the like |
/// | outbox `_outbox` | `inbox` | what was put with [`blocking_put`](Handle::blocking_put) and the like |
/// | outbox `_signal` | `control` | what was put with [`put_control`](Handle::put_control) |
///
/// The wrapped component must have all four; put one with other boxes into a
/// [`Graphline`](crate::chassis::Graphline), as the original says.
///
/// # How it works
/// Nothing polls (D-42): a put wakes the component in the graph, a message from it wakes who waits to get one. What is
/// put is passed on in order, control messages among the data; only a `shutdownMicroprocess` overtakes data that a
/// full inbox does not take.
///
/// # Limits
/// Each direction holds [`DEFAULT_CAPACITY`] messages unless [told otherwise](Handle::with_capacity): then a put
/// finds it full, or waits; and a component that sends faster than its messages are got meets a full `_inbox` (as many
/// again), so it waits or sees the error, as with any bounded box. Signals are not bounded, since many programs never
/// get them and a component must be able to end.
///
/// # Shutdown
/// Whatever the wrapped component sent before its end can be got after it; then getting says
/// [`GetError::Ended`]. What was put and did not reach it any more is given back by [`Handle::undelivered`].
///
/// Dropping the handle is the end of the component's input, like closing a file: everything that was put is passed on,
/// then a `producerFinished`; what it still sends is dropped. It goes on until it has ended by itself.
/// [`Handle::detach`] leaves it running instead. To have it stop at once, put a
/// [`shutdownMicroprocess`](Ipc::shutdown_microprocess) before.
///
/// # Errors
/// If the component cannot be made or linked, or fails, or its scheduler is dropped, the handle has ended and
/// [`Handle::failure`] says why; the scheduler does with a failure what it always does.
///
/// Blocking calls must not be made in the scheduler's own thread: they would wait for themselves.
pub struct Handle<In: Send + 'static = Message, Out: Send + 'static = Message> {
    shared: Arc<Shared<In, Out>>,
    detach: bool,
}

/// Messages that each direction of a [`Handle`] holds unless another number is given.
pub const DEFAULT_CAPACITY: usize = 1000;

impl<In: Send + 'static, Out: Send + 'static> Handle<In, Out> {
    /// Has `make` make a component in the scheduler's thread, wraps and activates it there.
    ///
    /// It does not wait for that. Messages can be put at once.
    pub fn new<A: Into<AnyInstance>>(
        scheduler: &SchedulerHandle,
        make: impl FnOnce() -> A + Send + 'static,
    ) -> Self {
        Self::with_capacity(scheduler, DEFAULT_CAPACITY, make)
    }

    /// The same with room for another number of messages in each direction, at least one.
    pub fn with_capacity<A: Into<AnyInstance>>(
        scheduler: &SchedulerHandle,
        messages: usize,
        make: impl FnOnce() -> A + Send + 'static,
    ) -> Self {
        let shared = Shared::new(messages.max(1));
        let link = proxy::Link::new(shared.clone());
        // If the scheduler is gone, or goes before it has come to this, the link is dropped and says so.
        let _ = scheduler.run(move || proxy::attach(link, make().into()));
        Self { shared, detach: false }
    }

    // ---- putting -----------------------------------------------------------------------------------------------

    /// Puts a message for its `inbox`, without waiting (AX-HDL-02).
    ///
    /// # Errors
    /// The message, if there is no room or the component has ended.
    pub fn try_put(&self, message: In) -> Result<(), PutError<In>> {
        self.shared.put(message)
    }

    /// Puts a message for its `inbox`, waiting for room. A dropped future has put nothing.
    ///
    /// # Errors
    /// The message, if the component has ended.
    pub async fn put(&self, message: In) -> Result<(), PutError<In>> {
        let mut message = Some(message);
        poll_fn(|cx| self.shared.poll_put(cx, &mut message)).await
    }

    /// Puts a message for its `inbox`, blocking until there is room.
    ///
    /// # Errors
    /// The message, if the component has ended.
    pub fn blocking_put(&self, message: In) -> Result<(), PutError<In>> {
        self.shared.blocking_put(message)
    }

    /// Puts a message for its `control`, without waiting; there is always room.
    ///
    /// # Errors
    /// The message, if the component has ended or its input was [ended](Handle::end_input).
    pub fn put_control(&self, message: Ipc) -> Result<(), PutError<Ipc>> {
        self.shared.put_control(message)
    }

    /// Ends its input: what was put is passed on, then a `producerFinished` for its `control`. Messages can still be got.
    pub fn end_input(&self) {
        self.shared.close();
    }

    // ---- getting -----------------------------------------------------------------------------------------------

    /// Takes the oldest message from its `outbox`, without waiting (AX-HDL-02).
    ///
    /// # Errors
    /// [`GetError::Empty`], or [`GetError::Ended`] when nothing will come any more.
    pub fn try_get(&self) -> Result<Out, GetError> {
        self.shared.try_get(Lane::out)
    }

    /// Waits for the next message from its `outbox`. A dropped future has taken nothing.
    ///
    /// # Errors
    /// [`GetError::Ended`].
    pub async fn get(&self) -> Result<Out, GetError> {
        poll_fn(|cx| self.shared.poll_get(cx, Lane::out)).await
    }

    /// Blocks until there is a message from its `outbox`.
    ///
    /// # Errors
    /// [`GetError::Ended`].
    pub fn blocking_get(&self) -> Result<Out, GetError> {
        self.shared.blocking_get(None, Lane::out)
    }

    /// Blocks until there is a message from its `outbox` or the time is over.
    ///
    /// # Errors
    /// [`GetError::Empty`] when the time is over, [`GetError::Ended`].
    pub fn blocking_get_timeout(&self, time: Duration) -> Result<Out, GetError> {
        self.shared.blocking_get(Some(time), Lane::out)
    }

    /// Takes the oldest message from its `signal`, without waiting.
    ///
    /// # Errors
    /// [`GetError::Empty`], or [`GetError::Ended`] when nothing will come any more.
    pub fn try_get_signal(&self) -> Result<Ipc, GetError> {
        self.shared.try_get(Lane::signal)
    }

    /// Waits for the next message from its `signal`.
    ///
    /// # Errors
    /// [`GetError::Ended`].
    pub async fn get_signal(&self) -> Result<Ipc, GetError> {
        poll_fn(|cx| self.shared.poll_get(cx, Lane::signal)).await
    }

    /// Blocks until there is a message from its `signal`.
    ///
    /// # Errors
    /// [`GetError::Ended`].
    pub fn blocking_get_signal(&self) -> Result<Ipc, GetError> {
        self.shared.blocking_get(None, Lane::signal)
    }

    /// Blocks until there is a message from its `signal` or the time is over.
    ///
    /// # Errors
    /// [`GetError::Empty`] when the time is over, [`GetError::Ended`].
    pub fn blocking_get_signal_timeout(&self, time: Duration) -> Result<Ipc, GetError> {
        self.shared.blocking_get(Some(time), Lane::signal)
    }

    // ---- ends --------------------------------------------------------------------------------------------------

    /// Whether the component has ended. Messages that it sent before can still be got.
    pub fn has_ended(&self) -> bool {
        self.shared.lock().ended
    }

    /// Why it ended before its time: it could not be made, linked or activated, or it failed.
    pub fn failure(&self) -> Option<String> {
        self.shared.lock().failure.clone()
    }

    /// After its end, the messages for its `inbox` that did not reach it, oldest first.
    pub fn undelivered(&self) -> Vec<In> {
        self.shared.undelivered()
    }

    /// Lets go of the component and leaves it running, without telling it anything. What was put is passed on before.
    pub fn detach(mut self) {
        self.detach = true;
    }
}

impl<In: Send + 'static, Out: Send + 'static> Drop for Handle<In, Out> {
    fn drop(&mut self) {
        self.shared.let_go(self.detach);
    }
}

impl<In: Send + 'static, Out: Send + 'static> fmt::Debug for Handle<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        let mut out = f.debug_struct("Handle");
        out.field("put", &state.unsent).field("to_get", &state.out.len()).field("ended", &state.ended);
        if let Some(failure) = &state.failure {
            out.field("failure", failure);
        }
        out.finish()
    }
}
