//! The greatest of a list (Kamaelia: `Kamaelia/Util/Max.py`).

use std::marker::PhantomData;

use super::stage::{StagePorts, work_off};
use crate::component::{Component, Cx};

/// Sends the greatest item of each list.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `Vec<T>` | a list |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `T` | its greatest item, the first of several equal ones |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, Max};
///
/// Pipeline::new()
///     .then(DataSource::new([vec![1.5, 4.0], vec![-1.0]]))
///     .then(Max::<f64>::new())
///     .then(ConsoleEchoer::new().tag(" ")) // 4 -1
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It works off what it has received, passes the message on and ends.
///
/// # Errors
/// An empty list ends it as failed.
pub struct Max<T>(PhantomData<fn(T)>);

impl<T> Default for Max<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: PartialOrd + Send + 'static> Max<T> {
    /// For lists of `T`: `Max::<u32>::new()`.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: PartialOrd + Send + 'static> Component for Max<T> {
    type Ports = StagePorts<Vec<T>, T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let greatest = |list: Vec<T>| {
            let found = list.into_iter().reduce(|most, item| if item > most { item } else { most });
            found.map(Some).ok_or_else(|| "an empty list has no greatest item".into())
        };
        work_off(&cx, greatest).await;
    }
}
