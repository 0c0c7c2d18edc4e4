//! A graph as text again.

use std::fmt::{self, Display, Formatter, Write};

use super::{Arguments, End, Graph, Item, Node, Table};

/// A text that parses to the same graph: a table of the outermost level has a line for each entry, all else is in one.
impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.root {
            // An empty table has nothing that would show it to be one.
            Node::Table(table) if !table.is_empty() => {
                let mut first = true;
                table.entries(f, |f| if std::mem::take(&mut first) { Ok(()) } else { f.write_char('\n') })
            }
            root => root.line(f),
        }
    }
}

impl Node {
    /// As a whole line, so that a pipeline needs no parentheses.
    fn line(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { parts, circular: false } => write_parts(parts, f),
            other => other.part(f),
        }
    }

    fn part(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component { maker, arguments, .. } => write!(f, "{maker}{arguments}"),
            Self::Line { parts, circular } => {
                f.write_str(if *circular { "circular { " } else { "(" })?;
                write_parts(parts, f)?;
                f.write_str(if *circular { " }" } else { ")" })
            }
            Self::Par(parts) => {
                f.write_str("par {")?;
                for part in parts {
                    f.write_char(' ')?;
                    part.line(f)?;
                    f.write_char(';')?;
                }
                f.write_str(" }")
            }
            Self::Seq(items) => {
                f.write_str("seq {")?;
                for item in items {
                    f.write_char(' ')?;
                    match item {
                        Item::Say(text) => write_quoted(text, f)?,
                        Item::Then(part) => part.line(f)?,
                    }
                    f.write_char(';')?;
                }
                f.write_str(" }")
            }
            Self::Table(table) => {
                f.write_str("graphline {")?;
                let mut first = true;
                table.entries(f, |f| f.write_str(if std::mem::take(&mut first) { " " } else { "; " }))?;
                f.write_str(" }")
            }
        }
    }
}

fn write_parts(parts: &[Node], f: &mut Formatter<'_>) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        f.write_str(if i == 0 { "" } else { " | " })?;
        part.part(f)?;
    }
    Ok(())
}

impl Table {
    fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.links.is_empty()
    }

    fn entries(
        &self,
        f: &mut Formatter<'_>,
        mut before: impl FnMut(&mut Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        for (name, node) in &self.nodes {
            before(f)?;
            write!(f, "{name} = ")?;
            node.line(f)?;
        }
        for (from, to) in &self.links {
            before(f)?;
            write!(f, "{from} -> {to}")?;
        }
        Ok(())
    }
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.node)?;
        write_text(&self.name, f)
    }
}

impl Display for Arguments {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.values.is_empty() && self.named.is_empty() {
            return Ok(());
        }
        f.write_char('(')?;
        let names =
            std::iter::repeat_n(None, self.values.len()).chain(self.named.iter().map(|(n, _)| Some(n)));
        let values = self.values.iter().chain(self.named.iter().map(|(_, v)| v));
        for (i, (name, value)) in names.zip(values).enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            if let Some(name) = name {
                write!(f, "{name} = ")?;
            }
            write_text(value, f)?;
        }
        f.write_char(')')
    }
}

/// Bare if it is a name.
fn write_text(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let mut chars = text.chars();
    let is_name = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name { f.write_str(text) } else { write_quoted(text, f) }
}

fn write_quoted(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
