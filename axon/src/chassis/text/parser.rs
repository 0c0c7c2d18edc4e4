//! From tokens to a tree.

use std::collections::HashSet;

use super::lexer::{Lexer, Token};
use super::{Arguments, End, Graph, Item, Node, Position, Table, TextError};

/// Keywords, and `self`, which names the graphline itself.
const RESERVED: [&str; 5] = ["circular", "graphline", "par", "self", "seq"];

pub(super) fn parse(text: &str) -> Result<Graph, TextError> {
    let start = Position { line: 1, column: 1 };
    if text.len() > Graph::MAX_LEN {
        let message = format!("{} bytes are more than the {} allowed", text.len(), Graph::MAX_LEN);
        return Err(TextError::new(start, message));
    }
    let tokens = Lexer::new(text).tokens()?;
    let mut parser = Parser { tokens, next: 0, depth: 0, parts: 0 };
    // A table needs no word in front when it is all there is.
    let is_table = matches!(parser.tokens.get(1), Some((Token::Sign('=' | '.'), _)));
    let root = if is_table { Node::Table(parser.table(&Token::End)?) } else { parser.line()? };
    match parser.take() {
        (Token::End, _) => Ok(Graph { root }),
        (other, at) => Err(unexpected(&other, at, "the end of the text")),
    }
}

struct Parser {
    tokens: Vec<(Token, Position)>,
    next: usize,
    depth: usize,
    parts: usize,
}

fn unexpected(token: &Token, at: Position, wanted: &str) -> TextError {
    let found = match token {
        Token::Name(name) => format!("{name:?}"),
        Token::Number(number) => number.clone(),
        Token::Text(_) => "a text".into(),
        Token::Arrow => "->".into(),
        Token::Arguments => "'('".into(),
        Token::Sign(c) => format!("{c:?}"),
        Token::End => "the end of the text".into(),
    };
    TextError::new(at, format!("{wanted} is wanted here, not {found}"))
}

impl Parser {
    fn peek(&self) -> &Token {
        // The end stays at the end.
        &self.tokens[self.next.min(self.tokens.len() - 1)].0
    }

    fn take(&mut self) -> (Token, Position) {
        let token = self.tokens[self.next.min(self.tokens.len() - 1)].clone();
        self.next += 1;
        token
    }

    fn takes(&mut self, sign: char) -> bool {
        let there = *self.peek() == Token::Sign(sign);
        self.next += usize::from(there);
        there
    }

    fn want(&mut self, sign: char) -> Result<(), TextError> {
        match self.take() {
            (Token::Sign(c), _) if c == sign => Ok(()),
            (other, at) => Err(unexpected(&other, at, &format!("{sign:?}"))),
        }
    }

