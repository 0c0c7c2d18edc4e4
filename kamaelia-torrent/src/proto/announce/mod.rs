//! Announcing one torrent to its trackers (BEP 3, 7, 12, 23, 24, 31), without input or output.
//!
//! [`Announcer`] decides when to ask which tracker and reads the answers; somebody else carries the bytes. Its
//! owner calls [`poll`](Announcer::poll) after every other call and when [`deadline`](Announcer::deadline) has
//! passed, and hands each answer to [`response`](Announcer::response). Extra calls are harmless.
//!
//! Tiers are those of BEP 12: shuffled at the start, tried in order, the first tracker that answers is moved to the
//! front of its tier. One that fails is left alone for a time that doubles with each failure. One request is in
//! flight at a time, except at the end, when all trackers are told `stopped` together.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::info_hash::InfoHash;
use super::path::clean_text;

mod response;
mod turns;
mod url;

pub use response::{AnnounceError, AnnounceResponse, MAX_PEERS, parse_http_response};
pub use turns::{MAX_ASKING, Server, Turn, Turns};
pub use url::{is_supported, redact};

/// What is told with an announce.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnnounceEvent {
    /// The first announce to a tracker.
    Started,
    /// The last one.
    Stopped,
    /// The download is complete now.
    Completed,
    /// Nothing special.
    Periodic,
}

/// Totals since the torrent was started, payload bytes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceStats {
    /// Sent to peers.
    pub uploaded: u64,
    /// Received from peers.
    pub downloaded: u64,
    /// Still missing.
    pub left: u64,
}

/// What every announce of a torrent has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceContext {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Our id.
    pub peer_id: [u8; 20],
    /// The port that we listen on.
    pub port: u16,
    /// Random; proves to the tracker that we are the same if our address changes.
    pub key: u32,
    /// How many peers we would like.
    pub numwant: u32,
}

/// A request to be carried out. The scheme of `url` decides how: `http` and `https` now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnnounceRequest {
    /// To be given back with the answer.
    pub id: u64,
    /// Complete URL with query. Holds passkeys: not to be shown or logged.
    pub url: String,
    /// The tracker as it may be shown.
    pub tracker: String,
    /// What is told.
    pub event: AnnounceEvent,
    /// The totals that are told; `url` has them already, BEP 15 needs them apart.
    pub stats: AnnounceStats,
    /// How long to wait for the answer.
    pub timeout: Duration,
}

/// What an [`Announcer`] has to say when it is [polled](Announcer::poll).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A request is to be carried out.
    Ask(AnnounceRequest),
    /// A tracker would be asked, but its server does not answer others; said once until it is asked again.
    PutOff {
        /// The tracker as it may be shown.
        tracker: String,
        /// Why, for people.
        reason: &'static str,
    },
}

/// What came of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnnounceOutcome {
    /// The tracker answered.
    Ok {
        /// The tracker as it may be shown.
        tracker: String,
        /// Peers, perhaps none.
        peers: Vec<SocketAddr>,
        /// A text of the tracker for people.
        warning: Option<String>,
        /// Our address as the tracker sees it.
        external_ip: Option<IpAddr>,
    },
    /// The tracker could not be reached or refused. The next one is tried at once, this one after `retry_in`.
    Failed {
        /// The tracker as it may be shown.
        tracker: String,
        /// Why, for people; secrets are taken out.
        reason: String,
        /// When this tracker is tried again.
        retry_in: Duration,
    },
    /// An answer that nobody waits for any more: too late, twice, or from before the stop.
    Ignored,
}

/// A tracker and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackerStatus {
    /// The tracker as it may be shown.
    pub tracker: String,
    /// Its tier, from 0.
    pub tier: usize,
    /// Failures since the last success.
    pub failures: u32,
    /// The last error or warning, if the last answer had one.
    pub message: Option<String>,
    /// Peers that have everything, by the last answer.
    pub seeders: Option<u64>,
    /// Peers that do not.
    pub leechers: Option<u64>,
}

/// Announces one torrent.
#[derive(Debug)]
pub struct Announcer {
    context: AnnounceContext,
    rng: fastrand::Rng,
    trackers: Vec<Tracker>,
    /// Indices into `trackers`.
    tiers: Vec<Vec<usize>>,
    state: State,
    completed: bool,
    /// When the next announce is due.
    next_at: Option<Instant>,
    /// `want_peers` may not ask before this.
    not_before: Option<Instant>,
    /// When the next announce would be due if nobody wanted peers.
    regular_at: Option<Instant>,
    /// Announces in a row that came before that time.
    early: u32,
    in_flight: Vec<InFlight>,
    /// Trackers that have to be told `stopped`.
    stops: Vec<usize>,
    last_id: u64,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Running,
    Stopping,
}

