//! Publishing and subscribing by name (Kamaelia: `Kamaelia/Util/Backplane.py`).

use std::marker::PhantomData;
use std::rc::Rc;

use super::unsent::{Copies, Unsent, relay};
use super::{PassThrough, Plug, PlugSplitter, PlugSplitterPorts, SamePorts};
use crate::chassis::ChassisPorts;
use crate::component::{Component, ComponentRef, Cx, Instance, Microprocess};
use crate::error::Error;
use crate::ipc::Ipc;
use crate::linkage::LinkOptions;
use crate::tracker::{Tracker, TrackerError};

/// Collects what is published under its name and hands it to all subscribers.
///
/// Publishers and subscribers come and go; they know the name and the type of the messages, not each other.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox`, `outbox` | [`Message`](crate::Message) | unused |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it and all subscribers; others are told to them too |
/// | `signal` | [`Ipc`] | what came in at `control` |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{Backplane, ConsoleEchoer, ConsoleReader, PublishTo, SubscribeTo};
///
/// let room = Backplane::<String>::new("room")?.activate();
/// Pipeline::new().then(SubscribeTo::<String>::new("room")).then(ConsoleEchoer::new()).activate();
///
/// let typed = ConsoleReader::new("").from(std::io::Cursor::new("hello\n"));
/// let publisher = Pipeline::new().then(typed).then(PublishTo::<String>::new("room")).create();
/// axon::link(&publisher.signal, &room.control)?; // the room closes with its only publisher
/// publisher.activate();
/// Scheduler::thread_default().run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// A [`PlugSplitter`] inside does the copying. Its `inbox` is registered with the coordinating assistant tracker as
/// `Backplane_I_<name>`, its `configuration` as `Backplane_O_<name>`, from the construction of the backplane to its
/// end, or until it is dropped unused. What is published before it runs waits; a subscriber gets what is published
/// after it was plugged in, three passes after its activation.
///
/// # Shutdown
/// It ends when the splitter has: when a `producerFinished` or `shutdownMicroprocess` has gone to all subscribers.
/// Publishers are not told.
pub struct Backplane<T: Clone + Send + 'static> {
    splitter: Instance<PlugSplitterPorts<T>>,
    registered: Registered,
}

/// Two services, for as long as this lives.
struct Registered {
    tracker: Rc<Tracker>,
    splitter: ComponentRef,
    names: [String; 2],
}

impl Drop for Registered {
    fn drop(&mut self) {
        for name in &self.names {
            // Somebody may have zapped the tracker, and registered the name anew.
            if self.tracker.retrieve_service(name).is_ok_and(|s| *s.component() == self.splitter) {
                let _ = self.tracker.deregister_service(name);
            }
        }
    }
}

fn input_of(name: &str) -> String {
    format!("Backplane_I_{name}")
}

fn output_of(name: &str) -> String {
    format!("Backplane_O_{name}")
}

impl<T: Clone + Send + 'static> Backplane<T> {
    /// Registers a backplane with the shared tracker of this thread.
    ///
    /// # Errors
    /// [`TrackerError::ServiceAlreadyExists`] if there is one of that name.
    pub fn new(name: &str) -> Result<Self, TrackerError> {
        Self::in_tracker(&Tracker::shared(), name)
    }

    /// Registers a backplane with a tracker of the program's own; publishers and subscribers need the same one
    /// ([`Instance::set_tracker`]).
    ///
    /// # Errors
    /// As [`Backplane::new`].
    pub fn in_tracker(tracker: &Rc<Tracker>, name: &str) -> Result<Self, TrackerError> {
        let splitter = PlugSplitter::new().create();
        let (input, output) = (input_of(name), output_of(name));
        tracker.register_service(&input, &splitter, "inbox")?;
        if let Err(e) = tracker.register_service(&output, &splitter, "configuration") {
            let _ = tracker.deregister_service(&input); // registered two lines above
            return Err(e);
        }
        let registered =
            Registered { tracker: tracker.clone(), splitter: splitter.reference(), names: [input, output] };
        Ok(Self { splitter, registered })
    }
}

impl<T: Clone + Send + 'static> Component for Backplane<T> {
    type Ports = ChassisPorts;

    async fn main(self, cx: Cx<ChassisPorts>) {
        let Self { splitter, registered } = self;
        let linked =
            cx.link(&cx.control, &splitter.control).and_then(|_| cx.link(&splitter.signal, &cx.signal));
        if linked.is_err() {
            return cx.end_with(linked.map(drop));
        }
        cx.activate(&splitter);
        cx.yield_now().await;
        cx.add_child(&splitter);
        drop(splitter);
        while cx.reap_children() {
            cx.pause().await;
        }
        drop(registered);
    }
}

crate::ports! {
    /// Boxes of a [`PublishTo`].
    pub struct PublishToPorts<T> {
        in  { /// What to publish.
              inbox: T,
              /// Shutdown requests.
              control: Ipc }
        out { /// What was published, if it forwards.
              outbox: T,
              /// To the backplane, if it forwards.
              _outbox: T,
              /// What came in at `control`.
              signal: Ipc }
    }
}

