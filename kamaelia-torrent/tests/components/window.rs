//! The window on a screen that a script works, and the fetcher with a web server.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use axon::prelude::*;
use kamaelia_torrent::components::window::{Action, Screen, TorrentWindow, View, WindowPorts};
use kamaelia_torrent::components::{CloseTorrent, FetchFailed, SimpleHttpClient, TorrentEvent};
use kamaelia_torrent::engine::TorrentId;

use crate::support::Bounded;

#[derive(Clone, Default)]
struct Script(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    actions: VecDeque<Action>,
    waker: Option<Waker>,
    shown: View,
    draws: usize,
    given_back: bool,
    broken: bool,
}

impl Script {
    fn act(&self, actions: impl IntoIterator<Item = Action>) {
        let mut inner = self.0.borrow_mut();
        inner.actions.extend(actions);
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    fn enter(&self, url: &str) {
        self.act(url.chars().map(Action::Type).chain([Action::Enter]));
    }
}

struct Scripted(Script);

impl Screen for Scripted {
    fn draw(&mut self, view: &View) -> io::Result<()> {
        let mut inner = self.0.0.borrow_mut();
        inner.shown = view.clone();
        inner.draws += 1;
        if inner.broken { Err(io::Error::other("the screen is broken")) } else { Ok(()) }
    }

    fn poll_action(&mut self, task: &mut Context<'_>) -> Poll<io::Result<Action>> {
        let mut inner = self.0.0.borrow_mut();
        match inner.actions.pop_front() {
            Some(action) => Poll::Ready(Ok(action)),
            None => {
                inner.waker = Some(task.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.0.0.borrow_mut().given_back = true;
    }
}

ports! {
    struct EarPorts {
        in { fetcher: String, outbox: Message, signal: Ipc, fetchersignal: Ipc }
        out { }
    }
}
struct Ear;
impl Component for Ear {
    type Ports = EarPorts;
    async fn main(self, _: Cx<EarPorts>) {}
}

fn window() -> (Scheduler, Script, Instance<WindowPorts>, Instance<EarPorts>) {
    let (s, script, ear) = (Scheduler::new(), Script::default(), Ear.create());
    let window = TorrentWindow::new(Scripted(script.clone())).create();
    axon::link(&window.fetcher, &ear.fetcher).unwrap();
    axon::link(&window.outbox, &ear.outbox).unwrap();
    axon::link(&window.signal, &ear.signal).unwrap();
    axon::link(&window.fetchersignal, &ear.fetchersignal).unwrap();
    s.activate(&window);
    s.run_until_idle().unwrap();
    (s, script, window, ear)
}

fn created(id: u32) -> TorrentEvent {
    let torrent_id = TorrentId(id);
    TorrentEvent::NewTorrentCreated { torrent_id, save_folder: "./x".into(), listen: None, tag: None }
}

#[test]
fn to_ex_04_a_url_goes_to_the_fetcher_and_a_removed_line_to_the_patron() {
    let (s, script, window, ear) = window();
    script.enter("http://h/a.torrent");
    s.run_until_idle().unwrap();
    assert_eq!(ear.fetcher.try_recv().as_deref(), Some("http://h/a.torrent"));
    window.inbox.deliver(created(7)).unwrap();
    s.run_until_idle().unwrap();
    assert_eq!(script.0.borrow().shown.lines[0].to_string(), "a.torrent - 0%");
    script.act([Action::Remove]);
    s.run_until_idle().unwrap();
    let close = ear.outbox.try_recv().unwrap().downcast::<CloseTorrent>().unwrap();
    assert_eq!(close.torrent_id, TorrentId(7));
    window.fetchfailed.deliver(FetchFailed { url: "u".into(), reason: "r".into() }).unwrap();
    s.run_until_idle().unwrap();
    assert_eq!(script.0.borrow().shown.complaint.as_deref(), Some("cannot fetch u: r"));
}

/// Nothing happens, so nothing is drawn.
#[test]
fn an_idle_window_is_not_drawn_again() {
    let (s, script, _window, _ear) = window();
    let draws = script.0.borrow().draws;
    s.run_until_idle().unwrap();
    assert_eq!((draws, script.0.borrow().draws), (1, 1));
}

#[test]
fn to_ex_04_closing_tells_the_patron_and_the_fetcher_once_the_screen_is_given_back() {
    type End = fn(&Script, &Instance<WindowPorts>);
    let ends: [End; 4] = [
        |script, _| script.act([Action::Close]),
        |_, window| window.control.deliver(Ipc::producer_finished()).unwrap(),
        |_, window| window.control.deliver(Ipc::Shutdown).unwrap(),
        |_, window| window.control.deliver(Ipc::shutdown_microprocess()).unwrap(),
    ];
    for end in ends {
        let (s, script, window, ear) = window();
        end(&script, &window);
        s.run_bounded().unwrap();
        assert!(script.0.borrow().given_back);
        assert!(matches!(ear.signal.try_recv(), Some(Ipc::Shutdown)));
        assert!(ear.fetchersignal.try_recv().is_some_and(|m| m.is_producer_finished()));
    }
}

#[test]
fn a_broken_screen_is_a_failure_and_the_others_are_told() {
    let (s, script, _window, ear) = window();
    script.0.borrow_mut().broken = true;
    script.act([Action::Type('x')]);
    let e = s.run_bounded().unwrap_err();
    assert!(e.to_string().contains("the screen is broken"), "{e}");
    assert!(matches!(ear.signal.try_recv(), Some(Ipc::Shutdown)));
}

/// Serves `/ok…` with its path as body; `/slow` never answers.
fn web() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, asked) = channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap().to_string();
            let status = if path.starts_with("/ok") { "200 OK" } else { "404 Not Found" };
            if path == "/slow" {
                kept.push(stream);
            } else {
                // A body that looks like a tracker's answer does not make a refusal a file.
                let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\nd{path}");
                let _ = stream.write_all(answer.as_bytes());
            }
            let _ = tell.send(path);
        }
    });
    (addr, asked)
}

