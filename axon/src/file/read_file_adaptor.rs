//! Reads files, commands and the standard input at a pace (Kamaelia: `Kamaelia/File/ReadFileAdaptor.py`).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::worker::Worker;
use crate::component::{Component, Cx, Microprocess};
use crate::error::{BoxError, Error};
use crate::ipc::Ipc;
use crate::util::SourcePorts;
use crate::util::stage::Orders;

/// Reads a file, the output of a command or the standard input, by lines, by blocks or at a bit rate.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`](crate::Message) | unused |
/// | `control` | [`Ipc`] | `shutdownMicroprocess` ends it |
/// | `outbox` | `Vec<u8>` | a line with its line end, or a block |
/// | `signal` | [`Ipc`] | a `producerFinished` at the end, or the message that ended it |
///
/// # Example
/// A line every fifth of a second, and a file at 10 kbit/s:
/// ```no_run
/// use std::time::Duration;
/// use axon::file::ReadFileAdaptor;
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, NullSink};
///
/// let slow = ReadFileAdaptor::file("myfile.text").step_time(Duration::from_millis(200));
/// Pipeline::new().then(slow).then(ConsoleEchoer::new()).run()?;
///
/// let even = ReadFileAdaptor::file("myfile.data").bit_rate(10_240.0, 24.0);
/// Pipeline::new().then(even).then(NullSink::new()).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// A thread reads. Each read is one step time after the one before, the first one step time after the start; reads
/// that come late do not delay those after them. Without a step time it reads as fast as the receiver takes it.
///
/// # Shutdown
/// At the end it sends a `producerFinished`. On `shutdownMicroprocess` it kills the command, passes the message on and
/// ends at once. (The original cannot be stopped.)
///
/// # Errors
/// What cannot be opened, started or read ends it as failed, and the error names it; so do blocks of no bytes. How a
/// command ended is told in the log only.
///
/// # Limits
/// A block is filled before it is sent, however long its bytes take to come. A thread that waits for the standard
/// input cannot be interrupted; it lives on until its read is over.
pub struct ReadFileAdaptor {
    source: Source,
    portion: Portion,
    step: Duration,
}

enum Source {
    File(PathBuf),
    Command(String),
    Stdin,
}

#[derive(Clone, Copy)]
enum Portion {
    Line,
    Block(usize),
}

impl ReadFileAdaptor {
    /// Reads the file at `path`, by lines.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::of(Source::File(path.as_ref().into()))
    }

    /// Reads the output of a command for the shell, by lines.
    pub fn command(command: &str) -> Self {
        Self::of(Source::Command(command.into()))
    }

    /// Reads the standard input, by lines.
    pub fn stdin() -> Self {
        Self::of(Source::Stdin)
    }

    fn of(source: Source) -> Self {
        Self { source, portion: Portion::Line, step: Duration::ZERO }
    }

    /// Reads blocks of so many bytes (`readmode="block"`; the original's size is 1450 unless given).
    #[must_use]
    pub fn blocks(mut self, bytes: usize) -> Self {
        self.portion = Portion::Block(bytes);
        self
    }

    /// Reads at a rate, in bits a second, in so many blocks a second (`readmode="bitrate"`; the original's are 65,536
    /// and 24 unless given).
    #[must_use]
    pub fn bit_rate(mut self, bits_per_second: f64, chunks_per_second: f64) -> Self {
        self.portion = Portion::Block((bits_per_second / 8.0 / chunks_per_second) as usize);
        self.step = Duration::try_from_secs_f64(1.0 / chunks_per_second).unwrap_or(Duration::MAX);
        self
    }

    /// The time from one read to the next.
    #[must_use]
    pub fn step_time(mut self, time: Duration) -> Self {
        self.step = time;
        self
    }

    async fn read(self, cx: &Cx<SourcePorts<Vec<u8>>>) -> Result<(), BoxError> {
        let Self { source, portion, step } = self;
        let name = source.name();
        if matches!(portion, Portion::Block(0)) {
            return Err(Error::Construction(format!("cannot read {name} in blocks of 0 bytes")).into());
        }
        let worker = Worker::start(cx, || None)?;
        let mut orders = Orders::default();
        let open = worker.call(move |input: &mut Option<Input>| {
            let (reader, child) = source.open()?;
            *input = Some(reader);
            Ok::<_, io::Error>(child)
        });
        let mut command = None;
        if let Some(opened) = orders.unless_stopped(&cx.control, open).await {
            command = opened?.map_err(|e| format!("cannot open {name}: {e}"))?;
        }
        let mut next = cx.core().now();
        while !orders.stop() {
            if step.is_zero() {
                cx.yield_now().await;
            } else {
                let now = cx.core().now();
                next = next.checked_add(step).unwrap_or(now + FAR).max(now);
                if orders.unless_stopped(&cx.control, cx.sleep_until(next)).await.is_none() {
                    break;
                }
            }
            let read = worker.call(move |input| input.as_mut().map_or(Ok(Vec::new()), |i| take(i, portion)));
            let Some(data) = orders.unless_stopped(&cx.control, read).await else { break };
            let data = data?.map_err(|e| format!("cannot read {name}: {e}"))?;
            if data.is_empty() {
                break;
            }
            if !orders.send(&cx.control, &cx.outbox, data).await {
                break;
            }
            orders.hear(&cx.control);
        }
        if orders.stop() {
            drop((command, worker));
            orders.pass_on(&cx.signal).await;
            return Ok(());
        }
        let ended = worker.call(move |input| {
            *input = None;
            command.map(Running::wait)
        });
        if let Some(ended) = orders.unless_stopped(&cx.control, ended).await {
            match ended? {
                Some(Ok(status)) if !status.success() => log::warn!("{name} ended with {status}"),
                Some(Err(e)) => log::warn!("cannot wait for {name}: {e}"),
                _ => {}
            }
        }
        let _ = cx.signal.send_wait(Ipc::producer_finished_by(cx.id())).await; // a control line takes any message
        Ok(())
    }
}

type Input = Box<dyn BufRead + Send>;

impl Source {
    fn name(&self) -> String {
        match self {
            Self::File(path) => format!("{path:?}"),
            Self::Command(command) => format!("the command {command:?}"),
            Self::Stdin => "the standard input".into(),
        }
    }

    fn open(self) -> io::Result<(Input, Option<Running>)> {
        Ok(match self {
            Self::File(path) => (Box::new(BufReader::new(File::open(path)?)), None),
            Self::Stdin => (Box::new(BufReader::new(io::stdin())), None),
            Self::Command(command) => {
                let mut command =
                    Command::new("/bin/sh").args(["-c", &command]).stdout(Stdio::piped()).spawn()?;
                let output = command.stdout.take().expect("asked for one line above");
                (Box::new(BufReader::new(output)), Some(Running(command)))
            }
        })
    }
}

/// A command that does not outlive its reader.
struct Running(Child);

impl Running {
    fn wait(mut self) -> io::Result<std::process::ExitStatus> {
        self.0.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Neither does anything if it has been waited for; else the second collects what the first leaves.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn take(input: &mut Input, portion: Portion) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    match portion {
        Portion::Line => input.read_until(b'\n', &mut data)?,
        Portion::Block(len) => input.take(len as u64).read_to_end(&mut data)?,
    };
    Ok(data)
}

impl Component for ReadFileAdaptor {
    type Ports = SourcePorts<Vec<u8>>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let read = self.read(&cx).await;
        cx.end_with(read);
    }
}

/// A step time that no clock can hold is a day.
const FAR: Duration = Duration::from_secs(86_400);
