//! A handle as a stream and a sink, for async programs of any runtime.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;

use super::error::PutError;
use super::{Handle, Lane};

/// The messages of the component's `outbox`, until it has ended.
impl<In: Send + 'static, Out: Send + 'static> Stream for &Handle<In, Out> {
    type Item = Out;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Out>> {
        self.shared.poll_get(cx, Lane::out).map(Result::ok)
    }
}

/// The messages of the component's `outbox`, until it has ended.
impl<In: Send + 'static, Out: Send + 'static> Stream for Handle<In, Out> {
    type Item = Out;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Out>> {
        Pin::new(&mut &*self).poll_next(cx)
    }
}

impl<In: Send + 'static, Out: Send + 'static> FusedStream for Handle<In, Out> {
    fn is_terminated(&self) -> bool {
        let state = self.shared.lock();
        state.ended && state.out.is_empty()
    }
}

/// Messages for the component's `inbox`. Flushed is what has reached it; closing is [`Handle::end_input`].
impl<In: Send + 'static, Out: Send + 'static> Sink<In> for &Handle<In, Out> {
    type Error = PutError<Option<In>>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.shared.poll_room(cx).map(Ok)
    }

    /// Several tasks may share a handle: if another was quicker, the error is [`PutError::Full`] and has the message.
    fn start_send(self: Pin<&mut Self>, message: In) -> Result<(), Self::Error> {
        self.try_put(message).map_err(|e| match e {
            PutError::Full(m) => PutError::Full(Some(m)),
            PutError::Ended(m) => PutError::Ended(Some(m)),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.shared.poll_sent(cx).map(|sent| if sent { Ok(()) } else { Err(PutError::Ended(None)) })
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.end_input();
        self.poll_flush(cx)
    }
}

/// Messages for the component's `inbox`. Flushed is what has reached it; closing is [`Handle::end_input`].
impl<In: Send + 'static, Out: Send + 'static> Sink<In> for Handle<In, Out> {
    type Error = PutError<Option<In>>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut &*self).poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: In) -> Result<(), Self::Error> {
        Pin::new(&mut &*self).start_send(message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}
