//! Crowds of torrents at trackers that answer, do not, or did once; in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::proto::announce::{AnnounceContext, AnnounceOutcome, AnnounceStats, Announcer, Step};
use crate::proto::info_hash::InfoHash;

const PLACES: usize = 16;
const TIMEOUT: Duration = Duration::from_secs(30);
const QUICK: Duration = Duration::from_millis(100);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Torrents and the threads that ask for them. A server whose name begins with `dead` never answers.
struct Crowd {
    start: Instant,
    now: Instant,
    turns: Turns<usize>,
    torrents: Vec<Torrent>,
    due: BinaryHeap<Reverse<(Instant, usize, Due)>>,
    /// Requests so far by server, and the most under way at a time, by server and in all.
    asked: HashMap<String, usize>,
    under_way: HashMap<String, usize>,
    most: HashMap<String, usize>,
    /// Dead ones answer from then on.
    alive_at: Option<Instant>,
}

struct Torrent {
    announcer: Announcer,
    waits: bool,
    /// When a tracker answered first.
    answered: Option<Duration>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Timer,
    Done { request: u64, server: usize, name: String, since: Instant, ok: bool },
}

impl Crowd {
    fn new() -> Crowd {
        let start = Instant::now();
        Crowd {
            start,
            now: start,
            turns: Turns::new(PLACES),
            torrents: Vec::new(),
            due: BinaryHeap::new(),
            asked: HashMap::new(),
            under_way: HashMap::new(),
            most: HashMap::new(),
            alive_at: None,
        }
    }

    /// Adds torrents with these trackers, a tier each, and gives their numbers.
    fn add(&mut self, count: usize, servers: &[&str]) -> std::ops::Range<usize> {
        let tiers: Vec<Vec<String>> = servers.iter().map(|s| vec![format!("http://{s}/announce")]).collect();
        let first = self.torrents.len();
        for n in first..first + count {
            let context = AnnounceContext {
                info_hash: InfoHash([1; 20]),
                peer_id: *b"-KT0100-abcdefghijkl",
                port: 6881,
                key: 7,
                numwant: 50,
            };
            let mut announcer = Announcer::new(&tiers, context, fastrand::Rng::with_seed(n as u64));
            announcer.start(self.now);
            self.torrents.push(Torrent { announcer, waits: false, answered: None });
            self.look_after(n);
        }
        self.call();
        first..first + count
    }

    fn look_after(&mut self, n: usize) {
        let Crowd { now, turns, torrents, .. } = self;
        let torrent = &mut torrents[n];
        while !torrent.waits {
            let leaving = torrent.announcer.is_leaving();
            let mut place = None;
            let step = torrent.announcer.poll(*now, AnnounceStats::default(), |tracker| {
                let turn = turns.turn(*now, tracker, n, leaving);
                match turn {
                    Turn::Ask(server) => place = Some(server),
                    Turn::Wait => torrent.waits = true,
                    Turn::PutOff(until) => assert!(until > *now),
                }
                turn
            });
            match step {
                Some(Step::Ask(request)) => {
                    let name = server_of(&request.tracker).to_owned();
                    let ok = !name.starts_with("dead") || self.alive_at.is_some_and(|at| *now >= at);
                    let at = *now + if ok { QUICK } else { TIMEOUT };
                    *self.asked.entry(name.clone()).or_default() += 1;
                    let count = self.under_way.entry(name.clone()).or_default();
                    *count += 1;
                    let most = self.most.entry(name.clone()).or_default();
                    *most = (*most).max(*count);
                    let server = place.unwrap().0;
                    let done = Due::Done { request: request.id, server, name, since: *now, ok };
                    self.due.push(Reverse((at, n, done)));
                    assert!(turns.asking <= PLACES);
                }
                Some(Step::PutOff { .. }) => {}
                None => break,
            }
        }
        if let Some(at) = torrent.announcer.deadline().filter(|at| *at > *now) {
            self.due.push(Reverse((at, n, Due::Timer)));
        }
    }

    fn call(&mut self) {
        while let Some(n) = self.turns.next_turn() {
            self.torrents[n].waits = false;
            self.look_after(n);
        }
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, ..))) = self.due.peek()
            && *at <= end
        {
            let Some(Reverse((at, n, due))) = self.due.pop() else { return };
            self.now = at;
            if let Due::Done { request, server, name, since, ok } = due {
                *self.under_way.get_mut(&name).unwrap() -= 1;
                self.turns.done(at, Server(server), since, ok);
                let body = if ok { Ok(&b"d8:intervali1800e5:peers0:e"[..]) } else { Err("no answer".into()) };
                let torrent = &mut self.torrents[n];
                if let AnnounceOutcome::Ok { .. } = torrent.announcer.response(at, request, body) {
                    torrent.answered.get_or_insert(at - self.start);
                }
            }
            self.look_after(n);
            self.call();
        }
        self.now = end;
    }

    /// When the last of these torrents got its first answer; `None` if some have none.
    fn all_answered(&self, torrents: std::ops::Range<usize>) -> Option<Duration> {
        let times: Option<Vec<Duration>> = self.torrents[torrents].iter().map(|t| t.answered).collect();
        times?.into_iter().max()
    }
}

