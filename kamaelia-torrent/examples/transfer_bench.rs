//! What a transfer costs: a seed and a leech as processes of their own, over loopback.
//!
//! `cargo run --release --example transfer_bench -- [MIB] [PIECE_KIB] [DIR]`, by default 1024 MiB in pieces of
//! 1024 KiB below `/dev/shm`. Prints the speed, the processor time and the peak memory of each side. Linux only: the
//! figures are those of `/proc`.
//!
//! `… -- check [MIB] [DIR]` measures the check of existing data, `… -- idle [TORRENTS]` what torrents cost of which
//! nobody wants anything.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kamaelia_torrent::engine::{AddTorrent, CheckPolicy, Engine, Event, Settings};
use kamaelia_torrent::proto::metainfo::Metainfo;
use sha1::{Digest, Sha1};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["seed", torrent, dir] => seed(Path::new(torrent), dir.into()),
        ["check", ref rest @ ..] => {
            let mib = rest.first().map_or(Ok(1024), |text| text.parse())?;
            check(mib, Path::new(rest.get(1).unwrap_or(&"/dev/shm")))
        }
        ["idle", ref rest @ ..] => idle(rest.first().map_or(Ok(10_000), |text| text.parse())?),
        ["leech", torrent, dir, peer] => leech(Path::new(torrent), dir.into(), peer.parse()?),
        _ => {
            let number =
                |i: usize, default| args.get(i).map_or(Ok(default), |text: &String| text.parse::<u64>());
            let base = args.get(2).map_or("/dev/shm", String::as_str);
            run(number(0, 1024)?, number(1, 1024)?, Path::new(base))
        }
    }
}

/// Makes a payload and measures one transfer.
fn run(mib: u64, piece_kib: u64, base: &Path) -> Result<(), Box<dyn Error>> {
    let dir = base.join(format!("transfer-bench-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("from"))?;
    let result = transfer(mib, piece_kib, &dir);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn transfer(mib: u64, piece_kib: u64, dir: &Path) -> Result<(), Box<dyn Error>> {
    let (from, to, file) = (dir.join("from"), dir.join("to"), dir.join("t.torrent"));
    make(mib << 20, (piece_kib << 10) as usize, &from.join("payload"), &file)?;
    let (mut seed, mut seed_out) = child(&["seed".as_ref(), file.as_ref(), from.as_ref()])?;
    let mut addr = String::new();
    seed_out.read_line(&mut addr)?;
    let start = Instant::now();
    let (mut leech, mut leech_out) =
        child(&["leech".as_ref(), file.as_ref(), to.as_ref(), addr.trim().as_ref()])?;
    let mut report = String::new();
    leech_out.read_to_string(&mut report)?;
    let seconds = start.elapsed().as_secs_f64();
    // The end of its input tells the seed to report.
    drop(seed.stdin.take());
    let mut seed_report = String::new();
    seed_out.read_to_string(&mut seed_report)?;
    if !leech.wait()?.success() || !seed.wait()?.success() {
        return Err("a side failed".into());
    }
    let same = Command::new("cmp").arg(from.join("payload")).arg(to.join("payload")).status()?.success();
    println!("{mib} MiB in pieces of {piece_kib} KiB, {:.2} s, {:.0} MiB/s", seconds, mib as f64 / seconds);
    for (name, report) in [("leech", &report), ("seed", &seed_report)] {
        let figures: Vec<f64> = report.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [cpu, user, rss] = figures[..] else { return Err(format!("bad report {report:?}").into()) };
        let gib = mib as f64 / 1024.0;
        println!("{name}: {:.2} CPU-s/GiB ({:.2} user), peak {:.1} MiB", cpu / gib, user / gib, rss / 1024.0);
    }
    if same { Ok(()) } else { Err("the copy differs".into()) }
}

fn child(args: &[&std::ffi::OsStr]) -> std::io::Result<(Child, BufReader<std::process::ChildStdout>)> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().map(BufReader::new);
    Ok((child, out.ok_or(std::io::ErrorKind::BrokenPipe)?))
}

fn seed(torrent: &Path, dir: PathBuf) -> Result<(), Box<dyn Error>> {
    let mut engine = engine()?;
    let metainfo = Metainfo::parse(&std::fs::read(torrent)?)?;
    engine.add(AddTorrent { check: CheckPolicy::Trust, ..AddTorrent::new(metainfo, dir) })?;
    println!("{}", engine.local_addr().ok_or("no address")?);
    let waker = engine.waker();
    let ended = std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        waker.wake()
    });
    while !ended.is_finished() {
        engine.turn(None)?;
        while engine.next_event().is_some() {}
    }
    report()
}

fn leech(torrent: &Path, dir: PathBuf, peer: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut engine = engine()?;
    let metainfo = Metainfo::parse(&std::fs::read(torrent)?)?;
    engine.add(AddTorrent { peers: vec![peer], ..AddTorrent::new(metainfo, dir) })?;
    let quiet = Duration::from_secs(60);
    let mut last = Instant::now();
    while last.elapsed() < quiet {
        engine.turn(Some(quiet))?;
        while let Some(event) = engine.next_event() {
            last = Instant::now();
            match event {
                Event::Completed { .. } => return report(),
                Event::Failed { error, .. } => return Err(error.into()),
                _ => {}
            }
        }
    }
    Err("nothing happened for a minute".into())
}

