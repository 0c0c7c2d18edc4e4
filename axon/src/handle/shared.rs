//! The queues between a handle and its component.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::error::{GetError, PutError};
use crate::ipc::Ipc;

/// What both sides share.
pub(super) struct Shared<In, Out> {
    pub(super) capacity: usize,
    state: Mutex<State<In, Out>>,
    /// Something can be got, or nothing will come any more.
    to_get: Condvar,
    /// There is room to put, or nobody will take it any more.
    to_put: Condvar,
}

pub(super) enum Put<In> {
    Data(In),
    Control(Ipc),
}

pub(super) struct State<In, Out> {
    /// Put and not yet taken over by the component's side.
    pub(super) puts: VecDeque<Put<In>>,
    /// Messages for the `inbox` that were put and have not reached it, wherever they are.
    pub(super) unsent: usize,
    /// Everything put, control messages too, that has not reached the component; for flushing.
    pub(super) unsent_all: usize,
    pub(super) out: VecDeque<Out>,
    pub(super) signals: VecDeque<Ipc>,
    /// The component's side has more messages than there was room for.
    wants_room: bool,
    /// Nothing will be put any more.
    pub(super) input_closed: bool,
    pub(super) outside: Outside,
    /// The component's side is gone.
    pub(super) ended: bool,
    pub(super) failure: Option<String>,
    /// Wakes the component's side.
    pub(super) proxy: Option<Waker>,
    getters: Vec<Waker>,
    putters: Vec<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    Holds,
    /// The handle was dropped.
    Gone,
    Detached,
}

/// Which queue to get from.
pub(super) struct Lane;

impl Lane {
    pub(super) fn out<In, Out>(state: &mut State<In, Out>) -> Option<Out> {
        state.out.pop_front()
    }
    pub(super) fn signal<In, Out>(state: &mut State<In, Out>) -> Option<Ipc> {
        state.signals.pop_front()
    }
}