#[derive(Debug)]
struct Tracker {
    url: String,
    shown: String,
    /// It answered a `started`.
    started: bool,
    failures: u32,
    retry_at: Option<Instant>,
    tracker_id: Option<Vec<u8>>,
    message: Option<String>,
    seeders: Option<u64>,
    leechers: Option<u64>,
}

#[derive(Debug)]
struct InFlight {
    id: u64,
    tracker: usize,
    event: AnnounceEvent,
    deadline: Instant,
}

impl AnnounceEvent {
    /// The word of BEP 3; a periodic announce has none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            AnnounceEvent::Started => Some("started"),
            AnnounceEvent::Stopped => Some("stopped"),
            AnnounceEvent::Completed => Some("completed"),
            AnnounceEvent::Periodic => None,
        }
    }
}

impl Announcer {
    /// Prepares to announce to `tiers`. URLs of unsupported schemes are left out.
    pub fn new(tiers: &[Vec<String>], context: AnnounceContext, mut rng: fastrand::Rng) -> Announcer {
        let mut trackers = Vec::new();
        let mut indices: Vec<Vec<usize>> = Vec::new();
        for tier in tiers {
            let first = trackers.len();
            trackers.extend(tier.iter().filter(|url| is_supported(url)).map(|url| Tracker::new(url)));
            let mut tier: Vec<usize> = (first..trackers.len()).collect();
            rng.shuffle(&mut tier);
            if !tier.is_empty() {
                indices.push(tier);
            }
        }
        Announcer {
            context,
            rng,
            trackers,
            tiers: indices,
            state: State::Idle,
            completed: false,
            next_at: None,
            not_before: None,
            regular_at: None,
            early: 0,
            in_flight: Vec::new(),
            stops: Vec::new(),
            last_id: 0,
        }
    }

    /// Begins to announce.
    pub fn start(&mut self, now: Instant) {
        if self.state != State::Running {
            self.state = State::Running;
            self.completed = false;
            (self.regular_at, self.not_before, self.early) = (None, None, 0);
            self.stops.clear();
            self.next_at = Some(now);
        }
    }

    /// Tells the trackers that the download is complete, at once.
    pub fn completed(&mut self, now: Instant) {
        if self.state == State::Running {
            self.completed = true;
            self.next_at = Some(now);
        }
    }

    /// Tells every tracker that was told `started` that we leave; see [`is_stopped`](Announcer::is_stopped).
    pub fn stop(&mut self, now: Instant) {
        if self.state != State::Running {
            return;
        }
        self.state = State::Stopping;
        self.next_at = Some(now);
        // A tracker whose answer is still out may have us on its list already.
        let asked: Vec<usize> = self.in_flight.drain(..).map(|f| f.tracker).collect();
        for (index, tracker) in self.trackers.iter_mut().enumerate() {
            if std::mem::take(&mut tracker.started) || asked.contains(&index) {
                self.stops.push(index);
            }
        }
    }

    /// Whether nothing is left to do after [`stop`](Announcer::stop), or nothing was begun.
    pub fn is_stopped(&self) -> bool {
        self.state != State::Running && self.stops.is_empty() && self.in_flight.is_empty()
    }

    /// Asks again soon because peers are needed, but not before the tracker's minimum interval is over. If it names
    /// none, that is a minute, and twice as long each time until a regular announce: a torrent without peers must not
    /// become a burden.
    pub fn want_peers(&mut self, now: Instant) {
        if self.state == State::Running {
            let soonest = self.not_before.map_or(now, |at| at.max(now));
            self.next_at = Some(self.next_at.map_or(soonest, |at| at.min(soonest)));
        }
    }

    /// What is due: to be called until it gives `None`. `turn` says of a tracker, as it may be shown, whether it may be
    /// asked now, and is not asked again once it said yes. After [`Turn::Wait`] the owner polls again when the
    /// tracker's turn has come.
    pub fn poll(
        &mut self,
        now: Instant,
        stats: AnnounceStats,
        mut turn: impl FnMut(&str) -> Turn,
    ) -> Option<Step> {
        while let Some(at) = self.in_flight.iter().position(|f| f.deadline <= now) {
            let lost = self.in_flight.swap_remove(at);
            self.failed(now, &lost, "no answer", None);
        }
        match self.state {
            State::Idle => None,
            State::Stopping => {
                // One that has to wait holds up no other.
                for at in (0..self.stops.len()).rev() {
                    let tracker = self.stops[at];
                    match turn(&self.trackers[tracker].shown) {
                        Turn::Ask(_) => {
                            self.stops.swap_remove(at);
                            let request = self.request(now, tracker, AnnounceEvent::Stopped, stats);
                            return Some(Step::Ask(request));
                        }
                        Turn::Wait => {}
                        Turn::PutOff(_) => {
                            self.stops.swap_remove(at);
                        }
                    }
                }
                None
            }
            State::Running => self.poll_running(now, stats, turn),
        }
    }

