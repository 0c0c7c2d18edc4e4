//! The thread that waits for sockets.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use mio::{Events, Interest, Poll, Registry, Token};

/// What became of a watched socket.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    /// By role: readable, writable, exceptional.
    pub(crate) roles: [bool; 3],
}

/// What the thread and the selector's component share.
///
/// Watching needs no word to the thread: the component changes the system's table itself, while the thread blocks on
/// it. So what a connection costs per event is one call of the system, and a wake of the scheduler if that slept.
pub(crate) struct Shared {
    registry: Registry,
    waker: Waker,
    queue: Mutex<Queue>,
    room: Condvar,
    stop: mio::Waker,
}

#[derive(Default)]
struct Queue {
    ready: Vec<Ready>,
    gone: Vec<Token>,
    failed: Option<io::Error>,
    closed: bool,
}

/// The running thread; dropping it ends it.
pub(crate) struct Poller {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A socket was closed or dropped, by whatever thread.
    pub(crate) fn forget(&self, token: Token) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        queue.gone.push(token);
        drop(queue);
        self.waker.wake_by_ref();
    }

    /// Swaps what has happened with the caller's empty lists.
    pub(crate) fn take(&self, ready: &mut Vec<Ready>, gone: &mut Vec<Token>) -> io::Result<()> {
        let mut queue = self.lock();
        let was_full = queue.ready.len() >= MAX_READY;
        std::mem::swap(ready, &mut queue.ready);
        std::mem::swap(gone, &mut queue.gone);
        let failed = queue.failed.take();
        drop(queue);
        if was_full {
            self.room.notify_one();
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Poller {
    /// Starts the thread; `waker` is called when there is something to take.
    pub(crate) fn start(waker: Waker) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let stop = mio::Waker::new(poll.registry(), STOP)?;
        let shared =
            Arc::new(Shared { registry, waker, queue: Mutex::default(), room: Condvar::new(), stop });
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("axon selector".into()).spawn(move || {
            if let Err(e) = run(poll, &theirs) {
                theirs.lock().failed = Some(e);
                theirs.waker.wake_by_ref();
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.room.notify_one();
        if let Err(e) = self.shared.stop.wake() {
            log::error!("cannot stop the selector's thread: {e}");
        } else if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it cannot block any more
        }
    }
}

fn run(mut poll: Poll, shared: &Shared) -> io::Result<()> {
    let mut events = Events::with_capacity(EVENTS);
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        let mut queue = shared.lock();
        let was_empty = queue.ready.is_empty();
        queue.ready.extend(events.iter().filter(|e| e.token() != STOP).map(|e| Ready {
            token: e.token(),
            // An end and an error are told to whoever waits, for it is by reading or writing that they are seen.
            roles: [
                e.is_readable() || e.is_read_closed() || e.is_error(),
                e.is_writable() || e.is_write_closed() || e.is_error(),
                e.is_priority() || e.is_error(),
            ],
        }));
        if queue.closed {
            return Ok(());
        }
        if was_empty && !queue.ready.is_empty() {
            drop(queue);
            shared.waker.wake_by_ref();
            queue = shared.lock();
        }
        // A scheduler that is busy gets the rest later; meanwhile the system gathers what happens per socket.
        while queue.ready.len() >= MAX_READY && !queue.closed {
            queue = shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What the system is asked for, for a role: to read, to write, to hear of exceptions.
pub(crate) fn interest(role: usize) -> Interest {
    match role {
        0 => Interest::READABLE,
        1 => Interest::WRITABLE,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        _ => Interest::PRIORITY,
        // Elsewhere only errors count as exceptions, and those come with any interest.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        _ => Interest::READABLE,
    }
}

/// Serials of sockets count up from 0.
const STOP: Token = Token(usize::MAX);
/// Events taken from the system at once.
const EVENTS: usize = 1024;
/// Events that wait for the scheduler before the thread stops asking for more.
const MAX_READY: usize = 4 * EVENTS;
