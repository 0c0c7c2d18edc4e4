//! `get` and `seed`: a session, a patron and Ctrl-C, linked.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use axon::prelude::*;
use kamaelia_torrent::components::{CreateNewTorrent, TorrentClient, TorrentPatron};
use kamaelia_torrent::engine::{CheckPolicy, Settings};
use kamaelia_torrent::torrent_file::read_torrent_bytes;
use serde_json::json;

use super::args::{Common, Get, Seed};
use super::interrupt::{Interrupt, done_or_interrupted};
use super::output::Output;
use super::session::{Report, Session, Share};
use super::{Done, Failure};

pub(crate) fn get(args: &Get) -> Done {
    let share = match (args.seed, args.seed_ratio, args.seed_time) {
        (true, ..) => Share::UntilStopped,
        (_, Some(ratio), _) => Share::Ratio(ratio),
        (_, _, Some(time)) => Share::Time(time),
        _ => Share::Not,
    };
    fs::create_dir_all(&args.common.dir).map_err(|e| folder_error(&args.common.dir, &e))?;
    let report = transfer(&args.common, share, args.sequential)?;
    if let [first, ..] = &report.failures[..] {
        return Err(Failure::Failed(first.clone()));
    }
    done_or_interrupted(report.interrupted && !report.complete)
}

pub(crate) fn seed(args: &Seed) -> Done {
    let report = transfer(&args.common, Share::UntilStopped, false)?;
    match &report.failures[..] {
        [first, ..] => Err(Failure::Failed(first.clone())),
        [] => Ok(()),
    }
}

fn folder_error(dir: &Path, e: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot use folder {}: {e}", dir.display()))
}

/// The client that a session's patron brings about.
pub(crate) fn client(settings: &Settings, dir: &Path) -> impl Fn() -> AnyInstance + 'static {
    let (settings, dir) = (settings.clone(), dir.to_path_buf());
    move || TorrentClient::with_settings(settings.clone()).dir(&dir).tick_interval(TICK).create().any()
}

/// Time between redrawings.
pub(crate) const TICK: Duration = Duration::from_millis(250);

fn transfer(common: &Common, share: Share, sequential: bool) -> Result<Report, Failure> {
    if let Ok(meta) = fs::metadata(&common.dir)
        && !meta.is_dir()
    {
        return Err(Failure::Failed(format!("{} is not a folder", common.dir.display())));
    }
    let mut requests = Vec::new();
    for path in &common.torrents {
        let bytes = read_torrent_bytes(path)?;
        let mut request = CreateNewTorrent::new(bytes);
        request.peers.clone_from(&common.peers);
        request.trackers = !common.no_trackers;
        request.check = if common.recheck { CheckPolicy::Full } else { CheckPolicy::Resume };
        request.sequential = sequential;
        requests.push((path.display().to_string(), request));
    }
    let settings =
        Settings { listen: Some(common.listen), state_dir: common.state.clone(), ..Settings::default() };
    if let Some(state) = &common.state {
        fs::create_dir_all(state).map_err(|e| folder_error(state, &e))?;
    }
    let output = Rc::new(RefCell::new(Output::new(common.json)));
    let report = Rc::new(RefCell::new(Report::default()));
    let patron = TorrentPatron::with_client(client(&settings, &common.dir));
    let session = Session { requests, share, output: output.clone(), report: report.clone() };
    let scheduler = Scheduler::new();
    join(&scheduler, session, patron)?;
    scheduler.run()?;
    let report = report.take();
    if report.interrupted && !report.complete {
        output.borrow().say("stopped; run the same command again to go on", json!({"event": "stopped"}));
    }
    Ok(report)
}

/// Links a session, its patron and Ctrl-C, and activates them.
fn join(scheduler: &Scheduler, session: Session, patron: TorrentPatron) -> Result<(), Failure> {
    let (session, patron, interrupt) = (session.create(), patron.create(), Interrupt::install()?.create());
    axon::link(&session.outbox, &patron.inbox)?;
    axon::link(&session.signal, &patron.control)?;
    axon::link(&patron.outbox, &session.inbox)?;
    axon::link(&patron.signal, &session.control)?;
    axon::link(&interrupt.outbox, &session.interrupt)?;
    axon::link(&session.finished, &interrupt.control)?;
    for part in [patron.any(), session.any(), interrupt.any()] {
        scheduler.activate(part);
    }
    Ok(())
}
