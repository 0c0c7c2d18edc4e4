//! Axon's figures, beside the same programs on other executors and by growing size, in one run.
//!
//! `cargo run --release --manifest-path axon/benches/rivals/Cargo.toml -- [--only TEXT] [--rounds N] [--messages N]
//! [--out FOLDER] [--soak MESSAGES]`
//!
//! A figure is the median of nine rounds; in each round all executors take their turn, so that a machine that slows down
//! slows all of them. The ratio is to Axon. `--only` keeps the rows whose name contains the text. `--out` writes CSV and
//! plots. `--soak 1000000000` sends as many messages and watches the memory; the standard is 100,000,000. With
//! `PYTHON_AXON` (see `original.rs`) the original in Python takes part, with fewer messages and three rounds.

#[path = "../../programs.rs"]
mod programs;

mod actix_actors;
mod async_exec;
mod bare;
mod growth;
mod local_pool;
mod original;
mod ractor_actors;
mod report;
mod threads;
mod tok;

use std::path::PathBuf;
use std::time::Instant;

use report::{Report, Row};

type Program = (&'static str, Box<dyn Fn()>);

/// What the original in Python is asked to do: program, size, messages.
type Original = (&'static str, usize, u64);

struct Bench {
    report: Report,
    only: Option<String>,
    rounds: usize,
}

impl Bench {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|text| name.contains(text.as_str()))
    }

    fn compare(&mut self, what: &str, per: f64, original: Option<Original>, programs: Vec<Program>) {
        if !self.wants(what) {
            return;
        }
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); programs.len()];
        for round in 0..=self.rounds {
            for (i, (_, run)) in programs.iter().enumerate() {
                let start = Instant::now();
                run();
                // The first round warms up.
                if round > 0 {
                    times[i].push(start.elapsed().as_nanos() as f64 / per);
                }
            }
        }
        let row = |executor: &str, values| Row {
            program: what.into(),
            executor: executor.into(),
            unit: "ns",
            values,
        };
        let mut rows: Vec<Row> = programs.iter().zip(times).map(|((name, _), t)| row(name, t)).collect();
        if let Some((program, size, messages)) = original {
            let values: Vec<f64> =
                (0..3).filter_map(|_| original::measure(program, size, messages)).collect();
            if !values.is_empty() {
                rows.push(row("Python Axon", values));
            }
        }
        self.report.rows(rows);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
    let number = |name: &str| option(name).and_then(|v| v.parse::<u64>().ok());
    if let (Some(name), Some(size)) = (option("--point"), args.get(3).and_then(|s| s.parse().ok())) {
        let values = growth::point(name, size).iter().map(f64::to_string).collect::<Vec<_>>();
        return println!("{}", values.join(" "));
    }
    if let (Some(executor), Some(count)) = (option("--memory"), args.get(3).and_then(|s| s.parse().ok())) {
        return println!("{}", memory(executor, count));
    }
    if let Some(messages) = number("--soak-here") {
        return growth::soak(&mut Report::default(), messages);
    }
    let mut bench = Bench {
        report: Report::default(),
        only: option("--only").cloned(),
        rounds: number("--rounds").unwrap_or(9) as usize,
    };
    beside(&mut bench, number("--messages").unwrap_or(200_000));
    memories(&mut bench, 100_000);
    let only = bench.only.clone();
    growth::measure(&mut bench.report, &|name| only.as_ref().is_none_or(|t| name.contains(t.as_str())));
    if bench.wants("memory after a tenth") {
        growth::soak(&mut bench.report, number("--soak").unwrap_or(100_000_000));
    }
    if let Some(folder) = option("--out").map(PathBuf::from)
        && let Err(e) = bench.report.write(&folder)
    {
        eprintln!("cannot write to {}: {e}", folder.display());
        std::process::exit(1);
    }
}