#[test]
fn thousands_that_name_a_dead_server_do_not_delay_those_of_others() {
    let mut crowd = Crowd::new();
    let dead = crowd.add(5000, &["dead:80"]);
    let others: Vec<_> = (0..4).map(|n| crowd.add(40, &[&format!("alive{n}:80")])).collect();
    crowd.run(seconds(600));
    for torrents in others {
        let last = crowd.all_answered(torrents).unwrap();
        assert!(last <= seconds(2), "{last:?}");
    }
    // Not each of them pays the time-out: 30 s each, with rests of 10, 20, 40, 80, 160 and 300 s between them.
    assert_eq!((crowd.asked["dead:80"], crowd.most["dead:80"]), (6, 1));
    assert!(crowd.torrents[dead].iter().all(|t| t.answered.is_none()));
}

#[test]
fn forty_dead_servers_do_not_delay_one_that_has_answered() {
    let mut crowd = Crowd::new();
    crowd.add(1, &["alive:80"]);
    crowd.run(seconds(1));
    for n in 0..40 {
        crowd.add(100, &[&format!("dead{n}:80")]);
    }
    let torrents = crowd.add(200, &["alive:80"]);
    crowd.run(seconds(60));
    let last = crowd.all_answered(torrents).unwrap();
    // Four places are left for it, a tenth of a second each.
    assert!(last <= seconds(7), "{last:?}");
}

#[test]
fn a_new_server_among_forty_dead_ones_waits_for_a_few_time_outs_only() {
    let mut crowd = Crowd::new();
    for n in 0..40 {
        crowd.add(100, &[&format!("dead{n}:80")]);
    }
    let torrents = crowd.add(200, &["alive:80"]);
    crowd.run(seconds(600));
    let last = crowd.all_answered(torrents).unwrap();
    assert!(last <= 4 * TIMEOUT, "{last:?}");
}

#[test]
fn the_next_tracker_is_asked_as_soon_as_one_torrent_has_found_the_first_one_dead() {
    let mut crowd = Crowd::new();
    let both = crowd.add(1000, &["dead:80", "alive:80"]);
    crowd.run(TIMEOUT + seconds(14));
    let answered = crowd.torrents[both].iter().filter(|t| t.answered.is_some()).count();
    // One may be the next to try the dead one.
    assert!(answered >= 999, "{answered}");
    let later = crowd.add(10, &["dead:80", "alive:80"]);
    let start = crowd.now - crowd.start;
    crowd.run(seconds(1));
    let last = crowd.all_answered(later).unwrap();
    assert!(last <= start + seconds(1), "{last:?}");
}

#[test]
fn a_server_that_comes_back_gets_all_of_them() {
    let mut crowd = Crowd::new();
    let torrents = crowd.add(2000, &["dead:80"]);
    crowd.alive_at = Some(crowd.now + seconds(3600));
    crowd.run(seconds(3600));
    assert_eq!(crowd.all_answered(torrents.start..torrents.start + 1), None);
    crowd.run(MAX_REST + MAX_REST / 4 + TIMEOUT + seconds(60));
    assert!(crowd.all_answered(torrents).is_some());
    assert_eq!(crowd.most["dead:80"], MAX_ASKING);
}

#[test]
fn a_server_gets_one_request_until_it_answers_and_some_at_a_time_then() {
    let mut crowd = Crowd::new();
    let torrents = crowd.add(1000, &["alive:80"]);
    assert_eq!(crowd.under_way["alive:80"], 1);
    crowd.run(QUICK);
    assert_eq!(crowd.under_way["alive:80"], MAX_ASKING);
    crowd.run(seconds(60));
    assert_eq!(crowd.most["alive:80"], MAX_ASKING);
    let last = crowd.all_answered(torrents).unwrap();
    assert!(last <= QUICK * (2 + 1000 / MAX_ASKING as u32), "{last:?}");
}

#[test]
fn servers_take_turns_whatever_the_number_of_torrents_that_wait() {
    let mut crowd = Crowd::new();
    for n in 0..3 {
        crowd.add(1000, &[&format!("crowded{n}:80")]);
    }
    let few = crowd.add(10, &["quiet:80"]);
    crowd.run(seconds(60));
    let last = crowd.all_answered(few).unwrap();
    assert!(last <= seconds(1), "{last:?}");
}

