//! Components that read and write files (Kamaelia: `Kamaelia/File/`).
//!
//! They work in threads of their own: a disk that is slow, or on the other side of a network, holds up nobody.

mod append;
mod max_speed_file_reader;
mod prompted_file_reader;
mod rate_controlled;
mod read_file_adaptor;
mod simple_file_writer;
mod simple_reader;
mod triggered_file_reader;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
mod unix_process;
mod whole_file_writer;
mod worker;

pub use self::append::Append;
pub use self::max_speed_file_reader::MaxSpeedFileReader;
pub use self::prompted_file_reader::{PromptedFileReader, PromptedFileReaderPorts, ReadMode};
pub use self::rate_controlled::{
    fixed_rate_controlled_reusable_file_reader, rate_controlled_file_reader,
    rate_controlled_reusable_file_reader, reusable_file_reader,
};
pub use self::read_file_adaptor::ReadFileAdaptor;
pub use self::simple_file_writer::SimpleFileWriter;
pub use self::simple_reader::{Line, SimpleReader};
pub use self::triggered_file_reader::{TriggeredFileReader, TriggeredFileReaderPorts};
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
pub use self::unix_process::{UnixProcess, UnixProcessPorts};
pub use self::whole_file_writer::{WholeFileWriter, WholeFileWriterPorts};

use crate::component::Ports;
use crate::error::BoxError;
use crate::ipc::Ipc;
use crate::threaded::{ThreadCx, ThreadInbox};

/// What a control message asks of a thread that works off an inbox.
enum Reaction {
    Ignore,
    FinishQueue,
    StopAtOnce,
}

/// Works off `inbox` until a control message ends it, and returns that message. Nothing if the component has ended.
fn serve<P: Ports, T: Send + 'static>(
    cx: &ThreadCx<P>,
    (inbox, control): (&ThreadInbox<T>, &ThreadInbox<Ipc>),
    react: impl Fn(&Ipc) -> Reaction,
    mut work: impl FnMut(T) -> Result<(), BoxError>,
) -> Result<Option<Ipc>, BoxError> {
    while !cx.is_closed() {
        while let Some(message) = control.try_recv() {
            match react(&message) {
                Reaction::Ignore => {}
                Reaction::StopAtOnce => return Ok(Some(message)),
                Reaction::FinishQueue => {
                    // Control overtakes data that did not fit the queue to this thread; each round trip brings more.
                    loop {
                        let mut worked = false;
                        for m in inbox.drain() {
                            worked = true;
                            work(m)?;
                        }
                        if cx.sync().is_err() || !worked && inbox.is_empty() {
                            return Ok(Some(message));
                        }
                    }
                }
            }
        }
        match inbox.try_recv() {
            Some(m) => work(m)?,
            None => cx.pause(None),
        }
    }
    Ok(None)
}
