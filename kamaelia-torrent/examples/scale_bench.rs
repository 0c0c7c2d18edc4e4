//! What ten thousand torrents cost: added, idle, stopped, restarted, and with some of them active.
//!
//! `cargo run --release --example scale_bench -- [TORRENTS] [ACTIVE] [DIR]`, by default 10,000 torrents of which 1,000
//! are fetched by a second process, below the folder for temporary files. Prints one JSON object with the figures.
//!
//! Every torrent is one file of 1 MiB in 64 pieces; the files are sparse, so that their content costs no disk. They
//! are complete and have a tracker, which is not asked. Linux only: the figures are those of `/proc`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kamaelia_torrent::engine::{AddTorrent, Engine, Event, Settings};
use kamaelia_torrent::proto::metainfo::Metainfo;
use sha1::{Digest, Sha1};

type Figures = BTreeMap<&'static str, f64>;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["add", count, dir] => add(count.parse()?, Path::new(dir)),
        ["restart", count, dir] => restart(count.parse()?, Path::new(dir)),
        ["leech", active, dir, peer] => leech(active.parse()?, Path::new(dir), peer.parse()?),
        _ => {
            let count = args.first().map_or(Ok(10_000), |text| text.parse())?;
            let active = args.get(1).map_or(Ok(1000), |text| text.parse())?;
            let base = args.get(2).map_or_else(std::env::temp_dir, PathBuf::from);
            let dir = base.join(format!("scale-bench-{}", std::process::id()));
            let result = run(count, active, &dir);
            std::fs::remove_dir_all(&dir)?;
            result
        }
    }
}

fn run(count: usize, active: usize, dir: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(dir.join("data"))?;
    for n in 0..count {
        std::fs::File::create(dir.join("data").join(format!("t{n}")))?.set_len(LEN as u64)?;
    }
    let mut all = Figures::new();
    all.insert("torrents", count as f64);
    // First without anything, then from what the first run left.
    let (mut add, mut out) = child(&["add", &count.to_string(), &text(dir)])?;
    collect(&mut out, &mut all)?;
    finish(&mut add)?;
    let (mut restart, mut out) = child(&["restart", &count.to_string(), &text(dir)])?;
    let mut addr = String::new();
    out.read_line(&mut addr)?;
    if active > 0 {
        let (mut leech, mut report) = child(&["leech", &active.to_string(), &text(dir), addr.trim()])?;
        collect(&mut report, &mut all)?;
        finish(&mut leech)?;
    }
    drop(restart.stdin.take());
    collect(&mut out, &mut all)?;
    finish(&mut restart)?;
    let fields: Vec<String> = all.iter().map(|(name, value)| format!("\"{name}\": {value:.4}")).collect();
    println!("{{{}}}", fields.join(", "));
    Ok(())
}

/// Adds all torrents to an empty state, lets them rest, stops.
fn add(count: usize, dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut figures = Figures::new();
    let mut engine = engine(dir)?;
    let (before, start) = (usage()?, Instant::now());
    for n in 0..count {
        engine.add(AddTorrent { trackers: false, ..AddTorrent::new(torrent(n)?, dir.join("data")) })?;
    }
    started(&mut engine, count)?;
    figures.insert("add_seconds", start.elapsed().as_secs_f64());
    figures.insert("add_cpu", usage()?.cpu - before.cpu);
    idle(&mut engine, "idle_core", &mut figures)?;
    stop(engine, &mut figures, "first_stop_seconds")?;
    report(&figures);
    Ok(())
}

/// Brings all torrents back, lets them rest, serves some, stops.
fn restart(count: usize, dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut figures = Figures::new();
    let mut opened = Instant::now();
    let mut engine = engine(dir)?;
    let (before, start) = (usage()?, Instant::now());
    figures.insert("restart_open_seconds", (start - opened).as_secs_f64());
    engine.restore()?;
    started(&mut engine, count)?;
    let after = usage()?;
    figures.insert("restart_seconds", opened.elapsed().as_secs_f64());
    figures.insert("restart_cpu", after.cpu);
    figures.insert("bytes_each", (after.rss - before.rss) / count as f64 - 20.0 * PIECES as f64);
    idle(&mut engine, "restart_idle_core", &mut figures)?;
    println!("{}", engine.local_addr().ok_or("no address")?);
    let waker = engine.waker();
    let ended = std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        waker.wake()
    });
    let before = usage()?.cpu;
    opened = Instant::now();
    while !ended.is_finished() {
        // The bell may ring a moment before the thread has ended.
        engine.turn(Some(Duration::from_millis(100)))?;
        while engine.next_event().is_some() {}
    }
    figures.insert("seed_cpu", usage()?.cpu - before);
    figures.insert("seed_seconds", opened.elapsed().as_secs_f64());
    figures.insert("seed_peak_mib", usage()?.peak / f64::from(1 << 20));
    stop(engine, &mut figures, "stop_seconds")?;
    report(&figures);
    Ok(())
}

