//! Views of the values of a [`Document`].

use std::fmt;
use std::ops::Range;

use super::read::{Document, parse_int, string_payload};

/// A value inside a [`Document`]. Cheap to copy; everything it gives out borrows from the document.
#[derive(Copy, Clone)]
pub struct Value<'a> {
    document: &'a Document<'a>,
    token: usize,
}

/// The four kinds of value.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signed 64-bit number.
    Integer,
    /// A string of bytes.
    Bytes,
    /// A list.
    List,
    /// A dictionary.
    Dict,
}

impl<'a> Value<'a> {
    pub(super) fn new(document: &'a Document<'a>, token: usize) -> Value<'a> {
        Value { document, token }
    }

    /// Which kind of value this is.
    pub fn kind(self) -> Kind {
        match self.raw()[0] {
            b'i' => Kind::Integer,
            b'l' => Kind::List,
            b'd' => Kind::Dict,
            _ => Kind::Bytes,
        }
    }

    /// Where the value stands in the input, bytes.
    pub fn range(self) -> Range<usize> {
        let token = self.document.tokens[self.token];
        token.start as usize..token.end as usize
    }

    /// The bytes of the value as they stand in the input: the info hash is taken over these.
    pub fn raw(self) -> &'a [u8] {
        &self.document.bytes[self.range()]
    }

    /// The number, if it is one.
    pub fn as_int(self) -> Option<i64> {
        match self.raw() {
            [b'i', digits @ .., b'e'] => parse_int(digits),
            _ => None,
        }
    }

    /// The number, if it is one and not negative.
    pub fn as_u64(self) -> Option<u64> {
        self.as_int().and_then(|int| u64::try_from(int).ok())
    }

    /// The string, if it is one.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        (self.kind() == Kind::Bytes).then(|| string_payload(self.raw()))
    }

    /// The string, if it is one and is UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The elements, if it is a list.
    pub fn as_list(self) -> Option<Items<'a>> {
        (self.kind() == Kind::List).then(|| Items(self.children()))
    }

    /// Keys and values in the order of the input, if it is a dictionary.
    pub fn as_dict(self) -> Option<Entries<'a>> {
        (self.kind() == Kind::Dict).then(|| Entries(self.children()))
    }

    /// The value of a key, if this is a dictionary that has it. Takes time in proportion to the number of its keys:
    /// to look at many of them, walk [`as_dict`](Value::as_dict) once.
    pub fn get(self, key: impl AsRef<[u8]>) -> Option<Value<'a>> {
        let key = key.as_ref();
        self.as_dict()?.find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    fn children(self) -> Children<'a> {
        let end = self.document.tokens[self.token].next as usize;
        Children { document: self.document, at: self.token + 1, end }
    }

    #[cfg(test)]
    pub(super) fn walk(self) {
        let (_, _, _) = (self.as_int(), self.as_str(), self.raw());
        self.as_list().into_iter().flatten().for_each(Value::walk);
        self.as_dict().into_iter().flatten().for_each(|(_, v)| v.walk());
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raw = self.raw();
        write!(f, "{}", raw[..raw.len().min(80)].escape_ascii())
    }
}

/// The elements of a list.
#[derive(Clone, Debug)]
pub struct Items<'a>(Children<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.0.next()
    }
}

/// The keys and values of a dictionary.
#[derive(Clone, Debug)]
pub struct Entries<'a>(Children<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        let key = self.0.next()?;
        Some((key.as_bytes()?, self.0.next()?))
    }
}

#[derive(Clone, Debug)]
struct Children<'a> {
    document: &'a Document<'a>,
    at: usize,
    end: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        if self.at >= self.end {
            return None;
        }
        let value = Value::new(self.document, self.at);
        self.at = self.document.tokens[self.at].next as usize;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;

    #[test]
    fn views_of_each_kind() {
        let text = b"d1:ai-7e1:bl2:xx1:\xff3:abcdei0ee1:cd0:leee";
        let document = Document::parse(text, &Limits::FILE).unwrap();
        let root = document.root();
        assert_eq!(root.kind(), Kind::Dict);
        assert_eq!(root.get("a").unwrap().as_int(), Some(-7));
        assert_eq!(root.get("a").unwrap().as_u64(), None);
        let list: Vec<_> = root.get("b").unwrap().as_list().unwrap().collect();
        assert_eq!(list.len(), 5);
        assert_eq!((list[0].as_str(), list[1].as_str()), (Some("xx"), None));
        assert_eq!((list[1].as_bytes(), list[2].as_bytes()), (Some(&b"\xff"[..]), Some(&b"abc"[..])));
        assert_eq!((list[3].kind(), list[4].as_u64()), (Kind::Dict, Some(0)));
        assert_eq!(root.get("c").unwrap().raw(), b"d0:lee");
        assert_eq!(root.get("c").unwrap().get("").unwrap().kind(), Kind::List);
        assert!(root.get("d").is_none() && root.get("a").unwrap().get("x").is_none());
        assert_eq!(root.as_dict().unwrap().map(|(k, _)| k).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
    }
}
