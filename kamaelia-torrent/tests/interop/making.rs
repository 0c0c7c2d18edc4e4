//! Torrents that we make, as libtorrent reads them.

use serde_json::{Value, json};

use crate::bench::{Bench, Failure, Result, text};
use crate::kind::Kind;
use crate::libtorrent::Libtorrent;
use crate::ours;
use crate::payload::{Payload, Shape};

fn libtorrent_agrees(shape: Shape) -> Result {
    let Some(bench) = Bench::new(&[Kind::Libtorrent])? else { return Ok(()) };
    let payload = Payload::generate(bench.folder("source")?, shape)?;
    let (root, path) = (payload.root(), bench.path("made.torrent"));
    let arguments = [
        "make",
        text(&root)?,
        "-o",
        text(&path)?,
        "--tracker",
        "http://one.example/announce,http://two.example/announce",
        "--tracker",
        "http://three.example/announce",
        "--web-seed",
        "http://files.example/",
        "--piece-length",
        "64KiB",
        "--private",
        "--comment",
        "grüße",
    ];
    ours::run(&bench, "make", &arguments)?;
    let ours: Value = serde_json::from_str(&ours::run(&bench, "show", &["show", text(&path)?, "--json"])?)?;
    let theirs = Libtorrent::start(&bench)?.describe(&path)?;

    assert_eq!(theirs["info_hash"], ours["info_hash"], "info hash");
    assert_eq!(theirs["name"], payload.name);
    assert_eq!(theirs["piece_length"], 64 << 10);
    assert_eq!(theirs["pieces"], payload.len.div_ceil(64 << 10));
    assert_eq!(theirs["private"], true);
    assert_eq!(theirs["comment"], "grüße");
    let mut trackers =
        theirs["trackers"].as_array().cloned().ok_or_else(|| Failure::new("no list of trackers"))?;
    trackers.sort_by_key(Value::to_string);
    let expected = json!([
        ["http://one.example/announce", 0],
        ["http://three.example/announce", 1],
        ["http://two.example/announce", 0],
    ]);
    assert_eq!(Value::from(trackers), expected);
    assert_eq!(theirs["web_seeds"], json!(["http://files.example/"]));
    let mut files = Vec::new();
    for file in theirs["files"].as_array().ok_or_else(|| Failure::new("no list of files"))? {
        let path = file[0].as_str().ok_or_else(|| Failure::new(format!("no path in {file}")))?;
        files.push((path.to_owned(), file[1].as_u64().unwrap_or(u64::MAX)));
    }
    files.sort();
    assert_eq!(files, payload.lengths()?);
    Ok(())
}

#[test]
fn libtorrent_reads_a_torrent_of_one_file_as_we_made_it() -> Result {
    libtorrent_agrees(Shape::OneFile)
}

#[test]
fn libtorrent_reads_a_torrent_of_many_files_as_we_made_it() -> Result {
    libtorrent_agrees(Shape::ManyFiles)
}
