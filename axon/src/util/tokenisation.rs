//! Nested lists of text as lines (Kamaelia: `Kamaelia/Util/Tokenisation/Simple.py`).

use super::marshalling::{DeMarshaller, Marshaller, Marshalling};
use crate::error::BoxError;

/// An item of a token list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A text.
    Text(String),
    /// A list in the list.
    List(Vec<Token>),
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Vec<Token>> for Token {
    fn from(list: Vec<Token>) -> Self {
        Self::List(list)
    }
}

/// Token lists as lines of text, in the original's format.
///
/// Items are separated by spaces, a list in a list stands between `[` and `]`, and characters that would be mistaken
/// for these are written as `%` and their number.
///
/// ```
/// use axon::util::{EscapedListMarshalling, Marshalling, Token};
///
/// let list = vec![Token::from("hello world"), vec![Token::from("x")].into()];
/// let line = EscapedListMarshalling::marshall(list.clone());
/// assert_eq!(line, "hello%20world [ x ] \n");
/// assert_eq!(EscapedListMarshalling::demarshall(line)?, list);
/// # Ok::<(), axon::BoxError>(())
/// ```
///
/// # Limits
/// An empty text leaves no trace on a line, as in the original. Lists may be nested 100 deep in what is read.
pub struct EscapedListMarshalling;

/// A component that makes lines of token lists.
pub fn tokenlists_to_lines() -> Marshaller<EscapedListMarshalling> {
    Marshaller::new()
}

/// A component that makes token lists of lines.
pub fn lines_to_tokenlists() -> DeMarshaller<EscapedListMarshalling> {
    DeMarshaller::new()
}

impl Marshalling for EscapedListMarshalling {
    type Item = Vec<Token>;
    type Wire = String;

    fn marshall(list: Vec<Token>) -> String {
        let mut line = String::new();
        write(&list, &mut line);
        line.push('\n');
        line
    }

    fn demarshall(line: String) -> Result<Vec<Token>, BoxError> {
        let mut outer = Vec::new();
        let mut list = Vec::new();
        // A line end that came without its space, from a console say, belongs to no item.
        let line = line.trim_end_matches(['\n', '\r']);
        for item in line.split(' ').filter(|i| !i.is_empty()) {
            match item {
                "[" if outer.len() == DEPTH => {
                    return Err(format!("lists are nested more than {DEPTH} deep").into());
                }
                "[" => outer.push(std::mem::take(&mut list)),
                "]" => {
                    let above = outer.pop().ok_or("a list ends that has not begun: \"]\"")?;
                    let inner = std::mem::replace(&mut list, above);
                    list.push(Token::List(inner));
                }
                text => list.push(Token::Text(unescape(text))),
            }
        }
        if outer.is_empty() { Ok(list) } else { Err("a list has no end: \"]\" is missing".into()) }
    }
}

fn write(list: &[Token], line: &mut String) {
    for token in list {
        match token {
            Token::Text(text) => {
                escape(text, line);
                line.push(' ');
            }
            Token::List(inner) => {
                line.push_str("[ ");
                write(inner, line);
                line.push_str("] ");
            }
        }
    }
}

fn escape(text: &str, line: &mut String) {
    for c in text.chars() {
        match ESCAPES.iter().find(|(e, _)| *e == c) {
            Some((_, code)) => line.push_str(code),
            None => line.push(c),
        }
    }
}

fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('%') {
        let (before, code) = rest.split_at(at);
        out.push_str(before);
        match ESCAPES.iter().find(|(_, e)| code.starts_with(e)) {
            Some((c, e)) => {
                out.push(*c);
                rest = &code[e.len()..];
            }
            None => {
                out.push('%');
                rest = &code[1..];
            }
        }
    }
    out + rest
}

/// What is escaped, and how. The original means to escape the tab and, by a slip in an octal number, escapes NUL and
/// the digit 9; both sides have to agree, so this is kept.
const ESCAPES: [(char, &str); 8] = [
    ('%', "%25"),
    ('\0', "%0"),
    ('9', "%39"),
    ('\n', "%a"),
    ('\r', "%d"),
    (' ', "%20"),
    ('[', "%5b"),
    (']', "%5d"),
];

const DEPTH: usize = 100;
