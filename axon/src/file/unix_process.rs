//! A program as a component (Kamaelia: `Kamaelia/File/UnixProcess.py`, `UnixProcess2.py`).

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::component::{Component, Cx};
use crate::error::BoxError;
use crate::ipc::Ipc;
use crate::threaded::{ThreadCx, ThreadOutbox, Threaded, ThreadedComponent};

crate::ports! {
    /// Boxes of a [`UnixProcess`].
    pub struct UnixProcessPorts {
        in  { /// To the program's standard input.
              inbox: Vec<u8>,
              /// Shutdown requests.
              control: Ipc }
        out { /// From its standard output.
              outbox: Vec<u8>,
              /// From its standard error.
              error: Vec<u8>,
              /// How it ended.
              exit: ExitStatus,
              /// Told when it has ended.
              signal: Ipc }
    }
}

/// Runs a program.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `Vec<u8>` | goes to the program's standard input |
/// | `control` | [`Ipc`] | `producerFinished` ends the input, `shutdownMicroprocess` kills the program |
/// | `outbox` | `Vec<u8>` | what it writes to its standard output, in pieces of at most [`buffer_size`](UnixProcess::buffer_size) |
/// | `error` | `Vec<u8>` | what it writes to its standard error |
/// | `exit` | [`ExitStatus`] | how it ended, after its last output |
/// | `signal` | [`Ipc`] | a `producerFinished` when it has ended, or the `shutdownMicroprocess` |
///
/// # Example
/// Counts lines:
/// ```
/// use axon::file::UnixProcess;
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource};
///
/// Pipeline::new()
///     .then(DataSource::new([b"one\ntwo\n".to_vec(), b"three\n".to_vec()]))
///     .then(UnixProcess::new("wc -l"))
///     .then(ConsoleEchoer::new()) // 3
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// A thread moves the bytes, and another waits for the end of the program; both sleep until there is something to do.
/// Nothing is lost or piled up: a receiver without room stops the program's output, and a program that does not read
/// leaves messages in `inbox`, where a bound holds the sender back. (The original's UnixProcess drops data then; this
/// is its UnixProcess2, with the exit status, and without the named pipes: a reader or writer of this module can be
/// given the path of one.) What is sent after the program has closed its input is dropped, with a line in the log.
///
/// # Shutdown
/// It ends when the program has ended and closed its outputs. On `producerFinished` it writes what it has received and
/// closes the program's input, which ends most programs that read it. On `shutdownMicroprocess` it kills the program
/// (SIGKILL), sends what it has read already and its exit status, passes the message on and ends. A component that is
/// dropped, or stopped with its scheduler, kills it too. No zombie and no descriptor is left behind.
///
/// # Errors
/// A program that cannot be started ends it as failed; the error names the program. With [`UnixProcess::new`] it is
/// the shell that is started; it tells of a missing program on `error` and with exit status 127.
///
/// # Limits
/// Only the program itself is killed, not what it has started. A descendant that keeps the outputs open keeps the
/// component from ending by itself.
#[doc(alias = "UnixProcess2")]
pub struct UnixProcess {
    command: Command,
    buffer_size: usize,
}

impl UnixProcess {
    /// Runs a command line, in the shell.
    pub fn new(command_line: &str) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command_line]);
        Self::command(shell)
    }

    /// Runs a command that was set up with arguments, directory and environment. Its standard input, output and error
    /// are replaced.
    pub fn command(command: Command) -> Self {
        Self { command, buffer_size: 32 << 10 }
    }

    /// The most bytes that are read in one go, 32 KiB unless given; 0 counts as 1. Up to ten times that of output is
    /// in memory while the receivers have no room.
    #[must_use]
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        self.buffer_size = bytes.max(1);
        self
    }
}

impl Component for UnixProcess {
    type Ports = UnixProcessPorts;

