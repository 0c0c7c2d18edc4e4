//! From a tree to components.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Arguments, Graph, Item, Node, Table, TextError};
use crate::chassis::{Graphline, Par, Pipeline, Seq};
use crate::component::AnyInstance;
use crate::error::BoxError;

type Make = Box<dyn Fn(&Arguments) -> Result<AnyInstance, BoxError>>;

/// What the names in a graph's text make: a registry of functions.
///
/// ```
/// use axon::chassis::text::{Graph, Makers};
/// use axon::util::{DataSource, NullSink};
///
/// let makers = Makers::new()
///     .with("Numbers", |arguments| {
///         let [count] = arguments.exactly()?;
///         Ok(DataSource::new(0..count.parse::<u32>()?))
///     })
///     .with("Drop", |_| Ok(NullSink::new()));
/// Graph::parse("Numbers(3) | Drop")?.build(&makers)?;
///
/// let e = Graph::parse("Numbers(few) | Drop")?.build(&makers).unwrap_err();
/// assert_eq!(e.to_string(), "line 1, column 1: cannot make a Numbers: invalid digit found in string");
/// let e = Graph::parse("Numbers(3)\n | Sink")?.build(&makers).unwrap_err();
/// assert_eq!(e.to_string(), "line 2, column 4: nothing makes a \"Sink\"; there are Drop, Numbers");
/// # Ok::<(), axon::chassis::text::TextError>(())
/// ```
#[derive(Default)]
pub struct Makers(BTreeMap<String, Make>);

impl Makers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `make` make the components of a name; it replaces an earlier one of that name.
    #[must_use]
    pub fn with<C: Into<AnyInstance>>(
        mut self,
        name: &str,
        make: impl Fn(&Arguments) -> Result<C, BoxError> + 'static,
    ) -> Self {
        self.0.insert(name.into(), Box::new(move |arguments| make(arguments).map(Into::into)));
        self
    }
}

impl Graph {
    /// Makes the components. Nothing runs yet, and links are compared with boxes and types only at the first step, as
    /// those of any graphline.
    ///
    /// # Errors
    /// The place of a component that nothing makes, or whose maker refuses its arguments.
    pub fn build(&self, makers: &Makers) -> Result<AnyInstance, TextError> {
        self.root.build(makers)
    }
}

impl Node {
    fn build(&self, makers: &Makers) -> Result<AnyInstance, TextError> {
        Ok(match self {
            Self::Component { maker, arguments, at } => {
                let Some(make) = makers.0.get(maker) else {
                    let known: Vec<_> = makers.0.keys().map(String::as_str).collect();
                    let known = if known.is_empty() { "no makers".into() } else { known.join(", ") };
                    return Err(TextError::new(*at, format!("nothing makes a {maker:?}; there are {known}")));
                };
                make(arguments).map_err(|e| TextError::new(*at, format!("cannot make a {maker}: {e}")))?
            }
            Self::Line { parts, circular } => {
                let line = parts.iter().try_fold(Pipeline::new(), |l, p| Ok(l.then(p.build(makers)?)))?;
                if *circular { line.circular().into() } else { line.into() }
            }
            Self::Par(parts) => {
                parts.iter().try_fold(Par::new(), |par, p| Ok(par.with(p.build(makers)?)))?.into()
            }
            Self::Seq(items) => items
                .iter()
                .try_fold(Seq::new(), |seq, item| {
                    Ok(match item {
                        Item::Say(text) => seq.say(text),
                        Item::Then(part) => seq.then(part.build(makers)?),
                    })
                })?
                .into(),
            Self::Table(table) => table.build(makers)?.into(),
        })
    }
}

impl Table {
    fn build(&self, makers: &Makers) -> Result<Graphline, TextError> {
        let mut nodes = self.nodes.iter();
        let graph =
            nodes.try_fold(Graphline::new(), |g, (name, node)| Ok(g.node(name, node.build(makers)?)))?;
        let links = self.links.iter();
        let graph = links.fold(graph, |g, (from, to)| g.link((&from.node, &from.name), (&to.node, &to.name)));
        graph.check().map_err(|e| TextError::new(self.at, e.to_string()))?;
        Ok(graph)
    }
}

impl Arguments {
    /// Those without a name, in order.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// The one of a name.
    pub fn named(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(n, _)| n == name).map(|(_, v)| &**v)
    }

    /// Exactly so many, all without a name.
    ///
    /// # Errors
    /// There are others.
    pub fn exactly<const N: usize>(&self) -> Result<[&str; N], BoxError> {
        self.only(&[])?;
        let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        let count = values.len();
        values.try_into().map_err(|_| format!("it takes {N} arguments, not {count}").into())
    }

    /// The one at a place, or of a name, as a value of another type; `default` if there is neither.
    ///
    /// # Errors
    /// It cannot be read as such a value, or is there by its place and by its name.
    pub fn get<T: FromStr<Err: std::fmt::Display>>(
        &self,
        place: usize,
        name: &str,
        default: T,
    ) -> Result<T, BoxError> {
        match (self.values.get(place).map(String::as_str), self.named(name)) {
            (Some(_), Some(_)) => Err(format!("the argument {name:?} is there twice").into()),
            (Some(value), None) | (None, Some(value)) => {
                value.parse().map_err(|e| format!("the argument {name:?} is {value:?}: {e}").into())
            }
            (None, None) => Ok(default),
        }
    }

    /// Makes sure that all arguments are among these, in the order of their places.
    ///
    /// # Errors
    /// Another one is there.
    pub fn only(&self, names: &[&str]) -> Result<(), BoxError> {
        if let Some((name, _)) = self.named.iter().find(|(n, _)| !names.contains(&&**n)) {
            return Err(format!("it has no argument {name:?}").into());
        }
        if names.is_empty() || self.values.len() <= names.len() {
            return Ok(());
        }
        Err(format!("it takes at most {} arguments, not {}", names.len(), self.values.len()).into())
    }
}