    fn poll_running(
        &mut self,
        now: Instant,
        stats: AnnounceStats,
        mut turn: impl FnMut(&str) -> Turn,
    ) -> Option<Step> {
        if !self.in_flight.is_empty() || self.next_at.is_none_or(|at| at > now) {
            return None;
        }
        loop {
            let ready = |index: &&usize| self.trackers[**index].retry_at.is_none_or(|at| at <= now);
            let index = *self.tiers.iter().flatten().find(ready)?;
            let tracker = &mut self.trackers[index];
            match turn(&tracker.shown) {
                Turn::Ask(_) => {
                    let event = match (tracker.started, self.completed) {
                        (false, _) => AnnounceEvent::Started,
                        (true, true) => AnnounceEvent::Completed,
                        (true, false) => AnnounceEvent::Periodic,
                    };
                    if event == AnnounceEvent::Periodic {
                        self.early =
                            if self.regular_at.is_some_and(|at| now < at) { self.early + 1 } else { 0 };
                    }
                    return Some(Step::Ask(self.request(now, index, event, stats)));
                }
                Turn::Wait => return None,
                Turn::PutOff(until) => {
                    // Not a failure of its own: it is tried as soon as somebody knows more, but not by all torrents
                    // in the same second.
                    let spread = (until.saturating_duration_since(now) / 4).max(MIN_SPREAD);
                    tracker.retry_at = Some(until.max(now) + spread.mul_f64(self.rng.f64()));
                    if tracker.message.as_deref() != Some(PUT_OFF) {
                        tracker.message = Some(PUT_OFF.to_owned());
                        return Some(Step::PutOff { tracker: tracker.shown.clone(), reason: PUT_OFF });
                    }
                }
            }
        }
    }

    /// Whether it says goodbye: [`stop`](Announcer::stop) was called, and somebody is to be told yet.
    pub fn is_leaving(&self) -> bool {
        self.state == State::Stopping && !self.stops.is_empty()
    }

    /// When to call [`poll`](Announcer::poll) at the latest; `None`: only after another call.
    pub fn deadline(&self) -> Option<Instant> {
        let lost = self.in_flight.iter().map(|f| f.deadline).min();
        let next = match self.state {
            State::Idle => None,
            State::Stopping => self.next_at.filter(|_| !self.stops.is_empty()),
            State::Running if !self.in_flight.is_empty() => None,
            State::Running => self.next_at.and_then(|next| {
                self.trackers.iter().map(|t| t.retry_at.map_or(next, |retry| retry.max(next))).min()
            }),
        };
        [lost, next].into_iter().flatten().min()
    }

    /// Takes the body of an HTTP answer, or the reason why there is none.
    pub fn response(&mut self, now: Instant, id: u64, body: Result<&[u8], String>) -> AnnounceOutcome {
        let answer = match body {
            Ok(body) => parse_http_response(body),
            Err(reason) => Err(AnnounceError::Failure { reason, retry_in: None }),
        };
        self.answer(now, id, answer)
    }

    /// Takes an answer that is read already, whatever it came through.
    pub fn answer(
        &mut self,
        now: Instant,
        id: u64,
        answer: Result<AnnounceResponse, AnnounceError>,
    ) -> AnnounceOutcome {
        let Some(at) = self.in_flight.iter().position(|f| f.id == id) else {
            return AnnounceOutcome::Ignored;
        };
        let request = self.in_flight.swap_remove(at);
        match answer {
            Ok(response) => self.succeeded(now, &request, response),
            Err(AnnounceError::Failure { reason, retry_in }) => self.failed(now, &request, &reason, retry_in),
            Err(error) => self.failed(now, &request, &error.to_string(), None),
        }
    }

