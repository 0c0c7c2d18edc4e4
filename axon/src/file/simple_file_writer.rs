//! Writes a file (Kamaelia: `Kamaelia/File/Writing.py`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::worker::Worker;
use crate::component::{Component, Cx};
use crate::error::BoxError;
use crate::message::Message;
use crate::util::stage::{Orders, StagePorts};

/// Writes each message to a file.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `Vec<u8>` | what to write |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`Message`] | unused |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// A copy of a file:
/// ```
/// use axon::file::{MaxSpeedFileReader, SimpleFileWriter};
/// use axon::prelude::*;
///
/// # let dir = std::env::temp_dir().join(format!("axon-copy-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir).unwrap();
/// # let (from, to) = (dir.join("from"), dir.join("to"));
/// # std::fs::write(&from, b"content").unwrap();
/// Pipeline::new().then(MaxSpeedFileReader::new(&from)).then(SimpleFileWriter::new(&to)).run()?;
/// assert_eq!(std::fs::read(&to).unwrap(), b"content");
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// A thread opens the file in the first step and writes each message as it comes, unbuffered. While it writes, further
/// messages wait in `inbox`: a bound there holds a faster sender back.
///
/// # Shutdown
/// On either message it writes what it has received, closes the file (D-43), passes the message on and ends.
///
/// # Errors
/// A file that cannot be opened or written, a full disk for one, ends it as failed; the error names the file and says
/// how much was written.
///
/// # Limits
/// It does not wait until the data is on the disk, as the original does not.
pub struct SimpleFileWriter {
    path: PathBuf,
    appends: bool,
}

impl SimpleFileWriter {
    /// Writes the file at `path`, in place of what is there (mode `"wb"`).
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().into(), appends: false }
    }

    /// Writes at the end of what is there (mode `"ab"`).
    #[must_use]
    pub fn append(mut self) -> Self {
        self.appends = true;
        self
    }

    async fn write(self, cx: &Cx<StagePorts<Vec<u8>, Message>>) -> Result<(), BoxError> {
        let Self { path, appends } = self;
        let worker = Worker::start(cx, || None)?;
        let name = path.clone();
        let open = worker.call(move |file| {
            let mut options = OpenOptions::new();
            options.create(true).append(appends).write(!appends).truncate(!appends);
            *file = Some(options.open(name)?);
            Ok::<_, io::Error>(())
        });
        open.await?.map_err(|e| format!("cannot open {path:?} to write: {e}"))?;
        let mut orders = Orders::default();
        let mut written = 0_u64;
        loop {
            orders.hear(&cx.control);
            let mut len = 0;
            let mut batch = Vec::new();
            while len < BATCH
                && let Some(data) = cx.inbox.try_recv()
            {
                len += data.len();
                batch.push(data);
            }
            if batch.is_empty() {
                if orders.end() {
                    break;
                }
                cx.pause().await;
                continue;
            }
            let write = worker.call(move |file| write_all(file, batch));
            let (len, result) = write.await?;
            written += len;
            result.map_err(|e| format!("cannot write to {path:?} after {written} bytes: {e}"))?;
        }
        worker.call(|file| *file = None).await?;
        orders.pass_on(&cx.signal).await;
        Ok(())
    }
}

/// Writes all, and tells how much went out.
fn write_all(file: &mut Option<File>, batch: Vec<Vec<u8>>) -> (u64, io::Result<()>) {
    let mut written = 0;
    let Some(file) = file else { return (0, Ok(())) };
    for data in batch {
        let mut rest = &data[..];
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    written += n as u64;
                    rest = &rest[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return (written, Err(e)),
            }
        }
    }
    (written, Ok(()))
}

impl Component for SimpleFileWriter {
    type Ports = StagePorts<Vec<u8>, Message>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let written = self.write(&cx).await;
        cx.end_with(written);
    }
}

/// Bytes that go to the thread in one go.
const BATCH: usize = 1 << 20;
