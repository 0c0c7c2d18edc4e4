//! Every file of the fuzz corpora goes through the function that its fuzz target calls, on any compiler.

use std::fs;
use std::path::PathBuf;

#[path = "../fuzz/entry.rs"]
mod entry;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 10, "{target} has a corpus");
    for file in files {
        println!("{}", file.display());
        let bytes = fs::read(&file).unwrap();
        // The start of every input is an input too.
        (0..bytes.len()).step_by(bytes.len() / 64 + 1).for_each(|len| run(&bytes[..len]));
        run(&bytes);
    }
}

#[test]
fn debug_config() {
    replay("debug_config", entry::debug_config);
}
