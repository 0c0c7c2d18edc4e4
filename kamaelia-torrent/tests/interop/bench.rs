//! What a test stands on: a folder, a deadline, addresses, and errors that can be read.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kind::{Availability, Kind};

/// Time between two looks at a control interface.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// A test's private folder and its limit of time.
pub(crate) struct Bench {
    folder: TempDir,
    /// When the test gives up.
    pub(crate) deadline: Deadline,
}

impl Bench {
    /// Prepares a test that needs `kinds`, or says that their registry refused one of them and returns nothing.
    pub(crate) fn new(seconds: u64, kinds: &[Kind]) -> Result<Option<Bench>> {
        for kind in kinds {
            match kind.availability() {
                Availability::Installed => {}
                Availability::Refused => {
                    kind.report_refused();
                    return Ok(None);
                }
                Availability::Missing => return Err(Failure::new(kind.how_to_install())),
            }
        }
        let deadline = Deadline::after(Duration::from_secs(seconds));
        Ok(Some(Bench { folder: tempfile::Builder::new().prefix("interop").tempdir()?, deadline }))
    }

    /// Makes a folder of this test.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// A path inside the test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A limit of time for all waits of a test together.
#[derive(Copy, Clone)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(time: Duration) -> Deadline {
        Deadline(Instant::now() + time)
    }

    pub(crate) fn passed(&self) -> bool {
        self.left().is_zero()
    }

    pub(crate) fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Asks until the answer is yes. `what` says in the failure what was waited for.
    pub(crate) fn wait(&self, what: impl fmt::Display, mut ready: impl FnMut() -> Result<bool>) -> Result {
        while !ready()? {
            if self.passed() {
                return Err(Failure::new(format!("waited in vain: {what}")));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until something accepts connections.
    pub(crate) fn wait_listening(&self, name: &str, addr: SocketAddrV4) -> Result {
        self.wait(format_args!("{name} to listen on {addr}"), || {
            Ok(std::net::TcpStream::connect_timeout(&addr.into(), Duration::from_millis(500)).is_ok())
        })
    }
}

/// An address of 127.0.0.0/8 that nobody else in this run, and hardly anybody in another, has: many clients take
/// peers of one address for one peer.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let run = std::process::id();
    // 127.64.0.0 and up, never .0 or .255 at the end.
    Ipv4Addr::new(127, 64 + (run % 128) as u8, (n / 250) as u8, (2 + n % 250) as u8)
}

/// A free port on an address. It is given back at once, for a client to take.
pub(crate) fn free_port(ip: Ipv4Addr) -> Result<SocketAddrV4> {
    let port = TcpListener::bind((ip, 0))?.local_addr()?.port();
    Ok(SocketAddrV4::new(ip, port))
}

/// A path as text, for command lines and control interfaces.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Failure::new(format!("{} is not UTF-8", path.display())))
}

/// What went wrong, in words. `Debug` prints them as they are, since that is what a failed test shows.
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(error.to_string())
    }
}

/// The result of everything here.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;
