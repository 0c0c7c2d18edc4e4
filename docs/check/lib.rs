//! The chapters of the book as doc comments, so that `cargo test` compiles and runs their examples.
//!
//! `tests/links.rs` makes sure that no chapter is missing here.
#![forbid(unsafe_code)]

macro_rules! chapters {
    ($($name:ident = $file:literal;)*) => {
        $(#[doc = include_str!(concat!("../src/", $file))] mod $name {})*
    };
}

chapters! {
    introduction = "introduction.md";
    tutorial = "tutorial.md";
    components = "guide/components.md";
    messages = "guide/messages.md";
    network = "guide/network.md";
    shutdown = "guide/shutdown.md";
    wiring = "guide/wiring.md";
    chassis = "guide/chassis.md";
    structure = "guide/structure.md";
    threads = "guide/threads.md";
    time = "guide/time.md";
    failures = "guide/failures.md";
    supervision = "guide/supervision.md";
    introspection = "guide/introspection.md";
    embedding = "guide/embedding.md";
    background = "guide/background.md";
    stm = "guide/stm.md";
    testing = "guide/testing.md";
    porting = "porting.md";
    catalogue_axon = "catalogue/axon.md";
    catalogue_torrent = "catalogue/torrent.md";
    conformance = "conformance.md";
    bittorrent_command_line = "bittorrent/command-line.md";
    bittorrent_components = "bittorrent/components.md";
    bittorrent_session = "bittorrent/session.md";
    bittorrent_trouble = "bittorrent/trouble.md";
    internals_axon = "internals/axon.md";
    internals_engine = "internals/engine.md";
    decisions = "decisions.md";
    performance = "performance.md";
}
