//! Errors of the framework (Kamaelia: `Axon/AxonExceptions.py`).

use std::error::Error as StdError;
use std::fmt;

use crate::id::ProcessId;

/// The result of running a scheduler.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of a component's own work, of whatever type.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error that ended a run. Its debug form is the sentence too, since that is what a `main` that returns it shows.
#[non_exhaustive]
pub enum Error {
    /// A component failed or panicked, and the scheduler is mortal (AX-SCHED-11).
    ///
    /// The component has been closed down; the others are as they were and [`Scheduler::run`] can go on with them.
    ///
    /// [`Scheduler::run`]: crate::Scheduler::run
    Component(Failure),
    /// A linkage that a chassis or a program asked for could not be made.
    Link(LinkError),
    /// The coordinating assistant tracker refused a registration or a look-up.
    Tracker(crate::tracker::TrackerError),
    /// A chassis was given parts that cannot form a graph.
    Construction(String),
}

/// Why a component ended before its time.
pub struct Failure {
    /// The component's number.
    pub id: ProcessId,
    /// The component's name.
    pub name: String,
    /// What happened.
    pub cause: Cause,
}

/// What ended a component.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// It said so ([`Cx::end_with`](crate::Cx::end_with)), or its thread returned an error.
    Error(BoxError),
    /// `main` panicked; the text of the panic.
    Panic(String),
}

/// Why a linkage was refused; nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// The source already points at another box (AX-BOX-06, `BoxAlreadyLinkedToDestination`). Unlink it first.
    #[doc(alias = "BoxAlreadyLinkedToDestination")]
    AlreadyLinked {
        /// The source, as `component.box`.
        from: String,
        /// Where it points now.
        target: String,
        /// Where it was asked to point.
        to: String,
    },
    /// A component has no box of that name.
    NoSuchBox {
        /// The component's name.
        component: String,
        /// `"inbox"` or `"outbox"`.
        kind: &'static str,
        /// The name asked for.
        name: String,
    },
    /// The two ends carry different types of message.
    Type {
        /// The source, as `component.box`.
        from: String,
        /// The type of message that it carries.
        carries: &'static str,
        /// The final inbox, as `component.box`.
        to: String,
        /// The type of message that it takes.
        takes: &'static str,
    },
    /// The link would close a ring of passing boxes (D-12).
    Loop {
        /// The source, as `component.box`.
        from: String,
        /// The sink, as `component.box`.
        to: String,
    },
    /// The source holds more messages than the final inbox has room for (D-11).
    NoSpace {
        /// The source, as `component.box`.
        from: String,
        /// The final inbox, as `component.box`.
        to: String,
        /// Messages in the final inbox now.
        len: usize,
        /// Its bound.
        bound: usize,
    },
    /// An inbox cannot lead to an outbox (D-22).
    WrongWay {
        /// The inbox, as `component.box`.
        from: String,
        /// The outbox, as `component.box`.
        to: String,
    },
}

/// A component lacks boxes that it should have (AX-UTIL-04, `invalidComponentInterface`).
#[doc(alias = "invalidComponentInterface")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceError {
    /// `"inboxes"`, which are looked at first, or `"outboxes"`.
    pub kind: &'static str,
    /// The component's name.
    pub component: String,
    /// The names that it has not declared.
    pub missing: Vec<String>,
}

/// Why a message was not delivered; it is handed back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The final inbox is full (AX-BOX-08, `noSpaceInBox`). Pause and try again: collection wakes the sender.
    #[doc(alias = "noSpaceInBox")]
    Full {
        /// The message.
        message: T,
        /// Messages in the inbox.
        len: usize,
        /// Its bound.
        bound: usize,
    },
    /// An untyped message met a typed inbox that takes another type.
    WrongType {
        /// The message.
        message: T,
        /// The type of message that the inbox takes.
        takes: &'static str,
    },
    /// The component behind a thread's box has ended.
    Closed(T),
}

impl<T> SendError<T> {
    /// The message that was not delivered.
    pub fn into_message(self) -> T {
        match self {
            Self::Full { message, .. } | Self::WrongType { message, .. } | Self::Closed(message) => message,
        }
    }

    /// Whether waiting can help.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> SendError<U> {
        match self {
            Self::Full { message, len, bound } => SendError::Full { message: f(message), len, bound },
            Self::WrongType { message, takes } => SendError::WrongType { message: f(message), takes },
            Self::Closed(message) => SendError::Closed(f(message)),
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { len, bound, .. } => write!(f, "no space in box ({len} of {bound} messages)"),
            Self::WrongType { takes, .. } => {
                write!(f, "the inbox takes {takes}, the message is another type")
            }
            Self::Closed(_) => write!(f, "the component behind this box has ended"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendError({self})")
    }
}

impl<T> StdError for SendError<T> {}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyLinked { from, target, to } => {
                write!(f, "cannot link {from} to {to}: it is linked to {target} already")
            }
            Self::NoSuchBox { component, kind, name } => write!(f, "{component} has no {kind} {name:?}"),
            Self::Type { from, carries, to, takes } => {
                write!(f, "cannot link {from} to {to}: the one carries {carries}, the other takes {takes}")
            }
            Self::Loop { from, to } => write!(f, "cannot link {from} to {to}: the links would form a ring"),
            Self::NoSpace { from, to, len, bound } => {
                write!(f, "cannot link {from} to {to}: no space for the waiting messages ({len} of {bound})")
            }
            Self::WrongWay { from, to } => {
                write!(f, "cannot link inbox {from} to outbox {to}: messages do not flow that way")
            }
        }
    }
}

impl StdError for LinkError {}

impl fmt::Display for InterfaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no {} {:?}", self.component, self.kind, self.missing)
    }
}

impl StdError for InterfaceError {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(e) => e.fmt(f),
            Self::Panic(text) => write!(f, "panicked: {text}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.name, self.cause)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(e) => e.fmt(f),
            Self::Link(e) => e.fmt(f),
            Self::Tracker(e) => e.fmt(f),
            Self::Construction(text) => f.write_str(text),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Component(Failure { cause: Cause::Error(e), .. }) => Some(&**e),
            Self::Link(e) => Some(e),
            Self::Tracker(e) => Some(e),
            _ => None,
        }
    }
}

impl From<LinkError> for Error {
    fn from(e: LinkError) -> Self {
        Self::Link(e)
    }
}

impl From<crate::tracker::TrackerError> for Error {
    fn from(e: crate::tracker::TrackerError) -> Self {
        Self::Tracker(e)
    }
}
