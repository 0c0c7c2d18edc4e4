//! A file line by line: at once, at about two lines a second, at half a line a second.
//!
//! Original (PR-15): `Code/Python/Kamaelia/Examples/Files/SimpleReading.py`.
//!
//! ```text
//! SimpleReader -> [MessageRateLimit] -> ConsoleEchoer        three times
//! ```
//!
//! `simple_reading [FILE] [--virtual]`; the file is /etc/fstab unless given. With `--virtual` time jumps over the
//! pauses, and each round ends with the time that it took.

use axon::file::SimpleReader;
use axon::prelude::*;
use axon::util::{ConsoleEchoer, MessageRateLimit};
use axon::{Clock, SchedulerOptions};

fn main() -> axon::Result<()> {
    let (options, files): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let is_virtual = options.iter().any(|o| o == "--virtual");
    let file = files.first().map_or("/etc/fstab", String::as_str);
    let clock = if is_virtual { Clock::Virtual } else { Clock::System };
    let scheduler = Scheduler::with_options(SchedulerOptions { clock, ..SchedulerOptions::default() });

    let rounds = [
        Pipeline::new().then(SimpleReader::new(file)).then(ConsoleEchoer::new()),
        Pipeline::new()
            .then(SimpleReader::new(file))
            .then(MessageRateLimit::new(2.0).buffer(1))
            .then(ConsoleEchoer::new()),
        Pipeline::new()
            .then(SimpleReader::new(file))
            .then(MessageRateLimit::new(0.5).buffer(1).hard_limit(1))
            .then(ConsoleEchoer::new()),
    ];
    for round in rounds {
        let start = scheduler.time();
        round.run()?;
        if is_virtual {
            println!("({:.1} s)", (scheduler.time() - start).as_secs_f64());
        }
    }
    Ok(())
}
