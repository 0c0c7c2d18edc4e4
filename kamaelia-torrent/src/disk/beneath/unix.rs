//! Linux: `openat2` with `RESOLVE_BENEATH`; other Unix systems and old kernels: `openat` component by component.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{Access, Found};

/// A handle of a folder; names are resolved beneath it.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
}

impl Dir {
    /// Opens a folder named by the user; links in the user's own path are followed. Makes it if `create`.
    pub(crate) fn open(path: &Path, create: bool) -> io::Result<Dir> {
        if create {
            std::fs::create_dir_all(path).map_err(super::not_a_folder)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Dir { fd: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Opens a regular file. `path` must be relative and of plain components.
    pub(crate) fn open_file(&self, path: &Path, access: Access) -> io::Result<File> {
        // NONBLOCK: a FIFO in the place of a file must not hang a worker; it has no effect on regular files.
        let common = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let fd = match access {
            Access::Read => self.resolve(path, common | OFlags::RDONLY)?,
            Access::Write => {
                let flags = common | OFlags::RDWR | OFlags::CREATE;
                match self.resolve(path, flags) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {
                        self.make_parents(path)?;
                        self.resolve(path, flags)?
                    }
                    other => other?,
                }
            }
        };
        let file = File::from(fd);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(file)
    }

    /// Writes a file of this folder (a plain name) so that a crash leaves either the old or the new contents.
    pub(crate) fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let new = PathBuf::from(format!("{name}.new"));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(self.resolve(&new, flags)?);
        super::write_all_at(&file, contents, 0)?;
        file.sync_all()?;
        rustix::fs::renameat(&self.fd, &new, &self.fd, name)?;
        // The rename itself is durable only when the folder is.
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Bytes that an ordinary user may still write here, if the file system tells.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(&self.fd).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// What stands at `path`, without following a link; `None` if nothing does.
    #[allow(clippy::unnecessary_cast, reason = "the types are not the same on all systems")]
    pub(crate) fn look(&self, path: &Path) -> io::Result<Option<Found>> {
        let (parent, name) = match self.parent(path, false) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        match rustix::fs::statat(self.at(&parent), name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
            Ok(stat) => Ok(Some(Found {
                is_file: rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file(),
                id: Some((stat.st_dev as u64, stat.st_ino as u64)),
                len: stat.st_size as u64,
                mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            })),
        }
    }

    /// Whether both are one folder.
    pub(crate) fn is_same(&self, other: &Dir) -> bool {
        let id = |dir: &Dir| rustix::fs::fstat(&dir.fd).map(|stat| (stat.st_dev, stat.st_ino));
        matches!((id(self), id(other)), (Ok(a), Ok(b)) if a == b)
    }

    /// Gives a file a second name in `to`, making folders on the way. Never replaces anything.
    pub(crate) fn link(&self, path: &Path, to: &Dir, new: &Path) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(path, false)?;
        let (to_parent, to_name) = to.parent(new, true)?;
        let (from_at, to_at) = (self.at(&from_parent), to.at(&to_parent));
        Ok(rustix::fs::linkat(from_at, from_name, to_at, to_name, AtFlags::empty())?)
    }

    /// Renames a file, making folders on the way. Does not replace anything where the system can promise that; the
    /// caller looks before.
    pub(crate) fn rename(&self, path: &Path, to: &Dir, new: &Path) -> io::Result<()> {
        let (from_parent, from_name) = self.parent(path, false)?;
        let (to_parent, to_name) = to.parent(new, true)?;
        let (from_at, to_at) = (self.at(&from_parent), to.at(&to_parent));
        #[cfg(target_os = "linux")]
        {
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(from_at, from_name, to_at, to_name, flags) {
                Err(Errno::INVAL | Errno::NOSYS) => {}
                other => return Ok(other?),
            }
        }
        Ok(rustix::fs::renameat(from_at, from_name, to_at, to_name)?)
    }

    /// Removes a file (or link).
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path, false)?;
        Ok(rustix::fs::unlinkat(self.at(&parent), name, AtFlags::empty())?)
    }

    /// Removes a folder that is empty.
    pub(crate) fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path, false)?;
        Ok(rustix::fs::unlinkat(self.at(&parent), name, AtFlags::REMOVEDIR)?)
    }

    /// Brings the names in the folder that holds `path` to the medium.
    pub(crate) fn sync_folder_of(&self, path: &Path) -> io::Result<()> {
        let (parent, _) = self.parent(path, false)?;
        Ok(rustix::fs::fsync(self.at(&parent))?)
    }

    fn at<'d>(&'d self, parent: &'d Option<OwnedFd>) -> BorrowedFd<'d> {
        parent.as_ref().map_or(self.fd.as_fd(), |fd| fd.as_fd())
    }

    /// Makes renames in this folder durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        #[cfg(target_os = "linux")]
        if !NO_OPENAT2.load(Ordering::Relaxed) {
            use rustix::fs::ResolveFlags;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            let mode = if flags.contains(OFlags::CREATE) { FILE_MODE } else { Mode::empty() };
            match rustix::fs::openat2(&self.fd, path, flags, mode, resolve) {
                // Kernels before 5.6, and sandboxes that do not know the call.
                Err(Errno::NOSYS | Errno::PERM) => NO_OPENAT2.store(true, Ordering::Relaxed),
                other => return Ok(other?),
            }
        }
        self.walk(path, flags)
    }

    /// Opens each folder of `path` in turn without following a link, then the file in the last one.
    fn walk(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let (parent, name) = self.parent(path, false)?;
        let dir = parent.as_ref().map_or(self.fd.as_fd(), |fd| fd.as_fd());
        Ok(rustix::fs::openat(dir, name, flags | OFlags::NOFOLLOW, FILE_MODE)?)
    }

    fn make_parents(&self, path: &Path) -> io::Result<()> {
        self.parent(path, true).map(drop)
    }

    /// The folder that holds `path` (`None`: this one) and the last component.
    fn parent<'p>(&self, path: &'p Path, create: bool) -> io::Result<(Option<OwnedFd>, &'p std::ffi::OsStr)> {
        let mut dir: Option<OwnedFd> = None;
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            let Component::Normal(name) = component else {
                return Err(io::ErrorKind::InvalidFilename.into());
            };
            if components.peek().is_none() {
                return Ok((dir, name));
            }
            let at: BorrowedFd<'_> = dir.as_ref().map_or(self.fd.as_fd(), |fd| fd.as_fd());
            if create {
                match rustix::fs::mkdirat(at, name, DIR_MODE) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = match rustix::fs::openat(at, name, flags, Mode::empty()) {
                // A link opened with DIRECTORY and NOFOLLOW is "not a folder"; say what it is.
                Err(Errno::NOTDIR) if is_link(at, name) => return Err(Errno::LOOP.into()),
                other => other?,
            };
            dir = Some(next);
        }
        Err(io::ErrorKind::InvalidFilename.into())
    }
}

