//! `make`: a .torrent file of a file or folder.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use kamaelia_torrent::make::{MakeError, Maker};
use serde_json::json;

use super::args::Make;
use super::interrupt::Interrupt;
use super::output::{clean, line, work_bar};
use super::units::bytes;
use super::{Done, Failure};

pub(crate) fn run(args: &Make) -> Done {
    let mut maker = Maker::new(&args.path).private(args.private);
    if let Some(len) = args.piece_length {
        let len =
            u32::try_from(len).map_err(|_| Failure::Failed(format!("piece length {len} is too large")))?;
        maker = maker.piece_len(len);
    }
    for tier in &args.trackers {
        maker = maker.tracker_tier(tier.split(',').map(str::trim));
    }
    for url in &args.web_seeds {
        maker = maker.web_seed(url);
    }
    if let Some(comment) = &args.comment {
        maker = maker.comment(comment);
    }
    if let Some(name) = &args.name {
        maker = maker.name(name);
    }
    let interrupt = Interrupt::install()?;
    let bar = work_bar(args.json, &args.path.display().to_string());
    let made = maker.make(|p| {
        bar.set_length(p.total);
        bar.set_position(p.done);
        if interrupt.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let made = match made {
        Err(MakeError::Cancelled) => return Err(Failure::Interrupted),
        other => other?,
    };
    write_whole(&args.output, &made.bytes)
        .map_err(|e| Failure::Failed(format!("cannot write {}: {e}", args.output.display())))?;
    for path in &made.skipped {
        eprintln!("left out: {}", clean(&path.display().to_string()));
    }
    let (m, g) = (&made.metainfo, made.metainfo.geometry());
    if args.json {
        let object = json!({
            "output": args.output.display().to_string(), "info_hash": m.info_hash().to_string(), "name": m.name(),
            "total": g.total_len(), "piece_length": g.piece_len(), "pieces": g.piece_count(),
            "files": m.files().len(), "skipped": made.skipped.len(),
        });
        line(&object.to_string());
    } else {
        line(&format!("{}: {}", clean(&args.output.display().to_string()), m.info_hash()));
        line(&format!(
            "{} in {} files, {} pieces of {}",
            bytes(g.total_len()),
            m.files().len(),
            g.piece_count(),
            bytes(u64::from(g.piece_len()))
        ));
    }
    Ok(())
}

/// Writes beside the target and renames, so that no half file is ever there under its name.
fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".torrent.tmp");
    fs::write(&beside, content)?;
    fs::rename(&beside, path).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}
