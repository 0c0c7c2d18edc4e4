//! Transfers between this program and the BitTorrent clients that people use, over loopback alone.
//!
//! Every client is a real process with its own address, ports and folders, found by a real tracker, and everything
//! that arrives is compared by SHA-256. `.ci/install-clients` gets the clients and `.ci/interop` runs this suite.
//!
//! A client that is not installed fails its tests, unless `INTEROP_MISSING` names it: that is for clients that their
//! registry does not hand out, and the tests say so.

mod aria2;
mod bench;
mod client;
mod kind;
mod libtorrent;
mod ours;
mod payload;
mod process;
mod qbittorrent;
mod rqbit;
mod source;
mod tracker;
mod transmission;
mod web;

#[allow(dead_code, unreachable_pub, reason = "it is made for other tests")]
#[path = "../support/node.rs"]
mod node;

mod crash;
mod download;
mod introduction;
mod limits;
mod making;
mod mixed;
mod moving;
mod our_tracker;
mod pausing;
mod restart;
mod selecting;
mod sharing;
mod stopping;
mod streaming;
mod upload;
