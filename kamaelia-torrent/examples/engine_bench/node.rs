//! One engine with settings that the program does not offer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use kamaelia_torrent::disk::{DiskHook, HookedAccess};
use kamaelia_torrent::engine::{AddTorrent, CheckPolicy, Engine, Event, Settings};
use kamaelia_torrent::proto::metainfo::Metainfo;

use super::Outcome;
use super::figures::Figures;
use super::options::Options;

/// Downloads until everything is there, or as much as was asked for, and says what it took.
pub(crate) fn leech(options: &Options) -> Outcome {
    let mut engine = engine(options)?;
    say_address(&engine);
    let (before, start) = (Figures::now()?, Instant::now());
    let metainfo = metainfo(options)?;
    let (parsed, geometry) = (start.elapsed(), metainfo.geometry());
    let peers = options.get::<SocketAddr>("peer")?.into_iter().collect();
    let add = AddTorrent {
        peers,
        check: CheckPolicy::Full,
        ..AddTorrent::new(metainfo, options.word(1, "a folder")?)
    };
    let id = engine.add(add)?;
    let stop_after = options.get::<u64>("stop-after")?.unwrap_or(u64::MAX);
    let (mut pieces, mut first) = (0u64, None);
    let mut last = Instant::now();
    while last.elapsed() < QUIET {
        engine.turn(Some(QUIET))?;
        while let Some(event) = engine.next_event() {
            last = Instant::now();
            match event {
                Event::Started { .. } => {
                    let now = Figures::now()?;
                    say(&format!(
                        "\"event\":\"started\",\"parse\":{:.4},\"seconds\":{:.4},\"cpu\":{:.3},\"grown_kib\":{}",
                        parsed.as_secs_f64(),
                        start.elapsed().as_secs_f64(),
                        now.cpu - before.cpu,
                        now.resident.saturating_sub(before.resident),
                    ));
                }
                Event::PieceVerified { .. } => {
                    pieces += 1;
                    first.get_or_insert((Instant::now(), Figures::now()?));
                }
                Event::Failed { error, .. } => return Err(error.into()),
                _ => {}
            }
        }
        let got = pieces * u64::from(geometry.piece_len());
        let complete = engine.status(id).is_some_and(|status| status.left == 0);
        if complete || got >= stop_after {
            let (first, early) = first.unwrap_or((start, before));
            let now = Figures::now()?;
            say(&format!(
                "\"event\":\"done\",\"bytes\":{got},\"seconds\":{:.4},\"cpu\":{:.3},\"peak_kib\":{}",
                first.elapsed().as_secs_f64(),
                now.cpu - early.cpu,
                now.peak,
            ));
            return Ok(());
        }
    }
    Err(format!("nothing happened for {} s", QUIET.as_secs()).into())
}

/// Serves until the standard input ends.
pub(crate) fn seed(options: &Options) -> Outcome {
    let mut engine = engine(options)?;
    let add = AddTorrent::new(metainfo(options)?, options.word(1, "a folder")?);
    engine.add(AddTorrent { check: CheckPolicy::Trust, ..add })?;
    say_address(&engine);
    let waker = engine.waker();
    let ended = thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        waker.wake()
    });
    while !ended.is_finished() {
        engine.turn(None)?;
        while engine.next_event().is_some() {}
    }
    Ok(())
}

fn engine(options: &Options) -> Outcome<Engine> {
    let listen = options.get("listen")?.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let peers = options.get("max-peers")?.unwrap_or(100);
    let time = |name| -> Outcome<Duration> {
        Ok(Duration::from_secs_f64(options.get::<f64>(name)?.unwrap_or(0.0) / 1000.0))
    };
    let (read, write) = (time("read-ms")?, time("write-ms")?);
    let hook = DiskHook::new(move |access, _| {
        thread::sleep(if access == HookedAccess::Read { read } else { write });
        Ok(())
    });
    Ok(Engine::new(Settings {
        listen: Some(listen),
        max_connections: peers * 2,
        max_peers_per_torrent: peers,
        disk_hook: (read + write > Duration::ZERO).then_some(hook),
        ..Settings::default()
    })?)
}

fn metainfo(options: &Options) -> Outcome<Metainfo> {
    Ok(Metainfo::parse(&std::fs::read(options.word(0, "a .torrent file")?)?)?)
}

pub(crate) fn say_address(engine: &Engine) {
    let address = engine.local_addr().map_or(String::new(), |addr| addr.to_string());
    say(&format!("\"event\":\"listening\",\"address\":\"{address}\""));
}

pub(crate) fn say(fields: &str) {
    println!("{{{fields}}}");
    // Somebody waits for the line.
    let _ = std::io::stdout().flush();
}

/// How long nothing may happen.
const QUIET: Duration = Duration::from_secs(60);