    async fn main(self, cx: Cx<UnixProcessPorts>) {
        Threaded::new(Runner(self)).queue_lengths(QUEUE).main(cx).await;
    }
}

/// The thread's side.
struct Runner(UnixProcess);

impl ThreadedComponent for Runner {
    type Ports = UnixProcessPorts;

    fn main(self, cx: ThreadCx<UnixProcessPorts>) -> Result<(), BoxError> {
        let Self(UnixProcess { mut command, buffer_size }) = self;
        let program = command.get_program().to_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| format!("cannot start {program:?}: {e}"))?;
        let failed = |e: io::Error| format!("cannot run {program:?}: {e}");
        let mut running = Running::new(child).map_err(failed)?;
        let alarm = Alarm::new().map_err(failed)?;
        let ring = alarm.ring();
        cx.replace_bell(move || ring.ring());
        let over = watch(&running.child, alarm.ring()).map_err(failed)?;
        let killed = running.serve(&cx, &alarm, &over, buffer_size).map_err(failed)?;
        if cx.is_closed() {
            return Ok(());
        }
        let status = running.collect(killed.is_some()).map_err(failed)?;
        let last = killed.unwrap_or_else(|| Ipc::producer_finished_by(cx.id()));
        // Both fail only if the component has ended.
        let _ = cx.exit.blocking_send(status);
        let _ = cx.signal.blocking_send(last);
        Ok(())
    }
}

/// A program that does not outlive this.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    collected: bool,
}

type Output = Box<dyn ReadFd>;
trait ReadFd: Read + AsFd + Send {}
impl<T: Read + AsFd + Send> ReadFd for T {}

impl Running {
    fn new(mut child: Child) -> io::Result<Self> {
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(|o| Box::new(o) as Output);
        let stderr = child.stderr.take().map(|o| Box::new(o) as Output);
        let running = Self { child, stdin, stdout, stderr, collected: false };
        // From here on the drop of `running` ends the program.
        if let Some(stdin) = &running.stdin {
            ioctl_fionbio(stdin, true)?;
        }
        for output in [&running.stdout, &running.stderr].into_iter().flatten() {
            ioctl_fionbio(output.as_fd(), true)?;
        }
        Ok(running)
    }

    /// Moves bytes until the program has ended, or is to be killed; then it returns the message that says so.
    fn serve(
        &mut self,
        cx: &ThreadCx<UnixProcessPorts>,
        alarm: &Alarm,
        over: &AtomicBool,
        buffer_size: usize,
    ) -> io::Result<Option<Ipc>> {
        let mut buffer = vec![0; buffer_size];
        let mut pending = Pending::default();
        let mut finishes = false;
        loop {
            alarm.clear();
            cx.hear();
            if cx.is_closed() {
                return Ok(None);
            }
            while let Some(message) = cx.control.try_recv() {
                if message.is_shutdown_microprocess() {
                    return Ok(Some(message));
                }
                finishes |= message.is_producer_finished();
            }
            let again = self.feed(cx, &mut pending, finishes)?;
            pump(&mut self.stdout, &cx.outbox, &mut buffer)?;
            pump(&mut self.stderr, &cx.error, &mut buffer)?;
            if self.stdout.is_none() && self.stderr.is_none() && over.load(Ordering::Acquire) {
                return Ok(None);
            }
            if !again {
                self.wait(cx, alarm, &pending)?;
            }
        }
    }

