//! Makers of the components that come with the library.

use super::{Arguments, Makers};
use crate::error::BoxError;
use crate::file::{TriggeredFileReader, WholeFileWriter};
use crate::util::{
    Backplane, Chooser, ConsoleEchoer, ConsoleReader, DataSource, Fanout, ForwardIteratingChooser, NullSink,
    OneShot, PassThrough, PublishTo, SubscribeTo, TwoWaySplitter,
};

impl Makers {
    /// The components of this library that text can make, for messages of text:
    ///
    /// | name | arguments |
    /// |---|---|
    /// | `Backplane`, `SubscribeTo` | the name |
    /// | `Chooser`, `DataSource`, `ForwardIteratingChooser` | the items |
    /// | `ConsoleEchoer` | `forwarder` (`false`), `tag` (`""`) |
    /// | `ConsoleReader` | `prompt` (`">>> "`), `eol` (`"\n"`) |
    /// | `Fanout` | the names of the outboxes |
    /// | `NullSink`, `PassThrough`, `TriggeredFileReader`, `TwoWaySplitter`, `WholeFileWriter` | none |
    /// | `OneShot` | the message |
    /// | `PublishTo` | `name`, `forwarder` (`false`) |
    ///
    /// With [`Makers::with`] others can be added, or some of these replaced.
    pub fn everyday() -> Self {
        Self::new()
            .with("Backplane", |a| {
                let [name] = a.exactly()?;
                Ok(Backplane::<String>::new(name)?)
            })
            .with("Chooser", |a| Ok(Chooser::new(texts(a)?)))
            .with("ConsoleEchoer", |a| {
                a.only(&["forwarder", "tag"])?;
                let echoer = ConsoleEchoer::new().tag(&a.get(1, "tag", String::new())?);
                Ok(if a.get(0, "forwarder", false)? { echoer.forwarder() } else { echoer })
            })
            .with("ConsoleReader", |a| {
                a.only(&["prompt", "eol"])?;
                let reader = ConsoleReader::new(&a.get(0, "prompt", String::from(">>> "))?);
                Ok(reader.eol(&a.get(1, "eol", String::from("\n"))?))
            })
            .with("DataSource", |a| Ok(DataSource::new(texts(a)?)))
            .with("Fanout", |a| Ok(Fanout::<String>::new(texts(a)?)))
            .with("ForwardIteratingChooser", |a| Ok(ForwardIteratingChooser::new(texts(a)?)))
            .with("NullSink", |a| a.exactly::<0>().map(|_| NullSink::new()))
            .with("OneShot", |a| {
                let [message] = a.exactly()?;
                Ok(OneShot::new(message.to_string()))
            })
            .with("PassThrough", |a| a.exactly::<0>().map(|_| PassThrough::<String>::new()))
            .with("PublishTo", |a| {
                a.only(&["name", "forwarder"])?;
                let publisher = PublishTo::<String>::new(&a.get(0, "name", String::new())?);
                Ok(if a.get(1, "forwarder", false)? { publisher.forwarder() } else { publisher })
            })
            .with("SubscribeTo", |a| {
                let [name] = a.exactly()?;
                Ok(SubscribeTo::<String>::new(name))
            })
            .with("TriggeredFileReader", |a| a.exactly::<0>().map(|_| TriggeredFileReader::new()))
            .with("TwoWaySplitter", |a| a.exactly::<0>().map(|_| TwoWaySplitter::<String>::new()))
            .with("WholeFileWriter", |a| a.exactly::<0>().map(|_| WholeFileWriter::new()))
    }
}

fn texts(arguments: &Arguments) -> Result<Vec<String>, BoxError> {
    arguments.only(&[])?;
    Ok(arguments.values().to_vec())
}
