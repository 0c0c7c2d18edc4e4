//! One message for each "NEXT".

use std::collections::VecDeque;
use std::marker::PhantomData;

use crate::component::{Component, Cx};
use crate::ipc::Ipc;
use crate::message::Message;
use crate::util::stage::Orders;

crate::ports! {
    /// Boxes of an [`OnDemandLimit`].
    pub struct OnDemandLimitPorts<T> {
        in  { /// Those who queue.
              inbox: T,
              /// The text `NEXT` asks for one of them.
              slidecontrol: Message,
              /// Shutdown requests.
              control: Ipc }
        out { /// What was asked for.
              outbox: T,
              /// The message that ended it.
              signal: Ipc }
    }
}

/// Keeps messages until somebody asks for the next one.
///
/// It differs from a [`PromptedTurnstile`](crate::util::PromptedTurnstile) in that it empties its inbox, so that who
/// is before it never waits, and in that a request that finds nothing is dropped.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | messages |
/// | `slidecontrol` | [`Message`] | the text `NEXT` asks for one of them; others are dropped |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `T` | what was asked for |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::OnDemandLimit;
///
/// let slides = OnDemandLimit::new().create();
/// slides.inbox.deliver("first".into()).unwrap();
/// slides.slidecontrol.deliver("NEXT".into()).unwrap();
/// let scheduler = Scheduler::new();
/// scheduler.activate(&slides);
/// scheduler.run_until_idle()?;
/// assert_eq!(slides.outbox.discarded(), 1); // sent, though to nobody
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It passes the message on and ends; what was not asked for is dropped, as in the original (which does not know the
/// names that it uses there, D-28).
///
/// # Limits
/// What waits is kept in memory, without a bound.
pub struct OnDemandLimit<T = Message>(PhantomData<fn(T)>);

impl OnDemandLimit {
    /// For messages of any type.
    pub fn new() -> Self {
        Self::typed()
    }
}

impl<T: Send + 'static> OnDemandLimit<T> {
    /// For messages of type `T`: `OnDemandLimit::<u32>::typed()`.
    pub fn typed() -> Self {
        Self(PhantomData)
    }
}

impl Default for OnDemandLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> Component for OnDemandLimit<T> {
    type Ports = OnDemandLimitPorts<T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut orders = Orders::default();
        let mut kept = VecDeque::new();
        'life: loop {
            kept.extend(cx.inbox.drain());
            while let Some(request) = cx.slidecontrol.try_recv() {
                if request.as_text() == Some("NEXT")
                    && let Some(message) = kept.pop_front()
                    && !orders.send(&cx.control, &cx.outbox, message).await
                {
                    break 'life;
                }
            }
            orders.hear(&cx.control);
            if orders.end() {
                break;
            }
            cx.pause().await;
        }
        orders.pass_on(&cx.signal).await;
    }
}
