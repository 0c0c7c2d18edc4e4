//! Whose turn it is to ask a tracker, when thousands of torrents would.
//!
//! Requests are carried by a few threads, and a server that does not answer keeps a thread for the whole time-out. So:
//!
//! * A server that has not answered yet gets one request at a time, one that has gets [`MAX_ASKING`].
//! * One that kept a request waiting rests, twice as long each time, then one torrent tries again for all of them.
//!   Meanwhile nobody waits for it: torrents go on to their next tracker.
//! * Some threads are kept for servers that have answered, so that any number of dead ones cannot delay those.
//! * Servers take turns, whatever the number of torrents that wait for each; those that say goodbye go first.
//!
//! A server is told from others by host and port. Whoever was told to wait comes out of [`Turns::next_turn`] once, then asks
//! for its turn again. Extra calls are harmless.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use slab::Slab;

/// Whether a torrent may ask a tracker.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It may, and it is counted: [`Turns::done`] is to be called with this server once the request is over.
    Ask(Server),
    /// There are enough requests under way; [`Turns::next_turn`] names the torrent when it is its turn.
    Wait,
    /// The server does not answer: not before this.
    PutOff(Instant),
}

/// A server in [`Turns`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Server(usize);

/// Shares a number of requests at a time among servers, and those of a server among torrents `T`.
#[derive(Debug)]
pub struct Turns<T> {
    servers: Slab<Known<T>>,
    by_name: HashMap<Box<str>, usize>,
    /// Requests that may be under way.
    places: usize,
    asking: usize,
    /// Those of them to servers that have not answered yet or not lately.
    doubtful: usize,
    /// Servers with torrents that wait, by [`Known::kind`].
    rings: [VecDeque<usize>; 3],
    /// Whether a doubtful server is next if one of each waits.
    doubtful_next: bool,
    /// Torrents whose server fell silent while they waited.
    let_go: VecDeque<T>,
    /// The server for whose turn the last torrent of `next_turn` came out.
    called: Option<usize>,
    /// Servers of which nothing is to be remembered are looked for when there are so many.
    sweep_at: usize,
}

#[derive(Debug)]
struct Known<T> {
    asking: usize,
    waiting: VecDeque<T>,
    /// It is in one of the rings.
    ringed: bool,
    answers: bool,
    /// How often in a row it kept a request waiting, when last, and until when it rests.
    silences: u32,
    silent_at: Option<Instant>,
    rests_until: Option<Instant>,
}

impl<T: Copy> Turns<T> {
    /// `places` is the number of requests that may be under way at a time.
    pub fn new(places: usize) -> Turns<T> {
        Turns {
            servers: Slab::new(),
            by_name: HashMap::new(),
            places: places.max(1),
            asking: 0,
            doubtful: 0,
            rings: Default::default(),
            doubtful_next: false,
            let_go: VecDeque::new(),
            called: None,
            sweep_at: SWEEP,
        }
    }

    /// Whether a torrent may ask the tracker of this URL now. If it has to wait, one that is `leaving` is put before all
    /// that are not.
    pub fn turn(&mut self, now: Instant, tracker: &str, torrent: T, leaving: bool) -> Turn {
        let index = self.find(now, server_of(tracker));
        let called = self.called.take() == Some(index);
        let room = self.has_room(index);
        let server = &mut self.servers[index];
        if let Some(until) = server.rests_until.filter(|until| *until > now) {
            return Turn::PutOff(until);
        }
        if server.silences > 0 && server.asking > 0 {
            // Somebody finds out; this is the longest that it can take.
            return Turn::PutOff(now + super::TIMEOUT);
        }
        if room && (called || leaving || server.waiting.is_empty()) {
            server.asking += 1;
            self.asking += 1;
            self.doubtful += usize::from(!server.answers);
            return Turn::Ask(Server(index));
        }
        if leaving {
            server.waiting.push_front(torrent);
        } else {
            server.waiting.push_back(torrent);
        }
        self.enring(index);
        Turn::Wait
    }

