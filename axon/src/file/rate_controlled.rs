//! Readers made of a reader and a rate control (Kamaelia: `Kamaelia/File/Reading.py`).

use super::{PromptedFileReader, ReadMode};
use crate::chassis::{Carousel, Graphline};
use crate::util::{ByteRate, ByteRateRequestControl};

/// A graphline that reads a file at a rate.
///
/// Its parts are a [`ByteRateRequestControl`] and a [`PromptedFileReader`]. `outbox` carries what was read (`Vec<u8>`).
///
/// # Example
/// A file at 1000 bytes a second:
/// ```no_run
/// use axon::file::{ReadMode, rate_controlled_file_reader};
/// use axon::prelude::*;
/// use axon::util::{ByteRate, ConsoleEchoer};
///
/// let reader = rate_controlled_file_reader("myfile", ReadMode::Bytes, ByteRate::new(1000.0).chunk_size(32.0));
/// Pipeline::new().then(reader).then(ConsoleEchoer::new()).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// At the end of the file a `producerFinished` comes out of `signal`. `control` leads to the reader, which ends on
/// `shutdownMicroprocess` and drops `producerFinished`.
///
/// # Errors
/// Those of the parts.
pub fn rate_controlled_file_reader(path: &str, mode: ReadMode, rate: ByteRate) -> Graphline {
    Graphline::new()
        .node("RC", ByteRateRequestControl::new(rate))
        .node("RFA", PromptedFileReader::new(path, mode))
        .link(("RC", "outbox"), ("RFA", "inbox"))
        .link(("RFA", "outbox"), ("self", "outbox"))
        .link(("RFA", "signal"), ("RC", "control"))
        .link(("RC", "signal"), ("self", "signal"))
        .link(("self", "control"), ("RFA", "control"))
}

/// A carousel of [`PromptedFileReader`]s: each path at `next` takes the place of the file that is being read.
///
/// How much to read is told at `inbox`, as with one reader; what is told while there is none waits for the next. When
/// a file has been read to its end, `request_next` says `NEXT`.
///
/// # Example
/// ```no_run
/// use axon::file::{ReadMode, reusable_file_reader};
/// use axon::prelude::*;
///
/// let reader = reusable_file_reader(ReadMode::Lines).create();
/// reader.next.deliver("first.txt".into()).unwrap();
/// reader.inbox.deliver(Message::new(3_usize)).unwrap();
/// ```
///
/// # Shutdown
/// As [`Carousel`]; the reader of the moment drops a `producerFinished`, so that one ends it only while no file is
/// open.
///
/// # Errors
/// Those of the parts.
pub fn reusable_file_reader(mode: ReadMode) -> Carousel<String> {
    Carousel::new(move |path: String| PromptedFileReader::new(path, mode))
}

/// A carousel of [`rate_controlled_file_reader`]s: each path and rate at `next` takes the place of the file that is
/// being read.
///
/// # Example
/// ```no_run
/// use axon::file::{ReadMode, rate_controlled_reusable_file_reader};
/// use axon::prelude::*;
/// use axon::util::ByteRate;
///
/// let reader = rate_controlled_reusable_file_reader(ReadMode::Bytes).create();
/// reader.next.deliver(("slow.mp3".into(), ByteRate::new(16_000.0))).unwrap();
/// ```
///
/// # Shutdown
/// As [`Carousel`]; the reader of the moment drops a `producerFinished`, so that one ends it only while no file is
/// open.
///
/// # Errors
/// Those of the parts.
pub fn rate_controlled_reusable_file_reader(mode: ReadMode) -> Carousel<(String, ByteRate)> {
    Carousel::new(move |(path, rate): (String, ByteRate)| rate_controlled_file_reader(&path, mode, rate))
}

/// A graphline of one rate control and a [`reusable_file_reader`]: paths come in at `next` or `inbox`, and all files
/// are read at one rate.
///
/// # Example
/// A file for each path that is typed:
/// ```no_run
/// use axon::file::{ReadMode, fixed_rate_controlled_reusable_file_reader};
/// use axon::prelude::*;
/// use axon::util::{ByteRate, ConsoleEchoer, ConsoleReader};
///
/// let reader = fixed_rate_controlled_reusable_file_reader(ReadMode::Lines, ByteRate::new(2.0));
/// Pipeline::new().then(ConsoleReader::new("").eol("")).then(reader).then(ConsoleEchoer::new()).run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// The rate control asks on while no file is open. As in the original those requests wait in the carousel, and the
/// next file is read at once by as much.
///
/// # Shutdown
/// `control` leads to the rate control, which passes the message on to the carousel; on `shutdownMicroprocess` both
/// end at once. After a `producerFinished` the carousel waits for a reader that is never asked again, unless no file
/// is open, as in the original.
///
/// # Errors
/// Those of the parts.
pub fn fixed_rate_controlled_reusable_file_reader(mode: ReadMode, rate: ByteRate) -> Graphline {
    Graphline::new()
        .node("RC", ByteRateRequestControl::new(rate))
        .node("CAR", reusable_file_reader(mode))
        .link(("self", "inbox"), ("CAR", "next"))
        .link(("self", "control"), ("RC", "control"))
        .link(("RC", "outbox"), ("CAR", "inbox"))
        .link(("RC", "signal"), ("CAR", "control"))
        .link(("CAR", "outbox"), ("self", "outbox"))
        .link(("CAR", "signal"), ("self", "signal"))
        .link(("CAR", "requestNext"), ("self", "requestNext"))
        .link(("self", "next"), ("CAR", "next"))
}
