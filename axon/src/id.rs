//! Numbers and names of microprocesses (Kamaelia: `Axon/idGen.py`).

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a microprocess, unique in the program and never used again.
///
/// The first one handed out is 6: in the original, loading the framework uses up the first five (AX-ID-01), and
/// people who compare the output of both versions are glad of equal numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(NonZeroU64);

impl ProcessId {
    /// Takes the next number.
    pub fn next() -> Self {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(NonZeroU64::new(n).expect("the counter starts at 6 and 2^64 processes are never made"))
    }

    pub(crate) fn from_number(n: u64) -> Option<Self> {
        NonZeroU64::new(n).map(Self)
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The next number of the program's one counter (`numId`, AX-ID-01). Components take theirs from it too.
pub fn num_id() -> u64 {
    ProcessId::next().get()
}

/// A name nobody else gets: `<module>.<Type>_<n>`, with the next number (`strId`, AX-ID-01).
///
/// ```
/// let name = axon::id::str_id(&std::time::Duration::ZERO);
/// assert!(name.starts_with("core.time.Duration_"));
/// ```
pub fn str_id<T: ?Sized>(of: &T) -> String {
    tuple_id(of).1
}

/// The same as [`str_id`] (`newId`; the original has both names).
pub fn new_id<T: ?Sized>(of: &T) -> String {
    str_id(of)
}

/// The next number, and the name with that number (`tupleId`, AX-ID-01).
pub fn tuple_id<T: ?Sized>(_: &T) -> (u64, String) {
    let n = num_id();
    (n, format!("{}_{n}", dotted(std::any::type_name::<T>())))
}

/// Turns a Rust type path into the dotted form of the original: `demo::text::Upper` becomes `demo.text.Upper`.
///
/// Generic arguments are left out, because a component's name is read by people.
pub(crate) fn dotted(type_path: &str) -> String {
    let path = type_path.split('<').next().unwrap_or(type_path);
    path.replace("::", ".")
}

/// The part of a dotted name after its last dot.
pub(crate) fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

static NEXT: AtomicU64 = AtomicU64::new(6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct_and_rise() {
        let (a, b) = (ProcessId::next(), ProcessId::next());
        assert!(a < b && a.get() >= 6);
    }

    #[test]
    fn type_paths_become_dotted_names_without_arguments() {
        assert_eq!(dotted("demo::Echo<alloc::string::String>"), "demo.Echo");
        assert_eq!(short("demo.text.Upper_7"), "Upper_7");
    }
}
