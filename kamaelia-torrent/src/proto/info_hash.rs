//! The name of a torrent: SHA-1 over the raw bytes of its `info` dictionary (BEP 3).

use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};

/// SHA-1 of an `info` dictionary; shown and read as 40 hexadecimal digits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

/// A text that is not an info hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an info hash of 40 hexadecimal digits")]
pub struct InfoHashError(pub String);

impl InfoHash {
    /// The hash of an `info` dictionary as it stands in the file, byte for byte.
    pub fn of_info(raw: &[u8]) -> InfoHash {
        InfoHash(Sha1::digest(raw).into())
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

impl FromStr for InfoHash {
    type Err = InfoHashError;

    fn from_str(text: &str) -> Result<InfoHash, InfoHashError> {
        let error = || InfoHashError(text.chars().take(80).collect());
        let digits = text.as_bytes();
        let mut hash = [0; 20];
        if digits.len() != 2 * hash.len() {
            return Err(error());
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            let digit = |d: u8| (d as char).to_digit(16).ok_or_else(error);
            // Two digits below 16: fits a byte.
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Ok(InfoHash(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip() {
        let hash = InfoHash::of_info(b"abc");
        assert_eq!(hash.to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "a9", &"g".repeat(40), &"a".repeat(41), &"é".repeat(20), &"+1".repeat(20)] {
            assert!(text.parse::<InfoHash>().is_err(), "{text}");
        }
    }
}
