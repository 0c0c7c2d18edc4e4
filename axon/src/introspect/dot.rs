//! A snapshot as a picture.

use std::fmt::Write;

use super::{ComponentInfo, RunState, Snapshot};
use crate::id::short;
use crate::linkage::Kind;

impl Snapshot {
    /// The graph in the language of Graphviz: a record for each component, inboxes on its left, outboxes on its right,
    /// with the messages that wait; passing links are dashed.
    pub fn to_dot(&self) -> String {
        let mut out =
            String::from("digraph axon {\n  rankdir=LR;\n  node [shape=record, fontname=\"sans-serif\"];\n");
        for c in &self.components {
            let _ = writeln!(out, "  c{} [label=\"{}\"{}];", c.id, label(c), style(c.state));
        }
        for l in &self.linkages {
            let end = |b: &super::BoxId| {
                let c = self.component(b.component)?;
                let letter = if b.is_inbox { 'i' } else { 'o' };
                let at = if b.is_inbox {
                    c.inboxes.iter().position(|i| i.name == b.name)
                } else {
                    c.outboxes.iter().position(|o| o.name == b.name)
                };
                Some(format!("c{}:{letter}{}", c.id, at?))
            };
            if let (Some(from), Some(to)) = (end(&l.source), end(&l.sink)) {
                let dashed = if l.kind == Kind::Normal { "" } else { " [style=dashed]" };
                let _ = writeln!(out, "  {from} -> {to}{dashed};");
            }
        }
        out.push_str("}\n");
        out
    }
}

fn label(c: &ComponentInfo) -> String {
    let mut text = String::from("{{");
    for (n, i) in c.inboxes.iter().enumerate() {
        let bar = if n == 0 { "" } else { "|" };
        let bound = i.bound.map_or(String::new(), |b| format!("/{b}"));
        let _ = write!(text, "{bar}<i{n}> {} ({}{bound})", escape(&i.name), i.waiting);
    }
    let _ = write!(text, "}}|{}|{{", escape(short(&c.name)));
    for (n, o) in c.outboxes.iter().enumerate() {
        let bar = if n == 0 { "" } else { "|" };
        let _ = write!(text, "{bar}<o{n}> {} ({})", escape(&o.name), o.sent);
    }
    text.push_str("}}");
    text
}

fn style(state: RunState) -> &'static str {
    match state {
        RunState::Active => ", style=bold",
        RunState::Asleep => "",
        RunState::New | RunState::Stopping | RunState::Ended => ", style=dotted",
    }
}

/// Names of boxes come from programs, and records give a meaning to several characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '"' | '\\' | '{' | '}' | '|' | '<' | '>' | ' ' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_a_label() {
        assert_eq!(escape("a|b\"{c}\n"), "a\\|b\\\"\\{c\\} ");
    }
}