/// Fetches the first torrents, all at once.
fn leech(active: usize, dir: &Path, peer: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut figures = Figures::new();
    let mut engine = Engine::new(Settings { state_dir: None, ..settings(dir) })?;
    let start = Instant::now();
    for n in 0..active {
        let add = AddTorrent::new(torrent(n)?, dir.join("copy"));
        engine.add(AddTorrent { peers: vec![peer], trackers: false, ..add })?;
    }
    let mut complete = 0;
    while complete < active {
        engine.turn(Some(QUIET))?;
        if start.elapsed() > QUIET {
            return Err(format!("only {complete} of {active} torrents were fetched").into());
        }
        while let Some(event) = engine.next_event() {
            match event {
                Event::Completed { .. } => complete += 1,
                Event::Failed { error, .. } => return Err(error.into()),
                _ => {}
            }
        }
    }
    figures.insert("active", active as f64);
    figures.insert("leech_seconds", start.elapsed().as_secs_f64());
    figures.insert("leech_cpu", usage()?.cpu);
    report(&figures);
    Ok(())
}

/// Waits until all torrents have started; nothing may be hashed that has a record.
fn started(engine: &mut Engine, count: usize) -> Result<(), Box<dyn Error>> {
    let mut started = 0;
    while started < count {
        engine.turn(Some(QUIET))?;
        while let Some(event) = engine.next_event() {
            match event {
                Event::Started { .. } => started += 1,
                Event::Failed { error, .. } => return Err(error.into()),
                Event::RestoreEnded { restored, .. } if restored != count => {
                    return Err(format!("{restored} of {count} came back").into());
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn idle(engine: &mut Engine, name: &'static str, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let settle = Instant::now();
    while settle.elapsed() < SETTLE {
        engine.turn(Some(SETTLE))?;
    }
    let (before, start) = (usage()?, Instant::now());
    while start.elapsed() < Duration::from_secs(5) {
        // As a client does: a look every second at what changed.
        engine.turn(Some(Duration::from_secs(1)))?;
        for id in engine.take_changed() {
            engine.status(id);
        }
    }
    figures.insert(name, (usage()?.cpu - before.cpu) / start.elapsed().as_secs_f64());
    Ok(())
}

fn stop(mut engine: Engine, figures: &mut Figures, name: &'static str) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    engine.stop();
    while !engine.is_stopped() {
        engine.turn(Some(QUIET))?;
        while engine.next_event().is_some() {}
    }
    figures.insert(name, start.elapsed().as_secs_f64());
    Ok(())
}

fn settings(dir: &Path) -> Settings {
    Settings {
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        state_dir: Some(dir.join("state")),
        // Two descriptors a connection on this machine, and each side has its own process.
        max_connections: 5000,
        max_half_open: 200,
        ..Settings::default()
    }
}

fn engine(dir: &Path) -> Result<Engine, Box<dyn Error>> {
    Ok(Engine::new(settings(dir))?)
}

fn torrent(n: usize) -> Result<Metainfo, Box<dyn Error>> {
    let name = format!("t{n}");
    let mut bytes = b"d8:announce27:http://127.0.0.1:1/announce4:infod".to_vec();
    let info =
        format!("6:lengthi{LEN}e4:name{}:{name}12:piece lengthi{PIECE}e6:pieces{}:", name.len(), 20 * PIECES);
    bytes.extend_from_slice(info.as_bytes());
    let hash = Sha1::digest(vec![0; PIECE]);
    (0..PIECES).for_each(|_| bytes.extend_from_slice(&hash));
    bytes.extend_from_slice(b"ee");
    Ok(Metainfo::parse(&bytes)?)
}

struct Usage {
    /// Seconds.
    cpu: f64,
    /// Bytes.
    rss: f64,
    peak: f64,
}

fn usage() -> Result<Usage, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may hold anything; the figures come after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let memory = |name: &str| -> Option<f64> {
        status.lines().find_map(|line| line.strip_prefix(name))?.trim().trim_end_matches(" kB").parse().ok()
    };
    let bytes = |name| memory(name).unwrap_or(0.0) * 1024.0;
    Ok(Usage { cpu: ticks(11) + ticks(12), rss: bytes("VmRSS:"), peak: bytes("VmHWM:") })
}

fn child(args: &[&str]) -> std::io::Result<(Child, BufReader<std::process::ChildStdout>)> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().map(BufReader::new);
    Ok((child, out.ok_or(std::io::ErrorKind::BrokenPipe)?))
}

fn finish(child: &mut Child) -> Result<(), Box<dyn Error>> {
    if child.wait()?.success() { Ok(()) } else { Err("a side failed".into()) }
}

fn report(figures: &Figures) {
    let mut out = std::io::stdout().lock();
    for (name, value) in figures {
        let _ = writeln!(out, "{name} {value}");
    }
}

fn collect(out: &mut impl BufRead, all: &mut Figures) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    out.read_to_string(&mut text)?;
    for line in text.lines() {
        let (name, value) = line.split_once(' ').ok_or("malformed report")?;
        // Few and for the whole run.
        all.insert(Box::leak(name.to_owned().into_boxed_str()), value.parse()?);
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Length of each torrent, bytes.
const LEN: usize = 1 << 20;
const PIECE: usize = 16_384;
const PIECES: usize = LEN / PIECE;
/// Time for records of what was checked to be written.
const SETTLE: Duration = Duration::from_secs(6);
/// Longest time without anything.
const QUIET: Duration = Duration::from_secs(120);
