//! What an HTTP tracker answers (BEP 3, 7, 23, 24, 31).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::proto::bencode::{BencodeError, Document, Limits, Value};
use crate::proto::path::clean_text;

/// The useful part of a tracker's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnnounceResponse {
    /// When to ask again; as it came, [`Announcer`](super::Announcer) clamps it.
    pub interval: Option<Duration>,
    /// Never ask before; as it came.
    pub min_interval: Option<Duration>,
    /// Addresses that can be dialled, without repetitions; at most [`MAX_PEERS`].
    pub peers: Vec<SocketAddr>,
    /// Peers that have everything, according to the tracker.
    pub seeders: Option<u64>,
    /// Peers that do not.
    pub leechers: Option<u64>,
    /// To be sent back with the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// A text for people.
    pub warning: Option<String>,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
}

/// Why an answer is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// The tracker says no.
    #[error("{reason}")]
    Failure {
        /// Its words, without control characters.
        reason: String,
        /// When it wants to be asked again (BEP 31).
        retry_in: Option<Duration>,
    },
    /// Nothing.
    #[error("empty answer")]
    Empty,
    /// HTML: a log-in page, an error page, a parked domain.
    #[error("a web page instead of a tracker's answer")]
    WebPage,
    /// Not bencoding, or too much of it.
    #[error("not a tracker's answer: {0}")]
    Bencode(#[from] BencodeError),
    /// A part has the wrong type.
    #[error("malformed {0:?} in the tracker's answer")]
    Malformed(&'static str),
}

/// Reads the answer to an HTTP announce.
///
/// # Errors
///
/// A refusal by the tracker, or an answer that cannot be understood.
pub fn parse_http_response(body: &[u8]) -> Result<AnnounceResponse, AnnounceError> {
    match body.trim_ascii_start().first() {
        None => return Err(AnnounceError::Empty),
        Some(b'<') => return Err(AnnounceError::WebPage),
        Some(_) => {}
    }
    // Some trackers end their answer with a line feed.
    let document = Document::parse(body.trim_ascii_end(), &Limits::TRACKER)?;
    let root = document.root();
    if root.as_dict().is_none() {
        return Err(AnnounceError::Malformed("answer"));
    }
    if let Some(reason) = root.get("failure reason") {
        let reason = clean_text(reason.as_bytes().unwrap_or(b"refused without a reason"), MAX_TEXT);
        return Err(AnnounceError::Failure { reason, retry_in: root.get("retry in").and_then(retry_in) });
    }
    let mut response = AnnounceResponse {
        interval: seconds(root.get("interval")),
        min_interval: seconds(root.get("min interval")),
        peers: Vec::new(),
        seeders: root.get("complete").and_then(Value::as_u64),
        leechers: root.get("incomplete").and_then(Value::as_u64),
        tracker_id: root
            .get("tracker id")
            .and_then(Value::as_bytes)
            .filter(|id| id.len() <= MAX_TRACKER_ID)
            .map(<[u8]>::to_vec),
        warning: root.get("warning message").and_then(Value::as_bytes).map(|w| clean_text(w, MAX_TEXT)),
        external_ip: root.get("external ip").and_then(Value::as_bytes).and_then(ip),
    };
    let mut peers = Vec::new();
    if let Some(value) = root.get("peers") {
        match (value.as_bytes(), value.as_list()) {
            (Some(compact), _) => peers.extend(compact_v4(compact)),
            (_, Some(list)) => peers.extend(list.take(MAX_PEERS).filter_map(listed)),
            _ => return Err(AnnounceError::Malformed("peers")),
        }
    }
    if let Some(value) = root.get("peers6") {
        peers.extend(compact_v6(value.as_bytes().ok_or(AnnounceError::Malformed("peers6"))?));
    }
    peers.retain(|peer| can_be_dialled(*peer));
    // Not in the tracker's order, but a repetition costs only a comparison.
    let mut seen = std::collections::HashSet::with_capacity(peers.len().min(MAX_PEERS));
    for peer in peers {
        if response.peers.len() < MAX_PEERS && seen.insert(peer) {
            response.peers.push(peer);
        }
    }
    Ok(response)
}

fn seconds(value: Option<Value<'_>>) -> Option<Duration> {
    // A negative interval (seen in the wild) counts as 0, which is clamped later.
    value?.as_int().map(|s| Duration::from_secs(s.max(0).unsigned_abs()))
}

fn retry_in(value: Value<'_>) -> Option<Duration> {
    if value.as_bytes() == Some(b"never") {
        return Some(Duration::MAX);
    }
    let minutes = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    Some(Duration::from_secs(minutes.saturating_mul(60)))
}

fn compact_v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    let (peers, _) = bytes.as_chunks();
    peers.iter().take(MAX_PEERS).map(|[a, b, c, d, high, low]: &[u8; 6]| {
        (Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*high, *low])).into()
    })
}

fn compact_v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    let (peers, _) = bytes.as_chunks::<18>();
    peers.iter().take(MAX_PEERS).filter_map(|peer| {
        let (ip, port) = peer.split_first_chunk::<16>()?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        Some((Ipv6Addr::from(*ip).to_canonical(), port).into())
    })
}

