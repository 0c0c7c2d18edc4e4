//! Messages that components exchange about their life cycle (Kamaelia: `Axon/Ipc.py`, `Kamaelia/IPC.py`).

use std::any::{Any, type_name};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::id::ProcessId;
use crate::message::Message;

/// What travels from `signal` to `control`.
///
/// By convention a component that honours one of them finishes what the message asks for, passes it on through its
/// own `signal` and ends. The convention is not enforced; each component's page says which ones it honours.
#[derive(Clone)]
#[non_exhaustive]
pub enum Ipc {
    /// The upstream has no more data, like the end of a file (AX-IPC-06).
    ProducerFinished(ProducerFinished),
    /// A connection has ended; a producer finished too (K-IPC-01).
    SocketShutdown(ProducerFinished),
    /// Stop now, dropping what is queued (AX-IPC-02).
    ShutdownMicroprocess(ShutdownMicroprocess),
    /// A server shall stop; a `shutdownMicroprocess` too (K-IPC-01).
    ServerShutdown,
    /// The historic "stop" (AX-IPC-10), honoured by Selector, PureTransformer, the file readers and the torrent
    /// components. Not a [`Ipc::ShutdownMicroprocess`].
    Shutdown,
    /// A component tells that something went wrong (AX-IPC-07).
    ErrorInformation(Arc<ErrorInformation>),
    /// A status text (AX-IPC-04).
    Status(Arc<str>),
    /// A component would block (AX-IPC-05).
    WouldBlock(ProcessId),
    /// A component notifies another (AX-IPC-03).
    Notify(Arc<Notify>),
    /// Any other message on a control line (CH-GRAPH-10 passes them on like the rest).
    Other(Other),
}

/// The upstream has no more data (AX-IPC-06).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerFinished {
    /// Who says so.
    pub caller: Option<ProcessId>,
    /// A remark: "timeout", say, from a connection that could not be made.
    pub message: Option<Arc<String>>,
}

/// Stop now (AX-IPC-02).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShutdownMicroprocess {
    /// The processes meant; none means whoever reads it.
    pub microprocesses: Option<Arc<Vec<ProcessId>>>,
}

/// Something went wrong in a component (AX-IPC-07).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorInformation {
    /// Who says so.
    pub caller: ProcessId,
    /// The text of the error.
    pub exception: Option<String>,
    /// A remark.
    pub message: Option<String>,
}

/// A notification (AX-IPC-03).
#[derive(Clone, Debug)]
pub struct Notify {
    /// Who notifies.
    pub caller: ProcessId,
    /// What it says.
    pub object: Other,
}

/// A message of another type on a control line; cheap to clone, since a chassis hands it to several children.
#[derive(Clone)]
pub struct Other(Arc<dyn Carried>);

impl Ipc {
    /// `producerFinished()` without a caller.
    pub fn producer_finished() -> Self {
        Self::ProducerFinished(ProducerFinished::default())
    }

    /// `producerFinished(caller)`.
    pub fn producer_finished_by(caller: ProcessId) -> Self {
        Self::ProducerFinished(ProducerFinished { caller: Some(caller), ..Default::default() })
    }

    /// `shutdownMicroprocess()`.
    pub fn shutdown_microprocess() -> Self {
        Self::ShutdownMicroprocess(ShutdownMicroprocess::default())
    }

    /// `errorInformation(caller, exception)`.
    pub fn error_information(caller: ProcessId, exception: impl Into<String>) -> Self {
        Self::ErrorInformation(Arc::new(ErrorInformation {
            caller,
            exception: Some(exception.into()),
            message: None,
        }))
    }

    /// Wraps a value of any other type.
    pub fn other<T: Any + Send + Sync>(value: T) -> Self {
        Self::Other(Other(Arc::new(value)))
    }

    /// Whether it is a producer finished (`socketShutdown` is one).
    pub fn is_producer_finished(&self) -> bool {
        matches!(self, Self::ProducerFinished(_) | Self::SocketShutdown(_))
    }

    /// Whether it is a `shutdownMicroprocess` (`serverShutdown` is one).
    pub fn is_shutdown_microprocess(&self) -> bool {
        matches!(self, Self::ShutdownMicroprocess(_) | Self::ServerShutdown)
    }

    /// Whether it is one of the two messages that most components honour.
    pub fn ends_component(&self) -> bool {
        self.is_producer_finished() || self.is_shutdown_microprocess()
    }

    /// The name of the message's type, as the original spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SocketShutdown(_) => "socketShutdown",
            Self::ProducerFinished(_) => "producerFinished",
            Self::ServerShutdown => "serverShutdown",
            Self::ShutdownMicroprocess(_) => "shutdownMicroprocess",
            Self::Shutdown => "shutdown",
            Self::ErrorInformation(_) => "errorInformation",
            Self::Status(_) => "status",
            Self::WouldBlock(_) => "wouldblock",
            Self::Notify(_) => "notify",
            Self::Other(o) => (*o.0).kind(),
        }
    }

    pub(crate) fn from_message(message: Message) -> Self {
        match message.downcast::<Ipc>() {
            Ok(ipc) => ipc,
            Err(m) => {
                Self::Other(Other(Arc::new(Untyped { kind: m.type_name(), message: Mutex::new(Some(m)) })))
            }
        }
    }
}

impl Other {
    /// The value, if it is a `T` and was wrapped with [`Ipc::other`].
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        (*self.0).value().downcast_ref::<T>()
    }

    /// Takes the untyped message that arrived on a control line; the first taker gets it.
    pub fn take_message(&self) -> Option<Message> {
        let untyped = self.downcast_ref::<Untyped>()?;
        untyped.message.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Every type has it, `Arc<dyn Carried>` too: call it through `(*arc)`, or it tells of the `Arc`.
trait Carried: Send + Sync {
    fn value(&self) -> &dyn Any;
    fn kind(&self) -> &'static str;
}

/// An untyped message on a control line. The mutex is there because it need not be `Sync`.
struct Untyped {
    kind: &'static str,
    message: Mutex<Option<Message>>,
}

impl<T: Any + Send + Sync> Carried for T {
    fn value(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> &'static str {
        (self as &dyn Any).downcast_ref::<Untyped>().map_or(type_name::<T>(), |u| u.kind)
    }
}

impl fmt::Debug for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", (*self.0).kind())
    }
}

impl fmt::Display for Ipc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorInformation(e) => {
                write!(f, "errorInformation({}", e.caller)?;
                for text in [&e.exception, &e.message].into_iter().flatten() {
                    write!(f, ", {text}")?;
                }
                f.write_str(")")
            }
            Self::Status(s) => write!(f, "status({s})"),
            Self::ProducerFinished(ProducerFinished { message: Some(m), .. }) => {
                write!(f, "{}({m})", self.kind())
            }
            _ => f.write_str(self.kind()),
        }
    }
}

impl fmt::Debug for Ipc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_can_be_taken_out_again() {
        let Ipc::Other(o) = Ipc::other(7_u16) else { panic!("another variant") };
        assert_eq!(o.downcast_ref::<u16>(), Some(&7));
        assert_eq!(format!("{o:?}"), "<u16>");
    }

    #[test]
    fn an_untyped_message_on_a_control_line_goes_to_its_first_taker() {
        let ipc = Ipc::from_message(Message::from("text"));
        assert_eq!(ipc.kind(), "&str");
        let Ipc::Other(o) = ipc.clone() else { panic!("another variant") };
        assert_eq!(o.take_message().map(|m| m.to_string()), Some("text".into()));
        assert!(o.take_message().is_none());
    }
}
