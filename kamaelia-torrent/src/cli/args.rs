//! What can be written on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

use super::files::FileList;
use super::limits::LimitArgs;
use super::units::{parse_bytes, parse_duration};

/// BitTorrent as Kamaelia components.
#[derive(Parser, Debug)]
#[command(
    name = "kamaelia-torrent",
    version,
    about,
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted before it was done."
)]
pub(crate) struct Args {
    /// Say more on standard error; twice: even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Seed and download a made-up torrent within this process, over loopback, and verify it
    Demo(Demo),
    /// Download torrents; run it again to go on after an interruption
    #[command(after_long_help = JSON_EVENTS)]
    Get(Get),
    /// Check what is there and share it until stopped
    #[command(after_long_help = JSON_EVENTS)]
    Seed(Seed),
    /// Write a file of a torrent to standard output while it is downloaded
    Cat(Cat),
    /// Forget torrents of earlier runs with --state; their files stay
    Forget(Forget),
    /// Make a .torrent file of a file or folder
    Make(Make),
    /// Compare files with their torrent and list what is missing or wrong
    Check(Check),
    /// Show what a .torrent file contains
    Show(Show),
    /// Run a small tracker, for a LAN, a class or a test
    Tracker(Tracker),
}

impl Command {
    /// Whether what is said is for programs.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Demo(a) => a.json,
            Self::Get(a) => a.common.json,
            Self::Seed(a) => a.common.json,
            // Its output is the file.
            Self::Cat(_) => false,
            Self::Forget(a) => a.json,
            Self::Make(a) => a.json,
            Self::Check(a) => a.json,
            Self::Show(a) => a.json,
            Self::Tracker(a) => a.json,
        }
    }
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Demo {
    /// Folder to work in; left there afterwards. Without it a temporary one is used and removed
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Size of the payload
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub(crate) size: u64,
    /// One JSON object a line instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `get` and `seed` have in common.
#[derive(ClapArgs, Debug)]
pub(crate) struct Common {
    /// .torrent files. With --state and none, all torrents of earlier runs with that folder
    #[arg(required_unless_present = "state", value_name = "TORRENT")]
    pub(crate) torrents: Vec<PathBuf>,
    /// Folder in which the torrents' files or folders are
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Address on which peers reach us; connections are made from it, too, if it is a specific one
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:0")]
    pub(crate) listen: SocketAddr,
    /// A peer to connect to; may be repeated
    #[arg(long = "peer", value_name = "IP:PORT")]
    pub(crate) peers: Vec<SocketAddr>,
    /// Do not ask trackers
    #[arg(long)]
    pub(crate) no_trackers: bool,
    /// Folder in which torrents and their resume records are kept for later runs; without it the records are beside
    /// the data, as hidden files
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Do not believe the resume record: hash everything that is there
    #[arg(long)]
    pub(crate) recheck: bool,
    /// Only these files: numbers and ranges as `show` prints them, patterns, each perhaps with a priority of 1 to 7
    /// (4 is usual, 0 leaves out): 0,3-5,*.srt=7
    #[arg(long, value_name = "LIST", value_parser = FileList::parse)]
    pub(crate) files: Vec<FileList>,
    /// How room is taken: as data comes, or all of it at the start, so that a full disk shows at once
    #[arg(long, value_name = "HOW", default_value = "sparse")]
    pub(crate) allocation: AllocationArg,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Most torrents that download at a time, and as many that seed; others wait in the order of the command. One that
    /// transfers next to nothing for a minute is not counted
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) max_active: Option<usize>,
    /// One JSON object a line instead of progress bars
    #[arg(long)]
    pub(crate) json: bool,
}

/// How room for files is taken.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub(crate) enum AllocationArg {
    /// As data comes
    Sparse,
    /// All of it at the start
    Full,
}

