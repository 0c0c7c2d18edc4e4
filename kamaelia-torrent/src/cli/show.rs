//! `show`: what a .torrent file contains.

use kamaelia_torrent::proto::metainfo::display_path;
use kamaelia_torrent::torrent_file::read_torrent_file;
use serde_json::json;

use super::Done;
use super::args::Show;
use super::output::{clean, line};
use super::transfer::refuse_links;
use super::units::bytes;

pub(crate) fn run(args: &Show) -> Done {
    refuse_links(&args.torrent)?;
    let m = read_torrent_file(&args.torrent)?;
    let g = m.geometry();
    if args.json {
        let files: Vec<_> = m
            .files()
            .iter()
            .enumerate()
            .map(|(i, f)| json!({"index": i, "path": display_path(&f.path), "length": f.len, "padding": f.pad}))
            .collect();
        let object = json!({
            "name": m.name(), "info_hash": m.info_hash().to_string(), "total": g.total_len(),
            "piece_length": g.piece_len(), "pieces": g.piece_count(), "private": m.private(),
            "trackers": m.trackers(), "web_seeds": m.web_seeds(), "comment": m.comment(),
            "created_by": m.created_by(), "creation_date": m.creation_date(), "files": files,
        });
        line(&object.to_string());
        return Ok(());
    }
    let row = |what: &str, value: &str| line(&format!("{what:<14}{}", clean(value)));
    row("name", m.name());
    row("info hash", &m.info_hash().to_string());
    row("size", &format!("{} ({} bytes)", bytes(g.total_len()), g.total_len()));
    row("pieces", &format!("{} of {}", g.piece_count(), bytes(u64::from(g.piece_len()))));
    row("private", if m.private() { "yes" } else { "no" });
    for (i, tier) in m.trackers().iter().enumerate() {
        row(if i == 0 { "trackers" } else { "" }, &tier.join("  "));
    }
    for (i, url) in m.web_seeds().iter().enumerate() {
        row(if i == 0 { "web seeds" } else { "" }, url);
    }
    for (what, text) in [("comment", m.comment()), ("created by", m.created_by())] {
        if let Some(text) = text {
            row(what, text);
        }
    }
    if let Some(seconds) = m.creation_date() {
        row("created", &format!("{seconds} s after 1970-01-01"));
    }
    row("files", &m.files().iter().filter(|f| !f.pad).count().to_string());
    let width = (m.files().len() - 1).to_string().len();
    for (i, f) in m.files().iter().enumerate().filter(|(_, f)| !f.pad) {
        line(&format!("  {i:>width$}  {:>10}  {}", bytes(f.len), clean(&display_path(&f.path))));
    }
    Ok(())
}
