//! An HTTP server as a threaded component: enough for trackers and small pages.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axon::threaded::ThreadCx;
use axon::{BoxError, Component, Cx, Ipc, ports};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

ports! {
    /// Boxes of an [`HttpServer`].
    pub struct HttpPorts {
        in  { /// Answers, by the number of their request, in any order.
              inbox: HttpResponse,
              /// `producerFinished`, `shutdownMicroprocess` or [`Ipc::Shutdown`] end it.
              control: Ipc }
        out { /// Requests.
              outbox: HttpRequest,
              /// The control message, passed on.
              signal: Ipc }
    }
}

/// A GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// To be repeated in the answer.
    pub id: u64,
    /// Where it came from.
    pub source: SocketAddr,
    /// The path, up to the question mark, as it came.
    pub path: String,
    /// What follows the question mark, as it came.
    pub query: String,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The request's number.
    pub id: u64,
    /// Status line after the version: `200 OK`.
    pub status: &'static str,
    /// Value of the Content-Type field.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// A plain text answer with status 200.
    pub fn text(id: u64, body: Vec<u8>) -> Self {
        Self { id, status: "200 OK", content_type: "text/plain", body }
    }

    /// Status 404.
    pub fn not_found(id: u64) -> Self {
        Self { id, status: "404 Not Found", content_type: "text/plain", body: b"not found\n".to_vec() }
    }
}

/// Serves HTTP GET requests: each becomes a message, each answer is sent back and the connection closed.
///
/// # Boxes
/// See [`HttpPorts`].
///
/// # Shutdown
/// On `producerFinished`, `shutdownMicroprocess` or [`Ipc::Shutdown`]: connections are closed, the message is passed on.
///
/// # Limits
/// At most 512 connections; further ones wait in the system's queue. A request head has at most 8 KiB and 10 s to arrive,
/// an answer 10 s to leave.
pub struct HttpServer {
    listener: TcpListener,
    addr: SocketAddr,
}

impl HttpServer {
    /// Binds the address; port 0 takes any free one.
    ///
    /// # Errors
    /// The system's, for an address that is taken or not ours.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Component for HttpServer {
    type Ports = HttpPorts;

    async fn main(self, cx: Cx<HttpPorts>) {
        cx.on_thread(move |thread| serve(&thread, self.listener)).await;
    }
}

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_ID: u64 = 2;

/// Sockets are a scarce resource of the whole process.
const MAX_CONNECTIONS: usize = 512;
/// An announce takes some 300 bytes; browsers send up to 2 KiB of header fields.
const MAX_HEAD: usize = 8 * 1024;
/// Header fields in a request.
const MAX_HEADERS: usize = 64;
/// Time for a request to arrive, and for an answer to leave.
const PATIENCE: Duration = Duration::from_secs(10);

struct Connection {
    stream: TcpStream,
    source: SocketAddr,
    deadline: Instant,
    phase: Phase,
}

enum Phase {
    /// The head so far.
    Reading(Vec<u8>),
    Waiting,
    /// The answer, and how much of it has gone.
    Writing(Vec<u8>, usize),
}

fn serve(cx: &ThreadCx<HttpPorts>, listener: TcpListener) -> Result<(), BoxError> {
    let mut server = Server::new(listener)?;
    let waker = Waker::new(server.poll.registry(), WAKER)?;
    cx.replace_bell(move || {
        if let Err(e) = waker.wake() {
            log::error!("cannot wake the HTTP server: {e}");
        }
    });
    let mut events = Events::with_capacity(256);
    loop {
        cx.hear();
        while let Some(response) = cx.inbox.try_recv() {
            server.answer(&response);
        }
        while let Some(message) = cx.control.try_recv() {
            if message.ends_component() || matches!(message, Ipc::Shutdown) {
                let _ = cx.signal.blocking_send(message);
                return Ok(());
            }
        }
        if cx.is_closed() {
            return Ok(());
        }
        server.expire();
        match server.poll.poll(&mut events, server.timeout()) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => server.must_accept = true,
                WAKER => {}
                Token(id) => {
                    if let Some(request) = server.ready(id as u64) {
                        // Answers come back through a queue of the same length, so a full one is no deadlock here.
                        if let Err(e) = cx.outbox.send(request) {
                            server.connections.remove(&(id as u64));
                            log::warn!("a request was refused: {e}");
                        }
                    }
                }
            }
        }
        server.accept();
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    /// There may be more to accept; readiness is told only once.
    must_accept: bool,
    connections: HashMap<u64, Connection>,
    next_id: u64,
}

