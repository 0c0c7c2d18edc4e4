//! What `/proc` says about this process.

use std::fs;

use super::Outcome;

/// Processor time and memory of this process.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Figures {
    /// Processor time, seconds.
    pub(crate) cpu: f64,
    /// Resident memory now, KiB.
    pub(crate) resident: u64,
    /// Most resident memory so far, KiB.
    pub(crate) peak: u64,
    /// Threads now.
    pub(crate) threads: u64,
}

impl Figures {
    pub(crate) fn now() -> Outcome<Figures> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The name in parentheses may hold anything; the figures come after it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks = |i: usize| fields.get(i).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
        let status = fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            value.and_then(|v| v.split_whitespace().next()).and_then(|v| v.parse().ok()).unwrap_or(0)
        };
        Ok(Figures {
            cpu: ticks(11) + ticks(12),
            resident: field("VmRSS:"),
            peak: field("VmHWM:"),
            threads: field("Threads:"),
        })
    }
}

/// Open descriptors of this process.
pub(crate) fn descriptors() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

/// Processor time of the calling thread, seconds, to the nanosecond: that of `/proc/self/stat` has ticks of 10 ms.
pub(crate) fn thread_cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}
