//! Cuts a stream of bytes into pieces of one size (Kamaelia: `Kamaelia/Util/Chunkifier.py`).

use std::collections::VecDeque;

use super::pure_transformer::{TransformerPorts, ends_at_once};
use crate::boxes::Outbox;
use crate::component::{Component, Cx, Microprocess};
use crate::error::Error;
use crate::ipc::Ipc;

/// Cuts a stream of bytes into chunks of one size, whatever the messages it came in.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `Vec<u8>` | the stream |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdown` end it |
/// | `outbox` | `Vec<u8>` | the chunks |
/// | `signal` | [`Ipc`] | a fresh `producerFinished` |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{Chunkifier, ConsoleEchoer, DataSource};
///
/// Pipeline::new()
///     .then(DataSource::new([b"abcde".to_vec(), b"fg".to_vec()]))
///     .then(Chunkifier::new(3))
///     .then(ConsoleEchoer::new().tag(" ")) // abc def g
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// On `producerFinished` it sends the rest as a shorter chunk, on `shutdown` it drops the rest; then it sends a
/// `producerFinished` of its own and ends. As in the original, `shutdownMicroprocess` is dropped unless
/// [asked for](Chunkifier::ends_at_once).
///
/// # Errors
/// Chunks of no bytes end it as failed in its first step.
pub struct Chunkifier {
    chunk_size: usize,
    no_delay: bool,
    ends_at_once: bool,
    kept: Fifo,
}

/// Bytes in the order of their arrival; taking them out costs no more than their copy.
#[derive(Default)]
struct Fifo {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that were taken.
    taken: usize,
    len: usize,
}

impl Fifo {
    fn push(&mut self, piece: Vec<u8>) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// The first `len` bytes; all that there are, if those are fewer.
    fn take(&mut self, len: usize) -> Vec<u8> {
        let len = len.min(self.len);
        self.len -= len;
        if self.taken == 0 && self.pieces.front().is_some_and(|p| p.len() == len) {
            return self.pieces.pop_front().unwrap_or_default();
        }
        let mut chunk = Vec::with_capacity(len);
        while chunk.len() < len
            && let Some(piece) = self.pieces.front()
        {
            let end = piece.len().min(self.taken + len - chunk.len());
            chunk.extend_from_slice(&piece[self.taken..end]);
            self.taken = end;
            if end == piece.len() {
                self.pieces.pop_front();
                self.taken = 0;
            }
        }
        chunk
    }
}

impl Chunkifier {
    /// Makes chunks of so many bytes.
    pub fn new(chunk_size: usize) -> Self {
        Self { chunk_size, no_delay: false, ends_at_once: false, kept: Fifo::default() }
    }

    /// Sends what there is in each step, as a shorter chunk, and does not wait for more.
    #[must_use]
    pub fn no_delay(mut self) -> Self {
        self.no_delay = true;
        self
    }

    ends_at_once!();

    async fn send_rest(&mut self, outbox: &Outbox<Vec<u8>>) {
        if self.kept.len > 0 {
            send(outbox, self.kept.take(usize::MAX)).await;
        }
    }
}

/// Chunks of 1 MiB.
impl Default for Chunkifier {
    fn default() -> Self {
        Self::new(1 << 20)
    }
}

async fn send(outbox: &Outbox<Vec<u8>>, chunk: Vec<u8>) {
    if let Err(e) = outbox.send_wait(chunk).await {
        log::warn!("a chunk was dropped: {e}");
    }
}

impl Component for Chunkifier {
    type Ports = TransformerPorts<Vec<u8>, Vec<u8>>;

    async fn main(mut self, cx: Cx<Self::Ports>) {
        if self.chunk_size == 0 {
            return cx
                .end_with(Err(Error::Construction("a Chunkifier cannot make chunks of 0 bytes".into())));
        }
        cx.yield_now().await;
        let mut end = None;
        let last = loop {
            while let Some(message) = cx.control.try_recv() {
                if self.ends_at_once && message.is_shutdown_microprocess() {
                    return drop(cx.signal.send_wait(message).await); // a control line takes any message
                }
                if message.is_producer_finished() || matches!(message, Ipc::Shutdown) {
                    end.get_or_insert(message);
                }
            }
            while let Some(piece) = cx.inbox.try_recv() {
                self.kept.push(piece);
                while self.kept.len >= self.chunk_size {
                    send(&cx.outbox, self.kept.take(self.chunk_size)).await;
                }
            }
            if self.no_delay {
                self.send_rest(&cx.outbox).await;
            }
            match end {
                Some(Ipc::Shutdown) => break Ipc::producer_finished_by(cx.id()),
                Some(_) => {
                    self.send_rest(&cx.outbox).await;
                    break Ipc::producer_finished_by(cx.id());
                }
                None => cx.pause().await,
            }
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_however_they_are_cut() {
        let all: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let mut seed = 7_usize;
        let mut next = |limit| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % limit
        };
        for _ in 0..if cfg!(miri) { 2 } else { 50 } {
            let (mut fifo, mut rest, mut out) = (Fifo::default(), &all[..], Vec::new());
            while !rest.is_empty() || fifo.len > 0 {
                let (piece, more) = rest.split_at(next(300).min(rest.len()));
                fifo.push(piece.to_vec());
                rest = more;
                let len = next(300);
                let expected = len.min(fifo.len);
                let chunk = fifo.take(len);
                assert_eq!(chunk.len(), expected);
                out.extend(chunk);
            }
            assert!(fifo.pieces.is_empty() && fifo.taken == 0);
            assert_eq!(out, all);
        }
    }
}