#[test]
fn requests_that_are_lost_together_count_as_one_silence() {
    let (mut turns, start) = (Turns::new(PLACES), Instant::now());
    let ask = |turns: &mut Turns<u32>, now, n| match turns.turn(now, "http://a:80/announce", n, false) {
        Turn::Ask(server) => server,
        other => panic!("{other:?}"),
    };
    let first = ask(&mut turns, start, 0);
    turns.done(start, first, start, true);
    let servers: Vec<Server> = (0..MAX_ASKING as u32).map(|n| ask(&mut turns, start, n)).collect();
    assert_eq!(turns.turn(start, "http://a:80/x", 99, false), Turn::Wait);
    let end = start + TIMEOUT;
    for server in servers {
        turns.done(end, server, start, false);
    }
    assert_eq!(turns.turn(end, "http://a:80/", 1, false), Turn::PutOff(end + FIRST_REST));
    // The one that waited is let go, to ask elsewhere.
    assert_eq!((turns.next_turn(), turns.next_turn()), (Some(99), None));
    // Another port is another server.
    assert!(matches!(turns.turn(end, "http://a:81/", 1, false), Turn::Ask(_)));
    // After the rest one asks for all.
    let rested = end + FIRST_REST;
    let probe = ask(&mut turns, rested, 1);
    assert!(matches!(turns.turn(rested, "http://a:80/", 2, true), Turn::PutOff(_)));
    turns.done(rested, probe, rested, true);
    ask(&mut turns, rested, 2);
    ask(&mut turns, rested, 3);
}

#[test]
fn goodbyes_go_first() {
    let (mut turns, now) = (Turns::new(PLACES), Instant::now());
    let Turn::Ask(server) = turns.turn(now, "http://a/", 0, false) else { panic!("no turn") };
    for (torrent, leaving) in [(1, false), (2, false), (3, true)] {
        assert_eq!(turns.turn(now, "http://a/", torrent, leaving), Turn::Wait);
    }
    assert_eq!(turns.next_turn(), None);
    turns.done(now, server, now, true);
    assert_eq!(turns.next_turn(), Some(3));
    assert!(matches!(turns.turn(now, "http://a/", 3, true), Turn::Ask(_)));
    // Who comes later does not overtake those that wait.
    assert_eq!(turns.turn(now, "http://a/", 4, false), Turn::Wait);
    assert_eq!(
        (turns.next_turn(), turns.next_turn(), turns.next_turn(), turns.next_turn()),
        (Some(1), Some(2), Some(4), None)
    );
}

#[test]
fn servers_of_long_ago_are_forgotten() {
    let (mut turns, mut now) = (Turns::new(PLACES), Instant::now());
    for n in 0..20 * SWEEP {
        let Turn::Ask(server) = turns.turn(now, &format!("http://host{n}/announce"), n, false) else {
            panic!("no turn")
        };
        now += seconds(1);
        turns.done(now, server, now, n % 2 == 0);
        while turns.next_turn().is_some() {}
        assert!(turns.servers.len() <= SWEEP + 1 && turns.by_name.len() == turns.servers.len());
    }
}

/// Whatever happens in whatever order: nobody waits for ever and the places are counted right.
#[test]
fn nobody_is_lost() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut turns, mut now) = (Turns::new(PLACES), Instant::now());
        let mut under_way: Vec<(Server, Instant)> = Vec::new();
        let mut waiting = std::collections::BTreeSet::new();
        for n in 0..2000u32 {
            now += Duration::from_millis(rng.u64(0..2000));
            let answered = rng.u8(0..4) > 0;
            if rng.bool() && !under_way.is_empty() {
                let (server, since) = under_way.swap_remove(rng.usize(0..under_way.len()));
                turns.done(now, server, since, answered);
            }
            let mut ask = |turns: &mut Turns<u32>, torrent, waiting: &mut std::collections::BTreeSet<u32>| {
                let name = format!("http://host{}/", rng.u8(0..12));
                match turns.turn(now, &name, torrent, rng.bool()) {
                    Turn::Ask(server) => under_way.push((server, now)),
                    Turn::Wait => assert!(waiting.insert(torrent)),
                    Turn::PutOff(until) => assert!(until > now),
                }
            };
            if n < 1000 {
                ask(&mut turns, n, &mut waiting);
            }
            while let Some(torrent) = turns.next_turn() {
                assert!(waiting.remove(&torrent));
                // It may have changed its mind.
                ask(&mut turns, torrent, &mut waiting);
                if waiting.contains(&torrent) {
                    break;
                }
            }
            let doubtful = turns.servers.iter().map(|(_, s)| if s.answers { 0 } else { s.asking }).sum();
            assert_eq!((turns.asking, turns.doubtful), (under_way.len(), doubtful));
            assert!(turns.asking <= PLACES);
        }
        for (server, since) in under_way {
            turns.done(now, server, since, true);
        }
        while let Some(torrent) = turns.next_turn() {
            assert!(waiting.remove(&torrent));
        }
        assert_eq!((waiting.len(), turns.asking), (0, 0), "seed {seed}");
    }
}
