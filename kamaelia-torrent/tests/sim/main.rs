//! Whole swarms under virtual time: completion, fairness, hostile peers, faulty disks.
//!
//! Nothing here sleeps or opens a socket; a seed names a run.

mod ahead;
mod doubt;
mod habits;
mod hostile;
mod limits;
mod scripts;
mod selection;
mod streaming;
mod swarm;
mod world;