/// True for the error that says "there is a symbolic link in the path" (or a path that leads out).
pub(crate) fn is_symlink_refusal(e: &io::Error) -> bool {
    let code = e.raw_os_error();
    code == Some(Errno::LOOP.raw_os_error()) || code == Some(Errno::XDEV.raw_os_error())
}

/// True for the errors that say "too many open files".
pub(crate) fn is_out_of_files(e: &io::Error) -> bool {
    let code = e.raw_os_error();
    code == Some(Errno::MFILE.raw_os_error()) || code == Some(Errno::NFILE.raw_os_error())
}

/// Reads into several slices with one call.
pub(crate) fn read_vectored_at(file: &File, slices: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::preadv(file, slices, offset)?)
}

/// Reads into several slices what is in memory already, without ever waiting for the medium; 0 if nothing is, or if the
/// file system cannot tell.
#[cfg(target_os = "linux")]
pub(crate) fn read_cached_at(file: &File, slices: &mut [IoSliceMut<'_>], offset: u64) -> usize {
    let read = match rustix::io::preadv2(file, slices, offset, rustix::io::ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP) if is_in_memory(file) => rustix::io::preadv(file, slices, offset),
        read => read,
    };
    // Whoever reads it properly learns of errors.
    read.unwrap_or(0)
}

/// Whether a file is on tmpfs, which cannot be asked because it never waits: but for what was swapped out, and then all
/// else waits, too.
#[cfg(target_os = "linux")]
fn is_in_memory(file: &File) -> bool {
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type == TMPFS)
}

/// Other systems cannot be asked for what is in memory.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_cached_at(_file: &File, _slices: &mut [IoSliceMut<'_>], _offset: u64) -> usize {
    0
}

/// Whether [`advise`] has an effect.
pub(crate) const CAN_ADVISE: bool =
    cfg!(any(target_os = "linux", target_os = "android", target_os = "freebsd"));

/// Tells the system that a range will soon be read. It is only advice: whoever reads it properly learns of errors.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn advise(file: &File, offset: u64, len: u64) {
    // Linux takes as much of each call as it would ask the device for at once, and leaves the rest out.
    const AT_ONCE: u64 = 256 * 1024;
    let mut at = 0;
    while let Some(n) = std::num::NonZeroU64::new((len - at).min(AT_ONCE)) {
        let _ = rustix::fs::fadvise(file, offset + at, Some(n), rustix::fs::Advice::WillNeed);
        at += n.get();
    }
}

/// Other systems cannot be told.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn advise(_file: &File, _offset: u64, _len: u64) {}

