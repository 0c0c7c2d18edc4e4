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

/// Steps that lead somewhere: connections that offer something, then mostly blocks and answers of the disk.
fn steps() -> impl Strategy<Value = Vec<u8>> {
    let step = |kind: u8| (0..3u8, 0..4u8).prop_map(move |(n, high)| n | kind << 2 | high << 6);
    let say = |what: &'static [u8]| {
        (step(10), prop::sample::select(what)).prop_map(|(step, what)| vec![step, what])
    };
    let connect = (0..3u8, 2..5u8, 5..8u8).prop_map(|(peer, id, has)| {
        let speak = peer | 10 << 2;
        vec![peer | 64, id, speak, has, speak, 1, speak, 3]
    });
    let any_step = prop_oneof![
        60 => step(6).prop_map(|step| vec![step]),
        20 => step(3).prop_map(|step| vec![step]),
        4 => step(5).prop_map(|step| vec![step]),
        4 => say(&[0, 1, 1, 3, 4, 5, 8, 8, 9]),
        1 => say(&[6, 7]),
        2 => (step(2), any::<u8>()).prop_map(|(step, time)| vec![step, time]),
        2 => connect.clone(),
        1 => step(1).prop_map(|step| vec![step]),
        2 => step(15).prop_map(|step| vec![step]),
        1 => (step(14), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(step, bytes)| [vec![step, bytes.len() as u8], bytes].concat()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let opening = prop::collection::vec(connect, 0..5);
    (any::<u8>(), opening, prop::collection::vec(any_step, 0..200))
        .prop_map(|(mode, opening, rest)| [vec![mode], opening.concat(), rest.concat()].concat())
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
