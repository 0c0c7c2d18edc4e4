//! Downloads the torrents whose URLs are typed into a window, and shows how far they are (Kamaelia:
//! `Examples/_TorrentBasedStreaming_GSOC/TorrentGUI/TorrentTkGUI.py`; PR-20).
//!
//! ```text
//! httpclient <-- gui <--> backend
//!      \                    /
//!       '--->---->---->--->'
//! ```
//!
//! The window is one on the terminal; the original draws with Tk.

use axon::prelude::*;
use kamaelia_torrent::components::window::{TerminalScreen, TorrentWindow};
use kamaelia_torrent::components::{SimpleHttpClient, TorrentPatron};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Graphline::new()
        .node("gui", TorrentWindow::new(TerminalScreen::new()?)) // our GUI
        .node("httpclient", SimpleHttpClient::new()) // fetches .torrent files
        .node("backend", TorrentPatron::new()) // our BitTorrent client backend
        .link(("backend", "outbox"), ("gui", "inbox"))
        .link(("gui", "outbox"), ("backend", "inbox"))
        .link(("gui", "signal"), ("backend", "control"))
        .link(("gui", "fetchersignal"), ("httpclient", "control"))
        .link(("gui", "fetcher"), ("httpclient", "inbox"))
        .link(("httpclient", "outbox"), ("backend", "inbox"))
        .link(("httpclient", "failed"), ("gui", "fetchfailed")) // not in the original, which is not told
        .run()?;
    Ok(())
}
