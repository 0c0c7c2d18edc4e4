//! Everyday components (Kamaelia: `Kamaelia/Util/`).

mod backplane;
mod chooser;
mod console_echoer;
mod console_reader;
mod data_source;
mod fanout;
mod null_sink;
mod one_shot;
mod pass_through;
mod pure_transformer;
mod splitter;
mod two_way_splitter;
mod unsent;

pub use self::backplane::{Backplane, PublishTo, PublishToPorts, SubscribeTo};
pub use self::chooser::{Chooser, ChooserPorts, ForwardIteratingChooser};
pub use self::console_echoer::{ConsoleEchoer, ConsoleEchoerPorts};
pub use self::console_reader::{ConsoleReader, ConsoleReaderPorts};
pub use self::data_source::DataSource;
pub use self::fanout::{Fanout, FanoutPorts};
pub use self::null_sink::{NullSink, SinkPorts};
pub use self::one_shot::OneShot;
pub use self::pass_through::{PassThrough, SamePorts};
pub use self::pure_transformer::{Chain, Function, PureTransformer, Transform, TransformerPorts};
pub use self::splitter::{Configuration, Plug, PlugPorts, PlugSplitter, PlugSplitterPorts, Splitter};
pub use self::two_way_splitter::{TwoWaySplitter, TwoWaySplitterPorts};

crate::ports! {
    /// Boxes of a component that makes its messages itself.
    pub struct SourcePorts<T> {
        in  { /// Unused.
              inbox: crate::Message,
              /// Unused: it ends by itself.
              control: crate::Ipc }
        out { /// What it makes.
              outbox: T,
              /// A `producerFinished` at the end.
              signal: crate::Ipc }
    }
}
