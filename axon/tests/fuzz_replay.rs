//! Every file of the fuzz corpora goes through the function that its fuzz target calls, on any compiler.

use std::fs;
use std::path::PathBuf;

#[path = "../fuzz/entry.rs"]
mod entry;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(files.len() >= 10, "{target} has a corpus");
    files.into_iter().map(|p| (p.display().to_string(), fs::read(p).unwrap())).collect()
}

fn replay(target: &str, run: fn(&[u8])) {
    for (name, bytes) in corpus(target) {
        println!("{name}");
        // The start of every input is an input too.
        (0..bytes.len()).step_by(bytes.len() / 64 + 1).for_each(|len| run(&bytes[..len]));
        run(&bytes);
    }
}

#[test]
fn debug_config() {
    replay("debug_config", entry::debug_config);
}

#[test]
fn graph_text() {
    let signs = b"=.|(){},;#\"\\->\n A1_\xc3";
    replay("graph_text", entry::graph_text);
    for (name, bytes) in corpus("graph_text") {
        eprintln!("{name}"); // shown if it fails
        for at in 0..bytes.len() {
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
