//! How Axon's figures grow. Each point is a process of its own (`rivals --point NAME SIZE`), so that none inherits
//! another's memory; a point prints its figures, in the order of [`FIGURES`].

use std::hint::black_box;
use std::time::Instant;

use axon::introspect::Snapshot;
use axon::link;
use axon::prelude::*;

use crate::programs::{self, BURST, NumPorts};
use crate::report::Report;

/// Name of the points, what is counted, sizes, and for each figure its name, unit and number of decimals.
type Family = (&'static str, &'static str, &'static [u64], &'static [(&'static str, &'static str)]);

pub(crate) const FIGURES: &[Family] = &[
    (
        "components",
        "idle components",
        &[10, 100, 1000, 10_000, 100_000, 1_000_000],
        &[("made and run, each", "ns"), ("memory, each", "bytes")],
    ),
    ("chain", "links in a chain", &[1, 10, 100, 1000], &[("link, each", "ns"), ("message through it", "ns")]),
    (
        "queue",
        "messages in one inbox",
        &[1000, 10_000, 100_000, 1_000_000, 10_000_000],
        &[("in and out, each", "ns"), ("memory, each", "bytes")],
    ),
    (
        "producers",
        "producers of one inbox",
        &[1, 10, 100, 1000, 10_000],
        &[("making and linking, each", "ns"), ("message", "ns")],
    ),
    (
        "graph",
        "components, each with a link",
        &[1000, 10_000, 100_000, 1_000_000],
        &[
            ("made, linked and run, each", "ns"),
            ("memory, each", "bytes"),
            ("inspected, each", "ns"),
            ("memory of the picture, each", "bytes"),
            ("undone, each", "ns"),
        ],
    ),
];

/// Measures all families, one process a point.
pub(crate) fn measure(report: &mut Report, wanted: &dyn Fn(&str) -> bool) {
    for (name, what, sizes, figures) in FIGURES {
        if !wanted(what) {
            continue;
        }
        let mut curves = vec![Vec::new(); figures.len()];
        for size in *sizes {
            let Some(values) = point_apart(name, *size) else { continue };
            for (i, value) in values.into_iter().enumerate() {
                let (figure, unit) = figures[i];
                report.figure(&format!("{size} {what}: {figure}"), "Axon", value, unit);
                // A figure that cannot be seen on logarithmic axes is below what the system counts.
                curves[i].push((*size as f64, value.max(0.1)));
            }
        }
        for ((figure, unit), points) in figures.iter().zip(curves) {
            report.curve(what, format!("{figure}, {unit}"), points);
        }
    }
}

fn point_apart(name: &str, size: u64) -> Option<Vec<f64>> {
    let me = std::env::current_exe().ok()?;
    let out = std::process::Command::new(me).args(["--point", name, &size.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let values: Vec<f64> = text.split_whitespace().filter_map(|v| v.parse().ok()).collect();
    (out.status.success() && !values.is_empty()).then_some(values)
}

/// One point, in this process.
pub(crate) fn point(name: &str, size: u64) -> Vec<f64> {
    match name {
        "components" => components(size),
        "chain" => chain(size),
        "queue" => queue(size),
        "producers" => producers(size),
        "graph" => graph(size),
        _ => Vec::new(),
    }
}

/// The resident set, in bytes.
pub(crate) fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) * 4096.0
}

fn ns_each(start: Instant, count: u64) -> f64 {
    start.elapsed().as_nanos() as f64 / count as f64
}

