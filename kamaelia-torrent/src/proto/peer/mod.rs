//! One connection: what is known of the peer, what it was asked for and what it asks for.

pub mod fast;
pub mod flood;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use flood::TokenBucket;

use super::{
    bitfield::Bitfield,
    buffer::Awaiting,
    geometry::{BLOCK_LEN, BlockRequest, PieceIndex},
    handshake::{PeerId, Reserved},
    pipeline::Pipeline,
    rate::Rate,
    torrent::{Direction, LEAST_READS, PeerError, PeerKey, PeerStats, Reads, SourceId, Stripe, Uploads},
    wire::{Decoder, Message},
};

/// State of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) key: PeerKey,
    pub(crate) addr: SocketAddr,
    pub(crate) direction: Direction,
    pub(crate) id: PeerId,
    pub(crate) reserved: Reserved,
    /// Both sides speak the fast extension.
    pub(crate) fast: bool,
    pub(crate) source: SourceId,
    pub(crate) since: Instant,

    pub(crate) decoder: Decoder,
    /// Where the block goes that is just arriving; `None` if it is not wanted.
    pub(crate) arriving: Option<Arriving>,
    /// Reads for which what comes is not foreseen: other things came than what was asked for.
    pub(crate) unsteady: u8,
    /// How many reads that were the last time.
    pub(crate) unsteadiness: u8,
    /// Anything but keep-alives has come.
    pub(crate) spoke: bool,
    pub(crate) heard: Instant,
    pub(crate) floods: Floods,

    /// What it has; shared among peers that have everything or nothing.
    pub(crate) has: Arc<Bitfield>,
    /// Pieces that it has and we want.
    pub(crate) wanted: u32,

    pub(crate) choking_us: bool,
    pub(crate) interested: bool,
    pub(crate) choked: bool,
    pub(crate) interesting: bool,
    /// When either side last was interested.
    pub(crate) relevant: Instant,

    pub(crate) asked: VecDeque<Asked>,
    /// Blocks that may still come although they are not in `asked`.
    pub(crate) late: u32,
    pub(crate) pipeline: Pipeline,
    pub(crate) down: Rate,
    /// The partial that it works on.
    pub(crate) current: Option<usize>,
    pub(crate) last_piece: Option<PieceIndex>,
    /// The pieces that it is asked for in turn, if it is fast.
    pub(crate) stripe: Stripe,
    /// There was nothing more to ask of it when the torrent's news were this.
    pub(crate) nothing_at: Option<u64>,
    /// There was nothing urgent to ask of it when the torrent's news were this.
    pub(crate) no_urgent_at: Option<u64>,
    /// When a block came, the first of those open was asked for, or the peer was found to be late.
    pub(crate) progress: Instant,
    /// When a block came, or could have come.
    pub(crate) useful: Instant,
    pub(crate) rejects: u32,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) allowed_us: Vec<PieceIndex>,
    /// Not all that it was asked for has a buffer.
    pub(crate) ahead: Option<Awaiting>,
    /// Since when it is not read for want of a buffer.
    pub(crate) thirsty: Option<Instant>,
    /// It sent a block before its turn when there was no memory for it.
    pub(crate) disorderly: bool,

    /// Blocks that it asks for.
    pub(crate) queue: VecDeque<BlockRequest>,
    /// Reads at the disk or on their way to the network.
    pub(crate) reading: Reads,
    /// How many of them there may be.
    pub(crate) reads: u32,
    pub(crate) paused: bool,
    /// Since when it is not read because of a limit.
    pub(crate) held: Option<Instant>,
    /// It has asked for leave to be sent more.
    pub(crate) asks_leave: bool,
    pub(crate) up: Rate,
    pub(crate) turn_sent: u64,
    pub(crate) choke_changed: Option<Instant>,
    pub(crate) sent_at: Instant,
    pub(crate) allowed: Vec<PieceIndex>,
    /// Payload that it still gets of its allowed fast set while choked, bytes.
    pub(crate) allowed_left: u64,

    pub(crate) out: Vec<u8>,
    /// When `out` began to wait.
    pub(crate) out_since: Option<Instant>,
}

/// A block that a peer was asked for.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) block: BlockRequest,
    pub(crate) partial: u32,
    /// Others may be asked for it in the meantime: it is overdue.
    pub(crate) released: bool,
    /// It was asked for before the peer choked us, and may be forgotten.
    pub(crate) unsure: bool,
}

impl Asked {
    pub(crate) fn number(&self) -> u32 {
        self.block.begin / BLOCK_LEN
    }
}

