//! `demo`: the main job with nothing from outside. A tracker, a seeding and a downloading patron, each with a client of
//! its own, in one process, over loopback.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use axon::introspect::Snapshot;
use axon::prelude::*;
use axon::tracker::Tracker as Names;
use kamaelia_torrent::check::Checker;
use kamaelia_torrent::components::tracker::TrackerServer;
use kamaelia_torrent::components::{CreateNewTorrent, TorrentEvent, TorrentPatron};
use kamaelia_torrent::engine::Settings;
use kamaelia_torrent::make::{Made, MakeError, Maker};
use serde_json::json;

use super::args::Demo;
use super::interrupt::Interrupt;
use super::output::Output;
use super::session::{Report, Session, Share, Wanted};
use super::transfer::client;
use super::units::{bytes, duration};
use super::{Done, Failure, graph};

pub(crate) fn run(args: &Demo) -> Done {
    let start = Instant::now();
    let interrupt = Interrupt::install()?;
    let scratch = match &args.dir {
        Some(dir) => Scratch { dir: dir.clone(), keep: true },
        None => Scratch { dir: fresh_folder(&std::env::temp_dir())?, keep: false },
    };
    let (seed_dir, get_dir) = (scratch.dir.join("seed"), scratch.dir.join("download"));
    for dir in [&seed_dir, &get_dir] {
        fs::create_dir_all(dir).map_err(|e| in_folder(dir, &e))?;
    }
    let output = Rc::new(RefCell::new(Output::new(args.json)));
    let dir = scratch.dir.display().to_string();
    output.borrow().say(
        &format!("making a payload of {} in {dir}", bytes(args.size)),
        json!({"event": "making", "total": args.size, "dir": dir}),
    );
    let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let server = TrackerServer::bind(loopback)
        .map_err(|e| Failure::Failed(format!("cannot listen on {loopback}: {e}")))?;
    let made = make_torrent(
        &seed_dir,
        &scratch.dir,
        args.size,
        &format!("http://{}/announce", server.local_addr()),
        &interrupt,
    )?;
    let m = &made.metainfo;
    let (hash, pieces) = (m.info_hash().to_string(), m.geometry().piece_count());
    output.borrow().say(
        &format!("made {} of {}, {pieces} pieces, info hash {hash}", m.name(), bytes(args.size)),
        json!({"event": "made", "name": m.name(), "total": args.size, "pieces": pieces, "info_hash": hash}),
    );

    let settings = Settings { listen: Some(loopback), ..Settings::default() };
    let patron = |dir: &Path| {
        let patron = TorrentPatron::with_client(client(&settings, dir)).create();
        // Each with a register of its own, so that the two do not find, and share, one client.
        patron.set_tracker(Names::new());
        patron
    };
    let (seeder, leech) = (patron(&seed_dir), patron(&get_dir));
    let report = Rc::new(RefCell::new(Report::default()));
    let session = Session {
        restore: None,
        wanted: vec![Wanted {
            label: m.name().to_string(),
            name: m.name().to_string(),
            info_hash: m.info_hash(),
            has_sources: true,
            notes: Vec::new(),
            request: CreateNewTorrent::new(made.bytes.clone()),
        }],
        share: Share::Not,
        output: output.clone(),
        report: report.clone(),
    };
    let graph = Rc::new(RefCell::new(String::new()));
    let host = Host { graph: graph.clone(), output: output.clone(), report: report.clone() };
    let (session, host, server, interrupt) =
        (session.create(), host.create(), server.create(), interrupt.create());
    axon::link(&session.outbox, &leech.inbox)?;
    axon::link(&session.signal, &leech.control)?;
    axon::link(&leech.outbox, &session.inbox)?;
    axon::link(&leech.signal, &session.control)?;
    axon::link(&interrupt.outbox, &session.interrupt)?;
    axon::link(&session.finished, &host.control)?;
    axon::link(&host.session, &session.interrupt)?;
    axon::link(&host.seeder, &seeder.control)?;
    axon::link(&host.server, &server.control)?;
    axon::link(&host.interrupt, &interrupt.control)?;
    axon::link(&seeder.outbox, &host.inbox)?;
    seeder.inbox.deliver(Message::new(made.bytes.clone()))?;
    let scheduler = Scheduler::new();
    for part in [server.any(), seeder.any(), host.any(), leech.any(), session.any(), interrupt.any()] {
        scheduler.activate(part);
    }
    scheduler.run()?;

    let report = report.take();
    if !report.failures.is_empty() {
        return Err(Failure::Told);
    }
    if report.interrupted && !report.complete {
        return Err(Failure::Interrupted);
    }
    let verified = Checker::new(m, &get_dir).run(|_| ())?;
    if !verified.is_complete() {
        return Err(Failure::Failed(format!("{} differs from what was seeded", get_dir.display())));
    }
    let graph = graph.take();
    output.borrow().say(&graph, json!({"event": "graph", "text": graph}));
    let took = start.elapsed();
    output.borrow().say(
        &format!(
            "verified: {} of {pieces} pieces are right; {} in all",
            verified.have.count(),
            duration(took)
        ),
        json!({"event": "verified", "pieces": pieces, "seconds": took.as_secs_f64()}),
    );
    drop(scratch);
    Ok(())
}

