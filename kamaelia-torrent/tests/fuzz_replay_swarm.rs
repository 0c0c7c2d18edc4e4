//! The corpora of the fuzz targets `wire` and `peer`, and random inputs beside them, on any compiler.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

#[path = "../fuzz/swarm_entry.rs"]
mod swarm_entry;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 10, "{target} has a corpus");
    for path in files {
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
    }
}

#[test]
fn wire() {
    replay("wire", swarm_entry::wire);
}

#[test]
fn peer() {
    replay("peer", swarm_entry::peer);
}

/// Steps that lead somewhere: connections that offer something first, then anything.
fn steps() -> impl Strategy<Value = Vec<u8>> {
    let opening = prop::collection::vec(
        (0..3u8, any::<bool>(), 1..5u8, 5..8u8).prop_map(|(peer, fast, id, has)| {
            let speak = peer | 10 << 2;
            vec![peer | u8::from(fast) << 6, id, speak, has, speak, 1, speak, 3]
        }),
        0..5,
    );
    (any::<u8>(), opening, prop::collection::vec(any::<u8>(), 0..600))
        .prop_map(|(mode, opening, rest)| [vec![mode], opening.concat(), rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_on_the_wire(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        swarm_entry::wire(&bytes);
    }

    #[test]
    fn any_steps_of_a_swarm(steps in steps()) {
        swarm_entry::peer(&steps);
    }
}