/// Median of so many runs, where one run is too short to be measured well.
fn median(runs: u64, run: impl Fn() -> f64) -> f64 {
    let mut values: Vec<f64> = (0..runs.max(1)).map(|_| run()).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn components(count: u64) -> Vec<f64> {
    let before = resident();
    let mut after = before;
    programs::idle(count as usize, || after = resident());
    let time = median(1_000_000 / count, || {
        let start = Instant::now();
        programs::idle(count as usize, || ());
        ns_each(start, count)
    });
    vec![time, (after - before) / count as f64]
}

struct Quiet;
impl Component for Quiet {
    type Ports = NumPorts;
    async fn main(self, cx: Cx<NumPorts>) {
        cx.control.recv().await;
    }
}

fn chain(links: u64) -> Vec<f64> {
    let from = Quiet.create();
    let parts: Vec<_> = (0..links).map(|_| Quiet.create()).collect();
    let start = Instant::now();
    link(&from.outbox, &parts[0].inbox).expect("same types");
    for w in parts.windows(2) {
        link(&w[0].inbox, &w[1].inbox).expect("same types");
    }
    let linking = ns_each(start, links);
    let end = &parts[parts.len() - 1].inbox;
    let message = median(9, || {
        let start = Instant::now();
        for i in 0..100_000 {
            from.outbox.send(i).expect("no bound");
            black_box(end.try_recv());
        }
        ns_each(start, 100_000)
    });
    vec![linking, message]
}

fn queue(messages: u64) -> Vec<f64> {
    let (from, to) = (Quiet.create(), Quiet.create());
    link(&from.outbox, &to.inbox).expect("same types");
    let before = resident();
    let start = Instant::now();
    for i in 0..messages {
        from.outbox.send(i).expect("no bound");
    }
    let filled = start.elapsed();
    let after = resident();
    let start = Instant::now();
    for _ in 0..messages {
        black_box(to.inbox.try_recv());
    }
    let time = (filled + start.elapsed()).as_nanos() as f64 / messages as f64;
    vec![time, (after - before) / messages as f64]
}

/// Sends in bursts, as the pipeline's source does, once it is told to.
struct Producer(u64);
impl Component for Producer {
    type Ports = NumPorts;
    async fn main(self, cx: Cx<NumPorts>) {
        cx.control.recv().await;
        for i in 0..self.0 {
            let _ = cx.outbox.send(i);
            if i % BURST == BURST - 1 {
                cx.yield_now().await;
            }
        }
    }
}

struct Taker(u64);
impl Component for Taker {
    type Ports = NumPorts;
    async fn main(self, cx: Cx<NumPorts>) {
        for _ in 0..self.0 {
            black_box(cx.inbox.recv().await);
        }
    }
}

fn producers(count: u64) -> Vec<f64> {
    let each = (2_000_000 / count).max(200);
    let scheduler = Scheduler::new();
    let start = Instant::now();
    let sink = Taker(count * each).create();
    let all: Vec<_> = (0..count)
        .map(|_| {
            let p = Producer(each).create();
            link(&p.outbox, &sink.inbox).expect("same types");
            scheduler.activate(&p);
            p
        })
        .collect();
    scheduler.activate(&sink);
    scheduler.run_until_idle().expect("nobody fails");
    let making = ns_each(start, count);
    let start = Instant::now();
    for p in &all {
        p.control.deliver(Ipc::Shutdown).expect("no bound");
    }
    scheduler.run().expect("nobody fails");
    vec![making, ns_each(start, count * each)]
}

fn graph(count: u64) -> Vec<f64> {
    let before = resident();
    let start = Instant::now();
    let scheduler = Scheduler::new();
    let owner = Quiet.create();
    let all: Vec<_> = (0..count).map(|_| Quiet.create()).collect();
    for (i, c) in all.iter().enumerate() {
        owner.link(&c.outbox, &all[(i + 1) % all.len()].inbox).expect("same types");
        scheduler.activate(c);
    }
    scheduler.run_until_idle().expect("nobody fails");
    let making = ns_each(start, count);
    let made = resident();
    let start = Instant::now();
    let snapshot = Snapshot::of(&scheduler);
    let looking = ns_each(start, count);
    assert_eq!((snapshot.components.len() as u64, snapshot.linkages.len() as u64), (count, count));
    let looked = resident();
    drop(snapshot);
    let start = Instant::now();
    for c in &all {
        owner.unlink_component(c);
    }
    drop((owner, all));
    Scheduler::set_thread_default(None);
    drop(scheduler);
    let undoing = ns_each(start, count);
    let count = count as f64;
    vec![making, (made - before) / count, looking, (looked - made) / count, undoing]
}

/// So many messages through a pipeline of three; the resident set after each tenth.
pub(crate) fn soak(report: &mut Report, messages: u64) {
    struct Watch(u64);
    impl Component for Watch {
        type Ports = NumPorts;
        async fn main(self, cx: Cx<NumPorts>) {
            for tenth in 1..=10 {
                for _ in 0..self.0 / 10 {
                    black_box(cx.inbox.recv().await);
                }
                let _ = cx.outbox.send(tenth);
                println!("SOAK {tenth} {}", resident());
            }
        }
    }
    // Each message is delivered twice.
    let sent = messages / 20 * 10;
    if std::env::args().any(|a| a == "--soak-here") {
        programs::run_through(sent, Watch(sent).create());
        return;
    }
    let Ok(me) = std::env::current_exe() else { return };
    let size = messages.to_string();
    let Ok(out) = std::process::Command::new(me).args(["--soak-here", &size]).output() else { return };
    let text = String::from_utf8_lossy(&out.stdout);
    let points: Vec<(f64, f64)> = text
        .lines()
        .filter_map(|l| {
            let mut words = l.strip_prefix("SOAK ")?.split(' ').filter_map(|w| w.parse::<f64>().ok());
            Some((words.next()? / 10.0 * messages as f64, words.next()? / 1024.0))
        })
        .collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    report.figure(&format!("{messages} messages: memory after a tenth"), "Axon", first.1, "KiB");
    report.figure(&format!("{messages} messages: memory at the end"), "Axon", last.1, "KiB");
    report.curve("messages delivered in one run", "memory, KiB", points);
}
