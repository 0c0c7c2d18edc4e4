//! How many connections the descriptors of the process allow.
//!
//! A limit above that would end in the middle of the work: connections that cannot be made, files that cannot be
//! opened. So what is asked for is lowered at once.

use super::settings::Settings;

impl Settings {
    /// The number of connections that there can be at most: [`max_connections`](Settings::max_connections), or less if
    /// the system allows this process fewer descriptors than that takes beside files, trackers and the rest.
    ///
    /// ```
    /// use kamaelia_torrent::engine::Settings;
    ///
    /// let settings = Settings { max_connections: 5, ..Settings::default() };
    /// assert_eq!(settings.possible_connections(), 5);
    /// ```
    pub fn possible_connections(&self) -> usize {
        self.possible(self.max_connections)
    }

    /// The same for another number of connections.
    pub(super) fn possible(&self, wanted: usize) -> usize {
        descriptor_limit().map_or(wanted, |limit| wanted.min(room(limit, self.open_files)))
    }
}

/// Descriptors that this process may have; `None`: as many as it likes.
#[cfg(unix)]
fn descriptor_limit() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    usize::try_from(limit).ok()
}

#[cfg(not(unix))]
fn descriptor_limit() -> Option<usize> {
    None
}

/// Connections for which there is room. Files that find none are closed and opened again, which is slow but works; so
/// connections get a quarter in any case.
fn room(limit: usize, open_files: usize) -> usize {
    let others = open_files.saturating_add(OTHERS);
    limit.saturating_sub(others).max(limit / 4).max(1)
}

/// Descriptors for everything but connections and files kept open: requests to trackers (16), newcomers that are
/// looked at (4), folders on the way to files, logs, the event loop, and what the rest of the program has open.
const OTHERS: usize = 84;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_the_rest() {
        assert_eq!(room(1024, 64), 876);
        assert_eq!(room(256, 64), 108);
        assert_eq!((room(100, 64), room(100, usize::MAX), room(0, 0)), (25, 25, 1));
        assert_eq!(room(usize::MAX, 64), usize::MAX - 148);
    }
}
