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

/// The longest that a test may take. It ends tests that hang: none comes near it, however slow and busy the machine is.
const LIMIT: Duration = Duration::from_secs(300);

/// Bytes per second at which `len` bytes take longer than a test may. What is to happen in the middle of a transfer
/// happens under such a limit, which is lifted after it: no machine is too slow to come in time.
pub(crate) fn endless(len: u64) -> u32 {
    u32::try_from(len / LIMIT.as_secs()).unwrap_or(u32::MAX)
}

/// A test's private folder and its limit of time.
pub(crate) struct Bench {
    folder: TempDir,
    /// When the test gives up.
    pub(crate) deadline: Deadline,
}

impl Bench {
    /// Prepares a test that needs `kinds`, or says that their registry refused one of them and returns nothing.
    pub(crate) fn new(kinds: &[Kind]) -> Result<Option<Bench>> {
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
        let folder = tempfile::Builder::new().prefix("interop").tempdir()?;
        Ok(Some(Bench { folder, deadline: Deadline::after(LIMIT) }))
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

/// A free port on an address. It is given back at once, for a client to take: it is below those that systems give to
/// connections, and this run gives it to nobody else, so that it is still free when the client comes to it.
pub(crate) fn free_port(ip: Ipv4Addr) -> Result<SocketAddrV4> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Runs at the same time begin at different places.
    let start = std::process::id().wrapping_mul(499);
    for _ in 0..PORTS.len() {
        let n = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + (n % PORTS.len() as u32) as u16;
        if TcpListener::bind((ip, port)).is_ok() {
            return Ok(SocketAddrV4::new(ip, port));
        }
    }
    Err(Failure::new(format!("no port of {ip} is free")))
}

/// Ports that no system gives to connections by itself: Linux begins at 32,768.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

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
