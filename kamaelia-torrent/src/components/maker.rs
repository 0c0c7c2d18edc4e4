//! Makes .torrent files (Kamaelia: `TorrentMaker.py`).

use std::ops::ControlFlow;
use std::path::PathBuf;

use axon::threaded::ThreadCx;
use axon::{Component, Cx, Ipc, Message, ports};

use super::ipc::MakeTorrent;
use crate::make::Maker;

ports! {
    /// Boxes of a [`TorrentMaker`].
    pub struct MakerPorts {
        in  { /// [`MakeTorrent`], or the path of a file or folder as text.
              inbox: Message,
              /// When to end.
              control: Ipc }
        out { /// The bytes of each .torrent file.
              outbox: Vec<u8>,
              /// Error information for what could not be made; producer finished at the end.
              signal: Ipc }
    }
}

/// Makes a .torrent file of each path or [`MakeTorrent`] that it gets.
///
/// # Boxes
/// See [`MakerPorts`]. A bare path means: the default tracker, the last part of the path as title, the comment
/// `Created by Kamaelia`, pieces of 256 KiB (TO-MK-01). What cannot be made is reported on `signal` as
/// [`Ipc::ErrorInformation`] whose text names the file (D-38).
///
/// # Shutdown
/// `producerFinished`: makes what is queued, then ends. [`Ipc::Shutdown`] and `shutdownMicroprocess`: ends at once, also
/// in the middle of a large file. Then a `producerFinished` goes out on `signal`.
///
/// # Limits
/// The work is done in a thread of its own, with one hashing thread for each core.
pub struct TorrentMaker {
    default_tracker: String,
}

impl TorrentMaker {
    /// A maker that gives bare paths no tracker.
    pub fn new() -> Self {
        Self::with_default_tracker("")
    }

    /// A maker that gives bare paths this announce URL; an empty one means none.
    pub fn with_default_tracker(url: impl Into<String>) -> Self {
        Self { default_tracker: url.into() }
    }
}

impl Default for TorrentMaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Component for TorrentMaker {
    type Ports = MakerPorts;

    async fn main(self, cx: Cx<MakerPorts>) {
        cx.on_thread(move |thread| self.serve(&thread)).await;
    }
}

/// What the control inbox asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    GoOn,
    Finish,
    EndNow,
}

impl TorrentMaker {
    fn serve(&self, cx: &ThreadCx<MakerPorts>) {
        let mut wish = Wish::GoOn;
        loop {
            wish = heed(cx, wish);
            if wish == Wish::EndNow || cx.is_closed() {
                break;
            }
            match cx.inbox.try_recv() {
                Some(message) => wish = self.make(cx, message, wish),
                // What did not fit into the thread's queue comes with the next round of its proxy.
                None if wish == Wish::Finish => {
                    if cx.sync().is_err() || cx.inbox.is_empty() {
                        break;
                    }
                }
                None => cx.pause(None),
            }
        }
        let _ = cx.signal.blocking_send(Ipc::producer_finished_by(cx.id()));
    }

    fn make(&self, cx: &ThreadCx<MakerPorts>, message: Message, mut wish: Wish) -> Wish {
        let request = match self.request(message) {
            Ok(request) => request,
            Err(complaint) => {
                let _ = cx.signal.blocking_send(Ipc::error_information(cx.id(), complaint));
                return wish;
            }
        };
        let Some(piece_len) = 1_u32.checked_shl(u32::from(request.log2_piece_size_bytes)) else {
            let text = format!("piece size 2^{} is too large", request.log2_piece_size_bytes);
            let _ = cx.signal.blocking_send(Ipc::error_information(cx.id(), text));
            return wish;
        };
        let mut maker = Maker::new(&request.src_file).name(request.title).piece_len(piece_len);
        if !request.comment.is_empty() {
            maker = maker.comment(request.comment);
        }
        if !request.tracker_url.is_empty() {
            maker = maker.tracker_tier([request.tracker_url]);
        }
        let made = maker.make(|_| {
            wish = heed(cx, wish);
            if wish == Wish::EndNow || cx.is_closed() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let _ = match made {
            Ok(made) => cx.outbox.blocking_send(made.bytes).map_err(|_| ()),
            Err(e) => cx.signal.blocking_send(Ipc::error_information(cx.id(), e.to_string())).map_err(|_| ()),
        };
        wish
    }

    /// The request that a message means (TO-MK-01).
    fn request(&self, message: Message) -> Result<MakeTorrent, String> {
        let message = match message.downcast::<MakeTorrent>() {
            Ok(request) => return Ok(request),
            Err(message) => message,
        };
        let Some(path) = message.as_text() else {
            return Err(format!(
                "a torrent maker cannot make anything of a message of type {}",
                message.type_name()
            ));
        };
        let src_file = PathBuf::from(path);
        let title = src_file.file_name().unwrap_or(src_file.as_os_str()).to_string_lossy().into_owned();
        Ok(MakeTorrent {
            tracker_url: self.default_tracker.clone(),
            log2_piece_size_bytes: DEFAULT_LOG2_PIECE_SIZE,
            title,
            comment: "Created by Kamaelia".into(),
            src_file,
        })
    }
}

fn heed(cx: &ThreadCx<MakerPorts>, mut wish: Wish) -> Wish {
    while let Some(message) = cx.control.try_recv() {
        if matches!(message, Ipc::Shutdown) || message.is_shutdown_microprocess() {
            return Wish::EndNow;
        }
        if message.is_producer_finished() {
            wish = Wish::Finish;
        }
    }
    wish
}

/// 256 KiB, as in the original.
const DEFAULT_LOG2_PIECE_SIZE: u8 = 18;
