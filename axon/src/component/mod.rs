//! Components: microprocesses with boxes (Kamaelia: `Axon/Component.py`).

mod context;
mod instance;
mod reference;
mod stepwise;

use std::any::type_name;
use std::future::Future;

use crate::boxes::{Opener, PortSet};
use crate::error::{BoxError, Cause, Result};
use crate::scheduler::Scheduler;
use crate::threaded::Bridge;

pub use self::context::{Cx, Pause, YieldNow};
pub use self::instance::{AnyInstance, Instance, Microprocess};
pub(crate) use self::reference::forget as forget_reference;
pub use self::reference::{ComponentRef, Service};
pub use self::stepwise::{Stepwise, StepwiseComponent};

/// The boxes of a component, declared with [`ports!`](crate::ports).
pub trait Ports: PortSet + Sized {
    /// The same boxes as a thread sees them.
    type OnThread: 'static;
    /// Makes the boxes of a new component.
    #[doc(hidden)]
    fn open(opener: &Opener<'_>) -> Self;
    /// Makes the thread's side of the boxes and joins both sides.
    #[doc(hidden)]
    fn bridge(&self, bridge: &mut Bridge) -> Self::OnThread;
}

/// What the body of a plain microprocess or of a thread may return: nothing, or a `Result` whose error is a failure
/// (AX-SCHED-11).
pub trait Outcome {
    /// Brings both to one form.
    #[doc(hidden)]
    fn into_cause(self) -> std::result::Result<(), Cause>;
}

impl Outcome for () {
    fn into_cause(self) -> std::result::Result<(), Cause> {
        Ok(())
    }
}

impl<E: Into<BoxError>> Outcome for std::result::Result<(), E> {
    fn into_cause(self) -> std::result::Result<(), Cause> {
        self.map_err(|e| Cause::Error(e.into()))
    }
}

/// A component: a body that talks only through its boxes.
///
/// `main` is the generator of the original: `cx.yield_now().await` is its `yield 1`, `cx.pause().await` its
/// `self.pause(); yield 1`. A component should drain its boxes, look at `control`, and pause:
///
/// ```
/// use axon::prelude::*;
///
/// ports! {
///     pub struct TextPorts {
///         in  { /// Lines to change.
///               inbox: String,
///               /// Shutdown requests.
///               control: Ipc }
///         out { /// Changed lines.
///               outbox: String,
///               /// Passed on when it stops.
///               signal: Ipc }
///     }
/// }
///
/// struct Upper;
/// impl Component for Upper {
///     type Ports = TextPorts;
///     async fn main(self, cx: Cx<TextPorts>) {
///         loop {
///             while let Some(line) = cx.inbox.try_recv() { let _ = cx.outbox.send(line.to_uppercase()); }
///             if let Some(stop) = cx.control.try_recv() { let _ = cx.signal.send(stop); return }
///             cx.pause().await;
///         }
///     }
/// }
///
/// let upper = Upper.create();
/// upper.inbox.deliver("hello".into()).unwrap();
/// upper.control.deliver(Ipc::producer_finished()).unwrap();
/// let scheduler = Scheduler::new();
/// scheduler.activate(&upper);
/// scheduler.run().unwrap();
/// assert_eq!(upper.outbox.discarded(), 1); // nobody was linked to it
/// ```
pub trait Component: Sized + 'static {
    /// Its boxes.
    type Ports: Ports;

    /// The body. A component that can fail says so with [`Cx::end_with`].
    fn main(self, cx: Cx<Self::Ports>) -> impl Future<Output = ()>;

    /// The first part of its name; the type's path unless overridden. Rust paths are shown with dots.
    fn kind() -> &'static str {
        type_name::<Self>()
    }

    /// Makes the component: from now on it has a name, a number and boxes, but nothing runs (AX-MP-04).
    fn create(self) -> Instance<Self::Ports> {
        Instance::create(self)
    }

    /// Makes and activates it on the thread's scheduler.
    fn activate(self) -> Instance<Self::Ports> {
        let instance = self.create();
        instance.activate();
        instance
    }

    /// Makes and activates it, and runs the thread's scheduler until nobody is left (AX-MP-15).
    ///
    /// # Errors
    /// As [`Scheduler::run`].
    fn run(self) -> Result<()> {
        let scheduler = Scheduler::thread_default();
        scheduler.activate(self);
        scheduler.run()
    }
}

/// Boxes on the scheduler's side or on a thread's: what the fields of a [`ports!`](crate::ports) struct are.
pub trait Side: 'static {
    /// An inbox for messages of type `T`.
    type In<T: Send + 'static>;
    /// An outbox for messages of type `T`.
    type Out<T: Send + 'static>;
}

/// The scheduler's side: [`Inbox`](crate::Inbox) and [`Outbox`](crate::Outbox).
pub struct Local;

