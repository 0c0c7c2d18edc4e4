//! Sleeping until something happens, or until a time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::component::Cx;
use crate::scheduler::Sleep;

/// Sleeps until the component is woken, or until a time.
///
/// Unlike [`Cx::pause`] it is not ended by collections: a pause is, at every box that one of the component's outboxes
/// leads to. Here all connections send to one selector and one server, so each message that those take would wake
/// every connection there is.
pub(crate) fn park<P>(cx: &Cx<P>, until: Option<Instant>) -> Park {
    Park { sleep: until.map(|at| cx.sleep_until(at)), done: false }
}

pub(crate) struct Park {
    sleep: Option<Sleep>,
    done: bool,
}

impl Future for Park {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.done, true) {
            return Poll::Ready(());
        }
        match &mut self.sleep {
            Some(sleep) => Pin::new(sleep).poll(cx),
            None => Poll::Pending,
        }
    }
}

/// The waker of the component whose body awaits this.
pub(crate) async fn own_waker() -> Waker {
    std::future::poll_fn(|task| Poll::Ready(Waker::clone(task.waker()))).await
}
