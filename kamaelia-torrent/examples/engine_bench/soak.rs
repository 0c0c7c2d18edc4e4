//! A long run: one engine with many torrents, of which some are downloaded again and again and one is served, while
//! peers come and go, limits change and others misbehave. Watches memory, descriptors and threads, and that the work goes on.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kamaelia_torrent::engine::{AddTorrent, CheckPolicy, Engine, Event, Settings, TorrentId};
use kamaelia_torrent::proto::limit::Limits;
use kamaelia_torrent::proto::metainfo::Metainfo;

use super::figures::{Figures, descriptors};
use super::options::Options;
use super::{Outcome, many, synthetic};

pub(crate) fn run(options: &Options) -> Outcome {
    let dir = PathBuf::from(options.word(0, "a folder to work in")?);
    let time = Duration::from_secs_f64(options.get::<f64>("minutes")?.unwrap_or(60.0) * 60.0);
    let idle = options.get::<usize>("torrents")?.unwrap_or(1000);
    let out = options.get::<PathBuf>("out")?.unwrap_or_else(|| dir.join("soak.csv"));
    std::fs::create_dir_all(&dir)?;
    let mut soak = Soak::new(&dir, idle)?;
    let mut csv = BufWriter::new(File::create(&out)?);
    writeln!(csv, "seconds,resident_kib,descriptors,threads,downloaded,uploaded,rounds,hostile_cut")?;
    let start = Instant::now();
    let step = (time / SAMPLES).max(Duration::from_secs(1));
    let mut samples: Vec<Sample> = Vec::new();
    while start.elapsed() < time {
        soak.go_on(step)?;
        let sample = soak.sample(start.elapsed())?;
        writeln!(csv, "{sample}")?;
        csv.flush()?;
        samples.push(sample);
    }
    soak.end()?;
    let verdict = judge(&samples, step);
    let said = match &verdict {
        Ok(said) => *said,
        Err(reason) => reason,
    };
    let last = samples.last().ok_or("no sample: --minutes is too short")?;
    println!(
        "{{\"minutes\":{:.1},\"rounds\":{},\"downloaded\":{},\"uploaded\":{},\"resident_kib\":{},\"verdict\":\"{}\"}}",
        last.at.as_secs_f64() / 60.0,
        last.rounds,
        last.downloaded,
        last.uploaded,
        last.resident,
        said,
    );
    verdict.map(drop).map_err(Into::into)
}

struct Soak {
    dir: PathBuf,
    engine: Engine,
    addr: SocketAddr,
    downloads: Vec<Download>,
    served: TorrentId,
    fetchers: Crowd,
    hostile: Crowd,
    /// Payload of torrents that were removed.
    before: (u64, u64),
    rounds: u64,
    cut: u64,
    changed: Instant,
    /// How often they were changed.
    step: u64,
}

/// A torrent that is downloaded again as soon as it is complete.
struct Download {
    metainfo: Metainfo,
    torrent: PathBuf,
    dir: PathBuf,
    id: TorrentId,
    crowd: Option<Crowd>,
}

#[derive(Copy, Clone)]
struct Sample {
    at: Duration,
    resident: u64,
    descriptors: u64,
    threads: u64,
    downloaded: u64,
    uploaded: u64,
    rounds: u64,
    cut: u64,
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = self.at.as_secs_f64();
        write!(f, "{s:.1},{},{},{},", self.resident, self.descriptors, self.threads)?;
        write!(f, "{},{},{},{}", self.downloaded, self.uploaded, self.rounds, self.cut)
    }
}

