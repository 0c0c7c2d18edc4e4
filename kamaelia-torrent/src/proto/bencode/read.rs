//! The reader: one pass, no recursion, a flat list of tokens.

use super::value::Value;

/// What a piece of bencoding may cost before it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest input, bytes.
    pub max_len: usize,
    /// Deepest nesting; a list in a dictionary is at depth 2.
    pub max_depth: usize,
    /// Most values and keys together, each of which takes 12 bytes of memory.
    pub max_tokens: usize,
    /// Whether the keys of a dictionary may be out of order. BEP 3 says they may not, but programs that make
    /// .torrent files get it wrong.
    pub unsorted_keys: bool,
}

impl Limits {
    /// A .torrent file: 10 MB, depth 100.
    pub const FILE: Limits =
        Limits { max_len: 10_000_000, max_depth: 100, max_tokens: 2_000_000, unsorted_keys: true };

    /// The answer of a tracker: 1 MiB, depth 8. Trackers do not sort.
    pub const TRACKER: Limits =
        Limits { max_len: 1 << 20, max_depth: 8, max_tokens: 100_000, unsorted_keys: true };

    /// An extension or DHT message of a peer: 128 KiB, depth 8. Peers do not always sort.
    pub const PEER: Limits =
        Limits { max_len: 128 << 10, max_depth: 8, max_tokens: 10_000, unsorted_keys: true };

    /// A record that this program wrote for itself and that anyone may have changed since.
    pub const RECORD: Limits =
        Limits { max_len: 32 << 20, max_depth: 8, max_tokens: 2_000_000, unsorted_keys: false };
}

/// Why bytes are not (acceptable) bencoding; `at` is the offset in bytes where reading stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BencodeError {
    /// Longer than [`Limits::max_len`]; nothing of it was read.
    #[error("{len} bytes, more than the {max} allowed")]
    TooLong {
        /// Length of the input.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Deeper than [`Limits::max_depth`] (CVE-2020-8437 was a client without such a limit).
    #[error("nested deeper than {max} at byte {at}")]
    TooDeep {
        /// Offset of the value that is too deep.
        at: usize,
        /// The limit.
        max: usize,
    },
    /// More values than [`Limits::max_tokens`].
    #[error("more than {max} values")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// The input ends inside a value.
    #[error("ends inside a value, at byte {at}")]
    UnexpectedEnd {
        /// Length of the input.
        at: usize,
    },
    /// No value starts with this byte.
    #[error("unexpected byte {byte:#04x} at byte {at}")]
    UnexpectedByte {
        /// Offset of the byte.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// Not `i`, an optional minus, digits without leading zero, `e`; or outside of 64 bits.
    #[error("malformed integer at byte {at}")]
    Integer {
        /// Offset of its `i`.
        at: usize,
    },
    /// The length of a string has a leading zero, is not followed by a colon, or is absurd.
    #[error("malformed string length at byte {at}")]
    StringLen {
        /// Offset of the first digit.
        at: usize,
    },
    /// A string is longer than what is left of the input.
    #[error("string of {len} bytes at byte {at} is cut short")]
    Truncated {
        /// Offset of the first digit.
        at: usize,
        /// Length that it claims.
        len: usize,
    },
    /// The key of a dictionary is not a string.
    #[error("dictionary key at byte {at} is not a string")]
    Key {
        /// Offset of the key.
        at: usize,
    },
    /// The dictionary ends after a key.
    #[error("dictionary key without a value before byte {at}")]
    NoValue {
        /// Offset of the `e`.
        at: usize,
    },
    /// The same key twice: readers would differ on which one counts.
    #[error("dictionary key {key:?} appears twice, at byte {at}")]
    Duplicate {
        /// Offset of one of them.
        at: usize,
        /// The key, shortened.
        key: String,
    },
    /// Keys out of order, where the caller insists on it.
    #[error("dictionary key {key:?} at byte {at} is out of order")]
    Unsorted {
        /// Offset of the key.
        at: usize,
        /// The key, shortened.
        key: String,
    },
    /// Something follows the value.
    #[error("trailing bytes from byte {at}")]
    Trailing {
        /// Offset of the first of them.
        at: usize,
    },
}

/// A checked piece of bencoding.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) tokens: Vec<Token>,
}

/// A value or key: where it stands, and the index of the token that follows it and all it contains.
#[derive(Copy, Clone, Debug)]
pub(super) struct Token {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) next: u32,
}

