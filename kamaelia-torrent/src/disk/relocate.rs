//! Bringing the files of a torrent to another place: another folder, or other names.
//!
//! In three steps, so that a crash at any moment leaves one place in which everything is, and a record that speaks of
//! it. First every file gets a second name in the new place, or is copied there if that is another file system; then
//! the caller writes the record; then [`leave`] takes the old names away. File systems that know no second names have
//! their files renamed one by one.
//!
//! Nothing is ever overwritten. A file that stands in the new place already is taken for ours only if it is the same
//! file, or a copy that an earlier attempt made (length and time of change are those of the original).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::beneath::{self, Access, Dir, Found};
use super::cache::FileCache;
use super::hook::HookedAccess;
use super::{DiskError, Storage};

/// What has to be done for one file.
#[derive(Debug)]
struct Item {
    from: PathBuf,
    to: PathBuf,
    /// It is in the new place already.
    done: bool,
}

/// What was done, in order to take it back or to finish it.
#[derive(Debug)]
pub(crate) struct Relocation {
    from: Dir,
    to: Dir,
    items: Vec<Item>,
    /// New names made by us.
    made: Vec<PathBuf>,
}

/// Makes every file of `from` be in the place of `to` as well. `None` if nothing of the torrent is there yet. If it
/// fails, the new place is as it was.
///
/// # Errors
///
/// Something stands where a file is to go, the folder cannot be had, or there is no room.
pub(crate) fn relocate(
    from: &Storage,
    to: &Storage,
    cancel: &AtomicBool,
) -> Result<Option<Relocation>, DiskError> {
    let folder = |storage: &Storage, create| {
        Dir::open(storage.root(), create).map_err(|e| DiskError::from_io("open", storage.root(), e))
    };
    let new = folder(to, true)?;
    let old = match folder(from, false) {
        Err(DiskError::Missing { .. }) => return Ok(None),
        other => other?,
    };
    let items = plan(from, to, &old, &new)?;
    let mut relocation = Relocation { from: old, to: new, items, made: Vec::new() };
    match relocation.run(from, to, cancel) {
        Ok(()) => Ok(Some(relocation)),
        Err(e) => {
            relocation.undo();
            Err(e)
        }
    }
}

/// What has to be done; looks at everything before anything is touched.
fn plan(from: &Storage, to: &Storage, old: &Dir, new: &Dir) -> Result<Vec<Item>, DiskError> {
    let same_folder = old.is_same(new);
    let mut items = Vec::new();
    for (i, entry) in from.metainfo().files().iter().enumerate() {
        let (path, next) = (from.file_path(i), to.file_path(i));
        if entry.pad || (same_folder && path == next) {
            continue;
        }
        items.push((path.to_path_buf(), next.to_path_buf()));
    }
    if !same_folder {
        let parts = PathBuf::from(format!(".{}.parts", from.metainfo().info_hash()));
        items.push((parts.clone(), parts));
    }
    let mut plan = Vec::new();
    for (path, next) in items {
        let error = |e| DiskError::from_io("look at", &from.root().join(&path), e);
        let there = match old.look(&path) {
            // A file in the way of a folder: our file is not there.
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => None,
            other => other.map_err(error)?,
        };
        let target = to.root().join(&next);
        let waiting = new.look(&next).map_err(|e| DiskError::from_io("look at", &target, e))?;
        match (there, waiting) {
            (None, None) => {}
            (Some(found), _) if !found.is_file => {
                return Err(DiskError::NotAFile { path: from.root().join(&path) });
            }
            // On a file system that ignores case, a new spelling of the old name.
            (Some(a), Some(b)) if same_folder && is_same_file(&a, &b) && is_spelling(&path, &next) => {
                plan.push(Item { from: path, to: next, done: false });
            }
            (Some(a), Some(b))
                if b.is_file && (is_same_file(&a, &b) || (a.len, a.mtime) == (b.len, b.mtime)) =>
            {
                plan.push(Item { from: path, to: next, done: true });
            }
            (_, Some(_)) => return Err(DiskError::Exists { path: target }),
            (Some(_), None) => plan.push(Item { from: path, to: next, done: false }),
        }
    }
    Ok(plan)
}

