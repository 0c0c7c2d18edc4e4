//! Ready-made graphs of given components (Kamaelia: `Kamaelia/Chassis/Prefab.py`).

use super::Graphline;
use crate::component::AnyInstance;

/// Lets a chooser say what a carousel makes its components of (`JoinChooserToCarousel`, CH-PREFAB-01).
///
/// The carousel's `requestNext` leads to the chooser's `inbox`, the chooser's `outbox` to the carousel's `next`: when
/// a component of the carousel has ended, the chooser names the next one. Any components with these boxes will do.
///
/// # Boxes
/// Those of the graphline: `inbox` is the carousel's, `control` the chooser's, `outbox` and `signal` are the
/// carousel's. A shutdown reaches the carousel if the chooser passes it on.
///
/// # Example
/// ```
/// use axon::prelude::*;
/// use axon::chassis::prefab::join_chooser_to_carousel;
/// use axon::util::{ConsoleEchoer, ForwardIteratingChooser, OneShot};
///
/// let playlist = ForwardIteratingChooser::new(["one ".to_string(), "two ".to_string()]);
/// let player = Carousel::new(OneShot::<String>::new);
/// Pipeline::new().then(join_chooser_to_carousel(playlist, player)).then(ConsoleEchoer::new()).run()?; // one two
/// # Ok::<(), axon::Error>(())
/// ```
#[doc(alias = "JoinChooserToCarousel")]
pub fn join_chooser_to_carousel(
    chooser: impl Into<AnyInstance>,
    carousel: impl Into<AnyInstance>,
) -> Graphline {
    Graphline::new()
        .node("CHOOSER", chooser)
        .node("CAROUSEL", carousel)
        .link(("CHOOSER", "outbox"), ("CAROUSEL", "next"))
        .link(("CHOOSER", "signal"), ("CAROUSEL", "control"))
        .link(("self", "inbox"), ("CAROUSEL", "inbox"))
        .link(("self", "control"), ("CHOOSER", "control"))
        .link(("CAROUSEL", "requestNext"), ("CHOOSER", "inbox"))
        .link(("CAROUSEL", "outbox"), ("self", "outbox"))
        .link(("CAROUSEL", "signal"), ("self", "signal"))
}
