//! Fails if something is not true (Kamaelia: `Kamaelia/Util/TestResult.py`).

use std::fmt;

use crate::component::{Component, Cx, Microprocess};
use crate::ipc::Ipc;
use crate::message::Message;

crate::ports! {
    /// Boxes of a [`TestResult`].
    pub struct TestResultPorts {
        in  { /// What should be true.
              inbox: bool,
              /// A [`StopSystem`], or shutdown requests.
              control: Ipc }
        out { /// Unused.
              outbox: Message,
              /// Unused.
              signal: Ipc }
    }
}

/// Asks a [`TestResult`] to end the run: `Ipc::other(StopSystem)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopSystem;

/// What a [`TestResult`] fails with when it is asked to stop the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopSystemException;

impl fmt::Display for StopSystemException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stop of the system requested from TestResult")
    }
}

impl std::error::Error for StopSystemException {}

/// Ends the run with an error when it receives `false`.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`bool`] | what should be true |
/// | `control` | [`Ipc`] | a [`StopSystem`] fails it; `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox`, `signal` | [`Message`], [`Ipc`] | unused |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{DataSource, TestResult};
///
/// let test = Pipeline::new().then(DataSource::new([true, false])).then(TestResult::new());
/// assert!(test.run().unwrap_err().to_string().contains("false value"));
/// ```
///
/// # Shutdown
/// It tests what it has received and ends, saying nothing. The original never ends. It sleeps while there is nothing
/// to test (D-23).
///
/// # Errors
/// It fails on `false`, and with [`StopSystemException`] on a [`StopSystem`]. A mortal scheduler then ends the run.
#[derive(Default)]
pub struct TestResult;

impl TestResult {
    /// A test.
    pub fn new() -> Self {
        Self
    }
}

impl Component for TestResult {
    type Ports = TestResultPorts;

    async fn main(self, cx: Cx<Self::Ports>) {
        loop {
            if cx.inbox.drain().any(|value| !value) {
                return cx.end_with(Err(format!("false value message received by {}", cx.name())));
            }
            while let Some(message) = cx.control.try_recv() {
                match &message {
                    Ipc::Other(o) if o.downcast_ref::<StopSystem>().is_some() => {
                        return cx.end_with(Err(StopSystemException));
                    }
                    m if m.ends_component() => return,
                    _ => {}
                }
            }
            cx.pause().await;
        }
    }
}
