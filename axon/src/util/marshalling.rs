//! To and from the form in which data travels (Kamaelia: `Kamaelia/Util/Marshalling.py`).

use std::marker::PhantomData;

use super::stage::{StagePorts, work_off};
use crate::component::{Component, Cx, Microprocess};
use crate::error::BoxError;

/// How data is brought into a form to travel in, and back: the original's class with two static methods.
pub trait Marshalling: 'static {
    /// The data.
    type Item: Send + 'static;
    /// The form in which it travels: text, bytes.
    type Wire: Send + 'static;

    /// Brings an item into its travelling form.
    fn marshall(item: Self::Item) -> Self::Wire;

    /// Brings it back.
    ///
    /// # Errors
    /// What is wrong with `wire`.
    fn demarshall(wire: Self::Wire) -> Result<Self::Item, BoxError>;
}

/// Sends the travelling form of each message.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Marshalling::Item`] | data, each message a whole item |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`Marshalling::Wire`] | its travelling form |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// Numbers travel as text:
/// ```
/// use axon::BoxError;
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, DeMarshaller, Marshaller, Marshalling};
///
/// struct SerialiseInt;
/// impl Marshalling for SerialiseInt {
///     type Item = i64;
///     type Wire = String;
///     fn marshall(n: i64) -> String { n.to_string() }
///     fn demarshall(text: String) -> Result<i64, BoxError> { Ok(text.parse()?) }
/// }
///
/// Pipeline::new()
///     .then(DataSource::new([5_i64, -3]))
///     .then(Marshaller::<SerialiseInt>::new())
///     .then(DeMarshaller::<SerialiseInt>::new())
///     .then(ConsoleEchoer::new().tag(" "))
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It works off what it has received, passes the message on and ends.
pub struct Marshaller<M>(PhantomData<fn(M)>);

impl<M: Marshalling> Marshaller<M> {
    /// Uses `M`: `Marshaller::<M>::new()`.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<M> Default for Marshaller<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M: Marshalling> Component for Marshaller<M> {
    type Ports = StagePorts<M::Item, M::Wire>;

    async fn main(self, cx: Cx<Self::Ports>) {
        work_off(&cx, |item| Ok(Some(M::marshall(item)))).await;
    }
}

/// Sends the data that each message carries: undoes what a [`Marshaller`] does.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | [`Marshalling::Wire`] | the travelling form, each message a whole item |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`Marshalling::Item`] | the data |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Shutdown
/// It works off what it has received, passes the message on and ends.
///
/// # Errors
/// A message that cannot be understood ends it as failed, unless it [skips](DeMarshaller::skips_malformed) those.
pub struct DeMarshaller<M> {
    skips_malformed: bool,
    types: PhantomData<fn(M)>,
}

impl<M: Marshalling> DeMarshaller<M> {
    /// Uses `M`: `DeMarshaller::<M>::new()`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops messages that cannot be understood, with a line in the log. For data from strangers.
    #[must_use]
    pub fn skips_malformed(mut self) -> Self {
        self.skips_malformed = true;
        self
    }
}

impl<M> Default for DeMarshaller<M> {
    fn default() -> Self {
        Self { skips_malformed: false, types: PhantomData }
    }
}

impl<M: Marshalling> Component for DeMarshaller<M> {
    type Ports = StagePorts<M::Wire, M::Item>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let each = |wire| match M::demarshall(wire) {
            Err(e) if self.skips_malformed => {
                log::warn!("{} skips a message: {e}", cx.name());
                Ok(None)
            }
            item => item.map(Some),
        };
        work_off(&cx, each).await;
    }
}
