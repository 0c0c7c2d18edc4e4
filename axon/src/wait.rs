//! Who waits for something: a process, or a waker that is not a process's own.

use std::rc::{Rc, Weak};
use std::task::Waker;

use crate::microprocess::Process;

/// To be woken once.
///
/// A future of the framework that is polled directly by a process needs no waker, only the process. One that is
/// polled inside a combinator with wakers of its own (a `FuturesUnordered`, say) has to use the waker it was given.
#[derive(Clone)]
pub(crate) enum Listener {
    Process(Weak<Process>),
    Waker(Waker),
}

impl Listener {
    pub(crate) fn process(process: &Rc<Process>) -> Self {
        Self::Process(Rc::downgrade(process))
    }

    /// Whether both wake the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Process(a), Self::Process(b)) => Weak::ptr_eq(a, b),
            (Self::Waker(a), Self::Waker(b)) => a.will_wake(b),
            _ => false,
        }
    }

    pub(crate) fn wake(self) {
        match self {
            Self::Process(p) => {
                if let Some(p) = p.upgrade() {
                    p.wake();
                }
            }
            Self::Waker(w) => w.wake(),
        }
    }
}
