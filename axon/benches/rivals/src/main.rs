//! The same programs on Axon, tokio (current thread), futures' LocalPool and async-executor, in one run.
//!
//! `cargo run --release --manifest-path axon/benches/rivals/Cargo.toml`
//!
//! Every figure is nanoseconds for one message (or one component made and run), the median of nine rounds; in each
//! round all executors take their turn, so that a machine that slows down slows all of them. The ratio is to Axon.

#[path = "../../programs.rs"]
mod programs;

mod async_exec;
mod local_pool;
mod threads;
mod tok;

use std::time::Instant;

type Program = (&'static str, Box<dyn Fn()>);

fn main() {
    let n: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(200_000);
    println!("| program | executor | ns, median | least | greatest | ratio |\n|---|---|---|---|---|---|");
    compare(
        "typed hop, pipeline of 8, bursts of 256",
        9.0 * n as f64,
        vec![
            ("Axon", Box::new(move || programs::pipeline(8, n))),
            ("Axon, pausing", Box::new(move || programs::pausing_pipeline(8, n))),
            ("LocalPool", Box::new(move || local_pool::pipeline(8, n))),
            ("tokio", Box::new(move || tok::pipeline(8, n))),
            ("async-executor", Box::new(move || async_exec::pipeline(8, n))),
        ],
    );
    let untyped: Vec<Program> = vec![("Axon", Box::new(move || programs::untyped_pipeline(8, n)))];
    compare("untyped hop, the same pipeline", 9.0 * n as f64, untyped);
    compare(
        "hop that is a turn, ring of 100",
        n as f64,
        vec![
            ("Axon", Box::new(move || programs::ring(100, n / 100))),
            ("Axon, pausing", Box::new(move || programs::pausing_ring(100, n / 100))),
            ("LocalPool", Box::new(move || local_pool::ring(100, n / 100))),
            ("tokio", Box::new(move || tok::ring(100, n / 100))),
            ("async-executor", Box::new(move || async_exec::ring(100, n / 100))),
        ],
    );
    compare(
        "hop that is a turn, ping-pong",
        n as f64,
        vec![
            ("Axon", Box::new(move || programs::ring(2, n / 2))),
            ("LocalPool", Box::new(move || local_pool::ring(2, n / 2))),
            ("tokio", Box::new(move || tok::ring(2, n / 2))),
            ("async-executor", Box::new(move || async_exec::ring(2, n / 2))),
        ],
    );
    for producers in [100, 10_000] {
        let each = n / producers;
        compare(
            &format!("message, fan-in of {producers}"),
            n as f64,
            vec![
                ("Axon", Box::new(move || programs::fan_in(producers as usize, each))),
                ("LocalPool", Box::new(move || local_pool::fan_in(producers as usize, each))),
                ("tokio", Box::new(move || tok::fan_in(producers as usize, each))),
                ("async-executor", Box::new(move || async_exec::fan_in(producers as usize, each))),
            ],
        );
    }
    compare(
        "component with four boxes (task with one channel), made and run",
        n as f64,
        vec![
            ("Axon", Box::new(move || programs::idle(n as usize, || ()))),
            ("LocalPool", Box::new(move || local_pool::idle(n as usize))),
            ("tokio", Box::new(move || tok::idle(n as usize))),
            ("async-executor", Box::new(move || async_exec::idle(n as usize))),
        ],
    );
    compare(
        "message, stream from a thread",
        n as f64,
        vec![
            ("Axon", Box::new(move || programs::threaded_stream(n))),
            ("crossbeam threads", Box::new(move || threads::stream(n))),
            ("tokio", Box::new(move || tok::stream(n))),
        ],
    );
}

fn compare(what: &str, per: f64, programs: Vec<Program>) {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); programs.len()];
    for round in 0..10 {
        for (i, (_, run)) in programs.iter().enumerate() {
            let start = Instant::now();
            run();
            // The first round warms up.
            if round > 0 {
                times[i].push(start.elapsed().as_nanos() as f64 / per);
            }
        }
    }
    for t in &mut times {
        t.sort_by(f64::total_cmp);
    }
    let ours = times[0][times[0].len() / 2];
    for ((name, _), t) in programs.iter().zip(&times) {
        let median = t[t.len() / 2];
        let (least, most) = (t[0], t[t.len() - 1]);
        println!("| {what} | {name} | {median:.1} | {least:.1} | {most:.1} | {:.2} |", median / ours);
    }
}
