//! The program as its user meets it: the real binary, over loopback.

#[path = "../support/mod.rs"]
mod support;

mod basics;
mod broken;
mod capabilities;
mod cat;
mod faults;
mod files;
mod hostile;
mod options;
mod queue;
mod resume;
mod run;
mod selection;
#[path = "../support/slow.rs"]
mod slow;
mod terminal;
mod trackers;