/// When a complete torrent has been shared enough: as soon as one of these is reached.
#[derive(ClapArgs, Debug)]
pub(crate) struct Enough {
    /// When complete, share until so many times the size has been sent, counting all runs
    #[arg(long, value_name = "RATIO", value_parser = parse_ratio)]
    pub(crate) seed_ratio: Option<f64>,
    /// When complete, share for so long, counting all runs: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) seed_time: Option<Duration>,
    /// When complete, share until nobody was sent anything for so long: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) seed_idle: Option<Duration>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) common: Common,
    /// When complete, share until stopped
    #[arg(long, conflicts_with_all = ["seed_ratio", "seed_time", "seed_idle"])]
    pub(crate) seed: bool,
    #[command(flatten)]
    pub(crate) enough: Enough,
    /// Fetch pieces in order, so that files can be used from their start
    #[arg(long)]
    pub(crate) sequential: bool,
    /// Move the torrents' files or folders to this folder when they are complete; nothing there is overwritten
    #[arg(long, value_name = "DIR")]
    pub(crate) move_on_complete: Option<PathBuf>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Seed {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) enough: Enough,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Cat {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The file: its number as in `show`, counted from 0, or its name, which may contain * and ?; without it the longest
    #[arg(long, value_name = "N|GLOB")]
    pub(crate) file: Option<String>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Forget {
    /// .torrent files, or info hashes of 40 hexadecimal digits
    #[arg(required = true, value_name = "TORRENT|HASH")]
    pub(crate) torrents: Vec<PathBuf>,
    /// Folder in which torrents were kept
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
    /// One JSON object a line instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Make {
    /// File or folder
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// The .torrent file to write; an existing one is replaced
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Announce URL; each repetition is a tier of its own, URLs joined by commas share one
    #[arg(long = "tracker", value_name = "URL")]
    pub(crate) trackers: Vec<String>,
    /// URL where the same files can be had over HTTP; may be repeated
    #[arg(long = "web-seed", value_name = "URL")]
    pub(crate) web_seeds: Vec<String>,
    /// Piece length, a power of two: 256KiB. Without it, it is chosen by the size
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) piece_length: Option<u64>,
    /// Peers shall come from the tracker only (BEP 27)
    #[arg(long)]
    pub(crate) private: bool,
    /// Comment
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Name of the torrent, instead of that of the file or folder
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// One JSON object a line instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Check {
    /// .torrent file
    #[arg(value_name = "TORRENT")]
    pub(crate) torrent: PathBuf,
    /// Folder in which the torrent's file or folder is
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Show {
    /// .torrent file
    #[arg(value_name = "TORRENT")]
    pub(crate) torrent: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Tracker {
    /// Address to serve on
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:6969")]
    pub(crate) listen: SocketAddr,
    /// How often clients shall announce: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    pub(crate) interval: Duration,
    /// One JSON object a line instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a script can count on.
const JSON_EVENTS: &str = "\
With --json, each line is an object whose \"event\" says what it is:
  listening   address: where peers reach us
  note        text, perhaps torrent: something to know beforehand
  created     id, torrent (as written in the command), name, info_hash, path
  already_downloading  id, torrent: the same as that one
  restored    id, name, info_hash, path: a torrent of an earlier run
  restore_ended  restored, failed: how many came and how many could not be read
  checked     id, name, pieces_have, piece_count: what was there before
  status      id and all figures, four times a second
  tracker     id, name, tracker, and peers (how many it named) or error
  moved       id, torrent, dir: the files are there now
  files_changed  id, torrent, files: changed or removed by somebody else, and hashed again
  disk_works_again  id, torrent: after an error of the disk
  waiting     id, name, reason: nobody is connected
  queued      id, name, activity: it waits for its turn to check, download or seed
  started     id, name: it has its turn
  paused      id, name, cause (ratio, time or idle): it was shared enough
  request_failed  id, request, error
  complete    id, torrent, name, total, wanted (less than total if files are left out),
              downloaded (bytes of payload in this run), seconds
  error       error, perhaps id and torrent
  stopping    the user asked to stop
  stopped     the same command goes on from here
Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted before it was done.";

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("with 0 nothing would ever be done".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("not a whole number of at least 1".into()),
    }
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(r) if r.is_finite() && r >= 0.0 => Ok(r),
        _ => Err("not a number of at least 0".into()),
    }
}
