//! Standard output as a component, for bytes that may be many.

use std::io::{self, ErrorKind, Write};
use std::thread;

use axon::prelude::*;
use axon::threaded::ThreadCx;
use axon::{BoxError, Ipc};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

ports! {
    /// Boxes of a [`StandardOutput`].
    pub(crate) struct OutputPorts {
        in  { /// What to write.
              inbox: Vec<u8>,
              /// Producer finished after the last of it; shutdown if the rest need not be written.
              control: Ipc }
        out { /// Error information if it cannot be written, shutdown if nobody reads it, producer finished at the end.
              signal: Ipc }
    }
}

/// Writes bytes to standard output as they come, and no faster than they are read.
///
/// A write to a pipe that nobody empties has no end, and cannot be taken back. So it happens on a thread that is not
/// waited for: a shutdown ends the component at once, in the middle of a write too.
pub(crate) struct StandardOutput;

enum Wake {
    /// Something came, or the component has ended.
    Bell,
    Written(io::Result<()>),
}

impl axon::threaded::ThreadedComponent for StandardOutput {
    type Ports = OutputPorts;

    fn main(self, cx: ThreadCx<OutputPorts>) -> Result<(), BoxError> {
        let (wake, wakes) = unbounded();
        let (chunks, to_write) = bounded(1);
        let ring = wake.clone();
        cx.replace_bell(move || {
            let _ = ring.send(Wake::Bell);
        });
        thread::Builder::new().name("stdout".to_owned()).spawn(move || write(&to_write, &wake))?;
        let (mut writing, mut broken, mut finishing) = (false, false, false);
        loop {
            let mut given_up = cx.is_closed();
            while let Some(message) = cx.control.try_recv() {
                given_up |= matches!(message, Ipc::Shutdown);
                finishing |= message.is_producer_finished();
            }
            if given_up {
                break;
            }
            if !writing {
                if let Some(bytes) = cx.inbox.try_recv() {
                    writing = !broken && chunks.send(bytes).is_ok();
                    continue;
                }
                if finishing {
                    if cx.sync().is_err() || cx.inbox.is_empty() {
                        break;
                    }
                    continue;
                }
            }
            match wakes.recv()? {
                Wake::Bell => {
                    cx.hear();
                }
                Wake::Written(result) => {
                    writing = false;
                    if let Err(e) = result {
                        broken = true;
                        let why = match e.kind() {
                            ErrorKind::BrokenPipe => Ipc::Shutdown,
                            _ => Ipc::error_information(
                                cx.id(),
                                format!("cannot write to standard output: {e}"),
                            ),
                        };
                        let _ = cx.signal.blocking_send(why);
                    }
                }
            }
        }
        let _ = cx.signal.blocking_send(Ipc::producer_finished_by(cx.id()));
        Ok(())
    }
}

/// Writes one chunk after the other; each is answered.
fn write(chunks: &Receiver<Vec<u8>>, wake: &Sender<Wake>) {
    for bytes in chunks {
        let mut out = io::stdout().lock();
        let result = out.write_all(&bytes).and_then(|()| out.flush());
        if wake.send(Wake::Written(result)).is_err() {
            break;
        }
    }
}

/// Chunks that wait for the writing thread, beside those in its inbox.
pub(crate) const OUTPUT_QUEUE: usize = 2;
