//! Passes on what is new (Kamaelia: `Kamaelia/Util/UnseenOnly.py`).

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::rc::Rc;

use super::pure_transformer::{End, TransformerPorts, ends_at_once, ends_the_family, work_off};
use crate::component::{Component, Cx, Microprocess};
use crate::ipc::Ipc;

/// Passes each distinct message on once.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | anything that can be compared |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdown` end it |
/// | `outbox` | `T` | what has not come before |
/// | `signal` | [`Ipc`] | a fresh `producerFinished` |
///
/// # Example
/// Of the three words, two are shown:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, UnseenOnly};
///
/// Pipeline::new()
///     .then(DataSource::new(["a", "b", "a"]))
///     .then(UnseenOnly::<&'static str>::new())
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// As [`PureTransformer`](super::PureTransformer): `shutdownMicroprocess` is dropped unless
/// [asked for](UnseenOnly::ends_at_once).
///
/// # Limits
/// As in the original, every distinct message is kept for good: on an endless stream the memory grows without end.
/// [`UnseenOnly::of_the_last`] sets a bound; a message that was forgotten counts as new.
pub struct UnseenOnly<T> {
    seen: HashSet<Rc<T>>,
    /// The seen ones, oldest first; filled only if there is a bound.
    order: VecDeque<Rc<T>>,
    bound: Option<usize>,
    ends_at_once: bool,
}

impl<T> Default for UnseenOnly<T> {
    fn default() -> Self {
        Self { seen: HashSet::new(), order: VecDeque::new(), bound: None, ends_at_once: false }
    }
}

impl<T: Hash + Eq + Clone + Send + 'static> UnseenOnly<T> {
    /// Remembers everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers the last so many distinct messages.
    #[must_use]
    pub fn of_the_last(mut self, messages: usize) -> Self {
        self.bound = Some(messages);
        self
    }

    ends_at_once!();

    fn is_new(&mut self, message: &T) -> bool {
        if self.seen.contains(message) {
            return false;
        }
        let kept = Rc::new(message.clone());
        self.seen.insert(kept.clone());
        if let Some(bound) = self.bound {
            self.order.push_back(kept);
            while self.order.len() > bound {
                if let Some(oldest) = self.order.pop_front() {
                    self.seen.remove(&oldest);
                }
            }
        }
        true
    }
}

impl<T: Hash + Eq + Clone + Send + 'static> Component for UnseenOnly<T> {
    type Ports = TransformerPorts<T, T>;

    async fn main(mut self, cx: Cx<Self::Ports>) {
        let ends_at_once = self.ends_at_once;
        let each = |message| self.is_new(&message).then_some(message);
        let last = match work_off(&cx, ends_at_once, ends_the_family, each).await {
            End::AtOnce(message) => message,
            End::Finish(_) => Ipc::producer_finished_by(cx.id()),
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}
