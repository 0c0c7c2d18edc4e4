//! What a message, a turn and a component cost. Prints nanoseconds: the median, least and greatest of nine runs.
//!
//! `cargo bench -p axon`; beside other executors: `cargo run --release --manifest-path axon/benches/rivals/Cargo.toml`.

mod programs;

use std::time::Instant;

fn measure(name: &str, per: f64, run: impl Fn()) {
    run();
    let mut times: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_nanos() as f64 / per
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name:<44} {:>8.1} ns   ({:.1} to {:.1})", times[4], times[0], times[8]);
}

fn main() {
    // `cargo test --benches` runs this too: then each program once, small, to see that it works.
    let quick = !std::env::args().any(|a| a == "--bench");
    let n: u64 = if quick { 1000 } else { 200_000 };
    measure("typed hop, batched pipeline", 9.0 * n as f64, || programs::pipeline(8, n));
    measure("typed hop, batched pipeline that pauses", 9.0 * n as f64, || programs::pausing_pipeline(8, n));
    measure("untyped hop, batched pipeline", 9.0 * n as f64, || programs::untyped_pipeline(8, n));
    measure("hop that is a turn, ring of 100", n as f64, || programs::ring(100, n / 100));
    measure("hop that is a turn, ring of 100 that pauses", n as f64, || programs::pausing_ring(100, n / 100));
    measure("hop that is a turn, ping-pong", n as f64, || programs::ring(2, n / 2));
    measure("fan-in of 100, message", n as f64, || programs::fan_in(100, n / 100));
    measure("fan-in of 10,000, message", n as f64, || programs::fan_in(10_000, n / 10_000));
    measure("component with four boxes, made and run", n as f64, || programs::idle(n as usize, || ()));
    measure("stream from a thread, message", n as f64, || programs::threaded_stream(n));
    measure("stream to a thread, message", n as f64, || programs::stream_to_thread(n));
    if let Some(bytes) = bytes_per_idle_component(n as usize) {
        println!("{:<44} {bytes:>8.0} bytes", "idle component with four boxes");
    }
}

/// Growth of the resident set by idle components.
fn bytes_per_idle_component(count: usize) -> Option<f64> {
    let resident = || -> Option<f64> {
        let text = std::fs::read_to_string("/proc/self/statm").ok()?;
        Some(text.split_whitespace().nth(1)?.parse::<f64>().ok()? * 4096.0)
    };
    // A process of its own would be cleaner; a count far above what earlier runs freed does as well.
    let count = count * 5;
    let before = resident()?;
    let mut after = None;
    programs::idle(count, || after = resident());
    Some((after? - before) / count as f64)
}
