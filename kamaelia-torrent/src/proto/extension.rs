//! The handshake of the extension protocol (BEP 10): what a client offers beyond BEP 3, and how much it takes.
//!
//! It is message 0 of the protocol, a dictionary. Nothing of it is kept as it came: the parser takes what it knows,
//! in bounded amounts, and passes over the rest.

use super::bencode::{Bencode, BencodeError, Document, Limits, Value};

/// What a client says about itself.
///
/// ```
/// use kamaelia_torrent::proto::extension::ExtensionHandshake;
///
/// let theirs = ExtensionHandshake::parse(b"d1:md6:ut_pexi1ee4:reqqi250ee").unwrap();
/// assert_eq!((theirs.number("ut_pex"), theirs.request_queue), (Some(1), Some(250)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    /// Extension messages that it takes, and the number under which it takes each: its `m`.
    messages: Vec<(String, u8)>,
    /// Requests that it keeps at a time without dropping any: its `reqq`. At least 1.
    pub request_queue: Option<u32>,
    /// Name and version of the client: its `v`, without control characters.
    pub client: Option<String>,
}

impl ExtensionHandshake {
    /// What we say: no messages yet, and how many requests we keep.
    pub fn ours() -> ExtensionHandshake {
        ExtensionHandshake {
            messages: Vec::new(),
            request_queue: Some(REQUEST_QUEUE),
            client: Some(CLIENT.to_owned()),
        }
    }

    /// Reads a handshake: the payload of extension message 0. What has the wrong type or makes no sense counts as
    /// not said, as do names beyond the first 64, names longer than 64 bytes, and a number that a name before has.
    ///
    /// # Errors
    ///
    /// It is not a bencoded dictionary, or one that is longer, deeper or fuller than [`Limits::PEER`] allows. What follows the dictionary is ignored.
    pub fn parse(payload: &[u8]) -> Result<ExtensionHandshake, ExtensionError> {
        let (document, _) = Document::parse_prefix(payload, &Limits::PEER)?;
        let root = document.root();
        if root.as_dict().is_none() {
            return Err(ExtensionError::NotADictionary);
        }
        let mut messages: Vec<(String, u8)> = Vec::new();
        for (name, number) in root.get("m").and_then(Value::as_dict).into_iter().flatten().take(MOST_NAMES) {
            // BEP 10: 0 says that an extension is not offered (any more).
            if let (Ok(name), Some(number @ 1..=255)) = (std::str::from_utf8(name), number.as_u64())
                && name.len() <= LONGEST_TEXT
                && messages.iter().all(|(_, other)| u64::from(*other) != number)
            {
                messages.push((name.to_owned(), number as u8));
            }
        }
        let queue = root.get("reqq").and_then(Value::as_u64).filter(|queue| *queue > 0);
        let client = root.get("v").and_then(Value::as_bytes).map(|bytes| {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_TEXT)]);
            text.chars().filter(|c| !c.is_control()).collect()
        });
        let request_queue = queue.map(|queue| u32::try_from(queue).unwrap_or(u32::MAX));
        Ok(ExtensionHandshake { messages, request_queue, client })
    }

    /// The payload of extension message 0.
    pub fn encode(&self) -> Vec<u8> {
        let messages = self.messages.iter().map(|(name, number)| (name, Bencode::Integer((*number).into())));
        let mut entries = vec![("m", Bencode::dict(messages))];
        if let Some(queue) = self.request_queue {
            entries.push(("reqq", Bencode::Integer(queue.into())));
        }
        if let Some(client) = &self.client {
            entries.push(("v", Bencode::Bytes(client.clone().into_bytes())));
        }
        Bencode::dict(entries).encode()
    }

    /// The number under which it takes the messages of an extension; `None` if it does not.
    pub fn number(&self, extension: &str) -> Option<u8> {
        self.messages.iter().find(|(name, _)| name == extension).map(|(_, number)| *number)
    }

    /// Offers the messages of an extension under a number other than 0.
    pub fn offer(&mut self, extension: &str, number: u8) {
        self.messages.push((extension.to_owned(), number));
    }
}

