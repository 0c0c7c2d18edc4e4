//! Appends to a file (Kamaelia: `Kamaelia/File/Append.py`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::worker::Worker;
use crate::component::{Component, Cx};
use crate::error::BoxError;
use crate::ipc::Ipc;
use crate::message::Message;
use crate::util::StagePorts;

/// Appends each message to a file and sends it on: for logs, and to see what goes from one component to another.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | text or bytes to append |
/// | `control` | [`Ipc`] | any message ends it |
/// | `outbox` | [`Message`] | each message, once it is written |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// Typed lines are kept in a file:
/// ```no_run
/// use axon::file::Append;
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, ConsoleReader};
///
/// Pipeline::new()
///     .then(ConsoleReader::default())
///     .then(Append::new("demo.txt"))
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// On any control message it appends what it has received, closes the file, passes the message on and ends; on
/// `shutdownMicroprocess` it leaves what it has received. The original leaves it in either case.
///
/// # Errors
/// A file that cannot be opened or written, or a message that is neither text nor bytes, ends it as failed; the error
/// names the file.
pub struct Append {
    path: PathBuf,
    forwards: bool,
    truncates: bool,
    holds_open: bool,
}

impl Append {
    /// Appends to the file at `path`. It is opened when the first message comes.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().into(), forwards: true, truncates: false, holds_open: true }
    }

    /// Whether messages are sent on; they are unless it is told otherwise.
    #[must_use]
    pub fn forwarder(mut self, forwards: bool) -> Self {
        self.forwards = forwards;
        self
    }

    /// Empties the file first, in the first step (`blat_file`; the original does it when it is made).
    #[must_use]
    pub fn blat_file(mut self) -> Self {
        self.truncates = true;
        self
    }

    /// Whether the file stays open from message to message; it does unless it is told otherwise. If not, the file can
    /// be moved away meanwhile, and a new one is begun.
    #[must_use]
    pub fn hold_open(mut self, holds_open: bool) -> Self {
        self.holds_open = holds_open;
        self
    }

    async fn append(self, cx: &Cx<StagePorts<Message, Message>>) -> Result<(), BoxError> {
        let Self { path, forwards, truncates, holds_open } = self;
        let failed = |e: io::Error| format!("cannot append to {path:?}: {e}");
        let worker = Worker::start(cx, || None)?;
        if truncates {
            let name = path.clone();
            worker.call(move |_| File::create(name).map(drop)).await?.map_err(failed)?;
        }
        let last = loop {
            let end = cx.control.try_recv();
            if end.as_ref().is_some_and(Ipc::is_shutdown_microprocess) {
                break end;
            }
            while let Some(message) = cx.inbox.try_recv() {
                if message.as_bytes().is_none() {
                    let kind = message.type_name();
                    return Err(format!("cannot append a message of type {kind} to {path:?}").into());
                }
                let name = path.clone();
                let write = worker.call(move |file| (write(file, &name, holds_open, &message), message));
                let (written, message) = write.await?;
                written.map_err(failed)?;
                if forwards && let Err(e) = cx.outbox.send_wait(message).await {
                    log::warn!("an appended message was not forwarded: {e}");
                }
            }
            if end.is_some() {
                break end;
            }
            cx.pause().await;
        };
        worker.call(|file| *file = None).await?;
        if let Some(message) = last {
            let _ = cx.signal.send_wait(message).await; // a control line takes any message
        }
        Ok(())
    }
}

fn write(held: &mut Option<File>, path: &Path, holds_open: bool, message: &Message) -> io::Result<()> {
    let mut file = match held.take() {
        Some(file) => file,
        None => OpenOptions::new().create(true).append(true).open(path)?,
    };
    file.write_all(message.as_bytes().unwrap_or_default())?;
    if holds_open {
        *held = Some(file);
    }
    Ok(())
}

impl Component for Append {
    type Ports = StagePorts<Message, Message>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let appended = self.append(&cx).await;
        cx.end_with(appended);
    }
}
