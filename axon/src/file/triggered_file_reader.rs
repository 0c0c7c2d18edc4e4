//! Reads whole files (Kamaelia: `Kamaelia/File/TriggeredFileReader.py`).

use super::{Reaction, serve};
use crate::component::{Component, Cx};
use crate::error::BoxError;
use crate::ipc::Ipc;
use crate::threaded::ThreadCx;

crate::ports! {
    /// Boxes of a [`TriggeredFileReader`].
    pub struct TriggeredFileReaderPorts {
        in  { /// Paths of files to read.
              inbox: String,
              /// Shutdown requests.
              control: Ipc }
        out { /// Contents of files.
              outbox: Vec<u8>,
              /// A `producerFinished` when it stops.
              signal: Ipc }
    }
}

/// Sends the whole content of each file whose path it is told.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`String`] | the path; one line end at its end is ignored, so that a console reader can stand before it |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdown` end it |
/// | `outbox` | `Vec<u8>` | the content, one message a file |
/// | `signal` | [`Ipc`] | a fresh `producerFinished` |
///
/// # Example
/// Shows the files whose names are typed:
/// ```no_run
/// use axon::file::TriggeredFileReader;
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, ConsoleReader};
///
/// Pipeline::new()
///     .then(ConsoleReader::new("file? "))
///     .then(TriggeredFileReader::new())
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// On `producerFinished` or `shutdown` it reads what it has been told, sends a `producerFinished` of its own and
/// ends. As in the original, `shutdownMicroprocess` is dropped.
///
/// # Errors
/// A file that cannot be read ends it as failed; the error names the file.
///
/// # Limits
/// The whole file is in memory. The original also prints the path; that goes to the log here, at debug level.
#[derive(Default)]
pub struct TriggeredFileReader;

impl TriggeredFileReader {
    /// A reader.
    pub fn new() -> Self {
        Self
    }
}

fn read(cx: &ThreadCx<TriggeredFileReaderPorts>) -> Result<(), BoxError> {
    let react = |m: &Ipc| {
        if m.is_producer_finished() || matches!(m, Ipc::Shutdown) {
            Reaction::FinishQueue
        } else {
            Reaction::Ignore
        }
    };
    let ended = serve(cx, (&cx.inbox, &cx.control), react, |path: String| {
        let path = path.strip_suffix('\n').unwrap_or(&path);
        let path = path.strip_suffix('\r').unwrap_or(path);
        log::debug!("reading {path}");
        let content = std::fs::read(path).map_err(|e| format!("cannot read {path:?}: {e}"))?;
        let _ = cx.outbox.blocking_send(content); // fails only if the component has ended
        Ok(())
    })?;
    if ended.is_some() {
        let _ = cx.signal.blocking_send(Ipc::producer_finished_by(cx.id()));
    }
    Ok(())
}

impl Component for TriggeredFileReader {
    type Ports = TriggeredFileReaderPorts;

    async fn main(self, cx: Cx<TriggeredFileReaderPorts>) {
        cx.on_thread(|thread| read(&thread)).await;
    }
}
