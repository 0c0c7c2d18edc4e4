//! A component with a box for everything, and other ends in threads.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use axon::internet::{ConnectionNotice, Datagram, Selector, SelectorRequest, Socket};
use axon::prelude::*;
use axon::{Clock, OnFailure, SchedulerOptions, ports};

ports! {
    pub struct TesterPorts {
        in {
            inbox: Vec<u8>,
            control: Ipc,
            sockets: Socket,
            more_sockets: Socket,
            notices: ConnectionNotice,
            addresses: SocketAddr,
            datagrams: Datagram,
            texts: String,
            ready: (),
        }
        out {
            outbox: Vec<u8>,
            signal: Ipc,
            requests: SelectorRequest,
            letters: (String, u16, Vec<u8>),
            targets: (String, u16),
        }
    }
}

pub type Tester = Cx<TesterPorts>;

struct Scripted<F>(F);

impl<F: AsyncFnOnce(Tester) + 'static> Component for Scripted<F> {
    type Ports = TesterPorts;
    fn kind() -> &'static str {
        "test.Tester"
    }
    async fn main(self, cx: Tester) {
        (self.0)(cx).await;
    }
}

/// A component with all boxes and a body.
pub fn tester(body: impl AsyncFnOnce(Tester) + 'static) -> Instance<TesterPorts> {
    Scripted(body).create()
}

/// Runs a body on a scheduler of its own until it has ended; everything else is stopped then.
#[track_caller]
pub fn run(body: impl AsyncFnOnce(Tester) + 'static) {
    run_with(SchedulerOptions::default(), body);
}

/// The same on a scheduler that goes on after failures.
#[track_caller]
pub fn run_on(body: impl AsyncFnOnce(Tester) + 'static) {
    run_with(SchedulerOptions { on_failure: OnFailure::GoOn, ..SchedulerOptions::default() }, body);
}

#[track_caller]
pub fn run_with(mut options: SchedulerOptions, body: impl AsyncFnOnce(Tester) + 'static) {
    // With a seed in AXON_SHUFFLE the order within each pass is shuffled by it.
    options.shuffle =
        options.shuffle.or(std::env::var("AXON_SHUFFLE").ok().and_then(|seed| seed.parse().ok()));
    Scheduler::set_thread_default(None);
    let virtually = options.clock == Clock::Virtual;
    let scheduler = Scheduler::with_options(options);
    let done = Rc::new(Cell::new(false));
    let theirs = done.clone();
    scheduler.activate(tester(async move |cx| {
        body(cx.clone()).await;
        theirs.set(true);
        cx.stop_scheduler();
    }));
    // A test that waits for something that never comes fails, and does not hang.
    let (handle, (alive, over)) = (scheduler.handle(), std::sync::mpsc::channel::<()>());
    thread::spawn(move || {
        if over.recv_timeout(Duration::from_secs(60)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            handle.stop();
        }
    });
    let result = scheduler.run();
    drop(alive);
    if let Err(e) = result {
        panic!("{e}");
    }
    assert!(done.get() || virtually, "the test did not come to its end in 60 s");
}

/// Runs blocking code in a thread and waits for its result.
pub async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    type Answer<T> = (Option<thread::Result<T>>, Option<Waker>);
    let shared = Arc::new(Mutex::<Answer<T>>::new((None, None)));
    let theirs = shared.clone();
    thread::spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        let mut shared = theirs.lock().unwrap();
        shared.0 = Some(result);
        if let Some(waker) = shared.1.take() {
            waker.wake();
        }
    });
    let result = std::future::poll_fn(|cx| {
        let mut shared = shared.lock().unwrap();
        match shared.0.take() {
            Some(result) => Poll::Ready(result),
            None => {
                shared.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await;
    match result {
        Ok(result) => result,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// A blocking listener and its port.
pub fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A connection of the standard library that gives up waiting after a while.
pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

pub fn dial(addr: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(addr).unwrap())
}

pub fn accept(listener: &TcpListener) -> TcpStream {
    patient(listener.accept().unwrap().0)
}

pub fn read_exactly(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut got = vec![0; bytes];
    stream.read_exact(&mut got).unwrap();
    got
}

pub fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    got
}

pub fn say(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}

/// Closes with a reset in place of an orderly end.
pub fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(socket);
}

/// Bytes in which a lost or doubled part shows.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8).collect()
}

/// Joins a tester to the selector of its scheduler.
pub fn join_selector(cx: &Tester) {
    cx.link(&cx.requests, &Selector::services(cx).notify).unwrap();
}

/// The text of a `producerFinished`.
#[track_caller]
pub fn remark(message: &Ipc) -> String {
    match message {
        Ipc::ProducerFinished(p) | Ipc::SocketShutdown(p) => {
            p.message.as_ref().map(|m| m.to_string()).unwrap_or_default()
        }
        other => panic!("{other:?} is no producerFinished"),
    }
}

/// Waits for that many bytes in all.
pub async fn collect(inbox: &axon::Inbox<Vec<u8>>, bytes: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < bytes {
        got.extend(inbox.recv().await);
    }
    got
}
