//! The query of an HTTP announce or scrape, as odd as clients send it.

use std::net::{IpAddr, SocketAddr};

use super::{Announce, TrackerError};
use crate::proto::announce::AnnounceEvent;
use crate::proto::info_hash::InfoHash;

/// What an announce says, and in which form it wants the answer.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) announce: Announce,
    /// BEP 23; the default, as in every current tracker.
    pub(super) compact: bool,
    pub(super) no_peer_id: bool,
}

impl Query {
    pub(super) fn parse(query: &str, source: IpAddr) -> Result<Query, TrackerError> {
        let mut info_hash = None;
        let mut peer_id = None;
        let mut port = None;
        let mut left = None;
        let mut event = AnnounceEvent::Periodic;
        let mut numwant = None;
        let (mut compact, mut no_peer_id) = (true, false);
        for pair in pairs(query)? {
            let (key, value) = pair?;
            match key {
                "info_hash" if info_hash.is_none() => {
                    info_hash = Some(InfoHash(twenty("info_hash", &value)?))
                }
                "peer_id" if peer_id.is_none() => peer_id = Some(twenty("peer_id", &value)?),
                "port" => port = Some(number("port", &value)?),
                // -1 is what some clients send while they do not know yet.
                "left" => {
                    left = Some(if value.starts_with(b"-") { u64::MAX } else { number("left", &value)? })
                }
                // "paused" (BEP 21) and words not yet thought of count as a sign of life.
                "event" => {
                    event = match &*value {
                        b"started" => AnnounceEvent::Started,
                        b"stopped" => AnnounceEvent::Stopped,
                        b"completed" => AnnounceEvent::Completed,
                        _ => AnnounceEvent::Periodic,
                    }
                }
                "numwant" if !value.starts_with(b"-") => numwant = Some(number("numwant", &value)?),
                "compact" => compact = value != b"0",
                "no_peer_id" => no_peer_id = value == b"1",
                // Above all "ip": believing it would let anyone aim a swarm at anyone.
                _ => {}
            }
        }
        let info_hash = info_hash.ok_or(TrackerError::Missing("info_hash"))?;
        let peer_id = peer_id.ok_or(TrackerError::Missing("peer_id"))?;
        let port = match u16::try_from(port.ok_or(TrackerError::Missing("port"))?) {
            Ok(port @ 1..) => port,
            _ if event == AnnounceEvent::Stopped => 0,
            _ => return Err(TrackerError::Malformed("port")),
        };
        let addr = SocketAddr::new(source.to_canonical(), port);
        let announce = Announce { info_hash, peer_id, addr, left: left.unwrap_or(u64::MAX), event, numwant };
        Ok(Query { announce, compact, no_peer_id })
    }
}

/// The info hashes of a scrape.
pub(super) fn scrape_hashes(query: &str) -> Result<Vec<InfoHash>, TrackerError> {
    let mut hashes = Vec::new();
    for pair in pairs(query)? {
        let (key, value) = pair?;
        if key == "info_hash" && hashes.len() < MAX_SCRAPE {
            hashes.push(InfoHash(twenty("info_hash", &value)?));
        }
    }
    if hashes.is_empty() { Err(TrackerError::Missing("info_hash")) } else { Ok(hashes) }
}

type Pair<'a> = Result<(&'a str, Vec<u8>), TrackerError>;

fn pairs(query: &str) -> Result<impl Iterator<Item = Pair<'_>>, TrackerError> {
    if query.len() > MAX_QUERY {
        return Err(TrackerError::TooLong);
    }
    let parts = query.split('&').filter(|part| !part.is_empty());
    Ok(parts.map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = percent_decode(value).ok_or(TrackerError::Escape)?;
        Ok((key, value))
    }))
}

/// Decodes a value; `+` is a space, since programs that make queries by a form encoder write it so.
fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                // Two digits below 16: fits a byte.
                (digit()? * 16 + digit()?) as u8
            }
            b'+' => b' ',
            other => other,
        });
    }
    Some(out)
}

fn twenty(name: &'static str, value: &[u8]) -> Result<[u8; 20], TrackerError> {
    value.try_into().map_err(|_| TrackerError::Malformed(name))
}

fn number(name: &'static str, value: &[u8]) -> Result<u64, TrackerError> {
    let digits = value.iter().all(u8::is_ascii_digit).then_some(value);
    let text = digits.and_then(|d| std::str::from_utf8(d).ok());
    text.and_then(|t| t.parse().ok()).ok_or(TrackerError::Malformed(name))
}

/// Longest query, bytes; room for a scrape of [`MAX_SCRAPE`] torrents.
const MAX_QUERY: usize = 8 * 1024;

/// Most torrents answered in one scrape.
const MAX_SCRAPE: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "info_hash=%00%ff%41BCDEFGHIJ+LMNOPQR&peer_id=-KT0100-abcdefghijkl";
    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn parse(rest: &str) -> Result<Query, TrackerError> {
        Query::parse(&format!("{HASH}{rest}"), HOME)
    }

    #[test]
    fn odd_but_clear_queries_are_understood() {
        let query =
            parse("&port=6881&left=-1&event=paused&numwant=-1&ip=192.0.2.1&&x&supportcrypto=1").unwrap();
        assert_eq!(query.announce.info_hash.0, *b"\x00\xffABCDEFGHIJ LMNOPQR");
        assert_eq!(query.announce.addr, "127.0.0.1:6881".parse().unwrap());
        assert_eq!((query.announce.left, query.announce.numwant), (u64::MAX, None));
        assert_eq!(query.announce.event, AnnounceEvent::Periodic);
        assert!(query.compact && !query.no_peer_id);
        let query = parse("&port=1&left=0&event=completed&numwant=7&compact=0&no_peer_id=1").unwrap();
        assert_eq!((query.announce.left, query.announce.numwant), (0, Some(7)));
        assert!(!query.compact && query.no_peer_id);
        let mapped = Query::parse(&format!("{HASH}&port=1"), "::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(mapped.announce.addr.ip(), IpAddr::from([10, 0, 0, 1]));
        assert!(parse("&port=0&event=stopped").is_ok());
    }

    #[test]
    fn unclear_queries_are_refused() {
        let error = |q: &str| Query::parse(q, HOME).unwrap_err();
        assert_eq!(error(""), TrackerError::Missing("info_hash"));
        assert_eq!(error("info_hash=abc"), TrackerError::Malformed("info_hash"));
        assert_eq!(error("info_hash=%zz"), TrackerError::Escape);
        assert_eq!(error("info_hash=%4"), TrackerError::Escape);
        assert_eq!(error(&"x=1&".repeat(10_000)), TrackerError::TooLong);
        for port in ["0", "65536", "-1", "+80", "", "x", "99999999999999999999999"] {
            assert_eq!(
                parse(&format!("&port={port}")).unwrap_err(),
                TrackerError::Malformed("port"),
                "{port}"
            );
        }
        assert_eq!(parse("").unwrap_err(), TrackerError::Missing("port"));
    }

    proptest! {
        #[test]
        fn any_text_never_panics(query in ".{0,200}") {
            let _ = Query::parse(&query, HOME);
            let _ = parse(&query);
            let _ = scrape_hashes(&query);
        }
    }
}
