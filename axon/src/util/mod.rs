//! Everyday components (Kamaelia: `Kamaelia/Util/`).

mod console_echoer;
mod console_reader;
mod data_source;
mod fanout;
mod null_sink;
mod one_shot;
mod pure_transformer;

pub use self::console_echoer::{ConsoleEchoer, ConsoleEchoerPorts};
pub use self::console_reader::{ConsoleReader, ConsoleReaderPorts};
pub use self::data_source::DataSource;
pub use self::fanout::{Fanout, FanoutPorts};
pub use self::null_sink::{NullSink, SinkPorts};
pub use self::one_shot::OneShot;
pub use self::pure_transformer::{Chain, Function, PureTransformer, Transform, TransformerPorts};

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
