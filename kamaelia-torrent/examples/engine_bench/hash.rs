//! What SHA-1 costs by each way that the processor has: processor seconds for each GiB.

use std::hint::black_box;

use kamaelia_torrent::disk::HashKernel;

use super::Outcome;
use super::figures::thread_cpu;

/// Bytes of each message: all of them together stay in a second-level cache, as where the library hashes.
const MESSAGE: usize = 64 * 1024;
const BYTES: usize = 1 << 30;
/// Rounds of each; the least counts, because nothing makes a kernel faster than it is.
const ROUNDS: usize = 5;

pub(crate) fn run() -> Outcome {
    for kernel in HashKernel::all() {
        let data = vec![7; MESSAGE * kernel.messages()];
        let mut least = f64::MAX;
        for _ in 0..ROUNDS {
            let before = thread_cpu();
            for _ in 0..BYTES / data.len() {
                black_box(kernel.run(black_box(&data)));
            }
            least = least.min(thread_cpu() - before);
        }
        println!(
            "{{\"kernel\":\"{kernel:?}\",\"messages\":{},\"cpu_s_per_gib\":{least:.3}}}",
            kernel.messages()
        );
    }
    Ok(())
}
