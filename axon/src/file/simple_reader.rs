//! Reads a file line by line (Kamaelia: `Kamaelia/File/Reading.py`).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::worker::Worker;
use crate::component::{Component, Cx};
use crate::error::BoxError;
use crate::ipc::Ipc;
use crate::util::SourcePorts;
use crate::util::stage::Orders;

/// Sends the lines of a file, one a step.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`](crate::Message) | unused |
/// | `control` | [`Ipc`] | `shutdownMicroprocess` ends it |
/// | `outbox` | [`String`] or `Vec<u8>` | the lines, each with its line end |
/// | `signal` | [`Ipc`] | a `producerFinished` at the end of the file, or the message that ended it |
///
/// # Example
/// ```no_run
/// use axon::file::SimpleReader;
/// use axon::prelude::*;
/// use axon::util::ConsoleEchoer;
///
/// Pipeline::new().then(SimpleReader::new("/etc/fstab")).then(ConsoleEchoer::new()).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// A thread reads some 64 KiB of lines at a time; while the receiver is full nothing more is read. Of text, `"\r\n"`
/// becomes `"\n"`, as in the original's mode `"r"`. The original's `buffering` has no counterpart.
///
/// # Shutdown
/// On `shutdownMicroprocess` it passes the message on and ends at once, even if it waits for the file; a
/// `producerFinished` is dropped. The file is closed before the end is told.
///
/// # Errors
/// A file that cannot be opened or read, or text that is not UTF-8, ends it as failed; the error names the file.
///
/// # Limits
/// A line is one message, however long it is. A thread that waits for a pipe or for a dead network disk cannot be
/// interrupted; it lives on until the read is over, the component does not.
pub struct SimpleReader<T = String> {
    path: PathBuf,
    types: PhantomData<fn() -> T>,
}

impl SimpleReader {
    /// Reads text (mode `"r"`).
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().into(), types: PhantomData }
    }
}

impl SimpleReader<Vec<u8>> {
    /// Reads bytes (mode `"rb"`).
    pub fn bytes(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().into(), types: PhantomData }
    }
}

/// What a line of a file can be.
pub trait Line: sealed::FromLine + Send + 'static {}
impl Line for String {}
impl Line for Vec<u8> {}

mod sealed {
    use crate::error::BoxError;

    pub trait FromLine: Sized {
        fn from_line(line: Vec<u8>) -> Result<Self, BoxError>;
    }

    impl FromLine for String {
        fn from_line(mut line: Vec<u8>) -> Result<Self, BoxError> {
            if line.ends_with(b"\r\n") {
                line.truncate(line.len() - 2);
                line.push(b'\n');
            }
            Ok(String::from_utf8(line)?)
        }
    }

    impl FromLine for Vec<u8> {
        fn from_line(line: Vec<u8>) -> Result<Self, BoxError> {
            Ok(line)
        }
    }
}

/// The file, once it is open, and the lines read so far.
#[derive(Default)]
struct Lines {
    file: Option<BufReader<File>>,
    count: u64,
}

impl Lines {
    /// The next lines; none at the end of the file.
    fn batch<T: Line>(&mut self, path: &Path) -> Result<Vec<T>, BoxError> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = File::open(path).map_err(|e| format!("cannot open {path:?}: {e}"))?;
                self.file.insert(BufReader::with_capacity(BATCH, file))
            }
        };
        let (mut lines, mut len) = (Vec::new(), 0);
        while len < BATCH {
            let mut line = Vec::new();
            let read = file.read_until(b'\n', &mut line);
            if read.map_err(|e| format!("cannot read {path:?}: {e}"))? == 0 {
                break;
            }
            len += line.len();
            self.count += 1;
            let wrong = |e| format!("cannot read line {} of {path:?}: {e}", self.count);
            lines.push(T::from_line(line).map_err(wrong)?);
        }
        Ok(lines)
    }
}

impl<T: Line> SimpleReader<T> {
    async fn read(self, cx: &Cx<SourcePorts<T>>) -> Result<(), BoxError> {
        let worker = Worker::start(cx, Lines::default)?;
        let mut orders = Orders::default();
        'life: loop {
            let path = self.path.clone();
            let batch = worker.call(move |lines| lines.batch(&path));
            let Some(batch) = orders.unless_stopped(&cx.control, batch).await else { break };
            let batch = batch??;
            if batch.is_empty() {
                break;
            }
            for line in batch {
                cx.yield_now().await;
                orders.hear(&cx.control);
                if orders.stop() || !orders.send(&cx.control, &cx.outbox, line).await {
                    break 'life;
                }
            }
        }
        if orders.stop() {
            drop(worker);
            orders.pass_on(&cx.signal).await;
        } else {
            worker.call(|lines| lines.file = None).await?;
            let _ = cx.signal.send_wait(Ipc::producer_finished()).await; // a control line takes any message
        }
        Ok(())
    }
}

impl<T: Line> Component for SimpleReader<T> {
    type Ports = SourcePorts<T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let read = self.read(&cx).await;
        cx.end_with(read);
    }
}

/// Bytes of lines that are read in one go.
const BATCH: usize = 64 << 10;
