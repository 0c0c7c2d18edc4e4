//! Gives chunks the names of files (Kamaelia: `Kamaelia/Util/ChunkNamer.py`).

use super::pure_transformer::{End, TransformerPorts, ends_at_once, ends_the_family, work_off};
use crate::component::{Component, Cx, Microprocess};
use crate::ipc::Ipc;

/// Sends each chunk together with a path: `chunk1`, `chunk2` and so on, with a text before and after.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `Vec<u8>` | a chunk |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdown` end it |
/// | `outbox` | `(String, Vec<u8>)` | its path and the chunk, as [`WholeFileWriter`](crate::file::WholeFileWriter) takes it |
/// | `signal` | [`Ipc`] | a fresh `producerFinished` |
///
/// # Example
/// A stream is cut into files of 4 MiB:
/// ```no_run
/// use axon::file::{SimpleReader, WholeFileWriter};
/// use axon::prelude::*;
/// use axon::util::{Chunkifier, ChunkNamer, NullSink};
///
/// Pipeline::new()
///     .then(SimpleReader::bytes("stream.mp3"))
///     .then(Chunkifier::new(4 << 20))
///     .then(ChunkNamer::new("./", ".mp3")) // ./chunk1.mp3
///     .then(WholeFileWriter::new())
///     .then(NullSink::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// As [`PureTransformer`](super::PureTransformer): `shutdownMicroprocess` is dropped unless
/// [asked for](ChunkNamer::ends_at_once).
#[derive(Default)]
pub struct ChunkNamer {
    base_path: String,
    suffix: String,
    ends_at_once: bool,
}

impl ChunkNamer {
    /// Makes paths of `base_path`, the word "chunk", a number and `suffix`.
    pub fn new(base_path: &str, suffix: &str) -> Self {
        Self { base_path: base_path.into(), suffix: suffix.into(), ends_at_once: false }
    }

    ends_at_once!();
}

impl Component for ChunkNamer {
    type Ports = TransformerPorts<Vec<u8>, (String, Vec<u8>)>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let mut number = 0_u64;
        let each = |chunk| {
            number += 1;
            Some((format!("{}chunk{number}{}", self.base_path, self.suffix), chunk))
        };
        let last = match work_off(&cx, self.ends_at_once, ends_the_family, each).await {
            End::AtOnce(message) => message,
            End::Finish(_) => Ipc::producer_finished_by(cx.id()),
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}