    /// A request that was begun at `since` is over. It was `answered` if the server said anything, be it that it is
    /// not there; otherwise it kept the request waiting.
    pub fn done(&mut self, now: Instant, server: Server, since: Instant, answered: bool) {
        let index = server.0;
        let server = &mut self.servers[index];
        server.asking -= 1;
        self.asking -= 1;
        self.doubtful -= usize::from(!server.answers);
        if answered {
            if !std::mem::replace(&mut server.answers, true) {
                self.doubtful -= server.asking;
            }
            (server.silences, server.silent_at, server.rests_until) = (0, None, None);
        } else if server.silent_at.is_none_or(|at| since >= at) {
            // Of many requests that are lost together only the first one counts.
            if std::mem::replace(&mut server.answers, false) {
                self.doubtful += server.asking;
            }
            let rest = FIRST_REST * 2u32.pow(server.silences.min(16));
            server.silences = server.silences.saturating_add(1);
            server.silent_at = Some(now);
            server.rests_until = Some(now + rest.min(MAX_REST));
            self.let_go.append(&mut server.waiting);
        }
        self.enring(index);
    }

    /// A torrent that waited and whose turn it is; `None`: nobody, until a request is over.
    pub fn next_turn(&mut self) -> Option<T> {
        self.called = None;
        if let Some(torrent) = self.let_go.pop_front() {
            return Some(torrent);
        }
        while self.asking < self.places {
            let open = self.doubtful < self.doubtful_places();
            let doubtful = [NEW, SILENT].into_iter().find(|ring| open && !self.rings[*ring].is_empty());
            let answers = Some(ANSWERS).filter(|ring| !self.rings[*ring].is_empty());
            let ring = if self.doubtful_next { doubtful.or(answers) } else { answers.or(doubtful) }?;
            let index = self.rings[ring].pop_front()?;
            let server = &mut self.servers[index];
            server.ringed = false;
            if server.kind() != ring || server.asking >= server.limit() {
                // It changed since, or comes back when one of its requests is over.
                self.enring(index);
                continue;
            }
            self.doubtful_next = ring == ANSWERS;
            let Some(torrent) = server.waiting.pop_front() else { continue };
            self.enring(index);
            self.called = Some(index);
            return Some(torrent);
        }
        None
    }

    /// Puts a server into the ring of its kind, if somebody waits for it and it may be asked.
    fn enring(&mut self, index: usize) {
        let server = &mut self.servers[index];
        if !server.waiting.is_empty() && !server.ringed && server.asking < server.limit() {
            server.ringed = true;
            self.rings[server.kind()].push_back(index);
        }
    }

    fn has_room(&self, index: usize) -> bool {
        let server = &self.servers[index];
        let open = server.answers || self.doubtful < self.doubtful_places();
        open && self.asking < self.places && server.asking < server.limit()
    }

    fn doubtful_places(&self) -> usize {
        (self.places * 3 / 4).max(1)
    }

    fn find(&mut self, now: Instant, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        if self.servers.len() >= self.sweep_at {
            // Torrents can name any number of servers.
            self.servers
                .retain(|_, server| server.is_busy() || server.rests_until.is_some_and(|at| at > now));
            self.by_name.retain(|_, index| self.servers.contains(*index));
            self.sweep_at = (2 * self.servers.len()).max(SWEEP);
        }
        let index = self.servers.insert(Known::new());
        self.by_name.insert(name.into(), index);
        index
    }
}

impl<T> Known<T> {
    fn new() -> Known<T> {
        Known {
            asking: 0,
            waiting: VecDeque::new(),
            ringed: false,
            answers: false,
            silences: 0,
            silent_at: None,
            rests_until: None,
        }
    }

    /// Its ring.
    fn kind(&self) -> usize {
        match (self.answers, self.silences) {
            (true, _) => ANSWERS,
            (false, 0) => NEW,
            (false, _) => SILENT,
        }
    }

    fn limit(&self) -> usize {
        if self.answers { MAX_ASKING } else { 1 }
    }

    fn is_busy(&self) -> bool {
        self.asking > 0 || self.ringed || !self.waiting.is_empty()
    }
}

/// Host and port of a URL as it may be shown.
fn server_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

/// Requests at a time to a server that answers: half of the engine's threads. libtorrent allows 50 in all.
pub const MAX_ASKING: usize = 8;

/// How long a server that does not answer is left alone; shorter than the shortest wait of an announcer, and doubled as
/// often, so that a torrent that is alone with it does not notice.
const FIRST_REST: Duration = Duration::from_secs(10);

/// It is not left alone for longer: the one request costs little, and thousands of torrents may wait for it.
const MAX_REST: Duration = Duration::from_secs(5 * 60);

/// Servers that answer; that were not asked yet; that did not answer, which come after those.
const ANSWERS: usize = 0;
const NEW: usize = 1;
const SILENT: usize = 2;

/// Servers that are remembered at least, once they were asked.
const SWEEP: usize = 1024;

#[cfg(test)]
mod tests;
