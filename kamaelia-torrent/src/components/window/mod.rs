//! A window on torrents (Kamaelia: `Examples/_TorrentBasedStreaming_GSOC/TorrentGUI/TorrentTkGUI.py`).

mod model;
#[cfg(feature = "window")]
mod terminal;

use std::io;
use std::task::{Context, Poll};

use axon::{Component, Cx, Ipc, Message, Microprocess, ports};

pub use self::model::{Action, Line, View};
#[cfg(feature = "window")]
pub use self::terminal::TerminalScreen;

use self::model::{Model, Wish};
use super::http_client::FetchFailed;
use super::ipc::{CloseTorrent, TorrentEvent};

ports! {
    /// Boxes of a [`TorrentWindow`].
    pub struct WindowPorts {
        in  { /// What a patron says.
              inbox: TorrentEvent,
              /// Torrents that could not be fetched. An addition to the original's boxes.
              fetchfailed: FetchFailed,
              /// `producerFinished` or a shutdown closes the window.
              control: Ipc }
        out { /// Requests to a patron: [`CloseTorrent`] for a line that was removed.
              outbox: Message,
              /// URLs of .torrent files, to whatever fetches them for the patron.
              fetcher: String,
              /// Producer finished, for the fetcher, at the end.
              fetchersignal: Ipc,
              /// [`Ipc::Shutdown`], for the patron, at the end.
              signal: Ipc }
    }
}

/// What a window is drawn on, and what the person at it does.
pub trait Screen: 'static {
    /// Shows the view.
    ///
    /// # Errors
    /// Whatever keeps it from being shown; the window ends then.
    fn draw(&mut self, view: &View) -> io::Result<()>;

    /// What the person did next. While that is nothing, the task is woken when there is something.
    ///
    /// # Errors
    /// Whatever keeps the person from being heard; the window ends then.
    fn poll_action(&mut self, task: &mut Context<'_>) -> Poll<io::Result<Action>>;
}

/// A list of torrents with their progress, and a line to enter the URL of another one (TO-EX-04, PR-20).
///
/// Called `TorrentTkWindow` in the original, which draws with Tk. Here it draws on any [`Screen`];
/// `TerminalScreen` (feature `window`) is one.
///
/// # Boxes
/// See [`WindowPorts`].
///
/// # How it works
/// An entered URL goes to `fetcher`, and the part of it after the last `/` is the name under which the torrent is
/// pending. Patrons answer requests in their order: a new torrent gets the first pending name and a line
/// `<name> - <percent>%`; a refusal drops that name and is shown as a complaint. The original knows no other way for a
/// name to leave the pending list, so a URL that cannot be fetched shifts all names after it; here the fetcher tells
/// (`fetchfailed`), and that name is dropped.
///
/// # Shutdown
/// When it is closed, or on `producerFinished` or a shutdown: [`Ipc::Shutdown`] on `signal`, `producerFinished` on
/// `fetchersignal`.
///
/// # Errors
/// It fails if the screen does.
pub struct TorrentWindow<S> {
    screen: S,
}

impl<S: Screen> TorrentWindow<S> {
    /// A window on that screen.
    pub fn new(screen: S) -> Self {
        Self { screen }
    }

    async fn attend(mut self, cx: &Cx<WindowPorts>) -> io::Result<()> {
        let mut model = Model::default();
        self.screen.draw(model.view())?;
        let mut redraw = false;
        loop {
            while let Some(stop) = cx.control.try_recv() {
                if stop.is_producer_finished()
                    || stop.is_shutdown_microprocess()
                    || matches!(stop, Ipc::Shutdown)
                {
                    return Ok(());
                }
            }
            for event in cx.inbox.drain() {
                redraw |= model.heard(&event);
            }
            for failed in cx.fetchfailed.drain() {
                model.fetch_failed(&failed);
                redraw = true;
            }
            // Awaited by the body itself, so that a message ends the wait as well as a key.
            let screen = &mut self.screen;
            let action = std::future::poll_fn(|task| {
                Poll::Ready(match screen.poll_action(task) {
                    Poll::Ready(action) => Some(action),
                    Poll::Pending => None,
                })
            });
            match action.await.transpose()? {
                None => {
                    if std::mem::take(&mut redraw) {
                        self.screen.draw(model.view())?;
                    }
                    cx.pause().await;
                }
                Some(action) => {
                    redraw = true;
                    match model.act(action) {
                        Some(Wish::Fetch(url)) => drop(cx.fetcher.send_wait(url).await),
                        Some(Wish::Remove(torrent_id)) => {
                            let _ = cx.outbox.send_wait(Message::new(CloseTorrent { torrent_id })).await;
                        }
                        Some(Wish::Close) => return Ok(()),
                        None => {}
                    }
                }
            }
        }
    }
}

impl<S: Screen> Component for TorrentWindow<S> {
    type Ports = WindowPorts;

    fn kind() -> &'static str {
        "kamaelia_torrent.components.TorrentWindow"
    }

    async fn main(self, cx: Cx<WindowPorts>) {
        let ended = self.attend(&cx).await; // the screen is given back before anybody is told
        let _ = cx.signal.send(Ipc::Shutdown);
        let _ = cx.fetchersignal.send(Ipc::producer_finished_by(cx.id()));
        cx.end_with(ended);
    }
}
