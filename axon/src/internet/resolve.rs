//! Looking up names without holding up the scheduler.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::thread;

/// A look-up under way. The system's call blocks, so it is made in a thread; dropping this forgets the answer.
pub(crate) struct Lookup(Arc<Answer>);

struct Answer {
    result: Mutex<Option<io::Result<Vec<SocketAddr>>>>,
    waker: Waker,
}

impl Lookup {
    /// Starts a look-up; `waker` is called when the answer is there. An address needs none.
    pub(crate) fn start(host: &str, port: u16, waker: Waker) -> Self {
        let answer = Arc::new(Answer { result: Mutex::default(), waker });
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(ip) => answer.give(Ok(vec![SocketAddr::new(ip, port)])),
            Err(_) => enqueue(Job { host: host.to_string(), port, answer: Arc::downgrade(&answer) }),
        }
        Self(answer)
    }

    /// The addresses, at least one, once they are known.
    pub(crate) fn take(&self) -> Option<io::Result<Vec<SocketAddr>>> {
        self.0.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Answer {
    fn give(&self, result: io::Result<Vec<SocketAddr>>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.waker.wake_by_ref();
    }
}

struct Job {
    host: String,
    port: u16,
    answer: Weak<Answer>,
}

impl Job {
    fn work(self) {
        // Nobody may be waiting any more.
        if self.answer.strong_count() == 0 {
            return;
        }
        let unknown = |why: String| {
            io::Error::new(io::ErrorKind::NotFound, format!("unknown host {:?}: {why}", self.host))
        };
        let result = match (&*self.host, self.port).to_socket_addrs() {
            Ok(found) => {
                let found: Vec<_> = found.collect();
                if found.is_empty() { Err(unknown("it has no address".into())) } else { Ok(found) }
            }
            Err(e) => Err(unknown(e.to_string())),
        };
        if let Some(answer) = self.answer.upgrade() {
            answer.give(result);
        }
    }
}

/// Look-ups of the whole program. Threads come with the work and go when there is none left.
#[derive(Default)]
struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { jobs: VecDeque::new(), threads: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn enqueue(job: Job) {
    let mut pool = pool();
    pool.jobs.push_back(job);
    if pool.threads >= MAX_THREADS {
        return;
    }
    match thread::Builder::new().name("axon look-up".into()).spawn(work) {
        Ok(_) => pool.threads += 1,
        // Those that run do it. If none does, the answer is that it cannot be had.
        Err(e) if pool.threads == 0 => {
            for job in std::mem::take(&mut pool.jobs) {
                if let Some(answer) = job.answer.upgrade() {
                    answer.give(Err(io::Error::new(e.kind(), format!("cannot look up {:?}: {e}", job.host))));
                }
            }
        }
        Err(_) => {}
    }
}

fn work() {
    loop {
        let job = {
            let mut pool = pool();
            match pool.jobs.pop_front() {
                Some(job) => job,
                None => {
                    pool.threads -= 1;
                    return;
                }
            }
        };
        job.work();
    }
}

/// A program that connects to thousands of names at once must not start as many threads.
const MAX_THREADS: usize = 8;
