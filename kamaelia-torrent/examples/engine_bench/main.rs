//! The moving parts of the benchmarks that are not the program itself: crowds of scripted peers, an engine with settings
//! that the program does not offer, a line with delay, the floor under all figures, and a long run.
//!
//! `benches/beside/measure.py` starts them; each can be used by hand, too (Linux only):
//!
//! ```console
//! $ cargo run --release --example engine_bench -- synthetic FILE --total BYTES --piece BYTES [--data DIR]
//! $ … crowd TORRENT --peers N (--dial ADDR | --listen ADDR) [--net A.B] [--fetch BYTES | --hostile | --all-have-all]
//! $ … crowd --torrents N --peers N --dial ADDR [--fetch BYTES]
//! $ … leech TORRENT DIR [--components] [--listen ADDR] [--peer ADDR] [--max-peers N] [--write-ms T] [--read-ms T] [--stop-after BYTES]
//! $ … seed TORRENT DIR [--listen ADDR] [--max-peers N] [--read-ms T]
//! $ … delay --listen ADDR --target ADDR --ms T [--bind IP]
//! $ … torrents N DIR [--idle SECONDS] [--restart] [--tracker URL] [--addresses N]
//! $ … active N OF DIR (--seed | --leech)
//! $ … tracker [--interval SECONDS]
//! $ … floor DIR
//! $ … hash
//! $ … soak DIR [--minutes T] [--torrents N] [--out CSV]
//! ```
//!
//! Results are JSON objects, one a line.

mod active;
mod components;
mod crowd;
mod delay;
mod figures;
mod floor;
mod hash;
mod many;
mod node;
mod options;
mod soak;
mod synthetic;
mod tracker;

use options::Options;

/// What ends a command.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let options = Options::parse(args)?;
    match command.as_str() {
        "synthetic" => synthetic::run(&options),
        "crowd" => crowd::run(&options),
        "leech" if options.is_set("components") => components::leech(&options),
        "leech" => node::leech(&options),
        "seed" => node::seed(&options),
        "delay" => delay::run(&options),
        "torrents" => many::run(&options),
        "active" => active::run(&options),
        "tracker" => tracker::run(&options),
        "floor" => floor::run(&options),
        "hash" => hash::run(),
        "soak" => soak::run(&options),
        _ => Err(format!("{command:?} is none of its commands; its source has them all").into()),
    }
}
