//! `check`: compares files with their torrent.

use kamaelia_torrent::check::{Checker, FileState};
use kamaelia_torrent::proto::metainfo::display_path;
use kamaelia_torrent::torrent_file::read_torrent_file;
use serde_json::json;

use super::args::Check;
use super::output::{clean, line, work_bar};
use super::transfer::refuse_links;
use super::units::bytes;
use super::{Done, Failure};

pub(crate) fn run(args: &Check) -> Done {
    refuse_links(&args.torrent)?;
    let m = read_torrent_file(&args.torrent)?;
    let g = m.geometry();
    let bar = work_bar(args.json, m.name());
    bar.set_length(g.total_len());
    let report = Checker::new(&m, &args.dir).run(|pieces| {
        bar.set_position((u64::from(pieces) * u64::from(g.piece_len())).min(g.total_len()));
    });
    bar.finish_and_clear();
    let report = report?;
    let complete = report.is_complete();
    if args.json {
        let files: Vec<_> = report
            .files
            .iter()
            .filter(|(_, state)| *state != FileState::Good)
            .map(|(path, state)| json!({"path": display_path(path), "state": state.to_string()}))
            .collect();
        let object = json!({
            "name": m.name(), "complete": complete, "pieces": g.piece_count(), "good_pieces": report.have.count(),
            "wrong": files,
        });
        line(&object.to_string());
    } else {
        for (path, state) in report.files.iter().filter(|(_, state)| *state != FileState::Good) {
            line(&format!("{state:<8} {}", clean(&display_path(path))));
        }
        let (good, all) = (report.have.count(), g.piece_count());
        line(&format!("{}: {good} of {all} pieces are right, {}", clean(m.name()), bytes(g.total_len())));
    }
    if complete {
        return Ok(());
    }
    let bad = report.files.iter().filter(|(_, state)| *state != FileState::Good).count();
    let (files, are) = if bad == 1 { ("file", "is") } else { ("files", "are") };
    // Programs have the object.
    eprintln!("error: {}: {bad} {files} in {} {are} missing or wrong", clean(m.name()), args.dir.display());
    Err(Failure::Told)
}