impl Relocation {
    fn run(&mut self, from: &Storage, to: &Storage, cancel: &AtomicBool) -> Result<(), DiskError> {
        let mut folders = BTreeSet::new();
        for i in 0..self.items.len() {
            if self.items[i].done {
                continue;
            }
            let (path, next) = (self.items[i].from.clone(), self.items[i].to.clone());
            let target = to.root().join(&next);
            self.bring(from, &path, &next, i, cancel).map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => DiskError::Missing { path: from.root().join(&path) },
                _ => DiskError::from_io("move to", &target, e),
            })?;
            self.made.push(next.clone());
            folders.insert(next.parent().map(Path::to_path_buf).unwrap_or_default());
        }
        for folder in folders {
            // A name is durable only when its folder is.
            let sync = self.to.sync_folder_of(&folder.join("x"));
            sync.map_err(|e| DiskError::from_io("sync", &to.root().join(&folder), e))?;
        }
        Ok(())
    }

    /// Makes one file be in the new place, too.
    fn bring(
        &self,
        storage: &Storage,
        path: &Path,
        next: &Path,
        i: usize,
        cancel: &AtomicBool,
    ) -> io::Result<()> {
        if is_spelling(path, next) && self.from.is_same(&self.to) {
            // A second name could be no second name at all, and taking the first away would take both.
            return self.from.rename(path, &self.to, next);
        }
        match self.from.link(path, &self.to, next) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(e),
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {}
            // No second names here.
            Err(_) => match self.from.rename(path, &self.to, next) {
                Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {}
                other => return other,
            },
        }
        let temporary = PathBuf::from(format!(".{}.{i}.moving", storage.metainfo().info_hash()));
        let copied = self.copy(path, &temporary, &storage.cache, cancel).and_then(|()| {
            // Only a whole copy gets the name.
            self.to.rename(&temporary, &self.to, next)
        });
        if copied.is_err() {
            let _ = self.to.remove(&temporary);
        }
        copied
    }

    /// Copies a file with its holes and its time of change, and brings it to the medium.
    fn copy(&self, path: &Path, temporary: &Path, cache: &FileCache, cancel: &AtomicBool) -> io::Result<()> {
        let source = self.from.open_file(path, Access::Read)?;
        let target = self.to.open_file(temporary, Access::Write)?;
        let len = source.metadata()?.len();
        // What an earlier attempt left.
        target.set_len(0)?;
        target.set_len(len)?;
        let mut at = 0;
        while let Some(start) = beneath::next_data(&source, at)?.filter(|start| *start < len) {
            if cancel.load(Ordering::Relaxed) {
                return Err(io::Error::other("the torrent is stopping"));
            }
            cache.before(HookedAccess::Copy, (len - start).min(COPY_RUN))?;
            at = copy_run(&source, &target, start, len)?;
        }
        target.set_modified(source.metadata()?.modified()?)?;
        target.sync_all()
    }

    /// Takes away what was made, as far as possible.
    pub(crate) fn undo(&self) {
        for path in self.made.iter().rev() {
            let item = self.items.iter().find(|item| item.to == *path);
            let Some(item) = item else { continue };
            let gone = matches!(self.from.look(&item.from), Ok(None));
            // Where it was renamed, the new name is the only one.
            let undone =
                if gone { self.to.rename(path, &self.from, &item.from) } else { self.to.remove(path) };
            if let Err(e) = undone {
                log::warn!("cannot take back {path:?}: {e}");
            }
        }
        let made = self.made.iter().map(PathBuf::as_path);
        remove_empty_folders(&self.to, made);
    }

    /// Takes the old names away, and the folders that are empty then. Files that are not the torrent's stay.
    pub(crate) fn leave(&self) {
        for item in &self.items {
            let (there, new) = (self.from.look(&item.from), self.to.look(&item.to));
            if let (Ok(Some(_)), Ok(Some(_))) = (there, new)
                && !(is_spelling(&item.from, &item.to) && self.from.is_same(&self.to))
                && let Err(e) = self.from.remove(&item.from)
            {
                log::warn!("{:?} was moved, but stays: {e}", item.from);
            }
        }
        remove_empty_folders(&self.from, self.items.iter().map(|item| &*item.from));
    }

    /// Removes a file that is no part of the torrent from the old folder, if it is another one.
    pub(crate) fn leave_behind(&self, name: &str) {
        if !self.from.is_same(&self.to)
            && let Err(e) = self.from.remove(name.as_ref())
            && e.kind() != io::ErrorKind::NotFound
        {
            log::warn!("{name} stays: {e}");
        }
    }
}

/// Copies one run of data; answers where it ended. The system copies without the data passing through here.
fn copy_run(source: &File, target: &File, start: u64, len: u64) -> io::Result<u64> {
    use std::io::{Seek, SeekFrom};

    let (mut reader, mut writer) = (source, target);
    reader.seek(SeekFrom::Start(start))?;
    writer.seek(SeekFrom::Start(start))?;
    let copied = io::copy(&mut reader.take((len - start).min(COPY_RUN)), &mut writer)?;
    if copied == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(start + copied)
}

