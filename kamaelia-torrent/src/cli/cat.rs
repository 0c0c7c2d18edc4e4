//! `cat`: a file of a torrent on standard output, while it is downloaded.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::rc::Rc;
use std::time::Instant;

use axon::Ipc;
use axon::prelude::*;
use clap::CommandFactory;
use kamaelia_torrent::components::{FileChoice, TorrentEvent, TorrentFileStream};
use kamaelia_torrent::engine::TorrentId;
use kamaelia_torrent::proto::metainfo::Metainfo;

use super::args::{Args, Cat};
use super::interrupt::{Interrupt, done_or_interrupted};
use super::loneliness::Loneliness;
use super::output::clean;
use super::stdout::{OUTPUT_QUEUE, StandardOutput};
use super::transfer::{client, folder_error, read_all, settings};
use super::{Done, Failure};

pub(crate) fn run(args: &Cat) -> Done {
    if args.common.json {
        let text = "--json cannot be used with cat: standard output carries the file itself";
        Args::command().error(clap::error::ErrorKind::ArgumentConflict, text).exit();
    }
    let interrupt = Interrupt::install()?;
    let wanted = read_all(&args.common, false, false)?;
    let choice = args.file.as_deref().map_or(FileChoice::default(), FileChoice::from_text);
    for torrent in &wanted {
        // Before anything is begun or written.
        Metainfo::parse(&torrent.request.raw_metainfo)
            .map_err(|e| e.to_string())
            .and_then(|metainfo| choice.find(&metainfo))
            .map_err(|e| Failure::Failed(format!("{}: {e}", torrent.label)))?;
        for note in &torrent.notes {
            eprintln!("{}: {}", clean(&torrent.label), clean(note));
        }
    }
    fs::create_dir_all(&args.common.dir).map_err(|e| folder_error(&args.common.dir, &e))?;
    let settings = settings(&args.common)?;
    let report = Rc::new(RefCell::new(Report::default()));
    let has_sources = wanted.iter().any(|torrent| torrent.has_sources);
    let stream = TorrentFileStream::new().with_client(client(&settings, &args.common.dir)).choice(choice);
    let stream = stream.create();
    for torrent in wanted {
        stream.inbox.deliver(Message::new(torrent.request))?;
    }
    stream.control.deliver(Ipc::producer_finished())?;
    let teller = Teller { has_sources, report: report.clone() }.create();
    let output = axon::threaded::Threaded::new(StandardOutput).queue_lengths(OUTPUT_QUEUE).create();
    let interrupt = interrupt.create();
    axon::link(&stream.outbox, &output.inbox)?;
    axon::link(&stream.status, &teller.inbox)?;
    axon::link(&stream.signal, &teller.control)?;
    axon::link(&interrupt.outbox, &teller.interrupt)?;
    axon::link(&output.signal, &teller.output)?;
    axon::link(&teller.stop, &stream.control)?;
    axon::link(&teller.written, &output.control)?;
    axon::link(&teller.finished, &interrupt.control)?;
    let scheduler = Scheduler::new();
    for part in [output.any(), stream.any(), teller.any(), interrupt.any()] {
        scheduler.activate(part);
    }
    // A stream that failed has said so; the others go on and write what came before.
    while let Err(e) = scheduler.run() {
        if !matches!(&e, axon::Error::Component(failure) if failure.id == stream.id()) {
            return Err(e.into());
        }
    }
    let report = report.take();
    match &report.errors[..] {
        [] => done_or_interrupted(report.interrupted),
        errors => Err(Failure::Failed(errors.join("; "))),
    }
}

/// How it went.
#[derive(Default)]
struct Report {
    errors: Vec<String>,
    interrupted: bool,
}

ports! {
    /// Boxes of a [`Teller`].
    struct TellerPorts {
        in  { /// How the torrents do.
              inbox: TorrentEvent,
              /// The end of the stream, and what went wrong.
              control: Ipc,
              /// The end of the output.
              output: Ipc,
              /// The user wants to stop.
              interrupt: () }
        out { /// Stops the stream.
              stop: Ipc,
              /// To the output: everything has been sent to it, or the rest need not be written.
              written: Ipc,
              /// Ends whoever else has to end.
              finished: Ipc,
              /// Unused.
              signal: Ipc }
    }
}

/// Says on standard error what there is to say, and decides when it is over.
struct Teller {
    has_sources: bool,
    report: Rc<RefCell<Report>>,
}

impl Component for Teller {
    type Ports = TellerPorts;

    async fn main(self, cx: Cx<TellerPorts>) {
        let mut lonely: HashMap<TorrentId, Loneliness> = HashMap::new();
        let (mut sent, mut given_up) = (false, false);
        loop {
            while let Some(event) = cx.inbox.try_recv() {
                if let TorrentEvent::TorrentStatusUpdate { torrent_id, status } = &event {
                    let follow =
                        lonely.entry(*torrent_id).or_insert_with(|| Loneliness::new(self.has_sources));
                    if let Some(reason) = follow.look(status, Instant::now()) {
                        eprintln!("{}: {}", clean(&status.name), clean(&reason));
                    }
                } else if let TorrentEvent::TrackerReport { result: Err(_), .. } = &event {
                    eprintln!("{}", clean(&event.to_string()));
                }
            }
            while let Some(message) = cx.control.try_recv() {
                match message {
                    Ipc::ErrorInformation(error) => {
                        self.report.borrow_mut().errors.extend(error.exception.clone())
                    }
                    message => sent |= message.is_producer_finished(),
                }
            }
            if cx.interrupt.try_recv().is_some() {
                self.report.borrow_mut().interrupted = true;
                let _ = cx.stop.send(Ipc::Shutdown);
            }
            // Not before the stream has ended, which would miss the receiver of what it still sends.
            if sent && !given_up {
                given_up = self.report.borrow().interrupted;
                // Nobody may ever read what is being written.
                let _ = cx.written.send(if given_up { Ipc::Shutdown } else { Ipc::producer_finished() });
            }
            let mut over = false;
            while let Some(message) = cx.output.try_recv() {
                match message {
                    Ipc::ErrorInformation(error) => {
                        self.report.borrow_mut().errors.extend(error.exception.clone());
                        let _ = cx.stop.send(Ipc::Shutdown);
                    }
                    // Nobody reads any more, as with `cat … | head`: enough has been written.
                    Ipc::Shutdown => drop(cx.stop.send(Ipc::Shutdown)),
                    message => over |= message.is_producer_finished(),
                }
            }
            if over {
                break;
            }
            cx.pause().await;
        }
        let _ = cx.finished.send(Ipc::producer_finished());
    }
}
