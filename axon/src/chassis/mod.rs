//! Components that own other components and wire them (Kamaelia: `Kamaelia/Chassis/`).
//!
//! A chassis is a component like any other: it can be a part of another chassis, and be linked before it runs. Its
//! own boxes carry [`Message`]s and cost nothing to pass, since an outbox delivers straight into the
//! inbox at the far end of its chain. Links through them are held to the types of the ends all the same.

mod broadcast;
mod carousel;
#[cfg(feature = "internet")]
mod connected_server;
mod graphline;
mod par;
mod pipeline;
pub mod prefab;
mod seq;
pub mod text;

use crate::boxes::Inbox;
use crate::component::{AnyInstance, Cx, Microprocess};
use crate::error::LinkError;
use crate::message::Message;

pub use self::carousel::{Carousel, CarouselPorts};
#[cfg(feature = "internet")]
pub use self::connected_server::{ConnectionInfo, FastRestartServer, ServerCore, ServerPorts, SimpleServer};
pub use self::graphline::{Graphline, GraphlinePorts};
pub use self::par::{Par, ParPorts};
pub use self::pipeline::Pipeline;
pub use self::seq::Seq;

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

/// Passes a chassis's inbox on to a component that another one will follow. What comes after the component's end waits
/// in the chassis, for the next one, even before the chassis has had a turn to see that end.
fn feed<P: 'static>(cx: &Cx<P>, inbox: &Inbox<Message>, component: &AnyInstance) -> Result<(), LinkError> {
    let linkage = cx.link(inbox, (component, "inbox"))?;
    component.on_stop(move || linkage.unlink());
    Ok(())
}
