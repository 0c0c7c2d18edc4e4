//! A seam for benchmarks and tests: something that happens before each access to a file.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Called on the thread that does it before each access to a file: it may wait, as a slow disk would, or fail the access.
///
/// Not for programs: it is how a slow or broken medium is had without rights to make one.
#[derive(Clone)]
pub struct DiskHook(Arc<Before>);

type Before = dyn Fn(HookedAccess, u64) -> io::Result<()> + Send + Sync;

/// What is about to be done to a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum HookedAccess {
    /// Bytes are read.
    Read,
    /// Bytes are written.
    Write,
    /// Bytes are copied: to another file system, or out of the part file.
    Copy,
}

impl DiskHook {
    /// A hook that is told what is about to happen and to how many bytes.
    pub fn new(before: impl Fn(HookedAccess, u64) -> io::Result<()> + Send + Sync + 'static) -> DiskHook {
        DiskHook(Arc::new(before))
    }

    pub(crate) fn call(&self, access: HookedAccess, bytes: u64) -> io::Result<()> {
        (self.0)(access, bytes)
    }
}

impl fmt::Debug for DiskHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskHook")
    }
}