/// A block that is arriving.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Arriving {
    pub(crate) partial: usize,
    pub(crate) block: BlockRequest,
    pub(crate) offset: u32,
    /// Its bytes are copied; otherwise only counted.
    pub(crate) keep: bool,
    /// The partial counts a request for it.
    pub(crate) counted: bool,
}

/// Limits on messages that are cheap to send and cost us something.
#[derive(Debug)]
pub(crate) struct Floods {
    pub(crate) choke: TokenBucket,
    pub(crate) interest: TokenBucket,
    pub(crate) keep_alive: TokenBucket,
    pub(crate) have: TokenBucket,
    pub(crate) request: TokenBucket,
    pub(crate) cancel: TokenBucket,
    pub(crate) other: TokenBucket,
    pub(crate) unsolicited: TokenBucket,
}

impl Floods {
    fn new(now: Instant) -> Floods {
        let bucket = |burst, per_second| TokenBucket::new(now, burst, per_second);
        Floods {
            choke: bucket(30, 0.5),
            interest: bucket(60, 1.0),
            // A keep-alive every two minutes is usual; aria2 cuts at two in 5 s.
            keep_alive: bucket(20, 0.2),
            // Of pieces that were announced before.
            have: bucket(1000, 10.0),
            // While choked. A client with a deep pipeline sends all of it before it sees the choke.
            request: bucket(u16::MAX, 200.0),
            cancel: bucket(10_000, 500.0),
            other: bucket(500, 10.0),
            unsolicited: bucket(50, 0.2),
        }
    }
}

/// What a new connection starts with.
pub(crate) struct Opening {
    pub(crate) key: PeerKey,
    pub(crate) addr: SocketAddr,
    pub(crate) direction: Direction,
    pub(crate) id: PeerId,
    pub(crate) reserved: Reserved,
    pub(crate) source: SourceId,
    pub(crate) nothing: Arc<Bitfield>,
    pub(crate) uploads: Uploads,
    pub(crate) first_requests: u32,
    pub(crate) most_requests: u32,
}

impl Peer {
    pub(crate) fn new(now: Instant, opening: Opening) -> Peer {
        let Opening { key, addr, direction, id, reserved, source, nothing, .. } = opening;
        let Opening { uploads, first_requests, most_requests, .. } = opening;
        Peer {
            key,
            addr,
            direction,
            id,
            reserved,
            fast: reserved.fast() && Reserved::OURS.fast(),
            source,
            since: now,
            decoder: Decoder::new(nothing.len()),
            arriving: None,
            unsteady: 0,
            unsteadiness: 0,
            spoke: false,
            heard: now,
            floods: Floods::new(now),
            has: nothing,
            wanted: 0,
            choking_us: true,
            interested: false,
            choked: true,
            interesting: false,
            relevant: now,
            asked: VecDeque::new(),
            late: 0,
            pipeline: Pipeline::new(first_requests, most_requests),
            down: Rate::new(now),
            current: None,
            last_piece: None,
            stripe: Stripe::default(),
            nothing_at: None,
            no_urgent_at: None,
            progress: now,
            useful: now,
            rejects: 0,
            retry_at: None,
            allowed_us: Vec::new(),
            ahead: None,
            thirsty: None,
            disorderly: false,
            queue: VecDeque::new(),
            reading: Reads::new(uploads),
            reads: LEAST_READS,
            paused: false,
            held: None,
            asks_leave: false,
            up: Rate::new(now),
            turn_sent: 0,
            choke_changed: None,
            sent_at: now,
            allowed: Vec::new(),
            allowed_left: 0,
            out: Vec::new(),
            out_since: None,
        }
    }

    /// Puts a message into the output; true if the output was empty before.
    pub(crate) fn send(&mut self, now: Instant, message: &Message) -> bool {
        message.encode(&mut self.out);
        self.send_bytes(now, &[])
    }

    /// Puts whole messages into the output; true if the output was empty before.
    pub(crate) fn send_bytes(&mut self, now: Instant, messages: &[u8]) -> bool {
        self.out.extend_from_slice(messages);
        let first = self.out_since.is_none();
        self.out_since.get_or_insert(now);
        first
    }

    /// Whether requests may be sent: to anybody who does not choke us, or for the allowed fast set.
    pub(crate) fn may_ask(&self) -> bool {
        self.interesting && (!self.choking_us || !self.allowed_us.is_empty())
    }