impl Side for Local {
    type In<T: Send + 'static> = crate::Inbox<T>;
    type Out<T: Send + 'static> = crate::Outbox<T>;
}

/// Declares the boxes of a component: a struct with a public field for each, documented where it is declared.
///
/// A box is called as its field, unless the field says otherwise: `request_next as "requestNext": String`.
///
/// The struct's last parameter is the [`Side`]; left out, it is the scheduler's. Before it there may be types of
/// messages, `struct TransformPorts<A, B> { … }`, each `Send + 'static`.
///
/// ```
/// axon::ports! {
///     /// Boxes of a counter.
///     pub struct CounterPorts {
///         in  { /// Things to count.
///               inbox: axon::Message,
///               /// Shutdown requests.
///               control: axon::Ipc }
///         out { /// How many there were, at the end.
///               count: u64,
///               /// Asks for more; links by name call it `requestNext`, as Kamaelia does.
///               request_next as "requestNext": (),
///               /// Passed on when it stops.
///               signal: axon::Ipc }
///     }
/// }
/// # use axon::prelude::*;
/// # struct Counter;
/// # impl Component for Counter {
/// #     type Ports = CounterPorts;
/// #     async fn main(self, _: Cx<CounterPorts>) {}
/// # }
/// assert_eq!(Counter.create().any().outboxes(), ["count", "requestNext", "signal"]);
/// ```
#[macro_export]
macro_rules! ports {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(< $($g:ident),+ $(,)? >)? {
            in { $( $(#[doc = $idoc:literal])* $i:ident $(as $iname:literal)? : $it:ty ),* $(,)? }
            out { $( $(#[doc = $odoc:literal])* $o:ident $(as $oname:literal)? : $ot:ty ),* $(,)? }
        }
    ) => {
        $(#[$meta])*
        $vis struct $name<$($($g: Send + 'static,)+)? S: $crate::Side = $crate::Local> {
            $( $(#[doc = $idoc])* pub $i: S::In<$it>, )*
            $( $(#[doc = $odoc])* pub $o: S::Out<$ot>, )*
            // Uses the parameters even where no box does.
            _side: ::core::marker::PhantomData<fn() -> (S, $($($g,)+)?)>,
        }

        const _: () = {
            trait Declared {
                const INBOXES: &'static [$crate::PortInfo];
                const OUTBOXES: &'static [$crate::PortInfo];
            }

            impl $(<$($g: Send + 'static),+>)? Declared for $name $(<$($g),+>)? {
                const INBOXES: &'static [$crate::PortInfo] =
                    &[ $( $crate::PortInfo::new::<$it>($crate::ports!(@name $i $($iname)?), concat!($($idoc),*)) ),* ];
                const OUTBOXES: &'static [$crate::PortInfo] =
                    &[ $( $crate::PortInfo::new::<$ot>($crate::ports!(@name $o $($oname)?), concat!($($odoc),*)) ),* ];
            }

            impl $(<$($g: Send + 'static),+>)? $crate::PortSet for $name $(<$($g),+>)? {
                fn inboxes(&self) -> &'static [$crate::PortInfo] { <Self as Declared>::INBOXES }
                fn outboxes(&self) -> &'static [$crate::PortInfo] { <Self as Declared>::OUTBOXES }
                fn inbox(&self, index: usize) -> &dyn $crate::AnyInbox {
                    let all: &[&dyn $crate::AnyInbox] = &[ $( &self.$i ),* ];
                    all[index]
                }
                fn outbox(&self, index: usize) -> &dyn $crate::AnyOutbox {
                    let all: &[&dyn $crate::AnyOutbox] = &[ $( &self.$o ),* ];
                    all[index]
                }
            }

            impl $(<$($g: Send + 'static),+>)? $crate::Ports for $name $(<$($g),+>)? {
                type OnThread = $name<$($($g,)+)? $crate::threaded::OnThread>;
                #[allow(unused_mut, unused_variables)]
                fn open(opener: &$crate::Opener<'_>) -> Self {
                    let mut inboxes = <Self as Declared>::INBOXES.iter();
                    let mut outboxes = <Self as Declared>::OUTBOXES.iter();
                    $name {
                        $( $i: opener.inbox(inboxes.next().expect("one entry for each field")), )*
                        $( $o: opener.outbox(outboxes.next().expect("one entry for each field")), )*
                        _side: ::core::marker::PhantomData,
                    }
                }
                #[allow(unused_variables)]
                fn bridge(&self, bridge: &mut $crate::threaded::Bridge) -> Self::OnThread {
                    $name {
                        $( $i: bridge.inbox(&self.$i), )*
                        $( $o: bridge.outbox(&self.$o), )*
                        _side: ::core::marker::PhantomData,
                    }
                }
            }
        };
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
}
