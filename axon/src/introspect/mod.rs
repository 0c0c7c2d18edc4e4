//! The running graph as data, as a picture and as the original's text (Kamaelia: `Axon/Introspector.py`).

mod dot;
mod introspector;
mod snapshot;

pub use self::introspector::{Introspector, IntrospectorPorts};
pub use self::snapshot::{BoxId, ComponentInfo, InboxInfo, LinkageInfo, OutboxInfo, RunState, Snapshot};
