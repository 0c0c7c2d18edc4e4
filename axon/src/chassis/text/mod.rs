//! Graphs as text: a small language, read from a string or a file.
//!
//! ```
//! use axon::chassis::text::{Graph, Makers};
//! use axon::prelude::*;
//!
//! let graph = Graph::parse(
//!     r#"
//!     ## Two lines, shown twice.
//!     source = DataSource("one ", "two ")
//!     split  = Fanout(left, right)
//!     left   = ConsoleEchoer
//!     right  = PassThrough | ConsoleEchoer(tag = "-")
//!
//!     source.outbox -> split.inbox      source.signal -> split.control
//!     split.left    -> left.inbox       split.signal  -> left.control
//!     split.right   -> right.inbox      left.signal   -> right.control
//!     "#,
//! )?;
//! graph.build(&Makers::everyday())?.activate();
//! Scheduler::thread_default().run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The language
//! A text is either one part, or the entries of a graphline.
//!
//! | written | means |
//! |---|---|
//! | `Name`, `Name("text", 7, word)`, `Name(tag = "x")` | a component: [`Makers`] says what `Name` makes of its arguments; `(` follows the name without a space |
//! | `a \| b \| c` | a [`Pipeline`](super::Pipeline) |
//! | `circular { a \| b }` | a pipeline whose end leads back to its start |
//! | `par { a b \| c }` | a [`Par`](super::Par) of `a` and of the pipeline `b \| c` |
//! | `seq { "text" a b }` | a [`Seq`](super::Seq); a text is written as a line |
//! | `graphline { … }` | a [`Graphline`](super::Graphline) |
//! | `name = part` | in a graphline: a component of that name |
//! | `name.box -> name.box` | in a graphline: a link; `self` is the graphline |
//! | `( … )` | parentheses round a part |
//!
//! Names are letters, digits and `_`, not starting with a digit; the name of a box can be any text in quotation marks.
//! Texts know the escapes `\n`, `\r`, `\t`, `\"`, `\\` and `\u{…}`. Arguments arrive as text, whatever they look like.
//! White space, line ends and `;` separate and mean nothing else; `#` starts a comment.
//!
//! # Limits
//! A text is at most 1 MiB long, parts nest at most 32 deep, and there are at most 10,000 of them; so a text from
//! an unknown source costs little, whatever is in it. What it can *do* depends on the makers that it is given.

mod build;
mod everyday;
mod lexer;
mod parser;
mod write;

use std::fmt;

pub use self::build::Makers;

/// A parsed graph. Its text form, by [`Display`](fmt::Display), parses to the same graph, as long as that is not longer
/// than a text may be.
///
/// ```
/// use axon::chassis::text::Graph;
///
/// let graph = Graph::parse("a = Reader ; a.outbox->self.outbox")?;
/// assert_eq!(graph.to_string(), "a = Reader\na.outbox -> self.outbox");
/// let e = Graph::parse("Reader | | Writer").unwrap_err();
/// assert_eq!(e.to_string(), "line 1, column 10: a component is wanted here, not '|'");
/// # Ok::<(), axon::chassis::text::TextError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Graph {
    root: Node,
}

/// A place in a text, counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character of the line.
    pub column: usize,
}

/// What is wrong with a graph's text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// Where.
    pub at: Position,
    message: String,
}

/// What stands in the parentheses of a component: texts, some with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    values: Vec<String>,
    named: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Node {
    Component { maker: String, arguments: Arguments, at: Position },
    Line { parts: Vec<Node>, circular: bool },
    Par(Vec<Node>),
    Seq(Vec<Item>),
    Table(Table),
}

#[derive(Clone, Debug)]
enum Item {
    Say(String),
    Then(Node),
}

#[derive(Clone, Debug)]
struct Table {
    nodes: Vec<(String, Node)>,
    links: Vec<(End, End)>,
    at: Position,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct End {
    node: String,
    name: String,
}

impl Graph {
    /// The longest text, in bytes.
    pub const MAX_LEN: usize = 1 << 20;
    /// The deepest nesting of parts.
    pub const MAX_DEPTH: usize = 32;
    /// The most parts in one text: components and chassis.
    pub const MAX_PARTS: usize = 10_000;

    /// Reads a graph.
    ///
    /// # Errors
    /// The first mistake and its place: what cannot be read, a name that is there twice or not at all, a box that is
    /// linked to two others, a limit that is passed.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        parser::parse(text)
    }
}

impl TextError {
    fn new(at: Position, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.at.line, self.at.column, self.message)
    }
}

impl std::error::Error for TextError {}