ports! { struct FilePorts { in { inbox: Vec<u8>, failed: FetchFailed, control: Ipc } out { } } }
struct Files;
impl Component for Files {
    type Ports = FilePorts;
    async fn main(self, _: Cx<FilePorts>) {}
}

#[test]
fn files_come_in_the_order_of_their_urls_and_failures_are_told() {
    let ((addr, _asked), files, s) = (web(), Files.create(), Scheduler::new());
    let client = SimpleHttpClient::new().max_len(12).create();
    axon::link(&client.outbox, &files.inbox).unwrap();
    axon::link(&client.failed, &files.failed).unwrap();
    axon::link(&client.signal, &files.control).unwrap();
    for path in ["ok1", "gone", "ok-too-long-for-the-limit", "ok2"] {
        client.inbox.deliver(format!("http://{addr}/{path}")).unwrap();
    }
    client.inbox.deliver("file:///etc/passwd".into()).unwrap();
    client.control.deliver(Ipc::producer_finished()).unwrap();
    s.activate(&client);
    s.run_bounded().unwrap();
    let bodies: Vec<_> = files.inbox.drain().map(|b| String::from_utf8(b).unwrap()).collect();
    assert_eq!(bodies, ["d/ok1", "d/ok2"]);
    let failed: Vec<_> = files.failed.drain().map(|f| f.to_string()).collect();
    assert!(failed[0].ends_with("/gone: HTTP status 404 Not Found"), "{failed:?}");
    assert!(failed[1].ends_with("answer is longer than 12 bytes"), "{failed:?}");
    assert!(failed[2].contains("scheme \"file\" is not supported"), "{failed:?}");
    assert!(files.control.try_recv().is_some_and(|m| m.is_producer_finished()));
}

#[test]
fn a_shutdown_does_not_wait_for_a_slow_server() {
    let ((addr, asked), s) = (web(), Scheduler::new());
    let client = SimpleHttpClient::new().timeout(Duration::from_secs(600)).create();
    client.inbox.deliver(format!("http://{addr}/slow")).unwrap();
    s.activate(&client);
    s.run_until_idle().unwrap();
    assert_eq!(asked.recv().unwrap(), "/slow");
    client.control.deliver(Ipc::shutdown_microprocess()).unwrap();
    s.run_bounded().unwrap();
}
