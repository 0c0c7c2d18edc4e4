#![no_main]

#[path = "../swarm_entry.rs"]
#[allow(dead_code)]
mod swarm_entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| swarm_entry::peer(data));