/// Removes the folders above these files that are empty, from the inside out.
fn remove_empty_folders<'a>(dir: &Dir, files: impl Iterator<Item = &'a Path>) {
    let mut folders = BTreeSet::new();
    for file in files {
        let above = file.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
        folders.extend(above.map(Path::to_path_buf));
    }
    // Longer paths after the shorter ones that they begin with.
    for folder in folders.iter().rev() {
        // It may hold something else: then it stays.
        let _ = dir.remove_folder(folder);
    }
}

fn is_same_file(a: &Found, b: &Found) -> bool {
    a.id.is_some() && a.id == b.id
}

/// Whether two paths differ in the spelling of one name only.
fn is_spelling(a: &Path, b: &Path) -> bool {
    let fold = |path: &Path| path.to_str().map(crate::proto::path::fold);
    a != b && fold(a).is_some() && fold(a) == fold(b)
}

/// Bytes copied at a time. Holes are looked for in between, so that one of them grows by less than this is short.
const COPY_RUN: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use super::*;
    use crate::disk::{Allocation, StorageKey};
    use crate::make::Maker;

    /// A torrent of three files, one of them below a folder, and its storage.
    fn torrent(dir: &Path) -> Storage {
        std::fs::create_dir_all(dir.join("t/sub")).unwrap();
        for (name, len) in [("t/a", 40_000), ("t/b", 70_000), ("t/sub/c", 9)] {
            std::fs::write(dir.join(name), vec![len as u8; len]).unwrap();
        }
        let made = Maker::new(dir.join("t")).make(|_| ControlFlow::Continue(())).unwrap();
        Storage::new(
            StorageKey(1),
            made.metainfo,
            dir.into(),
            Allocation::Sparse,
            &[],
            Arc::new(FileCache::new(4, None)),
        )
    }

    fn is_whole(storage: &Storage) -> bool {
        let files = storage.metainfo().files().iter().enumerate();
        files.into_iter().all(|(i, f)| std::fs::metadata(storage.path(i)).is_ok_and(|m| m.len() == f.len))
    }

    fn go() -> AtomicBool {
        AtomicBool::new(false)
    }

    #[test]
    fn both_places_are_whole_until_the_old_one_is_left_and_a_crash_is_made_good() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let from = torrent(old.path());
        let to = from.at(new.path().into(), BTreeMap::new());
        // Killed before the record was written, and once more.
        for _ in 0..2 {
            relocate(&from, &to, &go()).unwrap().unwrap();
            assert!(is_whole(&from) && is_whole(&to));
        }
        // Killed when some of the old names were gone: whoever believes the new record finds everything.
        std::fs::remove_file(old.path().join("t/a")).unwrap();
        assert!(is_whole(&to));
        std::fs::hard_link(new.path().join("t/a"), old.path().join("t/a")).unwrap();
        relocate(&from, &to, &go()).unwrap().unwrap().leave();
        assert!(is_whole(&to));
        assert_eq!(std::fs::read_dir(old.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_copied_goes_away_when_the_move_fails() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let from = torrent(old.path());
        let to = from.at(new.path().into(), BTreeMap::new());
        let relocation = relocate(&from, &to, &go()).unwrap().unwrap();
        relocation.undo();
        assert!(is_whole(&from));
        assert_eq!(std::fs::read_dir(new.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_copy_has_holes_and_time_of_the_original_and_can_be_called_off() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = old.path().join("sparse");
        let file = File::create(&path).unwrap();
        beneath::write_all_at(&file, b"start", 0).unwrap();
        beneath::write_all_at(&file, b"end", 200 << 20).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 7)).unwrap();
        let dir = |path: &Path| Dir::open(path, false).unwrap();
        let relocation =
            Relocation { from: dir(old.path()), to: dir(new.path()), items: Vec::new(), made: Vec::new() };
        let cache = FileCache::new(4, None);
        relocation.copy("sparse".as_ref(), "copy".as_ref(), &cache, &go()).unwrap();
        let (a, b) = (std::fs::metadata(&path).unwrap(), std::fs::metadata(new.path().join("copy")).unwrap());
        assert_eq!((a.len(), a.modified().unwrap()), (b.len(), b.modified().unwrap()));
        assert!(std::fs::read(&path).unwrap() == std::fs::read(new.path().join("copy")).unwrap());
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::MetadataExt;
            assert!(b.blocks() * 512 < 4 << 20, "{} blocks", b.blocks());
        }
        let off = AtomicBool::new(true);
        relocation.copy("sparse".as_ref(), "other".as_ref(), &cache, &off).unwrap_err();
    }

    #[test]
    fn a_new_spelling_is_a_single_rename() {
        let old = tempfile::tempdir().unwrap();
        let from = torrent(old.path());
        let to = from.at(old.path().into(), [(0, PathBuf::from("t/A"))].into());
        relocate(&from, &to, &go()).unwrap().unwrap().leave();
        assert!(is_whole(&to) && !old.path().join("t/a").exists());
    }
}
