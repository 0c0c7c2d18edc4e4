//! A service that others find by its name, and that adds an outbox for each of them.
//!
//! Original: the demonstration in `Code/Python/Kamaelia/Kamaelia/Experimental/Services.py`.
//!
//! ```text
//! user 5: Subscribe -> First -> ConsoleEchoer          DummyService, registered as SERVICE1
//! user 1: Subscribe -> First -> ConsoleEchoer
//! ```
//!
//! The users and the service do not know each other. A user asks the tracker for "SERVICE1", sends it a number and an
//! inbox of its own, and gets the number in every step from then on. Unlike the original, where this goes on for ever,
//! each user has enough at some time and says so; then its outbox is deleted, and after the last one the service takes
//! its name out of the tracker and ends.

use axon::prelude::*;
use axon::tracker::{Tracker, TrackerError};
use axon::util::ConsoleEchoer;
use axon::{Added, BoxError, Service};

const NAME: &str = "SERVICE1";

/// What a subscriber asks for: a number, to be sent to an inbox.
enum Request {
    Add(u32, Service),
    Remove(u32, Service),
}

ports! {
    /// Boxes of the service. Outboxes are added while it runs.
    struct DummyServicePorts {
        in  { /// Subscriptions.
              inbox: Request }
        out {}
    }
}

/// Sends each subscriber its number in every step; ends when the last one has left.
struct DummyService;

impl DummyService {
    async fn work(self, cx: &Cx<DummyServicePorts>) -> Result<(), BoxError> {
        let mut subscribers: Vec<(u32, Service, Added<Outbox<u32>>)> = Vec::new();
        loop {
            for request in cx.inbox.drain() {
                match request {
                    Request::Add(number, destination) => {
                        // If there is an "outbox" already, this one gets another name.
                        let outbox = cx.add_outbox::<u32>("outbox");
                        cx.link(&*outbox, &destination)?;
                        println!("{number} is wanted");
                        subscribers.push((number, destination, outbox));
                    }
                    Request::Remove(number, destination) => {
                        let leaves = |(n, d, _): &(u32, Service, _)| *n == number && *d == destination;
                        if let Some(i) = subscribers.iter().position(leaves) {
                            let (_, _, outbox) = subscribers.remove(i);
                            cx.delete_outbox(outbox.name())?;
                            println!("{number} is not wanted any more");
                        }
                        if subscribers.is_empty() {
                            cx.tracker().deregister_service(NAME)?;
                            return Ok(());
                        }
                    }
                }
            }
            for (number, _, outbox) in &subscribers {
                let _ = outbox.send(*number);
            }
            cx.yield_now().await;
        }
    }
}

impl Component for DummyService {
    type Ports = DummyServicePorts;

    async fn main(self, cx: Cx<DummyServicePorts>) {
        let result = self.work(&cx).await;
        cx.end_with(result);
    }
}

ports! {
    /// Boxes of a subscriber.
    struct SubscribePorts {
        in  { /// What the service sends.
              inbox: u32,
              /// Shutdown requests.
              control: Ipc }
        out { /// The same.
              outbox: u32,
              /// All that came to `control`.
              signal: Ipc,
              /// Requests to the service.
              to_service as "_toService": Request }
    }
}

/// Subscribes to a service and passes on what it gets; unsubscribes at its end.
struct Subscribe {
    service: &'static str,
    numbers: Vec<u32>,
}

impl Subscribe {
    async fn work(self, cx: &Cx<SubscribePorts>) -> Result<(), BoxError> {
        let service = cx.tracker().retrieve_service(self.service)?;
        cx.link(&cx.to_service, &service)?;
        for number in &self.numbers {
            let _ = cx.to_service.send(Request::Add(*number, cx.service("inbox")));
        }
        loop {
            for message in cx.inbox.drain() {
                let _ = cx.outbox.send(message);
            }
            let mut ends = false;
            for message in cx.control.drain() {
                ends |= message.ends_component();
                let _ = cx.signal.send(message);
            }
            if ends {
                break;
            }
            cx.pause().await;
        }
        for number in self.numbers.iter().rev() {
            let _ = cx.to_service.send(Request::Remove(*number, cx.service("inbox")));
        }
        Ok(())
    }
}

impl Component for Subscribe {
    type Ports = SubscribePorts;

    async fn main(self, cx: Cx<SubscribePorts>) {
        let result = self.work(&cx).await;
        cx.end_with(result);
    }
}

ports! {
    /// Boxes of a counter of messages.
    struct FirstPorts {
        in  { /// Numbers.
              inbox: u32 }
        out { /// The first of them, as lines.
              outbox: String,
              /// Tells the sender that it was enough.
              enough: Ipc,
              /// Tells the receiver that there will be no more.
              signal: Ipc }
    }
}

/// Passes on so many messages, and ends.
struct First(u32);

impl Component for First {
    type Ports = FirstPorts;

    async fn main(self, cx: Cx<FirstPorts>) {
        for _ in 0..self.0 {
            let number = cx.inbox.recv().await;
            let _ = cx.outbox.send_wait(format!("{number}\n")).await;
        }
        let _ = cx.enough.send(Ipc::shutdown_microprocess());
        let _ = cx.signal.send(Ipc::producer_finished_by(cx.id()));
    }
}

/// Registers inboxes of a component as services, and returns the component.
fn register_service(
    component: impl Into<AnyInstance>,
    services: &[(&str, &str)],
) -> Result<AnyInstance, TrackerError> {
    let component = component.into();
    for (name, inbox) in services {
        Tracker::shared().register_service(name, &component, inbox)?;
    }
    Ok(component)
}

/// Somebody who wants a number some times.
fn user(number: u32, times: u32) -> Graphline {
    Graphline::new()
        .node("subscribe", Subscribe { service: NAME, numbers: vec![number] })
        .node("first", First(times))
        .node("echo", ConsoleEchoer::new())
        .link(("subscribe", "outbox"), ("first", "inbox"))
        .link(("first", "outbox"), ("echo", "inbox"))
        .link(("first", "enough"), ("subscribe", "control"))
        .link(("first", "signal"), ("echo", "control"))
}

fn main() -> Result<(), BoxError> {
    user(5, 3).activate();
    user(1, 5).activate();
    register_service(DummyService, &[(NAME, "inbox")])?.activate();
    Scheduler::thread_default().run()?;
    println!("services left: {}", Tracker::shared().services().len());
    Ok(())
}
