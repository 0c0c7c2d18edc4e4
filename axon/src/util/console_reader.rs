//! Reads lines from the console (Kamaelia: `Kamaelia/Util/Console.py`).

use std::io::{self, BufRead, BufReader, Write};

use crate::component::{Component, Cx};
use crate::error::BoxError;
use crate::ipc::Ipc;
use crate::message::Message;
use crate::threaded::ThreadCx;

crate::ports! {
    /// Boxes of a [`ConsoleReader`].
    pub struct ConsoleReaderPorts {
        in  { /// Unused.
              inbox: Message,
              /// Shutdown requests.
              control: Ipc }
        out { /// Lines that were read.
              outbox: String,
              /// Told when it stops.
              signal: Ipc }
    }
}

/// Shows a prompt, reads a line, sends it; again and again.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | unused |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`String`] | each line with the line end of [`ConsoleReader::eol`] |
/// | `signal` | [`Ipc`] | the message that ended it, or `producerFinished` at the end of the input |
///
/// # Example
/// Each line typed comes back in capitals:
/// ```no_run
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, ConsoleReader, PureTransformer};
///
/// Pipeline::new()
///     .then(ConsoleReader::new(">>> "))
///     .then(PureTransformer::new(|line: String| Some(line.to_uppercase())))
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// It reads in a thread of its own. Bytes that are not UTF-8 become replacement characters.
///
/// # Shutdown
/// At the end of the input it sends `producerFinished` and ends (D-26). It looks at `control` before each read, so
/// one more line is read and sent after a request to stop; a thread that waits for a line cannot be interrupted.
///
/// # Errors
/// If the input cannot be read or the prompt not written, it ends as failed.
pub struct ConsoleReader {
    prompt: String,
    eol: String,
    input: Option<Box<dyn BufRead + Send>>,
    screen: Box<dyn Write + Send>,
}

impl ConsoleReader {
    /// Reads the standard input, with a prompt that may be empty.
    pub fn new(prompt: &str) -> Self {
        Self { prompt: prompt.into(), eol: "\n".into(), input: None, screen: Box::new(io::stdout()) }
    }

    /// Ends each line with `eol`, "\n" unless given.
    #[must_use]
    pub fn eol(mut self, eol: &str) -> Self {
        self.eol = eol.into();
        self
    }

    /// Reads from `input` instead.
    #[must_use]
    pub fn from(mut self, input: impl BufRead + Send + 'static) -> Self {
        self.input = Some(Box::new(input));
        self
    }

    /// Shows the prompt on `screen` instead of the standard output.
    #[must_use]
    pub fn prompt_to(mut self, screen: impl Write + Send + 'static) -> Self {
        self.screen = Box::new(screen);
        self
    }

    fn read(mut self, cx: &ThreadCx<ConsoleReaderPorts>) -> Result<(), BoxError> {
        let mut input = self.input.take().unwrap_or_else(|| Box::new(BufReader::new(io::stdin())));
        let mut line = Vec::new();
        loop {
            while let Some(message) = cx.control.try_recv() {
                if message.ends_component() {
                    let _ = cx.signal.blocking_send(message); // fails only if the component has ended
                    return Ok(());
                }
            }
            let shown = self.screen.write_all(self.prompt.as_bytes()).and_then(|()| self.screen.flush());
            shown.map_err(|e| format!("cannot show the prompt {:?}: {e}", self.prompt))?;
            line.clear();
            let read = input.read_until(b'\n', &mut line);
            if read.map_err(|e| format!("cannot read a line from the console: {e}"))? == 0 {
                let _ = cx.signal.blocking_send(Ipc::producer_finished_by(cx.id()));
                return Ok(());
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let text = format!("{}{}", String::from_utf8_lossy(text), self.eol);
            if cx.outbox.blocking_send(text).is_err() {
                return Ok(());
            }
        }
    }
}

/// The prompt of the original.
impl Default for ConsoleReader {
    fn default() -> Self {
        Self::new(">>> ")
    }
}

impl Component for ConsoleReader {
    type Ports = ConsoleReaderPorts;

    async fn main(self, cx: Cx<ConsoleReaderPorts>) {
        cx.on_thread(move |thread| self.read(&thread)).await;
    }
}
