//! Components in the old style, without a generator of their own (AX-COMP-14).

use super::{Component, Cx, Ports};
use crate::error::BoxError;

/// A component as three methods that the framework calls, one step each.
pub trait StepwiseComponent: Sized + 'static {
    /// Its boxes.
    type Ports: Ports;

    /// The first step.
    fn initialise(&mut self, _cx: &Cx<Self::Ports>) {}

    /// Each further step, as long as it returns true.
    fn main_body(&mut self, _cx: &Cx<Self::Ports>) -> bool {
        false
    }

    /// In the same step as the last [`main_body`](StepwiseComponent::main_body).
    ///
    /// # Errors
    /// Whatever went wrong; the component has failed then.
    fn close_down(&mut self, _cx: &Cx<Self::Ports>) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Makes a [`Component`] of a [`StepwiseComponent`].
pub struct Stepwise<C>(pub C);

impl<C: StepwiseComponent> Component for Stepwise<C> {
    type Ports = C::Ports;

    fn kind() -> &'static str {
        std::any::type_name::<C>()
    }

    async fn main(mut self, cx: Cx<C::Ports>) {
        self.0.initialise(&cx);
        cx.yield_now().await;
        while self.0.main_body(&cx) {
            cx.yield_now().await;
        }
        if let Err(e) = self.0.close_down(&cx) {
            return cx.end_with(Err(e)); // it surfaces from this step
        }
        cx.yield_now().await;
    }
}