/// Publishes what it receives on the [`Backplane`] of a name.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | what to publish |
/// | `control` | [`Ipc`] | passed on; `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `T` | each message too, if it [forwards](PublishTo::forwarder) |
/// | `_outbox` | `T` | to the backplane, if it forwards |
/// | `signal` | [`Ipc`] | what came in at `control` |
///
/// # Example
/// See [`Backplane`].
///
/// # How it works
/// It finds the backplane in its first step. Without forwarding, its `inbox` is passed on to the backplane's splitter:
/// a message goes there directly.
///
/// # Shutdown
/// The end of a publisher does not concern the backplane. A `producerFinished` waits until all has been published.
///
/// # Errors
/// It fails in its first step if there is no backplane of that name, or one for another type of message.
pub struct PublishTo<T> {
    destination: String,
    forwarder: bool,
    message: PhantomData<fn(T)>,
}

impl<T: Clone + Send + 'static> PublishTo<T> {
    /// Publishes on the backplane called `destination`.
    pub fn new(destination: &str) -> Self {
        Self { destination: destination.into(), forwarder: false, message: PhantomData }
    }

    /// Sends each message on through `outbox` too.
    #[must_use]
    pub fn forwarder(mut self) -> Self {
        self.forwarder = true;
        self
    }

    fn join(&self, cx: &Cx<PublishToPorts<T>>) -> Result<(), Error> {
        let service = cx.tracker().retrieve_service(&input_of(&self.destination))?;
        if self.forwarder {
            cx.link(&cx._outbox, &service)?;
        } else {
            cx.link(&cx.inbox, &service)?;
        }
        Ok(())
    }
}

impl<T: Clone + Send + 'static> Component for PublishTo<T> {
    type Ports = PublishToPorts<T>;

    async fn main(self, cx: Cx<PublishToPorts<T>>) {
        if let Err(e) = self.join(&cx) {
            return cx.end_with(Err(e));
        }
        let mut copies = Copies::to([&cx.outbox, &cx._outbox]);
        let pump = || {
            // A passing inbox has nothing of its own (D-13: it must not take from the backplane's).
            while self.forwarder
                && copies.flush()
                && let Some(message) = cx.inbox.try_recv()
            {
                copies.put(message);
            }
            !copies.is_busy()
        };
        relay(&cx, (&cx.control, &cx.signal), &Ipc::ends_component, pump).await;
    }
}

/// Sends what is published on the [`Backplane`] of a name.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | copied to `outbox` as well |
/// | `control` | [`Ipc`] | passed on; `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `T` | what is published, and what comes in at `inbox` |
/// | `signal` | [`Ipc`] | what came in at `control`, or at that of the backplane |
///
/// # Example
/// See [`Backplane`].
///
/// # How it works
/// A [`PassThrough`] inside is plugged into the backplane's splitter.
///
/// # Shutdown
/// The end of a subscriber does not concern the backplane; the end of the backplane ends all subscribers. A message
/// from `inbox` for which the receiver has no room is dropped then, since the receiver has been told before.
///
/// # Errors
/// It fails in its first step if there is no backplane of that name; the plug inside it fails if the backplane is one
/// for another type of message.
pub struct SubscribeTo<T> {
    source: String,
    message: PhantomData<fn(T)>,
}

impl<T: Clone + Send + 'static> SubscribeTo<T> {
    /// Subscribes to the backplane called `source`.
    pub fn new(source: &str) -> Self {
        Self { source: source.into(), message: PhantomData }
    }

    fn join(&self, cx: &Cx<SamePorts<T>>) -> Result<(), Error> {
        let name = output_of(&self.source);
        let service = cx.tracker().retrieve_service(&name)?;
        let splitter = service.component().resolve().ok_or(TrackerError::NoSuchService(name))?;
        let plug = Plug::<T>::new(splitter, PassThrough::<T>::new()).create();
        cx.link(&cx.control, &plug.control)?;
        cx.link_with((&plug, "outbox"), (cx, "outbox"), LinkOptions::pass_out())?;
        cx.link(&plug.signal, &cx.signal)?;
        cx.add_child(&plug);
        cx.activate(&plug);
        Ok(())
    }
}

impl<T: Clone + Send + 'static> Component for SubscribeTo<T> {
    type Ports = SamePorts<T>;

    async fn main(self, cx: Cx<SamePorts<T>>) {
        if let Err(e) = self.join(&cx) {
            return cx.end_with(Err(e));
        }
        cx.yield_now().await;
        let mut unsent = Unsent::none();
        loop {
            while unsent.flush(&cx.outbox)
                && let Some(message) = cx.inbox.try_recv()
            {
                unsent.put(message);
            }
            if !cx.reap_children() {
                return;
            }
            cx.pause().await;
        }
    }
}
