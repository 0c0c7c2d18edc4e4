//! What people and programs see: progress bars on a terminal, lines in a pipe, JSON when asked.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kamaelia_torrent::components::StatusSnapshot;
use kamaelia_torrent::engine::TorrentId;
use serde_json::{Value, json};

use super::units::bytes;

/// How to tell.
pub(crate) enum Output {
    /// Bars, redrawn in place.
    Bars { all: MultiProgress, bars: BTreeMap<TorrentId, ProgressBar> },
    /// A line for each tenth of the way.
    Lines { told: BTreeMap<TorrentId, (u32, &'static str)> },
    /// An object for everything.
    Json,
}

impl Output {
    /// What fits standard output.
    pub(crate) fn new(json: bool) -> Self {
        if json {
            Self::Json
        } else if io::stdout().is_terminal() && io::stderr().is_terminal() {
            Self::Bars { all: MultiProgress::new(), bars: BTreeMap::new() }
        } else {
            Self::Lines { told: BTreeMap::new() }
        }
    }

    /// Something happened: a text for people, an object for programs.
    pub(crate) fn say(&self, text: &str, object: Value) {
        match self {
            Self::Bars { all, .. } => {
                let _ = all.println(clean(text));
            }
            Self::Lines { .. } => line(&clean(text)),
            Self::Json => line(&object.to_string()),
        }
    }

    /// Something that only programs want to know.
    pub(crate) fn say_to_programs(&self, object: &Value) {
        if matches!(self, Self::Json) {
            line(&object.to_string());
        }
    }

    /// Something went wrong: on standard error for people, among the other objects for programs.
    pub(crate) fn complain(&self, text: &str, object: &Value) {
        self.say_to_programs(object);
        match self {
            Self::Bars { all, .. } => {
                let _ = all.println(format!("error: {}", clean(text)));
            }
            Self::Lines { .. } | Self::Json => eprintln!("error: {}", clean(text)),
        }
    }

    /// How a torrent is doing.
    pub(crate) fn status(&mut self, id: TorrentId, s: &StatusSnapshot) {
        match self {
            // A terminal has no room for more; what happens to the others is said in lines.
            Self::Bars { bars, .. } if bars.len() >= MOST_BARS && !bars.contains_key(&id) => {}
            Self::Bars { all, bars } => {
                let bar = bars.entry(id).or_insert_with(|| {
                    let bar = ProgressBar::new(s.wanted);
                    bar.set_style(style());
                    bar.set_prefix(shorten(&clean(&s.name), NAME_WIDTH));
                    all.add(bar)
                });
                bar.set_length(s.wanted);
                bar.set_position((s.fraction_done * s.wanted as f64) as u64);
                bar.set_message(rates(s));
            }
            Self::Lines { told } => {
                let now = (s.percent() / 10, s.activity());
                if told.insert(id, now) != Some(now) {
                    line(&clean(&format!("{}: {} {}%, {}", s.name, s.activity(), s.percent(), rates(s))));
                }
            }
            Self::Json => line(&status_object(id, s).to_string()),
        }
    }

    /// Takes the bars away, so that what follows stands where they were.
    pub(crate) fn finish(&mut self) {
        if let Self::Bars { bars, .. } = self {
            for bar in bars.values() {
                bar.finish();
            }
        }
    }
}

/// Bars drawn at a time.
const MOST_BARS: usize = 40;

/// Writes a line; a reader that has gone away is not an error.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Text from torrents, peers and trackers without what a terminal would obey: control characters and those that turn
/// the direction of writing.
pub(crate) fn clean(text: &str) -> String {
    let obeyed = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if obeyed(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A bar for one piece of work, or none where nobody watches.
pub(crate) fn work_bar(json: bool, what: &str) -> ProgressBar {
    if json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    bar.set_style(style());
    bar.set_prefix(shorten(&clean(what), NAME_WIDTH));
    bar
}

fn style() -> ProgressStyle {
    // NO_COLOR is honoured by the library. The bar takes what the rest leaves: some ten of 80 columns.
    ProgressStyle::with_template(
        "{prefix:16} {wide_bar:.cyan/blue} {percent:>3}% {bytes}/{total_bytes} {msg}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn rates(s: &StatusSnapshot) -> String {
    let plural = if s.peers == 1 { "" } else { "s" };
    format!("↓ {}/s ↑ {}/s, {} peer{plural}", bytes(s.down_rate), bytes(s.up_rate), s.peers)
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    let start: String = text.chars().take(width - 1).collect();
    format!("{start}…")
}

/// Columns for a name beside its bar.
const NAME_WIDTH: usize = 16;

pub(crate) fn status_object(id: TorrentId, s: &StatusSnapshot) -> Value {
    json!({
        "event": "status",
        "id": id.0,
        "name": s.name,
        "activity": s.activity(),
        "fraction_done": s.fraction_done,
        "verified": s.verified,
        "total": s.total,
        "wanted": s.wanted,
        "wanted_left": s.wanted_left,
        "downloaded": s.downloaded,
        "uploaded": s.uploaded,
        "wasted": s.wasted,
        "received": s.figures.received,
        "sent": s.figures.sent,
        "hash_failures": s.figures.hash_failures,
        "active_seconds": s.figures.active.as_secs_f64(),
        "seeding_seconds": s.figures.seeding.as_secs_f64(),
        "down_rate": s.down_rate,
        "up_rate": s.up_rate,
        "peers": s.peers,
        "seeds": s.seeds,
        "pieces_have": s.pieces_have,
        "piece_count": s.piece_count,
        "listen": s.listen.map(|a| a.to_string()),
        "tracker_message": s.tracker_message,
        "peer_message": s.peer_message,
        "disk_message": s.disk_message,
    })
}