    /// The trackers in the order in which they are tried.
    pub fn status(&self) -> impl Iterator<Item = TrackerStatus> + '_ {
        let ordered =
            self.tiers.iter().enumerate().flat_map(|(tier, list)| list.iter().map(move |i| (tier, *i)));
        ordered.map(|(tier, index)| {
            let t = &self.trackers[index];
            TrackerStatus {
                tracker: t.shown.clone(),
                tier,
                failures: t.failures,
                message: t.message.clone(),
                seeders: t.seeders,
                leechers: t.leechers,
            }
        })
    }

    fn request(
        &mut self,
        now: Instant,
        index: usize,
        event: AnnounceEvent,
        stats: AnnounceStats,
    ) -> AnnounceRequest {
        let tracker = &self.trackers[index];
        let url = url::announce_url(&tracker.url, &self.context, stats, event, tracker.tracker_id.as_deref());
        self.last_id += 1;
        let timeout = if event == AnnounceEvent::Stopped { STOP_TIMEOUT } else { TIMEOUT };
        self.in_flight.push(InFlight {
            id: self.last_id,
            tracker: index,
            event,
            deadline: now + timeout + GRACE,
        });
        AnnounceRequest { id: self.last_id, url, tracker: tracker.shown.clone(), event, stats, timeout }
    }

    fn succeeded(&mut self, now: Instant, request: &InFlight, response: AnnounceResponse) -> AnnounceOutcome {
        let tracker = &mut self.trackers[request.tracker];
        tracker.failures = 0;
        tracker.retry_at = None;
        tracker.message = response.warning.as_deref().map(|w| url::redact_text(w, &tracker.url));
        tracker.seeders = response.seeders;
        tracker.leechers = response.leechers;
        if response.tracker_id.is_some() {
            tracker.tracker_id = response.tracker_id;
        }
        let outcome = AnnounceOutcome::Ok {
            tracker: tracker.shown.clone(),
            peers: response.peers,
            warning: tracker.message.clone(),
            external_ip: response.external_ip,
        };
        if self.state != State::Running {
            return outcome;
        }
        tracker.started = true;
        // BEP 12: the one that works is the first of its tier from now on.
        if let Some(tier) = self.tiers.iter_mut().find(|tier| tier.contains(&request.tracker))
            && let Some(at) = tier.iter().position(|t| *t == request.tracker)
        {
            tier[..=at].rotate_right(1);
        }
        if request.event == AnnounceEvent::Completed {
            self.completed = false;
        }
        let interval = response.interval.unwrap_or(DEFAULT_INTERVAL).clamp(MIN_INTERVAL, MAX_INTERVAL);
        let patience = MIN_INTERVAL * 2u32.pow(self.early.min(16));
        let min = response.min_interval.unwrap_or(patience).clamp(MIN_MIN_INTERVAL, interval);
        self.not_before = Some(now + min);
        self.regular_at = Some(now + interval);
        self.next_at = Some(if self.completed { now } else { now + interval });
        outcome
    }

    fn failed(
        &mut self,
        now: Instant,
        request: &InFlight,
        reason: &str,
        retry_in: Option<Duration>,
    ) -> AnnounceOutcome {
        let tracker = &mut self.trackers[request.tracker];
        let doubled = FIRST_RETRY * 2u32.pow(tracker.failures.min(16));
        // Not all clients of a tracker that was down may come back in the same second.
        let jitter = 0.75 + self.rng.f64() / 2.0;
        let retry_in =
            retry_in.unwrap_or(Duration::ZERO).max(doubled.min(MAX_RETRY).mul_f64(jitter)).min(MAX_INTERVAL);
        tracker.failures = tracker.failures.saturating_add(1);
        tracker.retry_at = Some(now + retry_in);
        let reason = clean_text(url::redact_text(reason, &tracker.url).as_bytes(), 300);
        tracker.message = Some(reason.clone());
        AnnounceOutcome::Failed { tracker: tracker.shown.clone(), reason, retry_in }
    }
}

impl Tracker {
    fn new(url: &str) -> Tracker {
        Tracker {
            url: url.to_owned(),
            shown: redact(url),
            started: false,
            failures: 0,
            retry_at: None,
            tracker_id: None,
            message: None,
            seeders: None,
            leechers: None,
        }
    }
}

/// How often trackers are asked that do not say how often.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// Shortest interval whatever the tracker says: 0 and -1 have been seen.
pub const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// Longest interval and longest back-off.
pub const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// A tracker may allow to be asked sooner than [`MIN_INTERVAL`] when peers are needed, down to this.
const MIN_MIN_INTERVAL: Duration = Duration::from_secs(5);

/// Back-off after the first failure; doubles with each.
const FIRST_RETRY: Duration = Duration::from_secs(15);

/// Back-off does not double beyond this.
const MAX_RETRY: Duration = Duration::from_secs(30 * 60);

/// Those that were put off come back within this time at least, or a quarter of the time that they were put off.
const MIN_SPREAD: Duration = Duration::from_secs(5);

/// What is said of a tracker that is not asked because its server kept somebody else waiting.
const PUT_OFF: &str = "did not answer another request a moment ago";

/// Time for an announce, all in all.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Time for the last announce: somebody waits for the program to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Who carries the request has this much longer to say that it timed out, then it counts as lost.
const GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