impl Soak {
    fn new(dir: &Path, idle: usize) -> Outcome<Soak> {
        let mut engine = Engine::new(Settings {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            state_dir: Some(dir.join("state")),
            ..Settings::default()
        })?;
        let addr = engine.local_addr().ok_or("no address")?;
        for i in 0..idle {
            let metainfo = Metainfo::parse(&many::torrent(&format!("idle{i}"), None))?;
            engine.add(AddTorrent { check: CheckPolicy::Trust, ..AddTorrent::new(metainfo, dir) })?;
        }
        let (torrent, metainfo) = write_torrent(dir, "served")?;
        synthetic::store(&dir.join("data"), "served", TOTAL, PIECE_LEN)?;
        let add = AddTorrent::new(metainfo, dir.join("data"));
        let served = engine.add(AddTorrent { check: CheckPolicy::Trust, ..add })?;
        // Who calls before is turned away and does not call again.
        wait_started(&mut engine, served)?;
        let fetchers = Crowd::start(&torrent, addr, 20, "127.81", &["--fetch", "1000000000000000"])?;
        let mut downloads = Vec::new();
        for name in ["first", "second"] {
            let (torrent, metainfo) = write_torrent(dir, name)?;
            let dir = dir.join(name);
            let id = engine.add(AddTorrent::new(metainfo.clone(), &dir))?;
            downloads.push(Download { metainfo, torrent, dir, id, crowd: None });
        }
        let hostile = Crowd::start(&downloads[0].torrent, addr, 8, "127.83", &["--hostile"])?;
        Ok(Soak {
            dir: dir.to_path_buf(),
            engine,
            addr,
            downloads,
            served,
            fetchers,
            hostile,
            before: (0, 0),
            rounds: 0,
            cut: 0,
            changed: Instant::now(),
            step: 0,
        })
    }