/// The form of BEP 3 before BEP 23: a dictionary for each peer. A host name in it is not looked up.
fn listed(peer: Value<'_>) -> Option<SocketAddr> {
    let ip: IpAddr = peer.get("ip")?.as_str()?.parse().ok()?;
    let port = u16::try_from(peer.get("port")?.as_u64()?).ok()?;
    Some((ip.to_canonical(), port).into())
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn can_be_dialled(peer: SocketAddr) -> bool {
    let ip = peer.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    peer.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// Most peers taken from one answer; we ask for far fewer, and a tracker must not fill our memory.
pub const MAX_PEERS: usize = 1_000;

/// Longest text of a tracker that is kept, characters.
const MAX_TEXT: usize = 300;

/// Longest tracker id that is sent back, bytes; it becomes part of a URL.
const MAX_TRACKER_ID: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::bencode::Bencode;

    fn peers(body: &[u8]) -> Vec<String> {
        parse_http_response(body).unwrap().peers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn compact_peers_of_both_families() {
        let mut v6 = vec![0u8; 15];
        v6.extend([1, 0x1a, 0xe1]);
        let body = Bencode::dict([
            ("interval", Bencode::from(1800)),
            ("min interval", 900.into()),
            ("complete", 5.into()),
            ("incomplete", 7.into()),
            ("tracker id", "x\u{0}".into()),
            ("warning message", "soon\x1b[2J gone".into()),
            ("external ip", vec![192, 0, 2, 9].into()),
            ("peers", vec![192, 0, 2, 1, 0x1a, 0xe1, 127, 0, 0, 1, 0, 80].into()),
            ("peers6", v6.into()),
        ]);
        let response = parse_http_response(&body.encode()).unwrap();
        assert_eq!(response.interval, Some(Duration::from_secs(1800)));
        assert_eq!(response.min_interval, Some(Duration::from_secs(900)));
        assert_eq!((response.seeders, response.leechers), (Some(5), Some(7)));
        assert_eq!(response.tracker_id.as_deref(), Some(&b"x\0"[..]));
        assert_eq!(response.warning.as_deref(), Some("soon [2J gone"));
        assert_eq!(response.external_ip, Some([192, 0, 2, 9].into()));
        assert_eq!(peers(&body.encode()), ["192.0.2.1:6881", "127.0.0.1:80", "[::1]:6881"]);
    }

    #[test]
    fn dictionary_peers() {
        let body =
            b"d8:intervali60e5:peersld2:ip9:192.0.2.14:porti6881eed2:ip3:::14:porti1eed2:ip9:localhost\
            4:porti1eed2:ip9:192.0.2.14:porti65536eed4:porti1eei5eee";
        assert_eq!(peers(body), ["192.0.2.1:6881", "[::1]:1"]);
    }

    #[test]
    fn addresses_that_cannot_be_dialled_are_dropped() {
        let peer = |ip: [u8; 4], port: u16| [&ip[..], &port.to_be_bytes()].concat();
        let all = [
            peer([0, 0, 0, 0], 1),
            peer([10, 0, 0, 1], 0),
            peer([224, 0, 0, 1], 1),
            peer([255; 4], 1),
            peer([10, 0, 0, 1], 1),
            peer([10, 0, 0, 1], 1),
            vec![1, 2, 3],
        ];
        let body = Bencode::dict([("peers", Bencode::Bytes(all.concat()))]).encode();
        assert_eq!(peers(&body), ["10.0.0.1:1"]);
    }

    #[test]
    fn number_of_peers_is_bounded() {
        let many: Vec<u8> =
            (0..100_000u32).flat_map(|i| [&(i + 0x0a00_0000).to_be_bytes()[..], &[1, 1]].concat()).collect();
        assert_eq!(peers(&Bencode::dict([("peers", Bencode::Bytes(many))]).encode()).len(), MAX_PEERS);
    }

    #[test]
    fn refusals_and_nonsense_have_clear_texts() {
        let text = |body: &[u8]| parse_http_response(body).unwrap_err().to_string();
        assert_eq!(text(b"d14:failure reason12:unregisterede"), "unregistered");
        assert_eq!(text(b"d14:failure reasoni1ee"), "refused without a reason");
        assert_eq!(text(b""), "empty answer");
        assert_eq!(text(b"\r\n "), "empty answer");
        assert_eq!(text(b"\n<!DOCTYPE html>"), "a web page instead of a tracker's answer");
        assert_eq!(text(b"d5:peersi1ee"), "malformed \"peers\" in the tracker's answer");
        assert_eq!(text(b"le"), "malformed \"answer\" in the tracker's answer");
        assert_eq!(text(b"OK"), "not a tracker's answer: unexpected byte 0x4f at byte 0");
        let deep = [vec![b'l'; 100_000], vec![b'e'; 100_000]].concat();
        assert_eq!(text(&deep), "not a tracker's answer: nested deeper than 8 at byte 8");
        let retry =
            |v: &str| match parse_http_response(format!("d14:failure reason0:8:retry in{v}e").as_bytes()) {
                Err(AnnounceError::Failure { retry_in, .. }) => retry_in.map(|d| d.as_secs()),
                other => panic!("{other:?}"),
            };
        assert_eq!(retry("i5e"), Some(300));
        assert_eq!(retry("2:10"), Some(600));
        assert_eq!(retry("5:never"), Some(u64::MAX));
        assert_eq!(retry("i-5e"), None);
        assert!(parse_http_response(b"d8:intervali-1ee\n").is_ok_and(|r| r.interval == Some(Duration::ZERO)));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_http_response(&bytes);
        }

        #[test]
        fn any_values_never_panic(values in prop::collection::vec((0..9usize, "i-?[0-9]{1,19}e|[0-9]:.{0,9}|le|de"), 0..9)) {
            let keys = ["7:failure", "8:interval", "12:min interval", "5:peers", "6:peers6", "8:retry in",
                "14:failure reason", "10:tracker id", "11:external ip"];
            let body: String = values.iter().map(|(k, v)| format!("{}{v}", keys[*k])).collect();
            let _ = parse_http_response(format!("d{body}e").as_bytes());
        }
    }
}
