//! Steps through given items on request (Kamaelia: `Kamaelia/Util/Chooser.py`).

use super::unsent::Unsent;
use crate::component::{Component, Cx, Microprocess};
use crate::ipc::Ipc;
use crate::message::Message;

crate::ports! {
    /// Boxes of a [`Chooser`] and a [`ForwardIteratingChooser`].
    pub struct ChooserPorts<T> {
        in  { /// Requests, as text.
              inbox: Message,
              /// Shutdown requests.
              control: Ipc }
        out { /// The items.
              outbox: T,
              /// Told when it stops.
              signal: Ipc }
    }
}

/// Sends items of a list, going forwards and backwards as it is told.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | a text: `SAME`, `NEXT`, `PREV`, `FIRST`, `LAST`; any other message counts as `SAME` |
/// | `control` | [`Ipc`] | `shutdownMicroprocess` ends it, others are dropped |
/// | `outbox` | `T` | the items; the first one without being asked |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// A request typed at the console shows an item:
/// ```
/// use axon::prelude::*;
/// use axon::util::{Chooser, ConsoleEchoer, ConsoleReader};
///
/// let typed = ConsoleReader::new("").eol("").from(std::io::Cursor::new("NEXT\nNEXT\n"));
/// Graphline::new()
///     .node("keys", typed)
///     .node("slides", Chooser::new(["a.png ", "b.png "]).looping())
///     .node("screen", ConsoleEchoer::new()) // a.png b.png a.png
///     .link(("keys", "outbox"), ("slides", "inbox"))
///     .link(("slides", "outbox"), ("screen", "inbox"))
///     .check()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// `NEXT` and `PREV` move by one and send, `FIRST` and `LAST` go to the ends and send, `SAME` sends again. At the last
/// item `NEXT` sends nothing, at the first one `PREV` sends it again; [`looping`](Chooser::looping) goes round in both
/// directions instead (D-27). With no items nothing is ever sent.
///
/// # Shutdown
/// On `shutdownMicroprocess` it passes the message on and ends, even if the receiver is full. As the original it drops
/// `producerFinished`: who asks may be many.
pub struct Chooser<T> {
    items: Vec<T>,
    index: usize,
    looping: bool,
}

impl<T: Clone + Send + 'static> Chooser<T> {
    /// Chooses among `items`.
    pub fn new(items: impl IntoIterator<Item = T>) -> Self {
        Self { items: items.into_iter().collect(), index: 0, looping: false }
    }

    /// Follows the last item with the first one (`loop`).
    #[must_use]
    pub fn looping(mut self) -> Self {
        self.looping = true;
        self
    }

    /// The item to send for a request.
    fn choose(&mut self, request: &Message) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        self.index = match request.as_text() {
            Some("NEXT") if self.index < last => self.index + 1,
            Some("NEXT") if self.looping => 0,
            Some("NEXT") => return None,
            Some("PREV") if self.index > 0 => self.index - 1,
            Some("PREV") if self.looping => last,
            Some("FIRST") => 0,
            Some("LAST") => last,
            _ => self.index,
        };
        self.items.get(self.index).cloned()
    }
}

impl<T: Clone + Send + 'static> Component for Chooser<T> {
    type Ports = ChooserPorts<T>;

    async fn main(mut self, cx: Cx<ChooserPorts<T>>) {
        let first = self.items.first().cloned();
        serve(&cx, first, |request| Answer::Item(self.choose(request))).await;
    }
}

/// Sends the items of an iterator, one for each request; there may be endlessly many.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | a text: `NEXT` for the next item, `SAME` for the last one again; other messages are dropped |
/// | `control` | [`Ipc`] | `shutdownMicroprocess` ends it, others are dropped |
/// | `outbox` | the iterator's items | the first one without being asked |
/// | `signal` | [`Ipc`] | `producerFinished` at the end of the items, or the message that ended it |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, ForwardIteratingChooser};
///
/// Pipeline::new()
///     .then(DataSource::new(["NEXT", "NEXT", "NEXT"]))
///     .then(ForwardIteratingChooser::new(1..=3))
///     .then(ConsoleEchoer::new().tag(" ")) // 1 2 3
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// When `NEXT` finds no item left, it sends `producerFinished` and ends. On `shutdownMicroprocess` it passes the
/// message on and ends, even if the receiver is full.
pub struct ForwardIteratingChooser<I> {
    items: I,
}

impl<I: Iterator> ForwardIteratingChooser<I> {
    /// Steps through `items`.
    pub fn new(items: impl IntoIterator<IntoIter = I>) -> Self {
        Self { items: items.into_iter() }
    }
}

impl<I> Component for ForwardIteratingChooser<I>
where
    I: Iterator<Item: Clone + Send + 'static> + 'static,
{
    type Ports = ChooserPorts<I::Item>;

    async fn main(mut self, cx: Cx<ChooserPorts<I::Item>>) {
        let first = self.items.next();
        let mut current = first.clone();
        let choose = |request: &Message| match request.as_text() {
            Some("NEXT") => match self.items.next() {
                Some(item) => {
                    current = Some(item.clone());
                    Answer::Item(Some(item))
                }
                None => Answer::NoneLeft,
            },
            Some("SAME") => Answer::Item(current.clone()),
            _ => Answer::Item(None),
        };
        serve(&cx, first, choose).await;
    }
}

enum Answer<T> {
    Item(Option<T>),
    NoneLeft,
}

/// Answers requests until one finds nothing left, or until it is told to stop.
async fn serve<T: Send + 'static>(
    cx: &Cx<ChooserPorts<T>>,
    first: Option<T>,
    mut choose: impl FnMut(&Message) -> Answer<T>,
) {
    let mut unsent = Unsent::none();
    if let Some(item) = first {
        unsent.put(item);
    }
    unsent.flush(&cx.outbox);
    cx.yield_now().await;
    let last = 'serving: loop {
        while unsent.flush(&cx.outbox)
            && let Some(request) = cx.inbox.try_recv()
        {
            match choose(&request) {
                Answer::Item(Some(item)) => unsent.put(item),
                Answer::Item(None) => {}
                Answer::NoneLeft => break 'serving Ipc::producer_finished_by(cx.id()),
            }
        }
        if let Some(message) = cx.control.drain().find(Ipc::is_shutdown_microprocess) {
            break message;
        }
        cx.pause().await;
    };
    let _ = cx.signal.send_wait(last).await; // a control line takes any message
}
