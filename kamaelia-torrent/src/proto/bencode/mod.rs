//! Bencoding (BEP 3): one bounded reader for all untrusted bytes, and a canonical writer.
//!
//! [`Document::parse`] checks the whole input once and keeps twelve bytes a token; [`Value`] is a view into it that
//! copies nothing. What stands between the bytes and the rest of the program is in [`Limits`]: size, depth and number
//! of tokens. Strings cut short, duplicate keys, leading zeros, `-0`, plus signs and trailing bytes are errors.
//!
//! ```
//! use kamaelia_torrent::proto::bencode::{Bencode, Document, Limits};
//!
//! let message = Document::parse(b"d1:md11:ut_metadatai3ee13:metadata_sizei31235ee", &Limits::PEER)?;
//! let root = message.root();
//! assert_eq!(root.get("m").and_then(|m| m.get("ut_metadata")?.as_int()), Some(3));
//!
//! let answer = Bencode::dict([("msg_type", Bencode::from(0)), ("piece", Bencode::from(1))]);
//! assert_eq!(answer.encode(), b"d8:msg_typei0e5:piecei1ee");
//! # Ok::<(), kamaelia_torrent::proto::bencode::BencodeError>(())
//! ```

mod read;
mod value;
mod write;

pub use read::{BencodeError, Document, Limits};
pub use value::{Entries, Items, Kind, Value};
pub use write::{Bencode, RawValue};
