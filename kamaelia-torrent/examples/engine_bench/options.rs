//! Words of a command line: some in order, others by name.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::Outcome;

/// Words without a name, and the values of those that have one. A name without a value is a switch.
#[derive(Debug)]
pub(crate) struct Options {
    words: Vec<String>,
    named: BTreeMap<String, String>,
}

impl Options {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Outcome<Options> {
        let mut options = Options { words: Vec::new(), named: BTreeMap::new() };
        let mut args = args.peekable();
        while let Some(word) = args.next() {
            match word.strip_prefix("--") {
                None => options.words.push(word),
                Some(name) if NAMES.contains(&name) => {
                    let value = args.next().ok_or_else(|| format!("--{name} needs a value"))?;
                    options.named.insert(name.to_owned(), value);
                }
                Some(name) if SWITCHES.contains(&name) => {
                    options.named.insert(name.to_owned(), String::new());
                }
                Some(_) => return Err(format!("unknown option {word}").into()),
            }
        }
        Ok(options)
    }

    /// The word at a place, which must be there.
    pub(crate) fn word(&self, at: usize, what: &str) -> Outcome<&str> {
        Ok(self.words.get(at).ok_or_else(|| format!("missing: {what}"))?)
    }

    /// The value of a name, if it was given.
    pub(crate) fn get<T: FromStr>(&self, name: &str) -> Outcome<Option<T>>
    where
        T::Err: std::fmt::Display,
    {
        let parse = |text: &String| text.parse().map_err(|e| format!("--{name} {text}: {e}").into());
        self.named.get(name).map(parse).transpose()
    }

    /// The value of a name, which must be there.
    pub(crate) fn need<T: FromStr>(&self, name: &str) -> Outcome<T>
    where
        T::Err: std::fmt::Display,
    {
        Ok(self.get(name)?.ok_or_else(|| format!("missing: --{name}"))?)
    }

    /// Whether a switch was given.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }
}

const NAMES: [&str; 23] = [
    "total",
    "piece",
    "data",
    "peers",
    "dial",
    "listen",
    "net",
    "fetch",
    "peer",
    "max-peers",
    "write-ms",
    "read-ms",
    "stop-after",
    "target",
    "ms",
    "bind",
    "idle",
    "minutes",
    "torrents",
    "out",
    "tracker",
    "addresses",
    "interval",
];
const SWITCHES: [&str; 6] = ["all-have-all", "hostile", "restart", "components", "seed", "leech"];