/// Writes several slices at an offset with one call; answers how much of them was written.
pub(crate) fn write_vectored_at(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pwritev(file, slices, offset)?)
}

/// Takes a file for this process alone, until its handle is closed; false if another process has it.
pub(crate) fn lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        // Network file systems that know no locks.
        Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(true),
        Err(e) => Err(e.into()),
    }
}

/// The first byte at or after `offset` that is not in a hole; `None` if only a hole follows.
pub(crate) fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(at) => Ok(Some(at)),
        Err(Errno::NXIO) => Ok(None),
        // File systems that do not know where their holes are.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset)),
        Err(e) => Err(e.into()),
    }
}

/// Reserves room for the whole file, also where it has holes; what it holds stays. File systems that cannot are left
/// alone, and so are systems without the call: the file has its length then and holes.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::io::retry_on_intr(|| {
        rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len)
    }) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        Err(e) => return Err(e.into()),
    }
    file.set_len(len)
}

/// Bytes that a file takes up.
pub(crate) fn allocated(meta: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // The unit is 512 bytes whatever the file system's blocks are.
    meta.blocks().saturating_mul(512)
}

fn is_link(at: BorrowedFd<'_>, name: &std::ffi::OsStr) -> bool {
    rustix::fs::readlinkat(at, name, Vec::new()).is_ok()
}

const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIR_MODE: Mode = Mode::from_raw_mode(0o777);

/// Set once the kernel has said that it does not know `openat2`.
#[cfg(target_os = "linux")]
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn both(dir: &Dir, path: &str, access: Access) -> [io::Result<()>; 2] {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR | OFlags::CREATE,
        };
        [dir.open_file(Path::new(path), access).map(drop), dir.walk(Path::new(path), flags).map(drop)]
    }

    #[test]
    fn folders_are_made_on_the_way() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(&tmp.path().join("new"), true).unwrap();
        let mut file = dir.open_file(Path::new("a/b/c"), Access::Write).unwrap();
        file.write_all(b"x").unwrap();
        assert_eq!(std::fs::read(tmp.path().join("new/a/b/c")).unwrap(), b"x");
    }

    #[test]
    fn no_link_is_followed() {
        let tmp = tempfile::tempdir().unwrap();
        let out = tmp.path().join("out");
        let inside = tmp.path().join("in");
        std::fs::create_dir_all(&out).unwrap();
        std::fs::create_dir_all(inside.join("real")).unwrap();
        std::fs::write(out.join("f"), b"secret").unwrap();
        std::os::unix::fs::symlink(&out, inside.join("folder")).unwrap();
        std::os::unix::fs::symlink(out.join("f"), inside.join("file")).unwrap();
        std::os::unix::fs::symlink(out.join("none"), inside.join("dangling")).unwrap();
        // A link that stays inside is refused too.
        std::os::unix::fs::symlink("real", inside.join("local")).unwrap();
        let dir = Dir::open(&inside, false).unwrap();
        for access in [Access::Read, Access::Write] {
            for path in ["folder/f", "folder/new", "file", "dangling", "local/x"] {
                for result in both(&dir, path, access) {
                    let e = result.expect_err(path);
                    assert!(is_symlink_refusal(&e), "{path} {access:?}: {e}");
                }
            }
        }
        assert!(!out.join("new").exists() && !out.join("none").exists());
        assert!(!inside.join("real/x").exists());
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::create_dir(tmp.path().join("in")).unwrap();
        std::fs::write(tmp.path().join("f"), b"x").unwrap();
        let dir = Dir::open(&tmp.path().join("in"), false).unwrap();
        let absolute = tmp.path().join("f");
        for path in ["../f", "..", "a/../../f", absolute.to_str().unwrap()] {
            for result in both(&dir, path, Access::Read) {
                result.expect_err(path);
            }
        }
    }

    #[test]
    fn only_regular_files_are_opened() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::create_dir(tmp.path().join("folder")).unwrap();
        let dir = Dir::open(tmp.path(), false).unwrap();
        for access in [Access::Read, Access::Write] {
            let e = dir.open_file(Path::new("folder"), access).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::IsADirectory);
        }
        #[cfg(target_os = "linux")]
        {
            rustix::fs::mknodat(&dir.fd, "fifo", rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0)
                .unwrap();
            for access in [Access::Read, Access::Write] {
                let e = dir.open_file(Path::new("fifo"), access).unwrap_err();
                assert_eq!(e.kind(), io::ErrorKind::IsADirectory);
            }
        }
    }

    #[test]
    fn replace_leaves_one_file() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path(), false).unwrap();
        dir.replace("r", b"old and long").unwrap();
        dir.replace("r", b"new").unwrap();
        assert_eq!(std::fs::read(tmp.path().join("r")).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 1);
    }
}