impl<'a> Document<'a> {
    /// Reads one value that takes up all of `bytes`.
    ///
    /// # Errors
    ///
    /// Malformed bencoding, trailing bytes, or more than `limits` allow.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Document<'a>, BencodeError> {
        let (document, used) = Document::parse_prefix(bytes, limits)?;
        if used < bytes.len() { Err(BencodeError::Trailing { at: used }) } else { Ok(document) }
    }

    /// Reads one value at the start of `bytes` and says how many bytes it took (BEP 9 puts data behind it).
    ///
    /// # Errors
    ///
    /// Malformed bencoding, or more than `limits` allow.
    pub fn parse_prefix(bytes: &'a [u8], limits: &Limits) -> Result<(Document<'a>, usize), BencodeError> {
        // Offsets are kept in 32 bits.
        let max = limits.max_len.min(u32::MAX as usize);
        if bytes.len() > max {
            return Err(BencodeError::TooLong { len: bytes.len(), max });
        }
        let mut reader = Reader { bytes, at: 0, tokens: Vec::new(), open: Vec::new(), limits };
        reader.read()?;
        let used = reader.at;
        Ok((Document { bytes, tokens: reader.tokens }, used))
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value::new(self, 0)
    }
}

struct Reader<'a, 'l> {
    bytes: &'a [u8],
    at: usize,
    tokens: Vec<Token>,
    open: Vec<Open>,
    limits: &'l Limits,
}

/// A container that has begun and not ended.
struct Open {
    token: usize,
    dict: bool,
    /// In a dictionary: the next thing is a key.
    key_next: bool,
    last_key: Option<usize>,
    sorted: bool,
}

impl Reader<'_, '_> {
    fn read(&mut self) -> Result<(), BencodeError> {
        loop {
            let at = self.at;
            let byte = *self.bytes.get(at).ok_or(BencodeError::UnexpectedEnd { at })?;
            if self.open.last().is_some_and(|o| o.dict && o.key_next) && byte != b'e' {
                self.key(byte)?;
                continue;
            }
            match byte {
                b'i' => {
                    let end = self.integer_end()?;
                    self.leaf(end)?;
                }
                b'0'..=b'9' => {
                    let (_, end) = self.string_end()?;
                    self.leaf(end)?;
                }
                b'l' | b'd' => {
                    if self.open.len() >= self.limits.max_depth {
                        return Err(BencodeError::TooDeep { at, max: self.limits.max_depth });
                    }
                    let dict = byte == b'd';
                    let token = self.push(at + 1)?;
                    self.open.push(Open { token, dict, key_next: dict, last_key: None, sorted: true });
                    self.at = at + 1;
                    continue;
                }
                b'e' => match self.open.pop() {
                    Some(open) => self.close(&open)?,
                    None => return Err(BencodeError::UnexpectedByte { at, byte }),
                },
                byte => return Err(BencodeError::UnexpectedByte { at, byte }),
            }
            // A value is complete.
            match self.open.last_mut() {
                None => return Ok(()),
                Some(open) => open.key_next = open.dict,
            }
        }
    }