/// Why bytes are no extension handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// Not bencoding, or too much of it.
    #[error(transparent)]
    Bencode(#[from] BencodeError),
    /// A number, string or list.
    #[error("extension handshake is not a dictionary")]
    NotADictionary,
}

/// Number of the message that is the handshake itself.
pub const HANDSHAKE: u8 = 0;

/// Requests that we keep for a peer: what is beyond waits in the network, and nothing is dropped. Enough for
/// 10 Gbit/s at 50 ms, which is 3,815 blocks.
pub const REQUEST_QUEUE: u32 = 5000;

/// Requests that a peer gets at a time which does not say how many it takes; what most clients take.
pub const UNTOLD_QUEUE: u32 = 500;

const CLIENT: &str = concat!("kamaelia-torrent ", env!("CARGO_PKG_VERSION"));

/// No client offers more than a dozen.
const MOST_NAMES: usize = 64;

/// Bytes kept of a name.
const LONGEST_TEXT: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_we_say() {
        let said = ExtensionHandshake::ours().encode();
        let text = format!("d1:mde4:reqqi5000e1:v{}:{CLIENT}e", CLIENT.len());
        assert_eq!(String::from_utf8_lossy(&said), text);
    }

    #[test]
    fn the_example_of_bep_10() {
        let bytes = b"d1:md11:LT_metadatai1e7:\xc2\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e";
        let theirs = ExtensionHandshake::parse(bytes).unwrap();
        assert_eq!((theirs.number("LT_metadata"), theirs.number("µT_PEX")), (Some(1), Some(2)));
        assert_eq!((theirs.client.as_deref(), theirs.request_queue), (Some("µTorrent 1.2"), None));
    }

    #[test]
    fn nonsense_counts_as_not_said() {
        for (queue, meant) in [("i0e", None), ("i-5e", None), ("3:500", None), ("i1e", Some(1))] {
            let bytes = format!("d4:reqq{queue}e");
            assert_eq!(ExtensionHandshake::parse(bytes.as_bytes()).unwrap().request_queue, meant, "{queue}");
        }
        let huge = ExtensionHandshake::parse(b"d4:reqqi9223372036854775807ee").unwrap();
        assert_eq!(huge.request_queue, Some(u32::MAX));
        let odd = ExtensionHandshake::parse(b"d1:md1:ai0e1:bi256e1:ci-1e1:d1:x1:ei7e1:fi7eee").unwrap();
        assert_eq!(odd.messages, [("e".to_owned(), 7)]);
        assert_eq!(ExtensionHandshake::parse(b"d1:v5:a\x1b[2Je").unwrap().client.as_deref(), Some("a[2J"));
    }

    #[test]
    fn other_things_than_dictionaries_are_refused() {
        assert_eq!(ExtensionHandshake::parse(b"le"), Err(ExtensionError::NotADictionary));
        assert!(ExtensionHandshake::parse(b"").is_err());
        assert!(ExtensionHandshake::parse(&[b'l'; 100_000]).is_err());
    }

    #[test]
    fn names_are_bounded() {
        let mut many = ExtensionHandshake::default();
        (1..=255).for_each(|n| many.offer(&format!("x{n:03}"), n));
        let kept = ExtensionHandshake::parse(&many.encode()).unwrap();
        assert_eq!(kept.messages.len(), MOST_NAMES);
        let long = format!("d1:md65:{}i1eee", "n".repeat(65));
        assert_eq!(ExtensionHandshake::parse(long.as_bytes()).unwrap().messages, []);
    }

    proptest! {
        #[test]
        fn round_trip(
            names in prop::collection::btree_map("[a-z_]{1,20}", 1u8.., 0..20),
            request_queue in prop::option::of(1u32..),
            client in prop::option::of("[ -~]{0,60}"),
        ) {
            let mut said = ExtensionHandshake { messages: vec![], request_queue, client };
            for (name, number) in names {
                if said.messages.iter().all(|(_, other)| *other != number) {
                    said.offer(&name, number);
                }
            }
            prop_assert_eq!(ExtensionHandshake::parse(&said.encode()), Ok(said));
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ExtensionHandshake::parse(&bytes);
        }
    }
}
