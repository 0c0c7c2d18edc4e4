use super::*;
use crate::proto::announce::{AnnounceError, AnnounceResponse, parse_http_response};

struct World {
    now: Instant,
    tracker: TrackerState,
}

impl World {
    fn new(config: TrackerConfig) -> World {
        World { now: Instant::now(), tracker: TrackerState::new(config, fastrand::Rng::with_seed(1)) }
    }

    /// An announce from 10.0.0.`n`; our own client side reads the answer.
    fn raw(&mut self, n: u8, rest: &str) -> Result<AnnounceResponse, AnnounceError> {
        let query = format!("info_hash={}&peer_id=-KT0100-abcdefghi{n:03}&port=6881&{rest}", "h".repeat(20));
        parse_http_response(&self.tracker.announce(self.now, &query, IpAddr::from([10, 0, 0, n])))
    }

    fn announce(&mut self, n: u8, rest: &str) -> Vec<String> {
        self.raw(n, rest).unwrap().peers.iter().map(|p| p.ip().to_string()).collect()
    }

    fn counts(&mut self) -> (usize, usize, u64) {
        let counts = self.tracker.counts(self.now, &InfoHash([b'h'; 20])).unwrap_or_default();
        (counts.complete, counts.incomplete, counts.downloaded)
    }
}

#[test]
fn peers_find_each_other_but_not_themselves() {
    let mut w = World::new(TrackerConfig::default());
    assert!(w.announce(1, "left=5&event=started").is_empty());
    assert!(w.announce(1, "left=5").is_empty());
    assert_eq!(w.announce(2, "left=5&event=started"), ["10.0.0.1"]);
    assert_eq!(w.announce(1, "left=5&compact=0"), ["10.0.0.2"]);
    assert_eq!(w.counts(), (0, 2, 0));
    // The same peer id at another address is the same peer.
    let query = format!("info_hash={}&peer_id=-KT0100-abcdefghi001&port=7", "h".repeat(20));
    let answer = w.tracker.announce(w.now, &query, "2001:db8::1".parse().unwrap());
    let peers = parse_http_response(&answer).unwrap().peers;
    assert_eq!(peers, ["10.0.0.2:6881".parse().unwrap()]);
    let mut seen = w.announce(3, "left=0");
    seen.sort();
    assert_eq!(seen, ["10.0.0.1", "10.0.0.2", "2001:db8::1"]);
}

#[test]
fn completed_and_stopped_change_the_numbers_once() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(1, "left=5&event=started");
    w.announce(2, "left=0&event=started");
    assert_eq!(w.counts(), (1, 1, 0));
    for _ in 0..3 {
        w.announce(1, "left=0&event=completed");
        w.announce(2, "left=0&event=completed");
    }
    assert_eq!(w.counts(), (2, 0, 1));
    assert!(w.announce(1, "left=0").is_empty(), "seeders are of no use to a seeder");
    assert!(w.announce(1, "left=0&event=stopped").is_empty());
    w.announce(1, "left=0&event=stopped");
    assert_eq!((w.counts(), w.tracker.total_peers()), ((1, 0, 1), 1));
    let query = format!("info_hash={}&info_hash={}", "h".repeat(20), "x".repeat(20));
    assert_eq!(
        w.tracker.scrape(w.now, &query),
        b"d5:filesd20:hhhhhhhhhhhhhhhhhhhhd8:completei1e10:downloadedi1e10:incompletei0eeee"
    );
}

#[test]
fn another_peer_cannot_be_stopped() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(1, "left=5");
    let query = format!("info_hash={}&peer_id=-KT0100-somebodyelse&port=6881&event=stopped", "h".repeat(20));
    w.tracker.announce(w.now, &query, IpAddr::from([10, 0, 0, 1]));
    assert_eq!(w.counts(), (0, 1, 0));
}

