//! Drops what is out of range (Kamaelia: `Kamaelia/Util/RangeFilter.py`).

use std::ops::RangeInclusive;

use super::detuple::Indexed;
use super::stage::{StagePorts, work_off};
use crate::component::{Component, Cx};

/// Passes on the messages whose first item is in one of several ranges.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | a tuple, a list or an array |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | `T` | the messages in range |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::util::{DataSource, NullSink, RangeFilter};
///
/// Pipeline::new()
///     .then(DataSource::new([(0, "no"), (1, "yes"), (8, "yes"), (13, "no")]))
///     .then(RangeFilter::<(i32, &'static str)>::new([1..=5, 8..=12]))
///     .then(NullSink::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It works off what it has received, passes the message on and ends; `shutdownMicroprocess` ends it at once if the
/// receiver has no room.
///
/// # Errors
/// A list without a first item ends it as failed.
pub struct RangeFilter<T: Indexed<0>> {
    ranges: Vec<RangeInclusive<T::Item>>,
}

impl<T: Indexed<0, Item: PartialOrd>> RangeFilter<T> {
    /// Passes on what is in any of the ranges; both ends belong to a range.
    pub fn new(ranges: impl IntoIterator<Item = RangeInclusive<T::Item>>) -> Self {
        Self { ranges: ranges.into_iter().collect() }
    }
}

impl<T: Indexed<0, Item: PartialOrd + 'static> + Send + 'static> Component for RangeFilter<T> {
    type Ports = StagePorts<T, T>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let filter = |message: T| {
            let first = message.item().ok_or("a message has no first item")?;
            let inside = self.ranges.iter().any(|r| r.contains(first));
            Ok(inside.then_some(message))
        };
        work_off(&cx, filter).await;
    }
}