    fn go_on(&mut self, time: Duration) -> Outcome {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.engine.turn(Some(left.min(Duration::from_secs(1))))?;
            while let Some(event) = self.engine.next_event() {
                self.take(event)?;
            }
            if self.changed.elapsed() > TURNOVER {
                self.turn_over()?;
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Outcome {
        match event {
            Event::Started { id } => {
                let net = format!("127.{}", 85 + self.rounds % 10);
                if let Some(download) = self.downloads.iter_mut().find(|d| d.id == id) {
                    let more: &[&str] = if self.rounds.is_multiple_of(2) { &["--all-have-all"] } else { &[] };
                    download.crowd = Some(Crowd::start(&download.torrent, self.addr, 15, &net, more)?);
                }
            }
            Event::Completed { id } => {
                if let Some(status) = self.engine.status(id) {
                    self.before.0 += status.downloaded;
                    self.before.1 += status.uploaded;
                }
                self.engine.remove(id);
            }
            Event::Stopped { id } => {
                if let Some(download) = self.downloads.iter_mut().find(|d| d.id == id) {
                    download.crowd = None;
                    std::fs::remove_dir_all(&download.dir)?;
                    download.id =
                        self.engine.add(AddTorrent::new(download.metainfo.clone(), &download.dir))?;
                    self.rounds += 1;
                }
            }
            Event::PeerGone { .. } => self.cut += 1,
            Event::Failed { id, error } => return Err(format!("torrent {id}: {error}").into()),
            _ => {}
        }
        Ok(())
    }

    /// Other fetching peers take the place of those that are there, and other hostile ones.
    fn turn_over(&mut self) -> Outcome {
        self.changed = Instant::now();
        self.change_limits()?;
        let n = 5 + (self.cut % 30) as usize;
        let torrent = self.dir.join("served.torrent");
        let fetch = ["--fetch", "1000000000000000"];
        self.fetchers = Crowd::start(&torrent, self.addr, n, "127.81", &fetch)?;
        let torrent = self.downloads[n % 2].torrent.clone();
        // From new addresses, for the old ones are banned: what is known of them must not pile up either.
        let net = format!("127.{}", 100 + self.step % 100);
        self.hostile = Crowd::start(&torrent, self.addr, 8, &net, &["--hostile"])?;
        Ok(())
    }

    /// No limit, one for all, one for one torrent, and again.
    fn change_limits(&mut self) -> Outcome {
        let limits = |rate: u64| Limits { down: NonZeroU64::new(rate), up: NonZeroU64::new(rate) };
        self.step += 1;
        let (all, one) = match self.step % 3 {
            0 => (limits(0), limits(0)),
            1 => (limits(200 << 20), limits(0)),
            _ => (limits(0), limits(20 << 20)),
        };
        self.engine.set_limits(None, all)?;
        Ok(self.engine.set_limits(Some(self.served), one)?)
    }

    fn sample(&self, at: Duration) -> Outcome<Sample> {
        let figures = Figures::now()?;
        let (mut downloaded, mut uploaded) = self.before;
        for id in self.downloads.iter().map(|d| d.id).chain([self.served]) {
            if let Some(status) = self.engine.status(id) {
                downloaded += status.downloaded;
                uploaded += status.uploaded;
            }
        }
        Ok(Sample {
            at,
            resident: figures.resident,
            descriptors: descriptors(),
            threads: figures.threads,
            downloaded,
            uploaded,
            rounds: self.rounds,
            cut: self.cut,
        })
    }

    fn end(mut self) -> Outcome {
        self.engine.stop();
        while !self.engine.is_stopped() {
            self.engine.turn(Some(Duration::from_secs(1)))?;
            while self.engine.next_event().is_some() {}
        }
        Ok(())
    }
}

/// A crowd as a process of its own, ended with this value, so that its memory is not counted as ours.
struct Crowd(Child);

impl Crowd {
    fn start(torrent: &Path, addr: SocketAddr, peers: usize, net: &str, more: &[&str]) -> Outcome<Crowd> {
        let child = Command::new(std::env::current_exe()?)
            .arg("crowd")
            .arg(torrent)
            .args(["--peers", &peers.to_string(), "--dial", &addr.to_string(), "--net", net])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Crowd(child))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write_torrent(dir: &Path, name: &str) -> Outcome<(PathBuf, Metainfo)> {
    let bytes = synthetic::torrent(name, TOTAL, PIECE_LEN);
    let path = dir.join(format!("{name}.torrent"));
    std::fs::write(&path, &bytes)?;
    Ok((path, Metainfo::parse(&bytes)?))
}

/// One of the figures of a sample.
type Figure = fn(&Sample) -> u64;

fn wait_started(engine: &mut Engine, torrent: TorrentId) -> Outcome {
    loop {
        engine.turn(Some(Duration::from_secs(1)))?;
        while let Some(event) = engine.next_event() {
            match event {
                Event::Started { id } if id == torrent => return Ok(()),
                Event::Failed { id, error } => return Err(format!("torrent {id}: {error}").into()),
                _ => {}
            }
        }
    }
}

/// Looks whether the work went on all the time and, after a long run, whether anything grew.
fn judge(samples: &[Sample], step: Duration) -> Result<&'static str, String> {
    let in_a_stall = STALL.div_duration_f64(step).ceil() as usize;
    for window in samples.windows(in_a_stall + 1) {
        let (then, now) = (&window[0], &window[in_a_stall]);
        let at = now.at.as_secs();
        if now.downloaded == then.downloaded {
            return Err(format!("no download went on before second {at}"));
        }
        if now.uploaded == then.uploaded {
            return Err(format!("no upload went on before second {at}"));
        }
    }
    // A quarter of a shorter run sees too few of the crowds, of which some are large and some small.
    if samples.last().is_none_or(|last| last.at < TURNOVER * 40) {
        return Ok("went on");
    }
    judge_growth(samples).map(|()| "flat")
}

/// Compares the second quarter of the run with the last: what is in use has levelled off by then.
fn judge_growth(samples: &[Sample]) -> Result<(), String> {
    let quarter = samples.len() / 4;
    let (early, late) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    let middle = |part: &[Sample], of: Figure| {
        let mut values: Vec<u64> = part.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    let checks: [(&str, Figure, u64); 3] = [
        ("resident memory, KiB", |s| s.resident, 2048),
        ("descriptors", |s| s.descriptors, 16),
        ("threads", |s| s.threads, 0),
    ];
    for (what, of, slack) in checks {
        let (before, after) = (middle(early, of), middle(late, of));
        if after > before + (before / 20).max(slack) {
            return Err(format!("{what} grew from {before} to {after}"));
        }
    }
    Ok(())
}

const TOTAL: u64 = 256 << 20;
const PIECE_LEN: usize = 256 * 1024;
/// How many times a run is looked at.
const SAMPLES: u32 = 360;
/// Time in which something must have been received and something sent.
const STALL: Duration = Duration::from_secs(10);
/// How often peers are exchanged.
const TURNOVER: Duration = Duration::from_secs(15);
