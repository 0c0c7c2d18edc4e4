//! Everyday components (Kamaelia: `Kamaelia/Util/`).

mod backplane;
mod chargen;
mod chooser;
mod chunk_namer;
mod chunkifier;
mod clock;
mod collate;
mod comparator;
mod console_echoer;
mod console_reader;
mod data_source;
mod detuple;
mod fanout;
mod filter;
mod first_only;
mod line_split;
mod lossy_connector;
mod marshalling;
mod max;
mod null_sink;
mod one_shot;
mod pass_through;
mod prompted_turnstile;
mod pure_transformer;
mod range_filter;
mod rate_chunker;
mod rate_filter;
mod sequential_transformer;
mod splitter;
pub(crate) mod stage;
mod stringify;
mod sync;
mod tag_with_sequence_number;
mod test_result;
mod tokenisation;
mod two_way_splitter;
mod unseen_only;
mod unsent;

pub use self::backplane::{Backplane, PublishTo, PublishToPorts, SubscribeTo};
pub use self::chargen::Chargen;
pub use self::chooser::{Chooser, ChooserPorts, ForwardIteratingChooser};
pub use self::chunk_namer::ChunkNamer;
pub use self::chunkifier::Chunkifier;
pub use self::clock::CheapAndCheerfulClock;
pub use self::collate::Collate;
pub use self::comparator::{Comparator, ComparatorPorts};
pub use self::console_echoer::{ConsoleEchoer, ConsoleEchoerPorts};
pub use self::console_reader::{ConsoleReader, ConsoleReaderPorts};
pub use self::data_source::{DataSource, TriggeredSource};
pub use self::detuple::{Indexed, SimpleDetupler};
pub use self::fanout::{Fanout, FanoutPorts};
pub use self::filter::{Filter, Filtering, NullFilter};
pub use self::first_only::FirstOnly;
pub use self::line_split::LineSplit;
pub use self::lossy_connector::LossyConnector;
pub use self::marshalling::{DeMarshaller, Marshaller, Marshalling};
pub use self::max::Max;
pub use self::null_sink::{NullSink, SinkPorts};
pub use self::one_shot::{OneShot, TriggerPorts, TriggeredOneShot};
pub use self::pass_through::{PassThrough, SamePorts};
pub use self::prompted_turnstile::{PromptedTurnstile, PromptedTurnstilePorts};
pub use self::pure_transformer::{Chain, Function, PureTransformer, Transform, TransformerPorts};
pub use self::range_filter::RangeFilter;
pub use self::rate_chunker::RateChunker;
pub use self::rate_filter::{
    ByteRate, ByteRateRequestControl, MessageRateLimit, OnDemandLimit, OnDemandLimitPorts, RequestPorts,
    VariableByteRateRequestControl, VariableRequestPorts,
};
pub use self::sequential_transformer::SequentialTransformer;
pub use self::splitter::{Configuration, Plug, PlugPorts, PlugSplitter, PlugSplitterPorts, Splitter};
pub use self::stage::StagePorts;
pub use self::stringify::Stringify;
pub use self::sync::Sync;
pub use self::tag_with_sequence_number::TagWithSequenceNumber;
pub use self::test_result::{StopSystem, StopSystemException, TestResult, TestResultPorts};
pub use self::tokenisation::{EscapedListMarshalling, Token, lines_to_tokenlists, tokenlists_to_lines};
pub use self::two_way_splitter::{TwoWaySplitter, TwoWaySplitterPorts};
pub use self::unseen_only::UnseenOnly;

crate::ports! {
    /// Boxes of a component that makes its messages itself.
    pub struct SourcePorts<T> {
        in  { /// Unused.
              inbox: crate::Message,
              /// Shutdown requests, of those that do not end by themselves.
              control: crate::Ipc }
        out { /// What it makes.
              outbox: T,
              /// Told when it ends.
              signal: crate::Ipc }
    }
}
