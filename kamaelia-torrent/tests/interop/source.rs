//! A client that serves a payload, and the tracker that knows of it.

use crate::bench::{Bench, Result};
use crate::client::{Client, Role, start, wait_complete};
use crate::kind::Kind;
use crate::payload::{Payload, Torrent};
use crate::tracker::{Place, Tracker};

/// A running seed of a payload.
pub(crate) struct Source {
    pub(crate) payload: Payload,
    pub(crate) torrent: Torrent,
    pub(crate) tracker: Tracker,
    pub(crate) seed: Box<dyn Client>,
}

impl Source {
    /// Lets `kind` serve a payload that opentracker knows of.
    pub(crate) fn start(bench: &Bench, kind: Kind, payload: Payload) -> Result<Source> {
        let place = Place::new()?;
        let torrent = payload.torrent(bench, &place.announce_url())?;
        let mut tracker = place.opentracker(bench, &[torrent.info_hash])?;
        let mut seed = start(kind, bench)?;
        seed.add(&torrent, &payload, &payload.parent, Role::Seed)?;
        wait_complete(seed.as_mut(), &bench.deadline)?;
        // Trackers are asked again after half an hour: the seed has to be known before we ask.
        tracker.wait_seeds(torrent.info_hash, 1, &bench.deadline)?;
        Ok(Source { payload, torrent, tracker, seed })
    }
}
