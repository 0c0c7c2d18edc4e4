//! What the parts of a network program tell each other (Kamaelia: `Kamaelia/IPC.py`).

use std::fmt;
use std::io;
use std::sync::Arc;

use super::Socket;
use crate::component::{ComponentRef, Service};
use crate::id::ProcessId;
use crate::ipc::{Ipc, ProducerFinished};

/// A request to the [`Selector`](super::Selector), at its inbox `notify`.
///
/// `caller` says who asks; nothing depends on it. `target` is the inbox, of [`Socket`]s, that is told.
#[derive(Clone, Debug)]
pub enum SelectorRequest {
    /// Tell once when there is something to read, or the end.
    NewReader {
        /// Who asks.
        caller: ProcessId,
        /// Where the socket is to be sent.
        target: Service,
        /// What to watch.
        socket: Socket,
    },
    /// Tell once when something can be written.
    NewWriter {
        /// Who asks.
        caller: ProcessId,
        /// Where the socket is to be sent.
        target: Service,
        /// What to watch.
        socket: Socket,
    },
    /// Tell once when there is an exceptional condition: urgent data, on systems that report it, or an error.
    NewExceptional {
        /// Who asks.
        caller: ProcessId,
        /// Where the socket is to be sent.
        target: Service,
        /// What to watch.
        socket: Socket,
    },
    /// Do not watch for reading any more.
    RemoveReader {
        /// Who asks.
        caller: ProcessId,
        /// What was watched.
        socket: Socket,
    },
    /// Do not watch for writing any more.
    RemoveWriter {
        /// Who asks.
        caller: ProcessId,
        /// What was watched.
        socket: Socket,
    },
    /// Do not watch for exceptions any more.
    RemoveExceptional {
        /// Who asks.
        caller: ProcessId,
        /// What was watched.
        socket: Socket,
    },
}

/// What becomes of connections: from an adapter to its creator, and from a server to the owner of the protocol.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionNotice {
    /// A connection was accepted (`newCSA`). The adapter is to be linked and activated.
    New {
        /// The server.
        caller: ProcessId,
        /// The adapter.
        adapter: ComponentRef,
        /// Its socket.
        socket: Socket,
    },
    /// The peer sends no more; it may still read. The original knows no such state.
    PeerFinished {
        /// The adapter.
        adapter: ComponentRef,
    },
    /// The connection is closed (`socketShutdown` from an adapter, `shutdownCSA` from a server).
    Shutdown {
        /// The adapter.
        adapter: ComponentRef,
        /// How it came to that.
        how_died: HowDied,
    },
}

/// `shutdownCSA(self, (self, socket))`: what an adapter says on `signal` at its end, in an [`Ipc::Notify`].
#[derive(Clone, Debug)]
pub struct ShutdownCsa {
    /// The adapter.
    pub adapter: ComponentRef,
    /// Its socket, which is closed.
    pub socket: Socket,
    /// How it came to that.
    pub how_died: HowDied,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HowDied {
    /// This end was told that there is nothing more to send, and everything was sent.
    ProducerFinished,
    /// This end was told to stop at once.
    ShutdownMicroprocess,
    /// The peer closed, in order.
    ClosedByPeer,
    /// The time for connecting was over.
    Timeout,
    /// The peer took nothing of what was left to send for as long as one waits.
    Stalled,
    /// The component was stopped or failed.
    Stopped,
    /// Anything else: reset, refused, an unknown host.
    Failed {
        /// Which kind of error.
        kind: io::ErrorKind,
        /// Its text.
        text: Arc<str>,
    },
}

impl HowDied {
    pub(crate) fn failed(e: &io::Error) -> Self {
        Self::Failed { kind: e.kind(), text: e.to_string().into() }
    }

    /// Whether nothing went wrong: one end was through, and said so.
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::ProducerFinished | Self::ShutdownMicroprocess | Self::ClosedByPeer)
    }

    /// The remark of a shutdown message.
    fn remark(&self) -> Option<Arc<String>> {
        Some(Arc::new(self.to_string()))
    }

    /// `producerFinished(caller, how_died)`.
    pub(crate) fn producer_finished(&self, caller: ProcessId) -> Ipc {
        Ipc::ProducerFinished(ProducerFinished { caller: Some(caller), message: self.remark() })
    }

    /// `socketShutdown(caller, how_died)`.
    pub(crate) fn socket_shutdown(&self, caller: ProcessId) -> Ipc {
        Ipc::SocketShutdown(ProducerFinished { caller: Some(caller), message: self.remark() })
    }
}

impl fmt::Display for HowDied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProducerFinished => "producer finished",
            Self::ShutdownMicroprocess => "shutdown microprocess",
            Self::ClosedByPeer => "closed by peer",
            Self::Timeout => "timeout",
            Self::Stalled => "the peer takes no data",
            Self::Stopped => "stopped",
            Self::Failed { text, .. } => text,
        })
    }
}
