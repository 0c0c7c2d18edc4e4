//! New names for files of a torrent, from users and from records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