ports! {
    /// Boxes of a [`Host`].
    struct HostPorts {
        in  { inbox: TorrentEvent, control: Ipc }
        out { seeder: Ipc, server: Ipc, interrupt: Ipc, session: () }
    }
}

/// Hears the seeding patron, and ends the others when the session is over.
struct Host {
    graph: Rc<RefCell<String>>,
    output: Rc<RefCell<Output>>,
    report: Rc<RefCell<Report>>,
}

impl Component for Host {
    type Ports = HostPorts;

    async fn main(self, cx: Cx<HostPorts>) {
        loop {
            let mut news = false;
            while let Some(event) = cx.inbox.try_recv() {
                news = true;
                if let TorrentEvent::TorrentStartFail(fail) = event {
                    // Without it the download would wait for ever.
                    let text = format!("the seeding patron: {}", fail.reason);
                    self.output.borrow().complain(&text, &json!({"event": "error", "error": text}));
                    self.report.borrow_mut().failures.push(text);
                    let _ = cx.session.send(());
                }
            }
            if news {
                // While everything runs, so that everything is in the picture.
                *self.graph.borrow_mut() = graph::text(&Snapshot::from_within(&cx));
            }
            if cx.control.try_recv().is_some() {
                let _ = cx.seeder.send(Ipc::Shutdown);
                let _ = cx.server.send(Ipc::shutdown_microprocess());
                let _ = cx.interrupt.send(Ipc::shutdown_microprocess());
                return;
            }
            cx.pause().await;
        }
    }
}

/// The folder of a run; removed at its end, however that comes, unless the user named it.
struct Scratch {
    dir: PathBuf,
    keep: bool,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep
            && let Err(e) = fs::remove_dir_all(&self.dir)
        {
            log::warn!("cannot remove {}: {e}", self.dir.display());
        }
    }
}

/// Writes a payload that nobody has seen before, and makes its torrent.
fn make_torrent(
    seed_dir: &Path,
    dir: &Path,
    size: u64,
    announce: &str,
    interrupt: &Interrupt,
) -> Result<Made, Failure> {
    let payload = seed_dir.join("payload.bin");
    if !write_payload(&payload, size, interrupt).map_err(|e| in_folder(&payload, &e))? {
        return Err(Failure::Interrupted);
    }
    let made = Maker::new(&payload)
        .tracker_tier([announce])
        .make(|_| if interrupt.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
    let made = match made {
        Err(MakeError::Cancelled) => return Err(Failure::Interrupted),
        other => other?,
    };
    let torrent = dir.join("payload.torrent");
    fs::write(&torrent, &made.bytes).map_err(|e| in_folder(&torrent, &e))?;
    Ok(made)
}

/// Writes noise; false if the user stopped it.
fn write_payload(path: &Path, size: u64, interrupt: &Interrupt) -> std::io::Result<bool> {
    let mut rng = fastrand::Rng::new();
    let mut file = BufWriter::new(File::create(path)?);
    let mut block = vec![0; 64 * 1024];
    let mut left = size;
    while left > 0 {
        if interrupt.asked() {
            return Ok(false);
        }
        rng.fill(&mut block);
        let n = left.min(block.len() as u64) as usize;
        file.write_all(&block[..n])?;
        left -= n as u64;
    }
    file.flush()?;
    Ok(true)
}

/// Makes a folder that was not there before: in a temporary folder that all share, a name that can be guessed could be
/// somebody else's link.
fn fresh_folder(parent: &Path) -> Result<PathBuf, Failure> {
    let mut tries = 0;
    loop {
        let dir = parent.join(format!("kamaelia-demo-{:016x}", fastrand::u64(..)));
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tries < 16 => tries += 1,
            Err(e) => return Err(in_folder(&dir, &e)),
        }
    }
}

fn in_folder(path: &Path, e: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot use {}: {e}", path.display()))
}
