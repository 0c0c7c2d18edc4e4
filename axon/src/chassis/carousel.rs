//! One replaceable component (Kamaelia: `Kamaelia/Chassis/Carousel.py`).

use super::feed;
use crate::component::{AnyInstance, Component, Cx, Microprocess};
use crate::error::LinkError;
use crate::ipc::Ipc;
use crate::linkage::LinkOptions;

crate::ports! {
    /// Boxes of a [`Carousel`](crate::chassis::Carousel).
    pub struct CarouselPorts<A> {
        in  { /// Passed on to the child.
              inbox: crate::Message,
              /// Shutdown requests.
              control: Ipc,
              /// What the next child shall be made of.
              next: A }
        out { /// From the child.
              outbox: crate::Message,
              /// The message that ended it.
              signal: Ipc,
              /// To the child's `control`.
              _signal: Ipc,
              /// The text `NEXT` when a child has ended and nothing is there to make another one of.
              request_next as "requestNext": String }
    }
}

/// Makes components one at a time, each of a message.
///
/// It makes reusable what is not: a component that sends one file and ends becomes one that sends a file for each
/// name that it is told.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`](crate::Message) | goes to the child; what comes while there is none waits for the next one |
/// | `next` | `A` | the factory makes a child of it; a child that still runs is told `shutdownMicroprocess` first |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it, others are dropped |
/// | `outbox` | [`Message`](crate::Message) | what the child sends; its `signal` leads nowhere |
/// | `requestNext` | [`String`] | `NEXT`, once, when a child ended by itself and nothing waits at `next` |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// A chooser names the words, the carousel makes a source of each:
/// ```
/// use axon::prelude::*;
/// use axon::chassis::prefab::join_chooser_to_carousel;
/// use axon::util::{ConsoleEchoer, DataSource, ForwardIteratingChooser};
///
/// let letters = Carousel::new(|word: String| {
///     DataSource::new(word.chars().map(|c| format!("{c} ")).collect::<Vec<_>>())
/// });
/// let words = ForwardIteratingChooser::new(["ab".to_string(), "cd".to_string()]);
///
/// Pipeline::new().then(join_chooser_to_carousel(words, letters)).then(ConsoleEchoer::new()).run()?; // a b c d
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// A message at `next` stays there while a child runs, and is used when that child has ended; so any number of them
/// can queue. At most one shutdown message is sent to each child. The next child is made one pass after the last
/// one's end.
///
/// # Shutdown
/// It never ends before its child. On `producerFinished` it first works off what is queued at `next`, one child after
/// the other, each told to stop as soon as the following one is due; then the message goes to the last child, and
/// after its end to `signal`. On `shutdownMicroprocess` the message goes to the child, what is queued is ignored, and
/// the message is passed on after the child's end. Without a child both end it at once.
///
/// # Errors
/// It fails if the factory's component has no `inbox`, `outbox` or `control`, or does not fit what is linked to the
/// carousel, or if its bounded `inbox` has no room for all that waits.
pub struct Carousel<A> {
    factory: Box<dyn FnMut(A) -> AnyInstance>,
    make_first_request: bool,
}

/// What it was told on `control`.
#[derive(Default)]
struct Told {
    must_stop: Option<Ipc>,
    please_stop: Option<Ipc>,
}

impl<A: Send + 'static> Carousel<A> {
    /// Makes its components with `factory`.
    pub fn new<C: Into<AnyInstance>>(mut factory: impl FnMut(A) -> C + 'static) -> Self {
        Self { factory: Box::new(move |of| factory(of).into()), make_first_request: false }
    }

    /// Sends a first `NEXT` in its first step (`make1stRequest`).
    #[doc(alias = "make1stRequest")]
    #[must_use]
    pub fn make_first_request(mut self) -> Self {
        self.make_first_request = true;
        self
    }

    fn start_child(&mut self, of: A, cx: &Cx<CarouselPorts<A>>) -> Result<(), LinkError> {
        let child = (self.factory)(of);
        cx.add_child(&child);
        feed(cx, &cx.inbox, &child)?;
        cx.link(&cx._signal, (&child, "control"))?;
        cx.link_with((&child, "outbox"), (cx, "outbox"), LinkOptions::pass_out())?;
        cx.activate(child);
        Ok(())
    }
}

impl Told {
    fn listen<A: Send + 'static>(&mut self, cx: &Cx<CarouselPorts<A>>) {
        while let Some(message) = cx.control.try_recv() {
            if message.is_producer_finished() {
                self.please_stop = Some(message);
            } else if message.is_shutdown_microprocess() {
                self.must_stop = Some(message);
            }
        }
    }
}

impl<A: Send + 'static> Component for Carousel<A> {
    type Ports = CarouselPorts<A>;

    async fn main(mut self, cx: Cx<CarouselPorts<A>>) {
        let mut told = Told::default();
        let mut wants_next = self.make_first_request;
        let last = loop {
            // Without a child.
            told.listen(&cx);
            if let Some(message) = told.must_stop.take() {
                break message;
            }
            let Some(of) = cx.next.try_recv() else {
                if let Some(message) = told.please_stop.take() {
                    break message;
                }
                // Only now: if something waits or it shall stop, nobody is asked. If there is no room for the request, a
                // collection wakes us to try again.
                wants_next = wants_next && cx.request_next.send("NEXT".into()).is_err_and(|e| e.is_full());
                cx.pause().await;
                continue;
            };
            if let Err(e) = self.start_child(of, &cx) {
                return cx.end_with(Err(e));
            }
            cx.yield_now().await;
            // With one.
            let mut stopping = false;
            while cx.reap_children() {
                told.listen(&cx);
                if !stopping && let Some(message) = why_child_must_go(&told, !cx.next.is_empty()) {
                    stopping = cx._signal.send(message).is_ok(); // a full control is tried again when it is collected
                }
                cx.pause().await;
            }
            wants_next = true;
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}

fn why_child_must_go(told: &Told, next_waits: bool) -> Option<Ipc> {
    if told.must_stop.is_some() {
        told.must_stop.clone()
    } else if next_waits {
        Some(Ipc::shutdown_microprocess())
    } else {
        told.please_stop.clone()
    }
}