impl<In, Out> Shared<In, Out> {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        let state = State {
            puts: VecDeque::new(),
            unsent: 0,
            unsent_all: 0,
            out: VecDeque::new(),
            signals: VecDeque::new(),
            wants_room: false,
            input_closed: false,
            outside: Outside::Holds,
            ended: false,
            failure: None,
            proxy: None,
            getters: Vec::new(),
            putters: Vec::new(),
        };
        Arc::new(Self { capacity, state: Mutex::new(state), to_get: Condvar::new(), to_put: Condvar::new() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<In, Out>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the outside -------------------------------------------------------------------------------------------

    pub(super) fn put(&self, message: In) -> Result<(), PutError<In>> {
        self.put_locked(self.lock(), message)
    }

    fn put_locked(&self, mut state: Guard<'_, In, Out>, message: In) -> Result<(), PutError<In>> {
        if state.ended || state.input_closed {
            return Err(PutError::Ended(message));
        }
        if state.unsent >= self.capacity {
            return Err(PutError::Full(message));
        }
        state.unsent += 1;
        Self::push(state, Put::Data(message));
        Ok(())
    }

    fn push(mut state: Guard<'_, In, Out>, put: Put<In>) {
        state.unsent_all += 1;
        state.puts.push_back(put);
        // If there was one before, its ring has not been answered yet.
        let waker = if state.puts.len() == 1 { state.proxy.clone() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn put_control(&self, message: Ipc) -> Result<(), PutError<Ipc>> {
        let state = self.lock();
        if state.ended || state.input_closed {
            return Err(PutError::Ended(message));
        }
        Self::push(state, Put::Control(message));
        Ok(())
    }

    pub(super) fn poll_put(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<In>,
    ) -> Poll<Result<(), PutError<In>>> {
        let Some(m) = message.take() else { return Poll::Ready(Ok(())) };
        let mut state = self.lock();
        if state.unsent >= self.capacity && !state.ended && !state.input_closed {
            note(&mut state.putters, cx.waker());
            *message = Some(m);
            return Poll::Pending;
        }
        Poll::Ready(self.put_locked(state, m))
    }

    /// Ready when there is room for a message, or there will never be any.
    #[cfg(feature = "futures")]
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.unsent < self.capacity || state.ended || state.input_closed {
            return Poll::Ready(());
        }
        note(&mut state.putters, cx.waker());
        Poll::Pending
    }

    /// Ready when everything that was put has reached the component; false if it ended before.
    #[cfg(feature = "futures")]
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        if state.unsent_all == 0 {
            return Poll::Ready(true);
        }
        if state.ended {
            return Poll::Ready(false);
        }
        note(&mut state.putters, cx.waker());
        Poll::Pending
    }

    pub(super) fn blocking_put(&self, message: In) -> Result<(), PutError<In>> {
        let mut state = self.lock();
        while state.unsent >= self.capacity && !state.ended && !state.input_closed {
            state = self.to_put.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.put_locked(state, message)
    }

    /// Takes a message with `pop` from a locked state, and tells the component's side of the room.
    fn take<'a, T>(
        mut state: Guard<'a, In, Out>,
        pop: impl Fn(&mut State<In, Out>) -> Option<T>,
    ) -> Result<T, (Guard<'a, In, Out>, GetError)> {
        match pop(&mut state) {
            Some(message) => {
                let waker = if std::mem::take(&mut state.wants_room) { state.proxy.clone() } else { None };
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
                Ok(message)
            }
            None => {
                let error = if state.ended { GetError::Ended } else { GetError::Empty };
                Err((state, error))
            }
        }
    }

    pub(super) fn try_get<T>(&self, pop: impl Fn(&mut State<In, Out>) -> Option<T>) -> Result<T, GetError> {
        Self::take(self.lock(), pop).map_err(|(_, e)| e)
    }

    pub(super) fn poll_get<T>(
        &self,
        cx: &mut Context<'_>,
        pop: impl Fn(&mut State<In, Out>) -> Option<T>,
    ) -> Poll<Result<T, GetError>> {
        match Self::take(self.lock(), pop) {
            Ok(message) => Poll::Ready(Ok(message)),
            Err((_, GetError::Ended)) => Poll::Ready(Err(GetError::Ended)),
            Err((mut state, _)) => {
                note(&mut state.getters, cx.waker());
                Poll::Pending
            }
        }
    }

    pub(super) fn blocking_get<T>(
        &self,
        time: Option<Duration>,
        pop: impl Fn(&mut State<In, Out>) -> Option<T>,
    ) -> Result<T, GetError> {
        let deadline = time.and_then(|t| Instant::now().checked_add(t));
        let mut state = self.lock();
        loop {
            state = match Self::take(state, &pop) {
                Err((state, GetError::Empty)) => state,
                Ok(message) => return Ok(message),
                Err((_, e)) => return Err(e),
            };
            state = match deadline {
                None => self.to_get.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(GetError::Empty);
                    }
                    self.to_get.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.input_closed = true;
        self.room_changed(state);
    }

    pub(super) fn let_go(&self, detach: bool) {
        let mut state = self.lock();
        state.outside = if detach { Outside::Detached } else { Outside::Gone };
        state.input_closed = true;
        let (out, signals) = (std::mem::take(&mut state.out), std::mem::take(&mut state.signals));
        self.room_changed(state);
        drop((out, signals)); // outside the lock: they are the program's own
    }

    /// Wakes everybody on the putting side, and the component's.
    fn room_changed(&self, mut state: Guard<'_, In, Out>) {
        let putters = std::mem::take(&mut state.putters);
        let proxy = state.proxy.clone();
        drop(state);
        self.to_put.notify_all();
        putters.into_iter().chain(proxy).for_each(Waker::wake);
    }

    pub(super) fn undelivered(&self) -> Vec<In> {
        let mut state = self.lock();
        if !state.ended {
            return Vec::new();
        }
        let data = |put| match put {
            Put::Data(message) => Some(message),
            Put::Control(_) => None,
        };
        std::mem::take(&mut state.puts).into_iter().filter_map(data).collect()
    }

    // ---- the component's side ----------------------------------------------------------------------------------

    /// Notes that so many messages have reached the component, `data` of them for its `inbox`.
    pub(super) fn sent(&self, all: usize, data: usize) {
        if all == 0 {
            return;
        }
        let mut state = self.lock();
        state.unsent_all -= all;
        state.unsent -= data;
        let putters = std::mem::take(&mut state.putters);
        drop(state);
        self.to_put.notify_all();
        putters.into_iter().for_each(Waker::wake);
    }

    /// Hands messages to the outside; `more` says whether others wait for room. True if there is some already.
    pub(super) fn deliver(&self, out: VecDeque<Out>, signals: VecDeque<Ipc>, more: bool) -> bool {
        if out.is_empty() && signals.is_empty() && !more {
            return false;
        }
        let mut state = self.lock();
        if state.outside != Outside::Holds {
            drop(state);
            return more; // the messages go after the lock
        }
        state.out.extend(out);
        state.signals.extend(signals);
        // The outside may have taken some since the room was counted.
        let again = more && state.out.len() < self.capacity;
        state.wants_room = more && !again;
        self.tell_getters(state);
        again
    }

    pub(super) fn end(&self, rest: VecDeque<Put<In>>) {
        let mut state = self.lock();
        state.ended = true;
        state.proxy = None;
        for put in rest.into_iter().rev() {
            state.puts.push_front(put);
        }
        let putters = std::mem::take(&mut state.putters);
        self.tell_getters(state);
        self.to_put.notify_all();
        putters.into_iter().for_each(Waker::wake);
    }

    fn tell_getters(&self, mut state: Guard<'_, In, Out>) {
        let getters = std::mem::take(&mut state.getters);
        drop(state);
        self.to_get.notify_all();
        getters.into_iter().for_each(Waker::wake);
    }
}

type Guard<'a, In, Out> = MutexGuard<'a, State<In, Out>>;

/// Notes a waker that is not there yet.
fn note(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|w| w.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}