    /// Writes as much as the program takes, but not for ever; true if there is more to do at once.
    fn feed(
        &mut self,
        cx: &ThreadCx<UnixProcessPorts>,
        pending: &mut Pending,
        finishes: bool,
    ) -> io::Result<bool> {
        for _ in 0..64 {
            let Some(stdin) = &mut self.stdin else {
                let dropped = cx.inbox.drain().count();
                if dropped > 0 {
                    log::warn!("{} has no input any more: {dropped} messages were dropped", cx.name());
                }
                return Ok(false);
            };
            if pending.is_empty() {
                match cx.inbox.try_recv() {
                    Some(data) => *pending = Pending { data, written: 0 },
                    None if finishes => {
                        // Control overtakes data that did not fit the queue to this thread; see what is left.
                        if cx.sync().is_err() || cx.inbox.is_empty() {
                            self.stdin = None;
                        }
                        continue;
                    }
                    None => return Ok(false),
                }
                continue;
            }
            match stdin.write(&pending.data[pending.written..]) {
                Ok(n) => pending.written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                    let rest = pending.data.len() - pending.written;
                    log::warn!("{} has closed its input: {rest} bytes were dropped", cx.name());
                    *pending = Pending::default();
                    self.stdin = None;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Sleeps until a pipe is ready that there is something to do with, or the alarm rings.
    fn wait(&self, cx: &ThreadCx<UnixProcessPorts>, alarm: &Alarm, pending: &Pending) -> io::Result<()> {
        let mut ready = vec![PollFd::new(&alarm.reader, PollFlags::IN)];
        if let Some(stdin) = &self.stdin
            && !pending.is_empty()
        {
            ready.push(PollFd::new(stdin, PollFlags::OUT));
        }
        for (output, outbox) in [(&self.stdout, &cx.outbox), (&self.stderr, &cx.error)] {
            if let Some(output) = output
                && outbox.len() < QUEUE
            {
                ready.push(PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN));
            }
        }
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Kills the program if asked to, and takes its exit status.
    fn collect(&mut self, kill: bool) -> io::Result<ExitStatus> {
        if kill {
            self.child.kill()?;
        }
        let status = self.child.wait()?;
        self.collected = true;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.collected {
            let _ = self.collect(true);
        }
    }
}

/// A message of which a part may have been written.
#[derive(Default)]
struct Pending {
    data: Vec<u8>,
    written: usize,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.written == self.data.len()
    }
}

/// Reads once, if there is room for the outcome; at the end the output goes.
fn pump(output: &mut Option<Output>, outbox: &ThreadOutbox<Vec<u8>>, buffer: &mut [u8]) -> io::Result<()> {
    if outbox.len() >= QUEUE {
        return Ok(());
    }
    let Some(open) = output else { return Ok(()) };
    match open.read(buffer) {
        Ok(0) => *output = None,
        Ok(n) => {
            let _ = outbox.send(buffer[..n].to_vec()); // there is room; if the component has ended nobody wants it
        }
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

/// Ends the sleep of the thread.
struct Alarm {
    reader: PipeReader,
    writer: Arc<PipeWriter>,
}

#[derive(Clone)]
struct Ring(Arc<PipeWriter>);

impl Alarm {
    fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        ioctl_fionbio(&reader, true)?;
        ioctl_fionbio(&writer, true)?;
        Ok(Self { reader, writer: Arc::new(writer) })
    }

    fn ring(&self) -> Ring {
        Ring(self.writer.clone())
    }

    fn clear(&self) {
        let mut some = [0; 64];
        while matches!((&self.reader).read(&mut some), Ok(64)) {}
    }
}

impl Ring {
    fn ring(&self) {
        let _ = (&*self.0).write(&[1]); // a full pipe rings already
    }
}

/// Has a thread wait for the end of the program; it sets the flag and rings. It leaves the exit status to be collected
/// by who may have to kill the program: until then the number cannot become another's.
fn watch(child: &Child, ring: Ring) -> io::Result<Arc<AtomicBool>> {
    let pid = Pid::from_child(child);
    let over = Arc::new(AtomicBool::new(false));
    let theirs = over.clone();
    let wait = move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), options), Err(Errno::INTR)) {}
        theirs.store(true, Ordering::Release);
        ring.ring();
    };
    thread::Builder::new().name(format!("wait for {pid}")).spawn(wait)?;
    Ok(over)
}

/// Messages between the thread and the scheduler, for each box.
const QUEUE: usize = 4;
