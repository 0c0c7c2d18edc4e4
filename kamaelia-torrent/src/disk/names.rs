//! New names for files of a torrent, from users and from records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Storage;
use super::beneath::{Access, Dir};
use crate::proto::metainfo::Metainfo;
use crate::proto::path::{PathError, Rules, check_extent, fold};

/// A new path for a file, below the folder of the torrent: components joined by `/`, each of them safe as it stands, and
/// of no other file of the torrent, upper and lower case and Unicode form aside. `names` are the new names so far.
pub(crate) fn checked_name(
    metainfo: &Metainfo,
    names: &BTreeMap<usize, PathBuf>,
    file: usize,
    name: &str,
) -> Result<PathBuf, PathError> {
    let files = metainfo.files();
    let shown = || name.chars().take(100).collect::<String>();
    if files.get(file).is_none_or(|entry| entry.pad) {
        return Err(PathError::NoSuchFile(file));
    }
    for part in name.split('/') {
        let safe = Rules::host().component(part.as_bytes())?;
        if safe != part {
            return Err(PathError::Unsafe(shown()));
        }
    }
    check_extent(name)?;
    let wanted = fold(name);
    for (i, entry) in files.iter().enumerate().filter(|(i, entry)| *i != file && !entry.pad) {
        let path: &Path = names.get(&i).unwrap_or(&entry.path);
        let other = fold(&crate::proto::metainfo::display_path(path));
        let below = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
        if other == wanted {
            return Err(PathError::Duplicate(shown()));
        }
        if below(&other, &wanted) || below(&wanted, &other) {
            return Err(PathError::FileAndFolder(shown()));
        }
    }
    Ok(name.split('/').collect())
}

/// The torrent with names that can be told apart, if some of its own cannot where its files are.
///
/// Which file systems take names for one that differ in case or Unicode form cannot be known beforehand, so it is tried;
/// hardly any torrent has such names.
pub(crate) fn tell_apart(storage: &Storage) -> Option<Storage> {
    let mut names = storage.metainfo().told_apart();
    names.retain(|file, _| !storage.names().contains_key(file));
    if names.is_empty() || !folds_names(storage) {
        return None;
    }
    names.extend(storage.names());
    Some(storage.at(storage.root().to_path_buf(), names))
}

/// Whether the torrent's folder takes names for one that differ in case or Unicode form only.
fn folds_names(storage: &Storage) -> bool {
    let Ok(dir) = Dir::open(storage.root(), true) else { return false };
    let hash = storage.metainfo().info_hash();
    let probe = format!(".{hash}.\u{e9}-probe");
    let spellings = [format!(".{hash}.\u{c9}-PROBE"), format!(".{hash}.e\u{301}-probe")];
    // Where nothing can be made, nothing will be stored either.
    if dir.open_file(probe.as_ref(), Access::Write).is_err() {
        return false;
    }
    let folds = spellings.iter().any(|name| matches!(dir.look(name.as_ref()), Ok(Some(_))));
    if let Err(e) = dir.remove(probe.as_ref()) {
        log::warn!("{probe} stays: {e}");
    }
    folds
}
