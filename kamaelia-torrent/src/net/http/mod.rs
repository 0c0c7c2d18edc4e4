//! HTTP requests, on threads of their own, so that a name server or a tracker that is slow holds up nobody.
//!
//! * Redirects are followed here, at most five, `http` and `https` only, never from `https` back to `http`, and
//!   every hop passes a gate that looks at the address connected to.
//! * Proxies from the environment are not used: a proxy would resolve names behind the gate's back.
//! * Error texts hold neither URLs nor queries, which may contain passkeys.

use std::collections::VecDeque;
use std::io::Read;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::unversioned::transport::DefaultConnector;
#[cfg(feature = "tls")]
use ureq::unversioned::transport::{Connector, RustlsConnector};
use url::Url;

mod from;
mod gate;

use from::FromAddress;
use gate::{Gate, Hop, Reach};

/// A page to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// To be given back with the result.
    pub token: u64,
    /// The URL. May hold a passkey: not shown or logged.
    pub url: String,
    /// Time for everything, the wait for a free thread included.
    pub timeout: Duration,
    /// What is asked for.
    pub want: Want,
}

/// What a request is for; it decides what is taken for an answer, and where it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A tracker's answer: at most [`MAX_BODY`] bytes, with an error status too if it looks like an answer. The URL
    /// comes out of a torrent, so on this machine only paths of trackers are asked for.
    Announce,
    /// A file that a person asked for by its URL, which may be anywhere; at most so many bytes.
    File {
        /// Longest body, bytes.
        max: usize,
    },
}

impl Want {
    fn max_body(self) -> usize {
        match self {
            Self::Announce => MAX_BODY,
            Self::File { max } => max,
        }
    }
}

/// A request that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpDone {
    /// That of the request.
    pub token: u64,
    /// The body, or why there is none.
    pub result: Result<Vec<u8>, String>,
}

/// Threads that fetch pages. They start when there is work and end when there was none for a while.
///
/// Dropping the pool does not wait for requests under way; their results are not delivered any more.
pub struct HttpPool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    max_threads: usize,
    from: Option<IpAddr>,
    classify: fn(IpAddr) -> Reach,
    done: Box<dyn Fn(HttpDone) + Send + Sync>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(HttpRequest, Instant)>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl HttpPool {
    /// A pool of at most `threads` threads, which dial from the address `from` if there is one. `done` is called on one
    /// of them for every request, once.
    pub fn new(
        threads: usize,
        from: Option<IpAddr>,
        done: impl Fn(HttpDone) + Send + Sync + 'static,
    ) -> HttpPool {
        HttpPool::with_classes(threads, from, gate::reach, done)
    }

    fn with_classes(
        threads: usize,
        from: Option<IpAddr>,
        classify: fn(IpAddr) -> Reach,
        done: impl Fn(HttpDone) + Send + Sync + 'static,
    ) -> HttpPool {
        let shared = Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            max_threads: threads.max(1),
            from,
            classify,
            done: Box::new(done),
        };
        HttpPool { shared: Arc::new(shared) }
    }

    /// Queues a request; never waits. Those with a short time-out go first: somebody waits for the end of the
    /// program.
    pub fn get(&self, request: HttpRequest) {
        let deadline = Instant::now() + request.timeout;
        let mut state = self.shared.lock();
        if request.timeout <= URGENT {
            state.waiting.push_front((request, deadline));
        } else {
            state.waiting.push_back((request, deadline));
        }
        if state.idle >= state.waiting.len() || state.threads >= self.shared.max_threads {
            drop(state);
            self.shared.work.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        let spawned = thread::Builder::new().name("http".into()).spawn(move || shared.work_off());
        if let Err(error) = spawned {
            let mut state = self.shared.lock();
            state.threads -= 1;
            // Without any thread nobody would ever answer.
            let stranded =
                if state.threads == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
            drop(state);
            for (request, _) in stranded {
                (self.shared.done)(HttpDone {
                    token: request.token,
                    result: Err(format!("cannot start a thread: {error}")),
                });
            }
        }
    }
}

impl Drop for HttpPool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_off(&self) {
        let gate = Gate::new(self.classify);
        let agent = agent(gate.clone(), self.from);
        while let Some((request, deadline)) = self.next() {
            let result = fetch(&agent, &gate, &request, deadline);
            if !self.lock().closed {
                (self.done)(HttpDone { token: request.token, result });
            }
        }
    }

    /// The next request; `None` when this thread is to end.
    fn next(&self) -> Option<(HttpRequest, Instant)> {
        let mut state = self.lock();
        let until = Instant::now() + IDLE;
        loop {
            if let Some(next) = state.waiting.pop_front() {
                return Some(next);
            }
            let left = until.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
        }
    }
}

