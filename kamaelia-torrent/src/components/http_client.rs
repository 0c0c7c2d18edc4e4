//! Files by their URLs (Kamaelia: `Kamaelia/Protocol/HTTP/HTTPClient.py`, `SimpleHTTPClient`).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use axon::{Component, Cx, Ipc, Microprocess, ports};

use super::ipc::printable;
use crate::net::http::{HttpPool, HttpRequest, Want};
use crate::proto::metainfo::MAX_TORRENT_LEN;

/// A file that could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchFailed {
    /// Its URL as it was asked for.
    pub url: String,
    /// Why, without the URL.
    pub reason: String,
}

impl fmt::Display for FetchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot fetch {}: {}", printable(&self.url), printable(&self.reason))
    }
}

ports! {
    /// Boxes of a [`SimpleHttpClient`].
    pub struct HttpClientPorts {
        in  { /// URLs, `http` or `https`.
              inbox: String,
              /// `producerFinished` ends it when all files are fetched, a shutdown at once.
              control: Ipc }
        out { /// The content of each file, in the order of the URLs.
              outbox: Vec<u8>,
              /// What could not be fetched. An addition to the original's boxes, where a failure is not told.
              failed: FetchFailed,
              /// Producer finished, at the end.
              signal: Ipc }
    }
}

/// Fetches files by their URLs, one after the other.
///
/// # Boxes
/// See [`HttpClientPorts`].
///
/// # How it works
/// The requests are made on a thread by a library; redirects are followed, at most five, and none from the internet
/// into the local network. An answer counts only with a status of success.
///
/// # Shutdown
/// On `producerFinished` once everything asked for was fetched; on a `shutdownMicroprocess` or [`Ipc::Shutdown`] at once.
///
/// # Limits
/// [`MAX_TORRENT_LEN`] bytes and 60 s a file, unless changed.
pub struct SimpleHttpClient {
    max: usize,
    timeout: Duration,
}

impl SimpleHttpClient {
    /// With the usual limits.
    pub fn new() -> Self {
        Self { max: MAX_TORRENT_LEN, timeout: Duration::from_secs(60) }
    }

    /// Refuses files of more bytes.
    pub fn max_len(mut self, bytes: usize) -> Self {
        self.max = bytes;
        self
    }

    /// Time for one file, redirects included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Default for SimpleHttpClient {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the pool's thread leaves the file, and who waits for it.
#[derive(Default)]
struct Answer {
    result: Option<Result<Vec<u8>, String>>,
    waker: Option<Waker>,
}

impl Component for SimpleHttpClient {
    type Ports = HttpClientPorts;

    async fn main(self, cx: Cx<HttpClientPorts>) {
        let answer = Arc::new(Mutex::new(Answer::default()));
        let theirs = answer.clone();
        let pool = HttpPool::new(1, None, move |done| {
            let mut answer = theirs.lock().unwrap_or_else(PoisonError::into_inner);
            answer.result = Some(done.result);
            if let Some(waker) = answer.waker.take() {
                waker.wake();
            }
        });
        let mut finishing = None;
        loop {
            while let Some(url) = cx.inbox.try_recv() {
                pool.get(HttpRequest {
                    token: 0,
                    url: url.clone(),
                    timeout: self.timeout,
                    want: Want::File { max: self.max },
                });
                let fetched = std::future::poll_fn(|task| {
                    // Whatever arrives wakes this too, so a shutdown is heard while a slow server is waited for.
                    while let Some(message) = cx.control.try_recv() {
                        if message.is_shutdown_microprocess() || matches!(message, Ipc::Shutdown) {
                            return Poll::Ready(None);
                        }
                        if message.is_producer_finished() {
                            finishing = Some(message);
                        }
                    }
                    let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
                    match answer.result.take() {
                        Some(result) => Poll::Ready(Some(result)),
                        None => {
                            answer.waker = Some(task.waker().clone());
                            Poll::Pending
                        }
                    }
                });
                match fetched.await {
                    None => return end(&cx),
                    Some(Ok(body)) => drop(cx.outbox.send_wait(body).await),
                    Some(Err(reason)) => drop(cx.failed.send_wait(FetchFailed { url, reason }).await),
                }
            }
            while let Some(message) = cx.control.try_recv() {
                if message.is_shutdown_microprocess() || matches!(message, Ipc::Shutdown) {
                    return end(&cx);
                }
                if message.is_producer_finished() {
                    finishing = Some(message);
                }
            }
            if finishing.is_some() && cx.inbox.is_empty() {
                return end(&cx);
            }
            cx.pause().await;
        }
    }
}

fn end(cx: &Cx<HttpClientPorts>) {
    let _ = cx.signal.send(Ipc::producer_finished_by(cx.id()));
}
