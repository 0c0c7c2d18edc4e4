//! Reads as much of a file as it is told to (Kamaelia: `Kamaelia/File/Reading.py`).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::worker::Worker;
use crate::component::{Component, Cx, Microprocess};
use crate::error::{BoxError, Error};
use crate::ipc::Ipc;
use crate::util::stage::Orders;

crate::ports! {
    /// Boxes of a [`PromptedFileReader`].
    pub struct PromptedFileReaderPorts {
        in  { /// How many bytes or lines to read.
              inbox: usize,
              /// Shutdown requests.
              control: Ipc }
        out { /// What was read.
              outbox: Vec<u8>,
              /// Told when it ends.
              signal: Ipc }
    }
}

/// What a [`PromptedFileReader`] counts. As text: `bytes`, `lines`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReadMode {
    /// Bytes.
    #[default]
    Bytes,
    /// Lines.
    Lines,
}

impl FromStr for ReadMode {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "bytes" => Ok(Self::Bytes),
            "lines" => Ok(Self::Lines),
            other => {
                Err(Error::Construction(format!("the read mode is \"bytes\" or \"lines\", not {other:?}")))
            }
        }
    }
}

/// Reads so many bytes or lines of a file whenever it is told a number.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`usize`] | how many bytes or lines to read |
/// | `control` | [`Ipc`] | `shutdownMicroprocess` ends it |
/// | `outbox` | `Vec<u8>` | so many bytes, or so many lines joined; fewer at the end of the file |
/// | `signal` | [`Ipc`] | a `producerFinished` when nothing is left, or the message that ended it |
///
/// # Example
/// The first hundred bytes, ten at a time:
/// ```no_run
/// use axon::file::{PromptedFileReader, ReadMode};
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource};
///
/// Pipeline::new()
///     .then(DataSource::new([10_usize; 10]))
///     .then(PromptedFileReader::new("/etc/fstab", ReadMode::Bytes))
///     .then(ConsoleEchoer::new().tag("\n"))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// A thread reads. Each request gets one answer, in order; a request for 0 an empty one.
///
/// # Shutdown
/// When it is asked for more and nothing is left, it sends a `producerFinished` and ends. On `shutdownMicroprocess` it
/// passes the message on and ends at once. A `producerFinished` is dropped, as in the original: what asks may have
/// ended while requests are still queued, and a rate control never ends by itself. The file is closed when it ends
/// (D-43).
///
/// # Errors
/// A file that cannot be opened or read ends it as failed; the error names the file.
///
/// # Limits
/// A request is one message, so as much memory as it asks for, but not more than the file has.
pub struct PromptedFileReader {
    path: PathBuf,
    mode: ReadMode,
}

impl PromptedFileReader {
    /// Reads the file at `path`; it is opened in the first step.
    pub fn new(path: impl AsRef<Path>, mode: ReadMode) -> Self {
        Self { path: path.as_ref().into(), mode }
    }

    async fn read(self, cx: &Cx<PromptedFileReaderPorts>) -> Result<(), BoxError> {
        let Self { path, mode } = self;
        let worker = Worker::start(cx, || None)?;
        let mut orders = Orders::default();
        let name = path.clone();
        let open = worker.call(move |file| {
            *file = Some(BufReader::new(File::open(name)?));
            Ok::<_, io::Error>(())
        });
        if let Some(opened) = orders.unless_stopped(&cx.control, open).await {
            opened?.map_err(|e| format!("cannot open {path:?}: {e}"))?;
        }
        let at_end = loop {
            orders.hear(&cx.control);
            if orders.stop() {
                break false;
            }
            let Some(amount) = cx.inbox.try_recv() else {
                cx.pause().await;
                continue;
            };
            let read =
                worker.call(move |file| file.as_mut().map_or(Ok(Vec::new()), |f| take(f, mode, amount)));
            let Some(data) = orders.unless_stopped(&cx.control, read).await else { break false };
            let data = data?.map_err(|e| format!("cannot read {path:?}: {e}"))?;
            if data.is_empty() && amount > 0 {
                break true;
            }
            if !orders.send(&cx.control, &cx.outbox, data).await {
                break false;
            }
        };
        if at_end {
            worker.call(|file| *file = None).await?;
            let last = Ipc::producer_finished_by(cx.id());
            let _ = cx.signal.send_wait(last).await; // a control line takes any message
        } else {
            drop(worker);
            orders.pass_on(&cx.signal).await;
        }
        Ok(())
    }
}

fn take(file: &mut impl BufRead, mode: ReadMode, amount: usize) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    match mode {
        // Grows with what there is, not with what was asked for.
        ReadMode::Bytes => {
            file.take(amount as u64).read_to_end(&mut data)?;
        }
        ReadMode::Lines => {
            for _ in 0..amount {
                if file.read_until(b'\n', &mut data)? == 0 {
                    break;
                }
            }
        }
    }
    Ok(data)
}

impl Component for PromptedFileReader {
    type Ports = PromptedFileReaderPorts;

    async fn main(self, cx: Cx<Self::Ports>) {
        let read = self.read(&cx).await;
        cx.end_with(read);
    }
}
