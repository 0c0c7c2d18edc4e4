//! The writer: values whose encoding is canonical by construction.

use std::collections::BTreeMap;

use super::value::Value;

/// A value to be written. Dictionaries sort their keys, so there is one encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bencode {
    /// A number.
    Integer(i64),
    /// A string of bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Bencode>),
    /// A dictionary.
    Dict(BTreeMap<Vec<u8>, Bencode>),
    /// A value that was read, to be written byte for byte as it was.
    Raw(RawValue),
}

/// The bytes of a checked value; made from a [`Value`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawValue(Vec<u8>);

impl RawValue {
    /// A value that was read and checked before, and whose bytes were kept.
    pub(crate) fn checked(bytes: &[u8]) -> RawValue {
        RawValue(bytes.to_vec())
    }
}

impl Bencode {
    /// A dictionary; of equal keys the last one counts.
    pub fn dict<K: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, Bencode)>) -> Bencode {
        Bencode::Dict(entries.into_iter().map(|(k, v)| (k.as_ref().to_vec(), v)).collect())
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    /// Appends the encoding.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Bencode::Integer(int) => out.extend_from_slice(format!("i{int}e").as_bytes()),
            Bencode::Bytes(bytes) => string_into(bytes, out),
            Bencode::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.encode_into(out));
                out.push(b'e');
            }
            Bencode::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    string_into(key, out);
                    value.encode_into(out);
                }
                out.push(b'e');
            }
            Bencode::Raw(RawValue(bytes)) => out.extend_from_slice(bytes),
        }
    }
}

fn string_into(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

impl From<i64> for Bencode {
    fn from(int: i64) -> Bencode {
        Bencode::Integer(int)
    }
}

impl From<&str> for Bencode {
    fn from(text: &str) -> Bencode {
        Bencode::Bytes(text.as_bytes().to_vec())
    }
}

impl From<String> for Bencode {
    fn from(text: String) -> Bencode {
        Bencode::Bytes(text.into_bytes())
    }
}

impl From<&[u8]> for Bencode {
    fn from(bytes: &[u8]) -> Bencode {
        Bencode::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Bencode {
    fn from(bytes: Vec<u8>) -> Bencode {
        Bencode::Bytes(bytes)
    }
}

impl From<Value<'_>> for Bencode {
    fn from(value: Value<'_>) -> Bencode {
        Bencode::Raw(RawValue(value.raw().to_vec()))
    }
}

impl FromIterator<Bencode> for Bencode {
    fn from_iter<I: IntoIterator<Item = Bencode>>(items: I) -> Bencode {
        Bencode::List(items.into_iter().collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::{Document, Kind, Limits};
    use super::*;

    pub(crate) fn any_value() -> impl Strategy<Value = Bencode> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Bencode::Integer),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Bencode::Bytes),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Bencode::List),
                prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..6), inner, 0..6)
                    .prop_map(Bencode::Dict),
            ]
        })
    }

    fn owned(value: Value<'_>) -> Bencode {
        match value.kind() {
            Kind::Integer => Bencode::Integer(value.as_int().unwrap()),
            Kind::Bytes => value.as_bytes().unwrap().into(),
            Kind::List => value.as_list().unwrap().map(owned).collect(),
            Kind::Dict => Bencode::dict(value.as_dict().unwrap().map(|(k, v)| (k, owned(v)))),
        }
    }

    proptest! {
        #[test]
        fn round_trip(value in any_value()) {
            let bytes = value.encode();
            let document = Document::parse(&bytes, &Limits::RECORD).unwrap();
            prop_assert_eq!(owned(document.root()), value);
            prop_assert_eq!(Bencode::from(document.root()).encode(), bytes);
        }

        #[test]
        fn every_cut_is_refused(value in any_value(), at in any::<prop::sample::Index>()) {
            let bytes = value.encode();
            prop_assert!(Document::parse(&bytes[..at.index(bytes.len())], &Limits::RECORD).is_err());
        }
    }
}
