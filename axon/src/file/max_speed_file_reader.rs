//! Reads a file as fast as it is taken (Kamaelia: `Kamaelia/File/MaxSpeedFileReader.py`).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::worker::Worker;
use crate::component::{Component, Cx, Microprocess};
use crate::error::{BoxError, Error};
use crate::ipc::Ipc;
use crate::util::SourcePorts;
use crate::util::stage::Orders;

/// Sends the bytes of a file in chunks, as fast as the receiver takes them.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`](crate::Message) | unused |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `Vec<u8>` | the chunks; the last one may be shorter |
/// | `signal` | [`Ipc`] | a `producerFinished` at the end of the file, or the message that ended it |
///
/// # Example
/// The receiver's box holds five chunks, so no more than six are in memory:
/// ```
/// use axon::file::MaxSpeedFileReader;
/// use axon::prelude::*;
/// use axon::util::NullSink;
///
/// # let path = std::env::temp_dir().join(format!("axon-max-{}", std::process::id()));
/// # std::fs::write(&path, vec![0; 100_000]).unwrap();
/// let consumer = NullSink::new().create();
/// consumer.inbox.set_bound(5);
/// Pipeline::new().then(MaxSpeedFileReader::new(&path).chunk_size(1024)).then(&consumer).run()?;
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// A thread reads one chunk at a time, after the one before has been delivered. (The original never sees the end of
/// the file under Python 3, D-28.)
///
/// # Shutdown
/// On `producerFinished` it ends after the chunk at hand, on `shutdownMicroprocess` at once; it passes the message on.
///
/// # Errors
/// A file that cannot be opened or read ends it as failed, the error names the file; so do chunks of no bytes.
pub struct MaxSpeedFileReader {
    path: PathBuf,
    chunk_size: usize,
}

impl MaxSpeedFileReader {
    /// Reads the file at `path` in chunks of 32 KiB.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().into(), chunk_size: 32 << 10 }
    }

    /// Reads chunks of so many bytes.
    #[must_use]
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.chunk_size = bytes;
        self
    }

    async fn read(self, cx: &Cx<SourcePorts<Vec<u8>>>) -> Result<(), BoxError> {
        let Self { path, chunk_size } = self;
        if chunk_size == 0 {
            return Err(Error::Construction(format!("cannot read {path:?} in chunks of 0 bytes")).into());
        }
        let worker = Worker::start(cx, || None)?;
        let mut orders = Orders::default();
        let name = path.clone();
        let open = worker.call(move |file| {
            *file = Some(File::open(name)?);
            Ok::<_, io::Error>(())
        });
        if let Some(opened) = orders.unless_stopped(&cx.control, open).await {
            opened?.map_err(|e| format!("cannot open {path:?}: {e}"))?;
        }
        while !orders.end() {
            let read = worker.call(move |file| chunk(file, chunk_size));
            let Some(data) = orders.unless_stopped(&cx.control, read).await else { break };
            let data = data?.map_err(|e| format!("cannot read {path:?}: {e}"))?;
            if data.is_empty() {
                break;
            }
            if !orders.send(&cx.control, &cx.outbox, data).await {
                break;
            }
            orders.hear(&cx.control);
        }
        if !orders.stop() {
            worker.call(|file| *file = None).await?;
        }
        if !orders.end() {
            orders.take(Ipc::producer_finished_by(cx.id()));
        }
        orders.pass_on(&cx.signal).await;
        Ok(())
    }
}

fn chunk(file: &mut Option<File>, len: usize) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    if let Some(file) = file {
        data.reserve_exact(len.min(1 << 20));
        file.take(len as u64).read_to_end(&mut data)?;
    }
    Ok(data)
}

impl Component for MaxSpeedFileReader {
    type Ports = SourcePorts<Vec<u8>>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let read = self.read(&cx).await;
        cx.end_with(read);
    }
}