#[test]
fn silent_peers_are_forgotten() {
    let mut w = World::new(TrackerConfig::default());
    w.announce(1, "left=5");
    w.now += Duration::from_secs(3590);
    assert_eq!(w.announce(2, "left=5"), ["10.0.0.1"]);
    w.now += Duration::from_secs(11);
    assert!(w.announce(2, "left=5").is_empty(), "not given out even before the sweep");
    w.now += Duration::from_secs(60);
    assert_eq!((w.counts(), w.tracker.total_peers()), ((0, 1, 0), 1));
    w.now += Duration::from_secs(4000);
    assert_eq!((w.counts(), w.tracker.torrents().count()), ((0, 0, 0), 0));
}

#[test]
fn numwant_and_forms_of_answer() {
    let mut w = World::new(TrackerConfig { numwant: 5, max_numwant: 10, ..TrackerConfig::default() });
    for n in 1..=20 {
        w.announce(n, "left=5");
    }
    for (numwant, expected) in
        [("", 5), ("&numwant=0", 0), ("&numwant=3", 3), ("&numwant=999999", 10), ("&numwant=-1", 5)]
    {
        for compact in ["", "&compact=0", "&compact=0&no_peer_id=1"] {
            assert_eq!(w.announce(1, &format!("left=5{numwant}{compact}")).len(), expected, "{numwant}");
        }
    }
    let first = w.announce(1, "left=5");
    assert!((0..50).any(|_| w.announce(1, "left=5") != first), "not the same peers for everybody");
    let query = format!("info_hash={}&peer_id={}&port=1&left=1&compact=0", "h".repeat(20), "p".repeat(20));
    let listed = w.tracker.announce(w.now, &query, IpAddr::from([10, 0, 1, 1]));
    assert!(listed.windows(7).any(|w| w == b"peer id"));
    let listed = w.tracker.announce(w.now, &(query + "&no_peer_id=1"), IpAddr::from([10, 0, 1, 1]));
    assert!(!listed.windows(7).any(|w| w == b"peer id"));
}

#[test]
fn bounds_hold() {
    let config =
        TrackerConfig { max_torrents: 2, max_peers: 3, max_total_peers: 4, ..TrackerConfig::default() };
    let mut w = World::new(config);
    let ask = |w: &mut World, hash: &str, n: u8| {
        let query = format!("info_hash={}&peer_id=-KT0100-abcdefghi{n:03}&port=1&left=1", hash.repeat(20));
        parse_http_response(&w.tracker.announce(w.now, &query, IpAddr::from([10, 0, 0, n])))
    };
    for n in 0..3 {
        assert_eq!(ask(&mut w, "a", n).unwrap().warning, None);
    }
    let fourth = ask(&mut w, "a", 3).unwrap();
    assert_eq!(fourth.warning.as_deref(), Some("too many peers: you are not listed"));
    assert_eq!(fourth.peers.len(), 3, "it can still find the others");
    assert_eq!(ask(&mut w, "a", 2).unwrap().warning, None, "known peers stay");
    assert_eq!(ask(&mut w, "b", 0).unwrap().warning, None);
    assert!(ask(&mut w, "b", 1).unwrap().warning.is_some());
    assert_eq!(ask(&mut w, "c", 0).unwrap_err().to_string(), "tracker is full");
    assert_eq!(w.tracker.total_peers(), 4);
}

#[test]
fn nonsense_gets_a_failure_reason() {
    let mut w = World::new(TrackerConfig::default());
    let home = IpAddr::from([127, 0, 0, 1]);
    for query in ["", "x", "info_hash=1", "%", "info_hash=%00&&&==", "\u{202e}=\u{202e}"] {
        assert!(w.tracker.announce(w.now, query, home).starts_with(b"d14:failure reason"), "{query}");
        assert!(w.tracker.scrape(w.now, query).starts_with(b"d14:failure reason"), "{query}");
    }
    assert_eq!(w.tracker.torrents().count(), 0);
}
