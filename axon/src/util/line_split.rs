//! Cuts text at its line ends (Kamaelia: `Kamaelia/Util/LineSplit.py`).

use super::pure_transformer::{End, TransformerPorts, ends_at_once, ends_the_family, work_off};
use crate::component::{Component, Cx, Microprocess};
use crate::ipc::Ipc;

/// Sends each line of each message as a message of its own.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`String`] | text |
/// | `control` | [`Ipc`] | `producerFinished` and `shutdown` end it |
/// | `outbox` | [`String`] | what stands before, between and after the `"\n"` of a message |
/// | `signal` | [`Ipc`] | a fresh `producerFinished` |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, LineSplit, OneShot};
///
/// Pipeline::new()
///     .then(OneShot::new("one\ntwo".to_string()))
///     .then(LineSplit::new())
///     .then(ConsoleEchoer::new().tag("line: "))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # How it works
/// Each message is cut by itself: `"a\nb\n"` makes `"a"`, `"b"` and `""`, as in the original, and a line that is
/// spread over two messages stays two.
///
/// # Shutdown
/// As [`PureTransformer`](super::PureTransformer): `shutdownMicroprocess` is dropped unless
/// [asked for](LineSplit::ends_at_once).
#[derive(Default)]
pub struct LineSplit {
    ends_at_once: bool,
}

impl LineSplit {
    /// A splitter of lines.
    pub fn new() -> Self {
        Self::default()
    }

    ends_at_once!();
}

impl Component for LineSplit {
    type Ports = TransformerPorts<String, String>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let each = |text: String| text.split('\n').map(String::from).collect::<Vec<_>>();
        let last = match work_off(&cx, self.ends_at_once, ends_the_family, each).await {
            End::AtOnce(message) => message,
            End::Finish(_) => Ipc::producer_finished_by(cx.id()),
        };
        let _ = cx.signal.send_wait(last).await; // a control line takes any message
    }
}
