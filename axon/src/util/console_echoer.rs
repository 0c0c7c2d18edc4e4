//! Writes messages to the console (Kamaelia: `Kamaelia/Util/Console.py`).

use std::io::{self, Write};

use crate::component::{Component, Cx};
use crate::ipc::Ipc;
use crate::message::Message;

crate::ports! {
    /// Boxes of a [`ConsoleEchoer`].
    pub struct ConsoleEchoerPorts {
        in  { /// What to write.
              inbox: Message,
              /// Any message ends it.
              control: Ipc }
        out { /// What was written, if it forwards.
              outbox: Message,
              /// The messages from `control`.
              signal: Ipc }
    }
}

/// Writes the text of each message to the standard output, or to another writer.
///
/// No line end is added: `"hello\n"` is a line, `"hello"` is not.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Message`] | what to write |
/// | `control` | [`Ipc`] | any message ends it |
/// | `outbox` | [`Message`] | each message after it was written, if it [forwards](ConsoleEchoer::forwarder) |
/// | `signal` | [`Ipc`] | the messages from `control` |
///
/// # Example
/// A tag stands before each message:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource};
///
/// Pipeline::new().then(DataSource::new([1, 2])).then(ConsoleEchoer::new().tag("\nnumber ")).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// On any control message it takes one more step for what is still on its way, writes that, passes on everything that
/// is in `control`, and ends.
///
/// # Limits
/// It writes in the scheduler's thread: a terminal that stands still holds up everybody. A writer that fails ends it
/// as failed.
pub struct ConsoleEchoer {
    writer: Box<dyn Write>,
    forwards: bool,
    debug_form: bool,
    tag: String,
}

impl Default for ConsoleEchoer {
    fn default() -> Self {
        Self::new()
    }
}

impl ConsoleEchoer {
    /// Writes to the standard output.
    pub fn new() -> Self {
        Self { writer: Box::new(io::stdout()), forwards: false, debug_form: false, tag: String::new() }
    }

    /// Writes to `writer` instead.
    #[must_use]
    pub fn to(mut self, writer: impl Write + 'static) -> Self {
        self.writer = Box::new(writer);
        self
    }

    /// Sends each message on through `outbox`.
    #[must_use]
    pub fn forwarder(mut self) -> Self {
        self.forwards = true;
        self
    }

    /// Writes the debug form, text in quotes (`use_repr`).
    #[doc(alias = "use_repr")]
    #[must_use]
    pub fn debug_form(mut self) -> Self {
        self.debug_form = true;
        self
    }

    /// Writes `tag` before each message.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = tag.into();
        self
    }

    async fn drain(&mut self, cx: &Cx<ConsoleEchoerPorts>) -> io::Result<()> {
        let mut wrote = false;
        while let Some(message) = cx.inbox.try_recv() {
            wrote = true;
            if self.debug_form {
                write!(self.writer, "{}{message:?}", self.tag)?;
            } else {
                write!(self.writer, "{}{message}", self.tag)?;
            }
            if self.forwards
                && let Err(e) = cx.outbox.send_wait(message).await
            {
                log::warn!("the echoed message was not forwarded: {e}");
            }
        }
        if wrote { self.writer.flush() } else { Ok(()) }
    }

    async fn echo(&mut self, cx: &Cx<ConsoleEchoerPorts>) -> io::Result<()> {
        loop {
            self.drain(cx).await?;
            if !cx.control.is_empty() {
                cx.yield_now().await;
                return self.drain(cx).await;
            }
            cx.pause().await;
        }
    }
}

impl Component for ConsoleEchoer {
    type Ports = ConsoleEchoerPorts;

    async fn main(mut self, cx: Cx<ConsoleEchoerPorts>) {
        let echoed = self.echo(&cx).await;
        while let Some(message) = cx.control.try_recv() {
            let _ = cx.signal.send_wait(message).await; // a control line takes any message
        }
        cx.end_with(echoed.map_err(|e| format!("cannot write to the console: {e}")));
    }
}
