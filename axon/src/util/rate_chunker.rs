//! Cuts a stream into so many chunks for each second of data (Kamaelia: `Kamaelia/Util/RateChunker.py`).

use super::stage::{Orders, StagePorts};
use crate::component::{Component, Cx};
use crate::error::Error;

/// Cuts a stream of bytes of a known rate into chunks of a wanted rate.
///
/// It does not look at the clock: rates are relations of amounts. Sound of 48,000 samples a second cut for a film of
/// 25 frames a second makes chunks of 1920 samples, however fast it comes.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `Vec<u8>` | the stream |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `Vec<u8>` | the chunks |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// Samples of four bytes, at 10 samples a second, three chunks a second: 3, 3 and 4 samples.
/// ```
/// use axon::prelude::*;
/// use axon::util::{DataSource, NullSink, RateChunker};
///
/// Pipeline::new()
///     .then(DataSource::new([vec![0_u8; 40]]))
///     .then(RateChunker::new(40.0, 4, 3.0))
///     .then(NullSink::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// A chunk is a whole number of quanta; what is cut off by rounding is added to the next, so that the rate is exact in
/// the long run. If the chunk rate is above the rate of quanta, some chunks are empty.
///
/// # Shutdown
/// On `producerFinished` it sends the rest as a shorter chunk (the original drops it), on `shutdownMicroprocess` it
/// stops at once. It passes the message on.
///
/// # Errors
/// A rate or quantum that is not above zero ends it as failed in its first step.
pub struct RateChunker {
    data_rate: f64,
    quantum: usize,
    chunk_rate: f64,
}

impl RateChunker {
    /// For data of `data_rate` bytes a second, to be cut only at multiples of `quantum` bytes, into `chunk_rate`
    /// chunks for each second.
    pub fn new(data_rate: f64, quantum: usize, chunk_rate: f64) -> Self {
        Self { data_rate, quantum, chunk_rate }
    }

    fn quanta_per_chunk(&self) -> Result<f64, Error> {
        let quanta = self.data_rate / self.chunk_rate / self.quantum as f64;
        let fits = [self.data_rate, self.chunk_rate, quanta].iter().all(|n| n.is_finite() && *n > 0.0);
        if fits {
            return Ok(quanta);
        }
        Err(Error::Construction(format!(
            "a RateChunker cannot cut {} bytes/s in quanta of {} bytes into {} chunks/s",
            self.data_rate, self.quantum, self.chunk_rate
        )))
    }
}

impl Component for RateChunker {
    type Ports = StagePorts<Vec<u8>, Vec<u8>>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let quanta = match self.quanta_per_chunk() {
            Ok(quanta) => quanta,
            Err(e) => return cx.end_with(Err(e)),
        };
        let mut orders = Orders::default();
        let mut buffer: Vec<u8> = Vec::new();
        let mut next = quanta;
        'life: loop {
            while let Some(data) = cx.inbox.try_recv() {
                buffer.extend(data);
                let mut cut = 0;
                loop {
                    let len = (next as usize).saturating_mul(self.quantum);
                    if buffer.len() - cut < len {
                        break;
                    }
                    next = next.fract() + quanta;
                    let chunk = buffer[cut..cut + len].to_vec();
                    cut += len;
                    if !orders.send(&cx.control, &cx.outbox, chunk).await {
                        break 'life;
                    }
                }
                buffer.drain(..cut);
            }
            orders.hear(&cx.control);
            if orders.end() {
                if !orders.stop() && !buffer.is_empty() {
                    orders.send(&cx.control, &cx.outbox, buffer).await;
                }
                break;
            }
            cx.pause().await;
        }
        orders.pass_on(&cx.signal).await;
    }
}
