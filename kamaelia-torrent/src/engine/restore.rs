//! Torrents of earlier sessions.

use std::io;
use std::time::Duration;

use super::Engine;
use super::event::{AddError, AddTorrent, Event, TorrentId};
use super::rules::StopRule;
use super::slot::Phase;
use crate::disk::Allocation;
use crate::proto::limit::Limits;
use crate::proto::stored::{Enough, Stored};

impl Engine {
    /// Brings back the torrents of earlier sessions: all that were [added](Engine::add) with the same
    /// [`state_dir`](super::Settings::state_dir) and not [removed](Engine::remove) since, with the settings with which
    /// they were added. Nothing is hashed but files that somebody touched since.
    ///
    /// [`Event::Restored`] tells of each, [`Event::RestoreEnded`] of the end. Those that are here already are left
    /// alone. Without a folder of state there are none.
    ///
    /// # Errors
    ///
    /// The system refused a thread.
    pub fn restore(&mut self) -> io::Result<()> {
        self.disk.restore()
    }

    /// Keeps the settings of a torrent as they are now for later sessions.
    pub(super) fn remember(&mut self, id: TorrentId) {
        if let Some(&t) = self.by_id.get(&id)
            && self.disk.has_state()
            && !matches!(self.torrents[t].phase, Phase::Stopping { .. })
        {
            let slot = &mut self.torrents[t];
            slot.jobs += 1;
            let stored = Stored { sated: slot.sated, ..slot.settings.to_stored() };
            self.disk.remember(&slot.storage, stored);
        }
    }

    /// Takes in a batch of them.
    pub(super) fn restored(&mut self, torrents: Vec<Stored>, failed: usize, end: bool) {
        for stored in torrents {
            let sated = stored.sated;
            match self.take_in(AddTorrent::from_stored(stored)) {
                Ok(id) => {
                    if let Some(&t) = self.by_id.get(&id) {
                        self.torrents[t].sated = sated;
                    }
                    self.restored += 1;
                    self.emit(Event::Restored { id });
                }
                Err(AddError::Duplicate(_)) => {}
                // The engine is about to stop.
                Err(e) => log::debug!("not restored: {e}"),
            }
        }
        if end {
            let restored = std::mem::take(&mut self.restored);
            self.emit(Event::RestoreEnded { restored, failed });
        }
    }
}

impl AddTorrent {
    /// What is to be kept of it.
    pub(super) fn to_stored(&self) -> Stored {
        Stored {
            metainfo: self.metainfo.clone(),
            // The next run may begin in another folder.
            dir: std::path::absolute(&self.dir).unwrap_or_else(|_| self.dir.clone()),
            peers: self.peers.clone(),
            move_on_complete: self
                .move_on_complete
                .as_ref()
                .map(|dir| std::path::absolute(dir).unwrap_or_else(|_| dir.clone())),
            trackers: self.trackers,
            sequential: self.sequential,
            limits: Limits { down: self.down_limit, up: self.up_limit },
            paused: self.paused,
            // Known to the engine alone.
            sated: false,
            enough: self.stop_rule.map(|rule| Enough {
                ratio: rule.ratio,
                time: rule.time.map(|time| time.as_secs()),
                idle: rule.idle.map(|idle| idle.as_secs()),
            }),
            priorities: self.priorities.clone(),
            reserve: self.allocation.map(|allocation| allocation == Allocation::Full),
        }
    }

    /// The request that was kept.
    pub(super) fn from_stored(stored: Stored) -> AddTorrent {
        AddTorrent {
            peers: stored.peers,
            move_on_complete: stored.move_on_complete,
            trackers: stored.trackers,
            sequential: stored.sequential,
            down_limit: stored.limits.down,
            up_limit: stored.limits.up,
            paused: stored.paused,
            stop_rule: stored.enough.map(|enough| StopRule {
                ratio: enough.ratio,
                time: enough.time.map(Duration::from_secs),
                idle: enough.idle.map(Duration::from_secs),
            }),
            priorities: stored.priorities,
            allocation: stored
                .reserve
                .map(|reserve| if reserve { Allocation::Full } else { Allocation::Sparse }),
            ..AddTorrent::new(stored.metainfo, stored.dir)
        }
    }
}
