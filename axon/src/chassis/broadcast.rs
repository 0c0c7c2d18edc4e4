//! A control message for several components, one after the other (CH-GRAPH-10, CH-PAR-02).

use crate::boxes::Outbox;
use crate::component::{AnyInstance, Cx, Microprocess};
use crate::ipc::Ipc;

/// Hands a control message to the `control` of one component after the other, over temporary links from `cs`.
///
/// A full `control` is waited for, and then its component comes before those after it. One that has ended, or has no
/// `control`, is passed over.
pub(super) async fn broadcast<P: 'static>(
    cx: &Cx<P>,
    cs: &Outbox<Ipc>,
    message: &Ipc,
    components: &[AnyInstance],
) {
    for c in components {
        if c.is_stopped() {
            continue;
        }
        // A component without a `control` cannot be told.
        let Ok(linkage) = cx.link(cs, (c, "control")) else { continue };
        let mut unsent = Some(message.clone());
        while let Some(m) = unsent.take() {
            match cs.send(m) {
                // A collection or its end wakes us.
                Err(e) if e.is_full() && !c.is_stopped() => {
                    unsent = Some(e.into_message());
                    cx.pause().await;
                }
                _ => {}
            }
        }
        cx.unlink(&linkage);
    }
}
