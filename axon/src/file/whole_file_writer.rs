//! Writes whole files (Kamaelia: `Kamaelia/File/WholeFileWriter.py`).

use super::{Reaction, serve};
use crate::component::{Component, Cx};
use crate::error::BoxError;
use crate::ipc::Ipc;
use crate::threaded::ThreadCx;

crate::ports! {
    /// Boxes of a [`WholeFileWriter`].
    pub struct WholeFileWriterPorts {
        in  { /// A path and the content of that file.
              inbox: (String, Vec<u8>),
              /// Shutdown requests.
              control: Ipc }
        out { /// Paths of files that have been written.
              outbox: String,
              /// The message that ended it.
              signal: Ipc }
    }
}

/// Writes files, each in one go.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `(String, Vec<u8>)` | a path, and what the file is to contain |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`String`] | the path of each file, once it is written |
/// | `signal` | [`Ipc`] | the message that ended it |
///
/// # Example
/// ```
/// use axon::file::WholeFileWriter;
/// use axon::prelude::*;
/// use axon::util::{NullSink, OneShot};
///
/// let path = std::env::temp_dir().join(format!("axon-{}", std::process::id())).display().to_string();
/// Pipeline::new()
///     .then(OneShot::new((path.clone(), b"hello".to_vec())))
///     .then(WholeFileWriter::new())
///     .then(NullSink::new())
///     .run()?;
/// assert_eq!(std::fs::read(&path).unwrap(), b"hello");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// On `producerFinished` it writes what it has received, on `shutdownMicroprocess` it stops at once (D-51; the
/// original never ends). It passes the message on.
///
/// # Errors
/// A file that cannot be written ends it as failed; the error names the file.
///
/// # Limits
/// A file that exists is replaced, in place: who reads it meanwhile may see a part.
#[derive(Default)]
pub struct WholeFileWriter;

impl WholeFileWriter {
    /// A writer.
    pub fn new() -> Self {
        Self
    }
}

fn write(cx: &ThreadCx<WholeFileWriterPorts>) -> Result<(), BoxError> {
    let react = |m: &Ipc| match m {
        m if m.is_shutdown_microprocess() => Reaction::StopAtOnce,
        m if m.is_producer_finished() => Reaction::FinishQueue,
        _ => Reaction::Ignore,
    };
    let ended = serve(cx, (&cx.inbox, &cx.control), react, |(path, content): (String, Vec<u8>)| {
        std::fs::write(&path, content).map_err(|e| format!("cannot write {path:?}: {e}"))?;
        let _ = cx.outbox.blocking_send(path); // fails only if the component has ended
        Ok(())
    })?;
    if let Some(message) = ended {
        let _ = cx.signal.blocking_send(message);
    }
    Ok(())
}

impl Component for WholeFileWriter {
    type Ports = WholeFileWriterPorts;

    async fn main(self, cx: Cx<WholeFileWriterPorts>) {
        cx.on_thread(|thread| write(&thread)).await;
    }
}
