//! Announce URLs: the query of BEP 3, and what of a URL may be shown.

use std::fmt::Write as _;

use super::{AnnounceContext, AnnounceEvent, AnnounceStats};

/// The URL of an HTTP announce. `tracker` may have a query of its own (often a passkey), which is kept.
pub(super) fn announce_url(
    tracker: &str,
    context: &AnnounceContext,
    stats: AnnounceStats,
    event: AnnounceEvent,
    tracker_id: Option<&[u8]>,
) -> String {
    let base = tracker.split('#').next().unwrap_or_default();
    let join = match base.find('?') {
        None => "?",
        Some(_) if base.ends_with(['?', '&']) => "",
        Some(_) => "&",
    };
    let numwant = if event == AnnounceEvent::Stopped { 0 } else { context.numwant };
    let mut url = format!("{base}{join}info_hash=");
    percent_encode(&context.info_hash.0, &mut url);
    url.push_str("&peer_id=");
    percent_encode(&context.peer_id, &mut url);
    let _ = write!(
        url,
        "&port={}&uploaded={}&downloaded={}&left={}&compact=1&no_peer_id=1&numwant={numwant}&key={:08x}",
        context.port, stats.uploaded, stats.downloaded, stats.left, context.key
    );
    if let Some(event) = event.name() {
        let _ = write!(url, "&event={event}");
    }
    if let Some(id) = tracker_id {
        url.push_str("&trackerid=");
        percent_encode(id, &mut url);
    }
    url
}

/// Appends bytes as they may stand in a query.
fn percent_encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte))
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// Whether this program can announce to the URL.
pub fn is_supported(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    ["http", "https"].iter().any(|s| scheme.eq_ignore_ascii_case(s))
}

/// A URL as it may be shown or logged: passkeys sit in paths, queries and user names, so only the host and well
/// known words of the path stay.
///
/// ```
/// use kamaelia_torrent::proto::announce::redact;
///
/// assert_eq!(redact("https://t.example:8080/0123456789abcdef/announce?pk=1"), "https://t.example:8080/…/announce?…");
/// ```
pub fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".to_owned() };
    let (rest, query) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], "?…"),
        None => (rest, ""),
    };
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (rest, None),
    };
    let host = host.rsplit('@').next().unwrap_or_default();
    let mut shown = format!("{scheme}://{host}");
    for segment in path.into_iter().flat_map(|path| path.split('/')) {
        shown.push('/');
        shown.push_str(if is_known_word(segment) { segment } else { "…" });
    }
    shown.push_str(query);
    shown.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Takes the secrets of `url` out of a text: trackers and HTTP libraries quote what they were asked.
pub(super) fn redact_text(text: &str, url: &str) -> String {
    let mut text = text.replace(url, &redact(url));
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host_end = after_scheme.find('/').unwrap_or(after_scheme.len());
    let (authority, rest) = after_scheme.split_at(host_end);
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    for part in rest.split(['/', '?', '&', '=', '#']).chain(user.split(':')) {
        if part.len() >= MIN_SECRET && !is_known_word(part) {
            text = text.replace(part, "…");
        }
    }
    text
}

fn is_known_word(segment: &str) -> bool {
    ["", "announce", "announce.php", "scrape", "scrape.php", "tracker", "tracker.php", "bt", "tr"]
        .contains(&segment)
}

/// Shorter parts of a URL are not secrets, and replacing them would spoil the text.
const MIN_SECRET: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::InfoHash;

    fn url(tracker: &str, event: AnnounceEvent, id: Option<&[u8]>) -> String {
        let context = AnnounceContext {
            info_hash: InfoHash(*b"\x00\xff aZ0-._~!*'()/+&=?"),
            peer_id: *b"-KT0100-abcdefghijkl",
            port: 6881,
            key: 0xab,
            numwant: 50,
        };
        announce_url(
            tracker,
            &context,
            AnnounceStats { uploaded: 1, downloaded: 2, left: u64::MAX },
            event,
            id,
        )
    }

    #[test]
    fn queries_are_complete_and_escaped() {
        assert_eq!(
            url("http://t/announce", AnnounceEvent::Started, Some(b"\x01&")),
            "http://t/announce?info_hash=%00%FF%20aZ0-._~%21%2A%27%28%29%2F%2B%26%3D%3F\
             &peer_id=-KT0100-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=18446744073709551615\
             &compact=1&no_peer_id=1&numwant=50&key=000000ab&event=started&trackerid=%01%26"
        );
        assert!(
            url("http://t/a?pk=1#x", AnnounceEvent::Periodic, None).starts_with("http://t/a?pk=1&info_hash=")
        );
        assert!(!url("http://t/a?", AnnounceEvent::Periodic, None).contains("event"));
        assert!(url("http://t/a?", AnnounceEvent::Stopped, None).contains("a?info_hash"));
        assert!(url("http://t/a?", AnnounceEvent::Stopped, None).contains("numwant=0"));
    }

    #[test]
    fn secrets_are_not_shown() {
        for (url, shown) in [
            ("http://t.example/announce", "http://t.example/announce"),
            ("http://user:secret@t.example/announce", "http://t.example/announce"),
            ("http://t.example/a1b2c3d4e5f6/announce", "http://t.example/…/announce"),
            ("http://t.example/announce.php?passkey=a1b2c3d4", "http://t.example/announce.php?…"),
            ("udp://t.example:80", "udp://t.example:80"),
            ("nonsense a1b2c3d4", "…"),
        ] {
            assert_eq!(redact(url), shown);
        }
        let url = "http://me:hunter22@t/a1b2c3d4/announce?passkey=zyxwvu98";
        let text = format!("cannot reach {url}: bad path /a1b2c3d4/announce, passkey=zyxwvu98, hunter22");
        let shown = redact_text(&text, url);
        for secret in ["a1b2c3d4", "zyxwvu98", "hunter22"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn schemes() {
        assert!(is_supported("http://t/a") && is_supported("HTTPS://t/a"));
        for url in ["file:///etc/passwd", "udp://t:1", "http:/t", "", "://", "wss://t/a"] {
            assert!(!is_supported(url), "{url}");
        }
    }
}
