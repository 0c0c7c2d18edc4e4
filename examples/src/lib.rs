//! Kamaelia's programs, ported: one a file in `src/bin`; here is what several of them share.
#![forbid(unsafe_code)]

use std::time::Duration;

pub mod philosophers;
pub mod shutdown;

/// How long a second lasts in programs whose threads sleep: `--tick MILLISECONDS`, 1000 unless told.
pub fn tick() -> Duration {
    Duration::from_millis(option("--tick").unwrap_or(1000))
}

/// The number after an argument.
pub fn option(name: &str) -> Option<u64> {
    let mut args = std::env::args().skip_while(|a| a != name);
    args.nth(1).and_then(|a| a.parse().ok())
}
