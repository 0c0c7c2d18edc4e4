//! `get` and `seed`: a session, a patron and Ctrl-C, linked.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use axon::prelude::*;
use kamaelia_torrent::components::{CreateNewTorrent, TorrentClient, TorrentPatron};
use kamaelia_torrent::disk::Allocation;
use kamaelia_torrent::engine::{CheckPolicy, Settings, StopRule};
use kamaelia_torrent::proto::announce::{is_supported, redact};
use kamaelia_torrent::proto::metainfo::Metainfo;
use kamaelia_torrent::proto::selection::Priority;
use kamaelia_torrent::torrent_file::{TorrentFileError, read_torrent_bytes};
use serde_json::json;

use super::args::{AllocationArg, Common, Enough, Get, Seed};
use super::files::FileList;
use super::interrupt::{Interrupt, done_or_interrupted};
use super::output::Output;
use super::session::{Report, Session, Share, Wanted};
use super::{Done, Failure};

pub(crate) fn get(args: &Get) -> Done {
    let rule = rule(&args.enough);
    let share = match (args.seed, rule.is_empty()) {
        (true, _) => Share::UntilStopped,
        (false, false) => Share::Enough(rule),
        (false, true) => Share::Not,
    };
    let interrupt = Interrupt::install()?;
    let mut wanted = read_all(&args.common, args.sequential, true)?;
    if let Some(dir) = &args.move_on_complete {
        // Better now than after the download.
        fs::create_dir_all(dir).map_err(|e| folder_error(dir, &e))?;
        wanted.iter_mut().for_each(|w| w.request.move_on_complete = Some(dir.clone()));
    }
    fs::create_dir_all(&args.common.dir).map_err(|e| folder_error(&args.common.dir, &e))?;
    let report = transfer(&args.common, wanted, share, interrupt)?;
    match &report.failures[..] {
        [] => done_or_interrupted(report.interrupted && !report.complete),
        _ => Err(Failure::Told),
    }
}

pub(crate) fn seed(args: &Seed) -> Done {
    let interrupt = Interrupt::install()?;
    let wanted = read_all(&args.common, false, false)?;
    // Making the folder, as `get` does, would hide a misspelt one.
    fs::read_dir(&args.common.dir).map_err(|e| folder_error(&args.common.dir, &e))?;
    let rule = rule(&args.enough);
    let share = if rule.is_empty() { Share::UntilStopped } else { Share::Enough(rule) };
    let report = transfer(&args.common, wanted, share, interrupt)?;
    if report.failures.is_empty() { Ok(()) } else { Err(Failure::Told) }
}

fn rule(enough: &Enough) -> StopRule {
    StopRule { ratio: enough.seed_ratio, time: enough.seed_time, idle: enough.seed_idle }
}

/// A folder that cannot be used, with the plain reason where the system's is a riddle ("file exists").
pub(crate) fn folder_error(dir: &Path, e: &io::Error) -> Failure {
    if fs::metadata(dir).is_ok_and(|meta| !meta.is_dir()) {
        return Failure::Failed(format!("{} is not a folder", dir.display()));
    }
    Failure::Failed(format!("cannot use folder {}: {e}", dir.display()))
}

/// The client that a session's patron brings about.
pub(crate) fn client(settings: &Settings, dir: &Path) -> impl Fn() -> AnyInstance + 'static {
    let (settings, dir) = (settings.clone(), dir.to_path_buf());
    move || TorrentClient::with_settings(settings.clone()).dir(&dir).tick_interval(TICK).create().any()
}

/// Time between redrawings.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// Reads every torrent before anything is begun: a misspelt name shows at once, and nothing is written for it.
pub(crate) fn read_all(common: &Common, sequential: bool, all_files: bool) -> Result<Vec<Wanted>, Failure> {
    common.torrents.iter().map(|path| read(path, common, sequential, all_files)).collect()
}

