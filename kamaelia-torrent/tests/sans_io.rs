//! `src/proto` does no input or output and asks no clock: everything comes in as arguments, so that whole swarms run
//! in a simulator and every run can be repeated.

use std::fs;
use std::path::{Path, PathBuf};

/// What must not appear outside of tests. Names are looked for as text: a wrong hit is renamed, a miss is a bug.
const FORBIDDEN: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "UnixStream",
    "mio::",
    "socket2::",
    "rustix::",
    "ureq::",
    "std::fs",
    "fs::File",
    "File::open",
    "std::io::stdin",
    "println!",
    "std::env",
    "std::process",
    "std::thread",
    "thread::",
    "crossbeam_channel",
    "std::sync::mpsc",
    "Mutex",
    "Condvar",
    "Instant::now",
    "SystemTime",
    ".elapsed()",
    "Rng::new()",
    "Rng::default()",
    "fastrand::bool",
    "fastrand::choice",
    "fastrand::f32",
    "fastrand::f64",
    "fastrand::fill",
    "fastrand::shuffle",
    "fastrand::u8",
    "fastrand::u16",
    "fastrand::u32",
    "fastrand::u64",
    "fastrand::usize",
];

#[test]
fn proto_does_no_input_or_output() {
    let mut hits = Vec::new();
    let mut seen = 0;
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto")) {
        seen += 1;
        for (number, line) in without_tests(&fs::read_to_string(&path).unwrap()).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            hits.extend(
                FORBIDDEN
                    .iter()
                    .filter(|word| code.contains(**word))
                    .map(|word| format!("{}:{}: {word}", path.display(), number + 1)),
            );
        }
    }
    assert!(seen >= 10, "{seen} sources found");
    assert!(hits.is_empty(), "\n{}", hits.join("\n"));
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let code = "fn f() { let now = Instant::now(); }\n#[cfg(test)]\nmod tests { Instant::now() }";
    assert_eq!(without_tests(code).matches("Instant::now").count(), 1);
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                open.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                found.push(path);
            }
        }
    }
    found
}

/// Unit tests stand at the end of a file, behind `#[cfg(test)]` at the start of a line.
fn without_tests(source: &str) -> &str {
    source.find("\n#[cfg(test)]\n").map_or(source, |at| &source[..at])
}
