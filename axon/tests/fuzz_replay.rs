//! The corpora of the fuzz targets, through the same functions, and with small changes.
#![allow(missing_docs, unreachable_pub)]

#[path = "../fuzz/entry.rs"]
mod entry;

use std::fs;
use std::path::PathBuf;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(files.len() >= 10, "{target} has a corpus");
    files.into_iter().map(|p| (p.display().to_string(), fs::read(p).unwrap())).collect()
}

#[test]
fn graph_text() {
    let signs = b"=.|(){},;#\"\\->\n A1_\xc3";
    for (name, bytes) in corpus("graph_text") {
        eprintln!("{name}"); // shown if it fails
        entry::graph_text(&bytes);
        for at in 0..bytes.len() {
            entry::graph_text(&bytes[..at]);
            let mut without = bytes.clone();
            without.remove(at);
            entry::graph_text(&without);
            for sign in signs {
                let mut changed = bytes.clone();
                changed[at] = *sign;
                entry::graph_text(&changed);
                changed.insert(at, bytes[at]);
                entry::graph_text(&changed);
            }
        }
    }
}

#[test]
fn debug_config() {
    for (name, bytes) in corpus("debug_config") {
        eprintln!("{name}"); // shown if it fails
        entry::debug_config(&bytes);
        // The start of every input is an input too.
        for len in 0..bytes.len() {
            entry::debug_config(&bytes[..len]);
        }
    }
}