/// The same programs on all executors.
fn beside(bench: &mut Bench, n: u64) {
    bench.compare(
        "typed hop, pipeline of 8, bursts of 256",
        9.0 * n as f64,
        Some(("pipeline", 8, n / 40)),
        vec![
            ("Axon", Box::new(move || programs::pipeline(8, n))),
            ("Axon, pausing", Box::new(move || programs::pausing_pipeline(8, n))),
            ("LocalPool", Box::new(move || local_pool::pipeline(8, n))),
            ("tokio", Box::new(move || tok::pipeline(8, n))),
            ("async-executor", Box::new(move || async_exec::pipeline(8, n))),
            ("actix", Box::new(move || actix_actors::pipeline(8, n))),
            ("ractor", Box::new(move || ractor_actors::pipeline(8, n))),
            ("bare loop", Box::new(move || bare::pipeline(8, n))),
        ],
    );
    bench.compare(
        "untyped hop, the same pipeline",
        9.0 * n as f64,
        None,
        vec![("Axon", Box::new(move || programs::untyped_pipeline(8, n)))],
    );
    for (what, nodes) in [("hop that is a turn, ring of 100", 100), ("hop that is a turn, ping-pong", 2)] {
        let rounds = n / nodes as u64;
        bench.compare(
            what,
            n as f64,
            Some(("ring", nodes, n / 10)),
            vec![
                ("Axon", Box::new(move || programs::ring(nodes, rounds))),
                ("Axon, pausing", Box::new(move || programs::pausing_ring(nodes, rounds))),
                ("LocalPool", Box::new(move || local_pool::ring(nodes, rounds))),
                ("tokio", Box::new(move || tok::ring(nodes, rounds))),
                ("async-executor", Box::new(move || async_exec::ring(nodes, rounds))),
                ("actix", Box::new(move || actix_actors::ring(nodes, rounds))),
                ("ractor", Box::new(move || ractor_actors::ring(nodes, rounds))),
                ("bare loop", Box::new(move || bare::ring(nodes, rounds))),
            ],
        );
    }
    for producers in [100_usize, 10_000] {
        let each = n / producers as u64;
        bench.compare(
            &format!("message, fan-in of {producers}, made and run"),
            n as f64,
            // Its cost grows with the number of producers; 10,000 would take minutes.
            (producers == 100).then_some(("fan_in", producers, n / 100)),
            vec![
                ("Axon", Box::new(move || programs::fan_in(producers, each))),
                ("LocalPool", Box::new(move || local_pool::fan_in(producers, each))),
                ("tokio", Box::new(move || tok::fan_in(producers, each))),
                ("async-executor", Box::new(move || async_exec::fan_in(producers, each))),
                ("actix", Box::new(move || actix_actors::fan_in(producers, each))),
                ("ractor", Box::new(move || ractor_actors::fan_in(producers, each))),
                ("bare loop", Box::new(move || bare::fan_in(producers, each))),
            ],
        );
    }
    let count = n as usize;
    bench.compare(
        "component with four boxes (task with one channel; actor), made, run and dropped",
        n as f64,
        Some(("made", count / 100, 0)),
        vec![
            ("Axon", Box::new(move || programs::idle(count, || ()))),
            ("LocalPool", Box::new(move || local_pool::idle(count, || ()))),
            ("tokio", Box::new(move || tok::idle(count, || ()))),
            ("async-executor", Box::new(move || async_exec::idle(count, || ()))),
            ("actix", Box::new(move || actix_actors::idle(count, || ()))),
            ("ractor", Box::new(move || ractor_actors::idle(count, || ()))),
        ],
    );
    bench.compare(
        "message, stream from a thread",
        n as f64,
        None,
        vec![
            ("Axon", Box::new(move || programs::threaded_stream(n))),
            ("crossbeam threads", Box::new(move || threads::stream(n))),
            ("tokio", Box::new(move || tok::stream(n))),
        ],
    );
    bench.compare(
        "message, stream to a thread",
        n as f64,
        None,
        vec![
            ("Axon", Box::new(move || programs::stream_to_thread(n))),
            ("crossbeam threads", Box::new(move || threads::stream(n))),
            ("tokio", Box::new(move || tok::stream_to_thread(n))),
        ],
    );
}

const EXECUTORS: [&str; 6] = ["Axon", "LocalPool", "tokio", "async-executor", "actix", "ractor"];

/// Memory of an idle component, each executor in a process of its own.
fn memories(bench: &mut Bench, count: usize) {
    let what = "memory of an idle component with four boxes (task with one channel; actor)";
    if !bench.wants(what) {
        return;
    }
    let Ok(me) = std::env::current_exe() else { return };
    let mut rows = Vec::new();
    for executor in EXECUTORS {
        let out = std::process::Command::new(&me).args(["--memory", executor, &count.to_string()]).output();
        let bytes = out.ok().and_then(|o| String::from_utf8_lossy(&o.stdout).trim().parse().ok());
        if let Some(bytes) = bytes {
            rows.push(Row {
                program: what.into(),
                executor: executor.into(),
                unit: "bytes",
                values: vec![bytes],
            });
        }
    }
    bench.report.rows(rows);
}

fn memory(executor: &str, count: usize) -> f64 {
    let before = growth::resident();
    let mut after = before;
    let look = || after = growth::resident();
    match executor {
        "Axon" => programs::idle(count, look),
        "LocalPool" => local_pool::idle(count, look),
        "tokio" => tok::idle(count, look),
        "async-executor" => async_exec::idle(count, look),
        "actix" => actix_actors::idle(count, look),
        _ => ractor_actors::idle(count, look),
    }
    (after - before) / count as f64
}