/// Measures how fast existing data is checked.
fn check(mib: u64, base: &Path) -> Result<(), Box<dyn Error>> {
    let dir = base.join(format!("check-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    make(mib << 20, 1 << 20, &dir.join("payload"), &dir.join("t.torrent"))?;
    let metainfo = Metainfo::parse(&std::fs::read(dir.join("t.torrent"))?)?;
    let mut engine = engine()?;
    let (before, start) = (figures()?, Instant::now());
    engine.add(AddTorrent { check: CheckPolicy::Full, ..AddTorrent::new(metainfo, &dir) })?;
    let mut found = None;
    while found.is_none() {
        engine.turn(None)?;
        while let Some(event) = engine.next_event() {
            if let Event::Checked { have, total, .. } = event {
                found = Some(have == total);
            }
        }
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), figures()?.0 - before.0);
    let gib = mib as f64 / 1024.0;
    println!("checked {mib} MiB: {:.2} GiB/s, {:.2} CPU-s/GiB", gib / seconds, cpu / gib);
    std::fs::remove_dir_all(&dir)?;
    if found == Some(true) { Ok(()) } else { Err("the check missed something".into()) }
}

/// Measures what many torrents cost that wait for peers.
fn idle(count: usize) -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("idle-bench-{}", std::process::id()));
    let mut engine = engine()?;
    let torrent = |i: usize| {
        let name = format!("t{i}");
        let hashes = "x".repeat(20 * 64);
        let info = format!(
            "6:lengthi1048576e4:name{}:{name}12:piece lengthi16384e6:pieces1280:{hashes}",
            name.len()
        );
        Metainfo::parse(format!("d4:infod{info}ee").as_bytes())
    };
    let (before, start) = (figures()?, Instant::now());
    for i in 0..count {
        engine.add(AddTorrent::new(torrent(i)?, &dir))?;
    }
    let mut started = 0;
    while started < count {
        engine.turn(None)?;
        while let Some(event) = engine.next_event() {
            started += usize::from(matches!(event, Event::Started { .. }));
        }
    }
    let (seconds, loaded) = (start.elapsed().as_secs_f64(), figures()?);
    let each = (loaded.3 - before.3) * 1024.0 / count as f64;
    println!(
        "{count} torrents: loaded in {seconds:.2} s, {:.2} CPU-s, {each:.0} bytes each",
        loaded.0 - before.0
    );
    let (before, start, mut turns) = (figures()?, Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(5) {
        engine.turn(Some(Duration::from_secs(5)))?;
        turns += 1;
    }
    let core = (figures()?.0 - before.0) / start.elapsed().as_secs_f64();
    println!("waiting: {core:.3} of a core, {turns} turns in 5 s");
    let _ = std::fs::remove_dir_all(dir);
    Ok(())
}

fn engine() -> Result<Engine, Box<dyn Error>> {
    let listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    Ok(Engine::new(Settings { listen, ..Settings::default() })?)
}

/// Prints what the parent wants to know of this process.
fn report() -> Result<(), Box<dyn Error>> {
    let (cpu, user, peak, _) = figures()?;
    println!("{cpu} {user} {peak}");
    Ok(())
}

/// Processor time in all and in user mode (seconds), peak and present memory (KiB) of this process.
fn figures() -> Result<(f64, f64, f64, f64), Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may hold anything; the figures come after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    let (user, system) = (ticks(11), ticks(12));
    let status = std::fs::read_to_string("/proc/self/status")?;
    let memory = |name: &str| -> Option<f64> {
        status.lines().find_map(|line| line.strip_prefix(name))?.trim().trim_end_matches(" kB").parse().ok()
    };
    Ok((user + system, user, memory("VmHWM:").unwrap_or(0.0), memory("VmRSS:").unwrap_or(0.0)))
}

/// Writes a payload that does not repeat, and its torrent.
fn make(len: u64, piece_len: usize, path: &Path, torrent: &Path) -> Result<(), Box<dyn Error>> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut piece = vec![0; piece_len];
    let mut hashes = Vec::new();
    let mut rest = len;
    while rest > 0 {
        let n = usize::try_from(rest)?.min(piece_len);
        rng.fill(&mut piece[..n]);
        file.write_all(&piece[..n])?;
        hashes.extend_from_slice(&Sha1::digest(&piece[..n]));
        rest -= n as u64;
    }
    file.flush()?;
    let mut out =
        format!("d4:infod6:lengthi{len}e4:name7:payload12:piece lengthi{piece_len}e6:pieces").into_bytes();
    out.extend(format!("{}:", hashes.len()).bytes());
    out.extend(hashes);
    out.extend(b"ee");
    Ok(std::fs::write(torrent, out)?)
}