    /// `a | b | c`, or one of them alone.
    fn line(&mut self) -> Result<Node, TextError> {
        let mut parts = self.parts()?;
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Line { parts, circular: false } })
    }

    fn parts(&mut self) -> Result<Vec<Node>, TextError> {
        let mut parts = vec![self.part()?];
        while self.takes('|') {
            parts.push(self.part()?);
        }
        Ok(parts)
    }

    fn part(&mut self) -> Result<Node, TextError> {
        let (token, at) = self.take();
        self.depth += 1;
        if self.depth > Graph::MAX_DEPTH {
            return Err(TextError::new(at, format!("more than {} levels of nesting", Graph::MAX_DEPTH)));
        }
        self.parts += 1;
        if self.parts > Graph::MAX_PARTS {
            return Err(TextError::new(at, format!("more than {} parts", Graph::MAX_PARTS)));
        }
        let part = match token {
            Token::Sign('(') => {
                let inner = self.line()?;
                self.want(')')?;
                inner
            }
            Token::Name(word) => match &*word {
                "graphline" => {
                    self.want('{')?;
                    let table = self.table(&Token::Sign('}'))?;
                    self.want('}')?;
                    Node::Table(table)
                }
                "circular" => {
                    self.want('{')?;
                    let parts = self.parts()?;
                    self.want('}')?;
                    Node::Line { parts, circular: true }
                }
                "par" => {
                    let mut parts = Vec::new();
                    self.want('{')?;
                    while !self.takes('}') {
                        parts.push(self.line()?);
                    }
                    Node::Par(parts)
                }
                "seq" => self.seq()?,
                "self" => return Err(TextError::new(at, "\"self\" is the graphline and cannot be a part")),
                _ => self.component(word, at)?,
            },
            other => return Err(unexpected(&other, at, "a component")),
        };
        self.depth -= 1;
        Ok(part)
    }

    fn seq(&mut self) -> Result<Node, TextError> {
        let mut items = Vec::new();
        self.want('{')?;
        while !self.takes('}') {
            if let Token::Text(text) = self.peek() {
                items.push(Item::Say(text.clone()));
                self.next += 1;
            } else {
                items.push(Item::Then(self.line()?));
            }
        }
        Ok(Node::Seq(items))
    }

    fn component(&mut self, maker: String, at: Position) -> Result<Node, TextError> {
        let mut arguments = Arguments::default();
        if *self.peek() == Token::Arguments {
            self.next += 1;
            while !self.takes(')') {
                self.argument(&mut arguments)?;
                if !self.takes(',') {
                    self.want(')')?;
                    break;
                }
            }
        }
        Ok(Node::Component { maker, arguments, at })
    }

    /// `value` or `name = value`.
    fn argument(&mut self, to: &mut Arguments) -> Result<(), TextError> {
        let (mut token, at) = self.take();
        let mut name = None;
        if *self.peek() == Token::Sign('=')
            && let Token::Name(n) = &token
        {
            if to.named(n).is_some() {
                return Err(TextError::new(at, format!("the argument {n:?} is there twice")));
            }
            name = Some(n.clone());
            self.next += 1;
            token = self.take().0;
        }
        let (Token::Name(value) | Token::Number(value) | Token::Text(value)) = token else {
            return Err(unexpected(&token, at, "an argument"));
        };
        match name {
            Some(name) => to.named.push((name, value)),
            None => to.values.push(value),
        }
        Ok(())
    }

    /// `name = part | part` and `name.box -> name.box`, up to `end`.
    fn table(&mut self, end: &Token) -> Result<Table, TextError> {
        let at = self.tokens[self.next.min(self.tokens.len() - 1)].1;
        let mut table = Table { nodes: Vec::new(), links: Vec::new(), at };
        let mut places = Vec::new();
        let mut names = HashSet::new();
        while self.peek() != end {
            let (token, at) = self.take();
            let Token::Name(name) = token else {
                return Err(unexpected(&token, at, "a name"));
            };
            if self.takes('=') {
                if RESERVED.contains(&&*name) {
                    return Err(TextError::new(
                        at,
                        format!("{name:?} is a word of the language, not a name"),
                    ));
                }
                if !names.insert(name.clone()) {
                    return Err(TextError::new(at, format!("{name:?} is there twice")));
                }
                table.nodes.push((name, self.line()?));
                continue;
            }
            let from = self.end_of(name)?;
            match self.take() {
                (Token::Arrow, _) => {}
                (other, at) => return Err(unexpected(&other, at, "->")),
            }
            let (token, to_at) = self.take();
            let Token::Name(name) = token else {
                return Err(unexpected(&token, to_at, "a name"));
            };
            let to = self.end_of(name)?;
            places.push([at, to_at]);
            table.links.push((from, to));
        }
        // Only now are all names known.
        let mut sources = HashSet::new();
        for ((from, to), places) in table.links.iter().zip(places) {
            for (end, at) in [from, to].into_iter().zip(places) {
                if end.node != "self" && !names.contains(&end.node) {
                    return Err(TextError::new(at, format!("nothing here is called {:?}", end.node)));
                }
            }
            if from.node == "self" && to.node == "self" {
                return Err(TextError::new(
                    places[0],
                    "a link from \"self\" to \"self\" needs a part between",
                ));
            }
            if !sources.insert(from) {
                let message = format!("{:?} of {:?} is linked already", from.name, from.node);
                return Err(TextError::new(places[0], message));
            }
        }
        Ok(table)
    }

    /// What follows the name of a node: a point and the name of a box.
    fn end_of(&mut self, node: String) -> Result<End, TextError> {
        self.want('.')?;
        match self.take() {
            (Token::Name(name) | Token::Text(name), _) => Ok(End { node, name }),
            (other, at) => Err(unexpected(&other, at, "the name of a box")),
        }
    }
}
