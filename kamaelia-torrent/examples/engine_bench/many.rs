//! Many torrents of which nobody wants anything.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use kamaelia_torrent::engine::{AddTorrent, CheckPolicy, Engine, Event, Settings};
use kamaelia_torrent::proto::metainfo::Metainfo;
use sha1::{Digest, Sha1};

use super::Outcome;
use super::figures::Figures;
use super::options::Options;

const LEN: u64 = 1 << 20;
const PIECE_LEN: u64 = 16 * 1024;

pub(crate) fn run(options: &Options) -> Outcome {
    let count: usize = options.word(0, "how many torrents")?.parse()?;
    let dir = Path::new(options.word(1, "a folder to work in")?);
    let idle = Duration::from_secs_f64(options.get("idle")?.unwrap_or(5.0));
    let restart = options.is_set("restart");
    let settings = Settings { state_dir: Some(dir.join("state")), ..Settings::default() };
    let tracker = options.get::<String>("tracker")?;
    let torrents: Vec<Vec<u8>> = (0..count).map(|i| torrent(&format!("t{i}"), tracker.as_deref())).collect();
    let addresses = options.get("addresses")?.unwrap_or(0);
    if restart {
        make_files(dir, count)?;
        // The first run leaves records behind; it hashes nothing but holes.
        let mut engine = Engine::new(settings.clone())?;
        load(&mut engine, &torrents, dir, CheckPolicy::Resume, 0)?;
        stop(&mut engine)?;
    }
    let mut engine = Engine::new(settings)?;
    let (before, start) = (Figures::now()?, Instant::now());
    let policy = if restart { CheckPolicy::Resume } else { CheckPolicy::Trust };
    load(&mut engine, &torrents, dir, policy, addresses)?;
    let (seconds, loaded) = (start.elapsed().as_secs_f64(), Figures::now()?);
    let (before_idle, start, mut turns) = (loaded, Instant::now(), 0u64);
    while let Some(left) = idle.checked_sub(start.elapsed()) {
        engine.turn(Some(left))?;
        while engine.next_event().is_some() {}
        turns += 1;
    }
    let rested = Figures::now()?;
    let core = (rested.cpu - before_idle.cpu) / start.elapsed().as_secs_f64();
    let start = Instant::now();
    stop(&mut engine)?;
    println!(
        "{{\"torrents\":{count},\"load_seconds\":{seconds:.4},\"load_cpu\":{:.3},\"grown_kib\":{},\"rested_kib\":{},\
         \"hash_bytes\":{},\"idle_core\":{core:.5},\"turns\":{turns},\"stop_seconds\":{:.3}}}",
        loaded.cpu - before.cpu,
        loaded.resident.saturating_sub(before.resident),
        rested.resident.saturating_sub(before.resident),
        LEN / PIECE_LEN * 20,
        start.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// A torrent of one small file of zeros.
pub(crate) fn torrent(name: &str, tracker: Option<&str>) -> Vec<u8> {
    let hash: [u8; 20] = Sha1::digest([0; PIECE_LEN as usize]).into();
    let hashes = hash.repeat((LEN / PIECE_LEN) as usize);
    let announce = tracker.map_or(String::new(), |url| format!("8:announce{}:{url}", url.len()));
    let mut bytes = format!(
        "d{announce}4:infod6:lengthi{LEN}e4:name{}:{name}12:piece lengthi{PIECE_LEN}e6:pieces{}:",
        name.len(),
        hashes.len()
    )
    .into_bytes();
    bytes.extend(hashes);
    bytes.extend(b"ee");
    bytes
}

/// The payload: files that are one hole each.
pub(crate) fn make_files(dir: &Path, count: usize) -> Outcome {
    std::fs::create_dir_all(dir)?;
    for i in 0..count {
        std::fs::File::create(dir.join(format!("t{i}")))?.set_len(LEN)?;
    }
    Ok(())
}

/// Adds torrents, each with some addresses at which nobody listens, and waits until all have started.
fn load(
    engine: &mut Engine,
    torrents: &[Vec<u8>],
    dir: &Path,
    check: CheckPolicy,
    addresses: usize,
) -> Outcome {
    for bytes in torrents {
        let address = |i: usize| SocketAddr::from(([127, 200, (i / 250) as u8, 1 + (i % 250) as u8], 9));
        let peers = (0..addresses).map(address).collect();
        engine.add(AddTorrent { check, peers, ..AddTorrent::new(Metainfo::parse(bytes)?, dir) })?;
    }
    let mut started = 0;
    while started < torrents.len() {
        engine.turn(None)?;
        while let Some(event) = engine.next_event() {
            match event {
                Event::Started { .. } => started += 1,
                Event::Failed { error, .. } => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

pub(crate) fn stop(engine: &mut Engine) -> Outcome {
    engine.stop();
    while !engine.is_stopped() {
        engine.turn(None)?;
        while engine.next_event().is_some() {}
    }
    Ok(())
}
