//! Many torrents, some of which are fetched from or fetch.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;

use kamaelia_torrent::engine::{AddTorrent, CheckPolicy, Engine, Event, Settings};
use kamaelia_torrent::proto::metainfo::Metainfo;

use super::Outcome;
use super::many;
use super::node::{say, say_address};
use super::options::Options;

/// Loads `OF` torrents, says so and where peers can connect, and serves until the standard input ends. As seed all are
/// complete; as leech the first `N` have nothing.
pub(crate) fn run(options: &Options) -> Outcome {
    let active: usize = options.word(0, "how many are active")?.parse()?;
    let count: usize = options.word(1, "how many there are")?.parse()?;
    let dir = Path::new(options.word(2, "a folder to work in")?);
    let leech = options.is_set("leech");
    if !leech {
        many::make_files(dir, active)?;
    }
    let mut engine = Engine::new(Settings {
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        max_connections: active + 10,
        upload_slots: Some(active),
        ..Settings::default()
    })?;
    for i in 0..count {
        let metainfo = Metainfo::parse(&many::torrent(&format!("t{i}"), None))?;
        // Of an active leech nothing is there, of which a look at the folder is enough to know.
        let check = if leech && i < active { CheckPolicy::Full } else { CheckPolicy::Trust };
        engine.add(AddTorrent { check, ..AddTorrent::new(metainfo, dir) })?;
    }
    let waker = engine.waker();
    let ended = thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        waker.wake()
    });
    let (mut started, mut completed) = (0, 0);
    while !ended.is_finished() {
        engine.turn(None)?;
        while let Some(event) = engine.next_event() {
            match event {
                Event::Started { .. } => {
                    started += 1;
                    if started == count {
                        say_address(&engine);
                    }
                }
                Event::Completed { .. } => {
                    completed += 1;
                    if leech && completed == active {
                        say("\"event\":\"done\"");
                    }
                }
                Event::Failed { error, .. } => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}