impl Server {
    fn new(mut listener: TcpListener) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self { poll, listener, must_accept: true, connections: HashMap::new(), next_id: FIRST_ID })
    }

    fn accept(&mut self) {
        while self.must_accept && self.connections.len() < MAX_CONNECTIONS {
            match self.listener.accept() {
                Ok((mut stream, source)) => {
                    let id = self.next_id;
                    self.next_id += 1;
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if let Err(e) = self.poll.registry().register(&mut stream, Token(id as usize), interest) {
                        log::warn!("a connection from {source} was dropped: {e}");
                        continue;
                    }
                    let deadline = Instant::now() + PATIENCE;
                    let phase = Phase::Reading(Vec::new());
                    self.connections.insert(id, Connection { stream, source, deadline, phase });
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.must_accept = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    log::warn!("cannot accept a connection: {e}");
                    return; // out of sockets, say: again when something has changed
                }
            }
        }
    }

    /// Goes on with a connection; a request, once it is there.
    fn ready(&mut self, id: u64) -> Option<HttpRequest> {
        let connection = self.connections.get_mut(&id)?;
        let result = match &mut connection.phase {
            Phase::Reading(head) => read_head(&mut connection.stream, head),
            Phase::Waiting => return None,
            Phase::Writing(..) => {
                self.write(id);
                return None;
            }
        };
        match result {
            Ok(Some((path, query))) => {
                connection.phase = Phase::Waiting;
                Some(HttpRequest { id, source: connection.source, path, query })
            }
            Ok(None) => None,
            Err(Refusal::Gone) => {
                self.connections.remove(&id);
                None
            }
            Err(Refusal::Status(status)) => {
                let body = format!("{status}\n").into_bytes();
                self.answer(&HttpResponse { id, status, content_type: "text/plain", body });
                None
            }
        }
    }

    fn answer(&mut self, response: &HttpResponse) {
        let Some(connection) = self.connections.get_mut(&response.id) else { return };
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            response.status,
            response.content_type,
            response.body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&response.body);
        connection.phase = Phase::Writing(bytes, 0);
        connection.deadline = Instant::now() + PATIENCE;
        self.write(response.id);
    }

    fn write(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Phase::Writing(bytes, sent) = &mut connection.phase else { return };
        let done = loop {
            if *sent == bytes.len() {
                break true;
            }
            match connection.stream.write(&bytes[*sent..]) {
                Ok(0) => break true,
                Ok(n) => *sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break true,
            }
        };
        if done {
            self.connections.remove(&id);
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.connections.retain(|_, c| c.deadline > now);
    }

    /// Until the next connection runs out of time.
    fn timeout(&self) -> Option<Duration> {
        let next = self.connections.values().map(|c| c.deadline).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }
}

enum Refusal {
    Gone,
    Status(&'static str),
}

/// Reads what has come; path and query, once the head is whole.
fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> Result<Option<(String, String)>, Refusal> {
    let mut buffer = [0; 2048];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(Refusal::Gone),
            Ok(n) => head.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return Err(Refusal::Gone),
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(httparse::Status::Complete(_)) => {
                if request.method != Some("GET") {
                    return Err(Refusal::Status("405 Method Not Allowed"));
                }
                let target = request.path.unwrap_or("/");
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                return Ok(Some((path.to_string(), query.to_string())));
            }
            Ok(httparse::Status::Partial) if head.len() > MAX_HEAD => {
                return Err(Refusal::Status("431 Request Header Fields Too Large"));
            }
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Err(Refusal::Status("400 Bad Request")),
        }
    }
}