    /// What ends the connection at `now`, if anything.
    pub(crate) fn overdue(&self, now: Instant) -> Option<PeerError> {
        let past = |since: Instant, most: Duration| now.saturating_duration_since(since) >= most;
        if self.out.len() > MOST_OUTPUT || self.unread_since().is_some_and(|since| past(since, IDLE)) {
            return Some(PeerError::NotReading);
        }
        // A peer that we do not read cannot be heard.
        let unread = self.paused || self.is_unread();
        if !unread && past(self.heard, IDLE) {
            return Some(PeerError::Idle);
        }
        if self.pipeline.is_snubbed()
            && !self.asked.is_empty()
            && !self.interested
            && !unread
            && past(self.useful, STALL)
        {
            return Some(PeerError::Stalled);
        }
        let irrelevant = !self.interested && !self.interesting;
        (irrelevant && past(self.relevant, IRRELEVANT)).then_some(PeerError::Useless)
    }

    /// Whether we do not read it for reasons of our own.
    pub(crate) fn is_unread(&self) -> bool {
        self.held.is_some() || self.thirsty.is_some()
    }

    /// It was not read since then, and is from now on: its clocks stood still.
    pub(crate) fn was_unread(&mut self, now: Instant, since: Instant) {
        let time = now.saturating_duration_since(since);
        self.heard = now;
        self.progress = (self.progress + time).min(now);
        self.useful = (self.useful + time).min(now);
    }

    /// Whether it was asked for blocks and none came for too long.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        !self.is_unread()
            && !self.asked.is_empty()
            && now.saturating_duration_since(self.progress) >= self.patience()
    }

    /// How long a block is waited for.
    fn patience(&self) -> Duration {
        match self.asked.front() {
            Some(asked) if asked.unsure => FORGOTTEN_AFTER,
            _ => REQUEST_TIME_OUT,
        }
    }

    /// Requests that are open, where up to `spare` of those that it may have forgotten do not count.
    pub(crate) fn open(&self, spare: u32) -> u32 {
        let unsure = self.asked.iter().take_while(|asked| asked.unsure).take(spare as usize).count();
        (self.asked.len() - unsure) as u32
    }

    /// Whether a sign of life is due.
    pub(crate) fn wants_keep_alive(&self, now: Instant) -> bool {
        self.out.is_empty() && now.saturating_duration_since(self.sent_at) >= IDLE / 2
    }

    /// When one of the above changes its answer, or requests may be sent again.
    pub(crate) fn deadline(&self) -> Instant {
        let keep_alive = self.out.is_empty().then(|| self.sent_at + IDLE / 2);
        let unread = self.unread_since().map(|since| since + IDLE);
        let unheard = (!self.paused && !self.is_unread()).then(|| self.heard + IDLE);
        // With output that waits there is `unread`, without there is `keep_alive`.
        let first = [keep_alive, unread, unheard].into_iter().flatten().min();
        let mut at = first.unwrap_or(self.heard + IDLE);
        if !self.asked.is_empty() && !self.is_unread() {
            at = at.min(self.progress + self.patience());
        }
        if !self.interested && !self.interesting {
            at = at.min(self.relevant + IRRELEVANT);
        }
        self.retry_at.map_or(at, |retry| at.min(retry))
    }

    fn unread_since(&self) -> Option<Instant> {
        let reading = (self.reading.count() > 0).then_some(self.sent_at);
        self.out_since.into_iter().chain(reading).min()
    }

    pub(crate) fn stats(&self, now: Instant) -> PeerStats {
        PeerStats {
            key: self.key,
            addr: self.addr,
            direction: self.direction,
            peer_id: self.id,
            reserved: self.reserved,
            pieces: self.has.count(),
            downloaded: self.down.total(),
            uploaded: self.up.total(),
            down_rate: self.down.at(now) as u64,
            up_rate: self.up.at(now) as u64,
            choking_us: self.choking_us,
            interested_in_us: self.interested,
            choked: self.choked,
            interesting: self.interesting,
            snubbed: self.pipeline.is_snubbed(),
            requests: self.asked.len(),
            queued: self.queue.len(),
        }
    }
}

/// A connection without a byte for this long is dead; half of it without sending asks for a keep-alive.
pub(crate) const IDLE: Duration = Duration::from_secs(120);

/// Blocks that were asked for are given to others after this time without any.
const REQUEST_TIME_OUT: Duration = Duration::from_secs(20);

/// What was asked for before a choke is asked for again after this time without a block.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2);

/// A peer that sends nothing of what it was asked for, and wants nothing, goes after this time.
const STALL: Duration = Duration::from_secs(120);

/// A connection that neither side has a use for goes after this time.
const IRRELEVANT: Duration = Duration::from_secs(600);

/// Protocol bytes that may wait for a peer that does not read, enough for 100,000 `have` messages.
const MOST_OUTPUT: usize = 1024 * 1024;
