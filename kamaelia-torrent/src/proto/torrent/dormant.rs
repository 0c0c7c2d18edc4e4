//! Swarms that are not worth keeping.

use super::Torrent;

impl Torrent {
    /// Whether everything is there and nobody is, nor anybody known who could be dialled or was caught cheating: a new
    /// swarm with the same configuration, all pieces and the figures counted so far would be no different.
    pub fn is_dormant(&self) -> bool {
        self.have.is_full()
            && self.peers.is_empty()
            && self.candidates.is_empty()
            && !self.sources.any_suspect()
            && self.partials.is_empty()
            && self.retry.is_empty()
            && self.urgent.is_none()
            && self.lost.is_none()
            && self.disk_rests.is_none()
            && self.outputs.is_empty()
    }
}
