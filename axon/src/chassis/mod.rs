//! Components that own other components and wire them (Kamaelia: `Kamaelia/Chassis/`).
//!
//! A chassis is a component like any other: it can be a part of another chassis, and be linked before it runs. Its
//! own boxes carry [`Message`](crate::Message)s and cost nothing to pass, since an outbox delivers straight into the
//! inbox at the far end of its chain. Links through them are held to the types of the ends all the same.

#[cfg(feature = "internet")]
mod connected_server;
mod graphline;
mod pipeline;

#[cfg(feature = "internet")]
pub use self::connected_server::{ConnectionInfo, FastRestartServer, ServerCore, ServerPorts, SimpleServer};
pub use self::graphline::{Graphline, GraphlinePorts};
pub use self::pipeline::Pipeline;

crate::ports! {
    /// Boxes of a chassis, passed on to the components in it.
    pub struct ChassisPorts {
        in  { /// Passed on to a component inside.
              inbox: crate::Message,
              /// Shutdown requests.
              control: crate::Ipc }
        out { /// From a component inside.
              outbox: crate::Message,
              /// Told when it stops.
              signal: crate::Ipc }
    }
}