    fn key(&mut self, byte: u8) -> Result<(), BencodeError> {
        let at = self.at;
        if !byte.is_ascii_digit() {
            return Err(BencodeError::Key { at });
        }
        let (_, end) = self.string_end()?;
        let token = self.tokens.len();
        self.leaf(end)?;
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        let last = open.last_key.replace(token);
        open.key_next = false;
        let Some(last) = last else { return Ok(()) };
        match self.key_bytes(last).cmp(self.key_bytes(token)) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Equal => Err(BencodeError::Duplicate { at, key: self.key_text(token) }),
            std::cmp::Ordering::Greater if !self.limits.unsorted_keys => {
                Err(BencodeError::Unsorted { at, key: self.key_text(token) })
            }
            std::cmp::Ordering::Greater => {
                if let Some(open) = self.open.last_mut() {
                    open.sorted = false;
                }
                Ok(())
            }
        }
    }

    fn close(&mut self, open: &Open) -> Result<(), BencodeError> {
        let at = self.at;
        if open.dict && !open.key_next {
            return Err(BencodeError::NoValue { at });
        }
        if !open.sorted {
            self.refuse_duplicates(open)?;
        }
        self.at = at + 1;
        let next = self.tokens.len() as u32;
        let token = &mut self.tokens[open.token];
        token.end = self.at as u32;
        token.next = next;
        Ok(())
    }

    /// Sorts the keys of a dictionary that is out of order: comparing each with each would be quadratic.
    fn refuse_duplicates(&self, open: &Open) -> Result<(), BencodeError> {
        let mut keys = Vec::new();
        let mut token = open.token + 1;
        while token < self.tokens.len() {
            keys.push((self.key_bytes(token), token));
            token = self.tokens[token + 1].next as usize;
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            None => Ok(()),
            Some(pair) => {
                let token = pair[1].1;
                let at = self.tokens[token].start as usize;
                Err(BencodeError::Duplicate { at, key: self.key_text(token) })
            }
        }
    }

    fn leaf(&mut self, end: usize) -> Result<(), BencodeError> {
        let token = self.push(end)?;
        self.tokens[token].next = self.tokens.len() as u32;
        self.at = end;
        Ok(())
    }

    fn push(&mut self, end: usize) -> Result<usize, BencodeError> {
        let index = self.tokens.len();
        if index >= self.limits.max_tokens.min(u32::MAX as usize) {
            return Err(BencodeError::TooMany { max: self.limits.max_tokens });
        }
        self.tokens.push(Token { start: self.at as u32, end: end as u32, next: 0 });
        Ok(index)
    }

    /// Checks the integer here and gives the offset behind it.
    fn integer_end(&self) -> Result<usize, BencodeError> {
        let at = self.at;
        // The longest is i-9223372036854775808e; what is longer has a leading zero or does not fit.
        let window = &self.bytes[at + 1..self.bytes.len().min(at + 22)];
        let Some(len) = window.iter().position(|b| *b == b'e') else {
            let cut = window.iter().all(|b| b.is_ascii_digit() || *b == b'-') && window.len() < 21;
            return Err(if cut {
                BencodeError::UnexpectedEnd { at: self.bytes.len() }
            } else {
                BencodeError::Integer { at }
            });
        };
        let text = &window[..len];
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let canonical = match digits {
            [b'0'] => text.len() == 1,
            [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        match parse_int(text) {
            Some(_) if canonical => Ok(at + 1 + len + 1),
            _ => Err(BencodeError::Integer { at }),
        }
    }

    /// Checks the string here and gives the offsets of its first byte and behind its last.
    fn string_end(&self) -> Result<(usize, usize), BencodeError> {
        let at = self.at;
        let malformed = BencodeError::StringLen { at };
        // Ten digits hold any 32-bit length.
        let window = &self.bytes[at..self.bytes.len().min(at + 11)];
        let Some(colon) = window.iter().position(|b| !b.is_ascii_digit()) else {
            return Err(if window.len() < 11 {
                BencodeError::UnexpectedEnd { at: self.bytes.len() }
            } else {
                malformed
            });
        };
        let digits = &window[..colon];
        if window[colon] != b':' || (digits[0] == b'0' && digits.len() > 1) {
            return Err(malformed);
        }
        let len = parse_int(digits).and_then(|len| usize::try_from(len).ok()).ok_or(malformed)?;
        let start = at + colon + 1;
        match start.checked_add(len) {
            Some(end) if end <= self.bytes.len() => Ok((start, end)),
            _ => Err(BencodeError::Truncated { at, len }),
        }
    }

    fn key_bytes(&self, token: usize) -> &[u8] {
        string_payload(&self.bytes[self.tokens[token].start as usize..self.tokens[token].end as usize])
    }

    fn key_text(&self, token: usize) -> String {
        String::from_utf8_lossy(self.key_bytes(token)).chars().take(40).collect()
    }
}

/// The content of a checked string, header and all.
pub(super) fn string_payload(raw: &[u8]) -> &[u8] {
    let colon = raw.iter().position(|b| *b == b':').unwrap_or(raw.len() - 1);
    &raw[colon + 1..]
}

/// A number in 64 bits.
pub(super) fn parse_int(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strict(bytes: &[u8]) -> Result<Document<'_>, BencodeError> {
        Document::parse(bytes, &Limits::RECORD)
    }

    #[test]
    fn well_formed_values_are_read() {
        for good in [
            "i0e",
            "i-1e",
            "i9223372036854775807e",
            "i-9223372036854775808e",
            "0:",
            "3:abc",
            "le",
            "de",
            "l1:ai2elee",
            "d1:ai1e1:bl1:cee",
            "d0:i1ee",
        ] {
            assert!(strict(good.as_bytes()).is_ok(), "{good}");
        }
    }

    #[test]
    fn malformed_values_are_refused() {
        use BencodeError as E;
        let cases: &[(&str, E)] = &[
            ("", E::UnexpectedEnd { at: 0 }),
            ("x", E::UnexpectedByte { at: 0, byte: b'x' }),
            ("e", E::UnexpectedByte { at: 0, byte: b'e' }),
            ("ie", E::Integer { at: 0 }),
            ("i-e", E::Integer { at: 0 }),
            ("i-0e", E::Integer { at: 0 }),
            ("i00e", E::Integer { at: 0 }),
            ("i01e", E::Integer { at: 0 }),
            ("i+1e", E::Integer { at: 0 }),
            ("i 1e", E::Integer { at: 0 }),
            ("i1.5e", E::Integer { at: 0 }),
            ("i9223372036854775808e", E::Integer { at: 0 }),
            ("i99999999999999999999999e", E::Integer { at: 0 }),
            ("i12", E::UnexpectedEnd { at: 3 }),
            ("10:abc", E::Truncated { at: 0, len: 10 }),
            ("9999999999:abc", E::Truncated { at: 0, len: 9_999_999_999 }),
            ("99999999999:abc", E::StringLen { at: 0 }),
            ("03:abc", E::StringLen { at: 0 }),
            ("00:", E::StringLen { at: 0 }),
            ("3abc", E::StringLen { at: 0 }),
            ("+3:abc", E::UnexpectedByte { at: 0, byte: b'+' }),
            ("-3:abc", E::UnexpectedByte { at: 0, byte: b'-' }),
            ("12", E::UnexpectedEnd { at: 2 }),
            ("l1:a", E::UnexpectedEnd { at: 4 }),
            ("d1:ae", E::NoValue { at: 4 }),
            ("di1ei2ee", E::Key { at: 1 }),
            ("dlelee", E::Key { at: 1 }),
            ("d1:ai1e1:ai2ee", E::Duplicate { at: 7, key: "a".into() }),
            ("d1:bi1e1:ai2ee", E::Unsorted { at: 7, key: "a".into() }),
            ("i1ei2e", E::Trailing { at: 3 }),
            ("le\n", E::Trailing { at: 2 }),
        ];
        for (text, error) in cases {
            assert_eq!(strict(text.as_bytes()).map(|_| ()), Err(error.clone()), "{text}");
        }
    }

    #[test]
    fn unsorted_keys_pass_where_allowed_but_duplicates_never() {
        assert!(Document::parse(b"d1:bi1e1:ai2ee", &Limits::FILE).is_ok());
        for text in ["d1:bi1e1:ai2e1:bi3ee", "d1:bld1:xi1eee1:ai2e1:bi3ee", "d1:b1:a1:a1:b1:b1:ce"] {
            let result = Document::parse(text.as_bytes(), &Limits::FILE);
            assert!(matches!(result, Err(BencodeError::Duplicate { .. })), "{text} {result:?}");
        }
    }

    #[test]
    fn nesting_is_cut_off_without_recursion() {
        let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
        assert!(Document::parse(&nested(100), &Limits::FILE).is_ok());
        assert_eq!(
            Document::parse(&nested(101), &Limits::FILE).map(|_| ()),
            Err(BencodeError::TooDeep { at: 100, max: 100 })
        );
        assert!(Document::parse(&nested(8), &Limits::TRACKER).is_ok());
        assert!(Document::parse(&nested(9), &Limits::PEER).is_err());
        // Even with no limit the stack is not used: a million levels, on a thread of a test.
        let limits = Limits { max_depth: usize::MAX, ..Limits::FILE };
        assert!(Document::parse(&nested(1_000_000), &limits).is_ok());
    }

    #[test]
    fn budgets_for_size_and_values() {
        let many = [b"l".to_vec(), b"0:".repeat(11), b"e".to_vec()].concat();
        let limits = Limits { max_tokens: 11, ..Limits::FILE };
        assert_eq!(Document::parse(&many, &limits).map(|_| ()), Err(BencodeError::TooMany { max: 11 }));
        let limits = Limits { max_len: 23, ..Limits::FILE };
        assert_eq!(
            Document::parse(&many, &limits).map(|_| ()),
            Err(BencodeError::TooLong { len: 24, max: 23 })
        );
    }

    #[test]
    fn prefix_leaves_the_rest() {
        let (document, used) = Document::parse_prefix(b"d1:ai1eeDATA", &Limits::PEER).unwrap();
        assert_eq!((used, document.root().raw()), (8, &b"d1:ai1ee"[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::parse(&bytes, &Limits::FILE);
        }

        #[test]
        fn nearly_bencoding_never_panics(text in "[ilde0-9:\\-a]{0,60}") {
            if let Ok(document) = Document::parse(text.as_bytes(), &Limits::FILE) {
                document.root().walk();
            }
        }
    }
}
