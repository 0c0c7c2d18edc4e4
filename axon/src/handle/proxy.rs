//! The component that stands for a handle in the graph.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use super::shared::{Outside, Put, Shared};
use crate::component::{AnyInstance, Component, Cx, Microprocess};
use crate::error::LinkError;
use crate::ipc::Ipc;

crate::ports! {
    /// Boxes of the component that stands for a [`Handle`](super::Handle) in the graph.
    pub struct HandlePorts<In, Out> {
        in  { /// What the wrapped component sends.
              _inbox: Out,
              /// What it signals.
              _control: Ipc }
        out { /// For its `inbox`.
              _outbox: In,
              /// For its `control`.
              _signal: Ipc }
    }
}

/// The component's side of a handle. However it goes, the outside is told.
pub(super) struct Link<In, Out> {
    shared: Arc<Shared<In, Out>>,
    /// Taken over and refused by a full inbox so far.
    pending: VecDeque<Put<In>>,
    gone: &'static str,
}

impl<In, Out> Link<In, Out> {
    pub(super) fn new(shared: Arc<Shared<In, Out>>) -> Self {
        Self { shared, pending: VecDeque::new(), gone: "the scheduler dropped it before it ran" }
    }

    fn fail(&self, why: String) {
        self.shared.lock().failure.get_or_insert(why);
    }
}

impl<In, Out> Drop for Link<In, Out> {
    fn drop(&mut self) {
        if !self.gone.is_empty() {
            self.fail(self.gone.to_string());
        }
        self.shared.end(std::mem::take(&mut self.pending));
    }
}

struct Proxy<In, Out> {
    link: Link<In, Out>,
    child: AnyInstance,
}

/// Wraps a component and activates both.
pub(super) fn attach<In: Send + 'static, Out: Send + 'static>(mut link: Link<In, Out>, child: AnyInstance) {
    link.gone = "it was stopped before it ran";
    let shared = link.shared.clone();
    let proxy = Proxy { link, child: child.clone() }.create();
    let linked = || -> Result<(), LinkError> {
        proxy.link((&proxy, "_outbox"), (&child, "inbox"))?;
        proxy.link((&proxy, "_signal"), (&child, "control"))?;
        proxy.link((&child, "outbox"), (&proxy, "_inbox"))?;
        proxy.link((&child, "signal"), (&proxy, "_control"))?;
        Ok(())
    };
    if let Err(e) = linked() {
        log::error!("a component was not wrapped in a handle: {e}");
        shared.lock().failure = Some(e.to_string());
        return; // nobody was activated; dropping the proxy tells the outside
    }
    proxy._inbox.set_bound(shared.capacity);
    proxy.add_child(&child);
    // The cause is for the outside to see; what happens to the run is the scheduler's business all the same.
    let next = child.process().extras().on_failure.take();
    child.process().extras().on_failure.replace(Some(Box::new(move |failure| {
        shared.lock().failure.get_or_insert(failure.to_string());
        match next {
            Some(next) => next(failure),
            None => Some(failure),
        }
    })));
    proxy.activate();
}

impl<In: Send + 'static, Out: Send + 'static> Component for Proxy<In, Out> {
    type Ports = HandlePorts<In, Out>;

    /// The original's name.
    fn kind() -> &'static str {
        "Axon.Handle.Handle"
    }

    async fn main(self, cx: Cx<HandlePorts<In, Out>>) {
        let Self { mut link, child } = self;
        let shared = link.shared.clone();
        link.gone = "it was stopped, or its scheduler ended";
        let waker = poll_fn(|task| Poll::Ready(Waker::clone(task.waker()))).await;
        shared.lock().proxy = Some(waker);
        cx.activate(&child);
        let mut finished = false;
        loop {
            let child_ended = child.is_stopped();
            let (outside, closed, room) = {
                let mut state = shared.lock();
                link.pending.append(&mut state.puts);
                (state.outside, state.input_closed, shared.capacity.saturating_sub(state.out.len()))
            };
            pass_on(&mut link, &cx);
            if closed && link.pending.is_empty() {
                if outside == Outside::Detached {
                    link.gone = "";
                    return cx.remove_child(&child);
                }
                finished = finished || cx._signal.send(Ipc::producer_finished_by(cx.id())).is_ok();
            }
            // What it sent before its end is passed on whether there is room or not: the handle's component need not
            // wait for the outside, and no more than its inbox holds is added.
            let room = if child_ended || outside != Outside::Holds { usize::MAX } else { room };
            let out = cx._inbox.drain().take(room).collect();
            let again = shared.deliver(out, cx._control.drain().collect(), !cx._inbox.is_empty());
            if child_ended {
                link.gone = "";
                return;
            }
            if !again {
                cx.pause().await;
            }
        }
    }
}

/// Sends what fits, in order.
fn pass_on<In: Send + 'static, Out: Send + 'static>(link: &mut Link<In, Out>, cx: &Cx<HandlePorts<In, Out>>) {
    let (mut all, mut data) = (0, 0);
    while let Some(put) = link.pending.pop_front() {
        match put {
            Put::Data(message) => match cx._outbox.send(message) {
                Ok(()) => data += 1,
                Err(e) if e.is_full() => {
                    link.pending.push_front(Put::Data(e.into_message()));
                    all += urgent(link, cx);
                    break;
                }
                Err(e) => {
                    // An untyped message of the wrong type can never be delivered.
                    log::error!("{}: {e}", cx.name());
                    data += 1;
                }
            },
            Put::Control(message) => match cx._signal.send(message) {
                Ok(()) => {}
                Err(e) => {
                    link.pending.push_front(Put::Control(e.into_message()));
                    break;
                }
            },
        }
        all += 1;
    }
    link.shared.sent(all, data);
}

/// Lets "stop now" pass data that waits for a full inbox: a component that does not read must still be stopped.
fn urgent<In: Send + 'static, Out: Send + 'static>(
    link: &mut Link<In, Out>,
    cx: &Cx<HandlePorts<In, Out>>,
) -> usize {
    let mut sent = 0;
    link.pending.retain(|put| match put {
        Put::Control(message)
            if message.is_shutdown_microprocess() && cx._signal.send(message.clone()).is_ok() =>
        {
            sent += 1;
            false
        }
        _ => true,
    });
    sent
}
