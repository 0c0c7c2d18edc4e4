//! The program as its user meets it: the real binary, over loopback.

#[path = "../support/mod.rs"]
mod support;

mod basics;
mod broken;
mod faults;
mod files;
mod hostile;
mod options;
mod resume;
mod run;
mod selection;
mod terminal;
mod trackers;
