//! What the tests look at components with.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axon::prelude::*;
use axon::{Clock, SchedulerOptions};

axon::ports! { pub struct Boxes<T> { in { inbox: T, control: Ipc } out { outbox: T, signal: Ipc } } }

/// Keeps what arrives; never runs.
pub struct Probe<T>(std::marker::PhantomData<T>);

impl<T: Send + 'static> Component for Probe<T> {
    type Ports = Boxes<T>;
    async fn main(self, _: Cx<Boxes<T>>) {}
}

pub fn probe<T: Send + 'static>() -> Instance<Boxes<T>> {
    Probe(std::marker::PhantomData).create()
}

/// Links a component's `outbox` and `signal` to a new probe.
macro_rules! probe_of {
    ($c:expr) => {{
        let end = $crate::probe::probe();
        axon::link(&$c.outbox, &end.inbox).unwrap();
        axon::link(&$c.signal, &end.control).unwrap();
        end
    }};
}

/// Hands messages to a component's `inbox`, then some to its `control`; runs it until it sleeps or ends, and returns
/// what came out, what was signalled, and whether it ended.
macro_rules! outcome {
    ($s:expr, $c:expr, $inbox:expr, $control:expr) => {{
        let end = probe_of!($c);
        $inbox.into_iter().for_each(|m| $c.inbox.deliver(m).unwrap());
        for m in $control {
            $c.control.deliver(m).unwrap();
        }
        $s.activate(&$c);
        $s.run_until_idle().unwrap();
        (end.inbox.drain().collect::<Vec<_>>(), $crate::probe::kinds(&end), $c.is_stopped())
    }};
}

pub fn kinds<T: Send + 'static>(end: &Instance<Boxes<T>>) -> Vec<&'static str> {
    end.control.drain().map(|m| m.kind()).collect()
}

pub const PF: &str = "producerFinished";
pub const SM: &str = "shutdownMicroprocess";

pub fn pf() -> Ipc {
    Ipc::producer_finished()
}

pub fn sm() -> Ipc {
    Ipc::shutdown_microprocess()
}

/// A scheduler in order and some in disorder: what must not depend on the order is tried on all.
pub fn schedulers() -> impl Iterator<Item = Scheduler> {
    [None, Some(1), Some(2), Some(3)].into_iter().map(|shuffle| {
        Scheduler::set_thread_default(None);
        Scheduler::with_options(SchedulerOptions { shuffle, ..SchedulerOptions::default() })
    })
}

pub fn virtual_time() -> Scheduler {
    Scheduler::set_thread_default(None);
    Scheduler::with_options(SchedulerOptions { clock: Clock::Virtual, ..SchedulerOptions::default() })
}

/// What came, and when, in milliseconds from the start.
pub type Times<T> = Rc<RefCell<Vec<(u64, T)>>>;

/// A component that notes when each message comes, and ends with what is before it.
pub fn stopwatch<T: Send + 'static>(s: &Scheduler) -> (Instance<Boxes<T>>, Times<T>) {
    let log = Times::default();
    let watch = Stopwatch { log: log.clone(), start: s.time() };
    (watch.create(), log)
}

struct Stopwatch<T> {
    log: Times<T>,
    start: Instant,
}

impl<T: Send + 'static> Component for Stopwatch<T> {
    type Ports = Boxes<T>;
    async fn main(self, cx: Cx<Boxes<T>>) {
        loop {
            while let Some(m) = cx.inbox.try_recv() {
                let at = (cx.time() - self.start).as_secs_f64() * 1000.0;
                self.log.borrow_mut().push((at.round() as u64, m));
            }
            if cx.control.try_recv().is_some() {
                return;
            }
            cx.pause().await;
        }
    }
}

/// Waits, running the scheduler, until something is so; at most a minute.
pub fn run_until(s: &Scheduler, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    s.run_until_idle().unwrap();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "it did not come to be");
        std::thread::sleep(Duration::from_millis(1));
        s.run_until_idle().unwrap();
    }
}

/// A directory that goes when it is dropped.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static N: AtomicU32 = AtomicU32::new(0);
        let name = format!("axon-everyday-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), content).unwrap();
        self.path(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How often this process has the file open.
pub fn times_open(path: &str) -> usize {
    let path = fs::canonicalize(path).unwrap();
    let fds = fs::read_dir("/proc/self/fd").unwrap();
    fds.filter(|fd| fd.as_ref().is_ok_and(|f| fs::read_link(f.path()).is_ok_and(|p| p == path))).count()
}

pub fn exists(path: &str) -> bool {
    Path::new(path).exists()
}
