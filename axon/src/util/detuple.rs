//! One item of each message (Kamaelia: `Kamaelia/Util/Detuple.py`).

use std::marker::PhantomData;

use super::stage::{StagePorts, work_off};
use crate::component::{Component, Cx};

/// Something with numbered items: a tuple of up to six, a list, an array.
pub trait Indexed<const N: usize>: Sized {
    /// The type of item number `N`, from 0.
    type Item;
    /// Item number `N`; nothing if there are fewer.
    fn item(&self) -> Option<&Self::Item>;
    /// Takes item number `N` out; nothing if there are fewer.
    fn into_item(self) -> Option<Self::Item>;
}

macro_rules! tuple {
    ($n:tt of $($t:ident)+: $item:ident) => {
        impl<$($t),+> Indexed<$n> for ($($t,)+) {
            type Item = $item;
            fn item(&self) -> Option<&$item> {
                Some(&self.$n)
            }
            fn into_item(self) -> Option<$item> {
                Some(self.$n)
            }
        }
    };
}

tuple!(0 of A: A);
tuple!(0 of A B: A);
tuple!(1 of A B: B);
tuple!(0 of A B C: A);
tuple!(1 of A B C: B);
tuple!(2 of A B C: C);
tuple!(0 of A B C D: A);
tuple!(1 of A B C D: B);
tuple!(2 of A B C D: C);
tuple!(3 of A B C D: D);
tuple!(0 of A B C D E: A);
tuple!(1 of A B C D E: B);
tuple!(2 of A B C D E: C);
tuple!(3 of A B C D E: D);
tuple!(4 of A B C D E: E);
tuple!(0 of A B C D E F: A);
tuple!(1 of A B C D E F: B);
tuple!(2 of A B C D E F: C);
tuple!(3 of A B C D E F: D);
tuple!(4 of A B C D E F: E);
tuple!(5 of A B C D E F: F);

impl<T, const N: usize> Indexed<N> for Vec<T> {
    type Item = T;
    fn item(&self) -> Option<&T> {
        self.get(N)
    }
    fn into_item(self) -> Option<T> {
        self.into_iter().nth(N)
    }
}

impl<T, const N: usize, const L: usize> Indexed<N> for [T; L] {
    type Item = T;
    fn item(&self) -> Option<&T> {
        self.get(N)
    }
    fn into_item(self) -> Option<T> {
        self.into_iter().nth(N)
    }
}

/// Sends item number `N`, from 0, of each message.
///
/// # Boxes
/// | box | type | meaning |
/// |---|---|---|
/// | `inbox` | `T` | a tuple, a list or an array |
/// | `control` | [`Ipc`](crate::Ipc) | `producerFinished` and `shutdownMicroprocess` end it |
/// | `outbox` | [`Indexed::Item`] | the item |
/// | `signal` | [`Ipc`](crate::Ipc) | the message that ended it |
///
/// # Example
/// Datagrams come with the sender's address; this leaves the data:
/// ```
/// use axon::prelude::*;
/// use axon::util::{ConsoleEchoer, DataSource, SimpleDetupler};
///
/// Pipeline::new()
///     .then(DataSource::new([(b"hello ".to_vec(), "10.0.0.1"), (b"world\n".to_vec(), "10.0.0.2")]))
///     .then(SimpleDetupler::<(Vec<u8>, &'static str), 0>::new())
///     .then(ConsoleEchoer::new())
///     .run()?;
/// # Ok::<(), axon::Error>(())
/// ```
///
/// # Shutdown
/// It works off what it has received, passes the message on and ends.
///
/// # Errors
/// A list that has no such item ends it as failed. With a tuple that cannot happen.
pub struct SimpleDetupler<T, const N: usize>(PhantomData<fn(T)>);

impl<T: Indexed<N, Item: Send + 'static> + Send + 'static, const N: usize> SimpleDetupler<T, N> {
    /// Takes item number `N` of `T`: `SimpleDetupler::<(u32, String), 1>::new()`.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T, const N: usize> Default for SimpleDetupler<T, N> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Indexed<N, Item: Send + 'static> + Send + 'static, const N: usize> Component
    for SimpleDetupler<T, N>
{
    type Ports = StagePorts<T, T::Item>;

    async fn main(self, cx: Cx<Self::Ports>) {
        let take = |message: T| {
            message.into_item().map(Some).ok_or_else(|| format!("a message has no item {N}").into())
        };
        work_off(&cx, take).await;
    }
}
