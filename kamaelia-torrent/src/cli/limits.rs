//! Options that limit what a session may use.

use std::num::NonZeroU64;

use clap::Args as ClapArgs;
use kamaelia_torrent::engine::Settings;

use super::units::parse_bytes;

/// Limits of rates, connections and slots, for all torrents together unless said otherwise.
#[derive(ClapArgs, Debug, Default)]
pub(crate) struct LimitArgs {
    /// Most bytes per second from peers, of all torrents together: 500KiB, 1.5MiB; 0 or none: no limit
    #[arg(long, value_name = "RATE", value_parser = parse_rate, allow_negative_numbers = true)]
    down_limit: Option<Rate>,
    /// Most bytes per second to peers, of all torrents together
    #[arg(long, value_name = "RATE", value_parser = parse_rate, allow_negative_numbers = true)]
    up_limit: Option<Rate>,
    /// Most connections in all, as far as the system allows so many open files (ulimit -n) [default: 200]
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    max_connections: Option<usize>,
    /// Most connections of one torrent [default: 100]
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    max_peers: Option<usize>,
    /// Most peers served at a time, of all torrents together; 0: send nothing [default: no limit]
    #[arg(long, value_name = "N", value_parser = parse_slots, allow_negative_numbers = true)]
    upload_slots: Option<usize>,
}

/// Bytes per second, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(Option<NonZeroU64>);

impl LimitArgs {
    /// Puts what was asked for into settings; the rest stays as it is.
    pub(crate) fn apply(&self, settings: &mut Settings) {
        if let Some(Rate(limit)) = self.down_limit {
            settings.down_limit = limit;
        }
        if let Some(Rate(limit)) = self.up_limit {
            settings.up_limit = limit;
        }
        settings.max_connections = self.max_connections.unwrap_or(settings.max_connections);
        settings.max_peers_per_torrent = self.max_peers.unwrap_or(settings.max_peers_per_torrent);
        settings.upload_slots = self.upload_slots.or(settings.upload_slots);
    }
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Rate(None));
    }
    let bytes = parse_bytes(text.strip_suffix("/s").unwrap_or(text))?;
    let zero = !text.contains(|c: char| ('1'..='9').contains(&c));
    match NonZeroU64::new(bytes) {
        // Somebody who writes 0.1 does not want to go without a limit.
        None if !zero => Err(format!("{text:?} is less than a byte per second; 0 or none is no limit")),
        limit => Ok(Rate(limit)),
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a number of at least 1")),
        Ok(count) => Ok(count),
    }
}

fn parse_slots(text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is not a number of at least 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_nonsense_is_named() {
        let rate = |n| Ok(Rate(NonZeroU64::new(n)));
        assert_eq!(parse_rate("500KiB"), rate(512_000));
        assert_eq!(parse_rate("1.5 MiB/s"), rate(1_572_864));
        assert_eq!(parse_rate("1000000000000000000"), rate(1_000_000_000_000_000_000));
        for none in ["0", "none", "None", "0.0", "0KiB/s"] {
            assert_eq!(parse_rate(none), Ok(Rate(None)), "{none}");
        }
        for wrong in ["-1", "-5KiB", "0.1", "1e400", "nan", "inf", "", "fast", "99999999999GiB"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_are_read_and_nonsense_is_named() {
        assert_eq!((parse_count("7"), parse_slots("0")), (Ok(7), Ok(0)));
        for wrong in ["0", "-1", "x", "", "1.5", "99999999999999999999999"] {
            assert!(parse_count(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