/// Says what to do with what is no file, instead of that there is no such file.
pub(crate) fn refuse_links(path: &Path) -> Done {
    let text = path.to_string_lossy();
    if text.starts_with("magnet:") {
        return Err(Failure::Failed(format!("{text}: magnet links are not understood; a .torrent file is")));
    }
    if text.contains("://") {
        return Err(Failure::Failed(format!("{text} is a URL; fetch the .torrent file first and name that")));
    }
    Ok(())
}

fn read(path: &Path, common: &Common, sequential: bool, all_files: bool) -> Result<Wanted, Failure> {
    refuse_links(path)?;
    let bytes = read_torrent_bytes(path)?;
    let metainfo = Metainfo::parse(&bytes)
        .map_err(|source| TorrentFileError::Metainfo { path: path.to_owned(), source })?;
    let mut request = CreateNewTorrent::new(bytes);
    request.peers.clone_from(&common.peers);
    request.trackers = !common.no_trackers;
    request.check = if common.recheck { CheckPolicy::Full } else { CheckPolicy::Resume };
    request.sequential = sequential;
    if !common.files.is_empty() {
        let select = FileList::apply(&common.files, &metainfo);
        request.priorities = select.map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))?;
    } else if all_files {
        // Not what an earlier run may have left out.
        request.priorities = vec![Priority::NORMAL; metainfo.files().len()];
    }
    let (mut asks_trackers, mut notes) = (false, Vec::new());
    for url in metainfo.trackers().iter().flatten().filter(|_| request.trackers) {
        if is_supported(url) {
            asks_trackers = true;
        } else {
            notes.push(format!("tracker {} is not asked: only http and https are spoken", redact(url)));
        }
    }
    Ok(Wanted {
        label: path.display().to_string(),
        name: metainfo.name().to_owned(),
        info_hash: metainfo.info_hash(),
        has_sources: asks_trackers || !common.peers.is_empty(),
        notes,
        request,
    })
}

/// What the client is told at the start. Makes the folder for its records.
pub(crate) fn settings(common: &Common) -> Result<Settings, Failure> {
    if let Some(state) = &common.state {
        fs::create_dir_all(state).map_err(|e| folder_error(state, &e))?;
    }
    let mut settings = Settings {
        listen: Some(common.listen),
        state_dir: common.state.clone(),
        allocation: match common.allocation {
            AllocationArg::Sparse => Allocation::Sparse,
            AllocationArg::Full => Allocation::Full,
        },
        active_downloads: common.max_active,
        active_seeds: common.max_active,
        ..Settings::default()
    };
    common.limits.apply(&mut settings);
    Ok(settings)
}

fn transfer(
    common: &Common,
    wanted: Vec<Wanted>,
    share: Share,
    interrupt: Interrupt,
) -> Result<Report, Failure> {
    let stop_rule = if let Share::Enough(rule) = share { rule } else { StopRule::default() };
    let settings = Settings { stop_rule, ..settings(common)? };
    let output = Rc::new(RefCell::new(Output::new(common.json)));
    let report = Rc::new(RefCell::new(Report::default()));
    let patron = TorrentPatron::with_client(client(&settings, &common.dir));
    let restore = common.state.clone().filter(|_| common.torrents.is_empty());
    let session = Session { wanted, restore, share, output: output.clone(), report: report.clone() };
    let scheduler = Scheduler::new();
    join(&scheduler, session, patron, interrupt)?;
    scheduler.run()?;
    let report = report.take();
    if report.interrupted && !report.complete {
        output.borrow().say("stopped; run the same command again to go on", json!({"event": "stopped"}));
    }
    Ok(report)
}

/// Links a session, its patron and Ctrl-C, and activates them.
fn join(
    scheduler: &Scheduler,
    session: Session,
    patron: TorrentPatron,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    let (session, patron, interrupt) = (session.create(), patron.create(), interrupt.create());
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