fn agent(gate: Gate, from: Option<IpAddr>) -> Agent {
    let config = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        // A kept connection would be used again without asking the gate.
        .max_idle_connections(0)
        .max_response_header_size(MAX_HEADER)
        .user_agent(concat!("kamaelia-torrent/", env!("CARGO_PKG_VERSION")))
        .build();
    match from {
        None => Agent::with_parts(config, DefaultConnector::default(), gate),
        #[cfg(feature = "tls")]
        Some(from) => Agent::with_parts(config, FromAddress(from).chain(RustlsConnector::default()), gate),
        #[cfg(not(feature = "tls"))]
        Some(from) => Agent::with_parts(config, FromAddress(from), gate),
    }
}

fn fetch(agent: &Agent, gate: &Gate, request: &HttpRequest, deadline: Instant) -> Result<Vec<u8>, String> {
    let mut url = Url::parse(&request.url).map_err(|e| format!("malformed URL: {e}"))?;
    let mut global_only = false;
    for _ in 0..=MAX_REDIRECTS {
        if !["http", "https"].contains(&url.scheme()) {
            return Err(format!("scheme {:?} is not supported", url.scheme()));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timed_out(request));
        }
        let may_be_here = request.want != Want::Announce || url.path().ends_with("/announce");
        gate.begin(Hop { global_only, may_be_here, ..Hop::default() });
        let call = agent.get(url.as_str()).config().timeout_global(Some(left)).build().call();
        let hop = gate.hop();
        let mut response = call.map_err(|error| match hop.refused {
            Some(reason) if matches!(error, ureq::Error::HostNotFound) => reason.to_owned(),
            _ => describe(&error, request),
        })?;
        global_only |= hop.went_global;
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get("location").and_then(|l| l.to_str().ok());
            let location = location.ok_or_else(|| format!("HTTP status {status} without a location"))?;
            let next = url.join(location).map_err(|e| format!("redirect to a malformed URL: {e}"))?;
            if url.scheme() == "https" && next.scheme() == "http" {
                return Err("redirect from https to http".into());
            }
            url = next;
            continue;
        }
        let mut body = Vec::new();
        // Counted after decompression: a kilobyte of gzip can hold a megabyte.
        let reader = response.body_mut().as_reader();
        let max = request.want.max_body();
        reader.take(max as u64 + 1).read_to_end(&mut body).map_err(|e| describe(&e.into(), request))?;
        if body.len() > max {
            return Err(format!("answer is longer than {max} bytes"));
        }
        // Some trackers send their failure reason with an error status.
        let reason = request.want == Want::Announce && body.starts_with(b"d");
        if !status.is_success() && !reason {
            return Err(format!("HTTP status {status}"));
        }
        return Ok(body);
    }
    Err(format!("more than {MAX_REDIRECTS} redirects"))
}

fn timed_out(request: &HttpRequest) -> String {
    format!("no answer within {} s", request.timeout.as_secs_f32())
}

/// A text without the URL, which ureq's own texts may quote.
fn describe(error: &ureq::Error, request: &HttpRequest) -> String {
    use ureq::Error;
    match error {
        Error::Timeout(_) => timed_out(request),
        Error::Io(e) if matches!(e.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock) => {
            timed_out(request)
        }
        Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(inner) => describe(inner, request),
            None => format!("cannot talk to the server: {e}"),
        },
        Error::HostNotFound => "host not found".into(),
        Error::ConnectionFailed => "cannot connect".into(),
        Error::LargeResponseHeader(..) => "header of the answer is too long".into(),
        Error::Decompress(..) => "compressed answer is damaged".into(),
        Error::Protocol(e) => format!("not an HTTP answer: {e}"),
        Error::BadUri(_) | Error::Http(_) => "malformed URL".into(),
        Error::Tls(e) => format!("TLS: {e}"),
        Error::TlsRequired => "https is not supported by this build".into(),
        #[cfg(feature = "tls")]
        Error::Rustls(e) => format!("TLS: {e}"),
        _ => "request failed".into(),
    }
}

/// Longest answer of a tracker, bytes: 1 MiB, libtorrent's limit; thousands of peers fit.
pub const MAX_BODY: usize = 1 << 20;

/// Longest head of an answer, bytes.
const MAX_HEADER: usize = 32 << 10;

/// Most redirects in a row; browsers follow 20, a tracker that needs more than one is rare.
const MAX_REDIRECTS: usize = 5;

/// Time-outs up to this overtake the queue.
const URGENT: Duration = Duration::from_secs(5);

/// A thread without work for this long ends.
const IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
