//! What goes in and out of a torrent's swarm.

use std::net::{IpAddr, SocketAddr};

use super::Uploads;
use crate::proto::{
    bitfield::{Bitfield, BitfieldError},
    buffer::PartBuf,
    extension,
    geometry::{BlockRequest, Fetch, Geometry, PieceIndex},
    handshake::{PeerId, Reserved},
    info_hash::InfoHash,
    selection::Priority,
    wire::WireError,
};

/// Names a connection; chosen by the caller, unique among the torrent's connections that are open.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(pub u64);

/// Who opened a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The peer dialled us.
    Incoming,
    /// We dialled the peer.
    Outgoing,
}

/// How an address became known.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerSource {
    /// Given by the user.
    User,
    /// Told by a tracker.
    Tracker,
    /// Found in saved state.
    Resume,
    /// It connected to us.
    Incoming,
}

/// What a torrent is and how it behaves.
#[derive(Clone, Debug)]
pub struct TorrentConfig {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who we are on the wire.
    pub peer_id: PeerId,
    /// Sizes.
    pub geometry: Geometry,
    /// Pieces that are verified and on disk already.
    pub have: Bitfield,
    /// BEP 27: peers come from the tracker alone.
    pub private: bool,
    /// Seed of every random choice.
    pub seed: u64,
    /// Most connections.
    pub max_peers: usize,
    /// Peers served at a time; `None` adapts the number to what the line carries, at least 8.
    pub upload_slots: Option<usize>,
    /// What is read ahead for peers is counted here, so that it stays within bounds over all torrents that share it.
    pub uploads: Uploads,
    /// Most blocks asked of one peer at a time, whatever it takes; of one that does not say (BEP 10, `reqq`), at
    /// most 500.
    pub max_requests: u32,
    /// Fewest blocks asked of a peer at a time as long as it answers.
    pub min_requests: u32,
    /// Whether pieces are taken in order instead of the rarest first.
    pub sequential: bool,
    /// Pieces that are hashed together best: a fast peer is asked for parts of so many in turn, at most; 0 is as 1.
    pub side_by_side: usize,
    /// Tells what this swarm fetches from what an earlier swarm of the same torrent fetched ([`Fetch`]).
    pub generation: u32,
    /// Whether connections to addresses that were handed over are opened at all.
    pub dial: bool,
    /// How soon each piece is fetched; empty if all are of the usual priority.
    pub priorities: Vec<Priority>,
}

impl TorrentConfig {
    /// The usual settings for a torrent of which nothing is there yet.
    pub fn new(info_hash: InfoHash, peer_id: PeerId, geometry: Geometry) -> TorrentConfig {
        TorrentConfig {
            info_hash,
            peer_id,
            geometry,
            have: Bitfield::new(geometry.piece_count()),
            private: false,
            seed: 0,
            max_peers: 100,
            upload_slots: None,
            uploads: Uploads::default(),
            max_requests: extension::REQUEST_QUEUE,
            min_requests: 64,
            sequential: false,
            side_by_side: 16,
            generation: 0,
            dial: true,
            priorities: Vec::new(),
        }
    }
}

/// Why a connection is not taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The other end is this client.
    #[error("connected to myself")]
    Myself,
    /// The peer sent bad data before.
    #[error("peer is banned")]
    Banned,
    /// There is a connection to this peer already.
    #[error("already connected to this peer")]
    Duplicate,
    /// The torrent has as many connections as it may.
    #[error("too many connections")]
    Full,
    /// The handshake is for another torrent.
    #[error("handshake for torrent {0}")]
    WrongTorrent(InfoHash),
}

/// Why a connection is cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Bytes that are no peer messages.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A bitfield that is not one of this torrent.
    #[error(transparent)]
    Bitfield(#[from] BitfieldError),
    /// `have_all` or `have_none` not as the first message.
    #[error("{0} after other messages")]
    Late(&'static str),
    /// A message of the fast extension, which was not agreed on.
    #[error("{0} without the fast extension")]
    NotAgreed(&'static str),
    /// A piece that the torrent does not have.
    #[error("{0} names piece {1} of {2}")]
    NoSuchPiece(&'static str, u32, u32),
    /// A request outside its piece, or longer than a block may be.
    #[error("request of {} bytes at {} of piece {}", .0.len, .0.begin, .0.piece.0)]
    BadRequest(BlockRequest),
    /// A block or a reject that nobody asked for, again and again.
    #[error("too many blocks that nobody asked for")]
    Unsolicited,
    /// Too many messages of one kind.
    #[error("flood of {0} messages")]
    Flood(&'static str),
    /// It sent data that does not match the torrent.
    #[error("sent bad data")]
    BadData,
    /// Nothing was heard for too long.
    #[error("no sign of life")]
    Idle,
    /// It does not read what we send.
    #[error("does not read what is sent")]
    NotReading,
    /// Neither side wants anything of the other.
    #[error("neither side wants anything of the other")]
    Useless,
    /// The peer was asked for blocks, and did not send them for too long.
    #[error("did not send what it was asked for")]
    Stalled,
    /// What it asked for could not be read from the disk.
    #[error("read from disk failed")]
    ReadFailed,
    /// Another peer takes its place.
    #[error("replaced by a better peer")]
    Replaced,
    /// It was told of pieces that are not there any more.
    #[error("what it was told of our pieces is no longer true")]
    Outdated,
}

/// What became of a piece at the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It matches its hash and is written.
    Good,
    /// It does not match its hash. The SHA-1 of each of its blocks as they came tells later who sent the bad one;
    /// empty if they cannot be had.
    Bad(Vec<[u8; 20]>),
    /// It could not be written or read back. The text names file and error.
    Failed(String),
}

/// What the owner of a torrent has to do, or may want to know.
#[derive(Debug)]
pub enum TorrentOutput {
    /// Write a part of a piece at `offset` (in the piece); hash it in order. Answer per piece with
    /// [`Torrent::piece_checked`](super::Torrent::piece_checked) and give the buffer back to the pool.
    Write {
        /// The piece, and which fetching of it this is.
        fetch: Fetch,
        /// Offset in the piece, bytes; a multiple of [`PART_LEN`](crate::proto::buffer::PART_LEN).
        offset: u32,
        /// A whole piece or a part of one.
        data: PartBuf,
        /// Whether all other parts of the piece were handed out before.
        last: bool,
    },
    /// Read blocks that lie next to each other (at most 256 KiB) and send them as `piece` messages; then call
    /// [`Torrent::blocks_sent`](super::Torrent::blocks_sent), or
    /// [`Torrent::read_failed`](super::Torrent::read_failed).
    Read {
        /// Who gets them.
        peer: PeerKey,
        /// In the order of their offsets.
        blocks: Vec<BlockRequest>,
    },
    /// Hash each block of a piece that is verified; answer with
    /// [`Torrent::block_hashes`](super::Torrent::block_hashes).
    WantBlockHashes(PieceIndex),
    /// The connection has blocks to be sent and needs leave:
    /// [`Torrent::send_some`](super::Torrent::send_some). Only with a limit, see
    /// [`Torrent::set_limits`](super::Torrent::set_limits).
    WantsToSend(PeerKey),
    /// [`Torrent::take_output`](super::Torrent::take_output) has something for this connection.
    OutputReady(PeerKey),
    /// The connection may be read again.
    Resume(PeerKey),
    /// Close the connection; the torrent has forgotten it,
    /// [`Torrent::peer_closed`](super::Torrent::peer_closed) is not needed.
    Disconnect(PeerKey, PeerError),
    /// Refuse connections from this address, whatever the torrent; of an IPv6 network (/64) the first address.
    /// Never a loopback address: many clients of one machine meet there, and the torrent itself bans one of
    /// them by
    /// its peer id.
    Ban(IpAddr),
    /// A piece is verified and written.
    Verified(PieceIndex),
    /// All pieces that are wanted are verified and written.
    Completed,
    /// The piece is not wanted any more though parts of it were handed out: forget them, and give their buffers back.
    Abandon(PieceIndex),
    /// The disk does not take data; downloading rests for 10 minutes or until
    /// [`Torrent::retry_disk`](super::Torrent::retry_disk).
    DiskFailed(String),
}

/// Figures of a torrent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TorrentStats {
    /// Payload received, bytes, with what was of no use.
    pub downloaded: u64,
    /// Payload sent, bytes.
    pub uploaded: u64,
    /// Payload received that was of no use: bad, twice, or not asked for; bytes.
    pub wasted: u64,
    /// The same by reason.
    pub waste: Waste,
    /// Payload coming in, bytes per second.
    pub down_rate: u64,
    /// Payload going out, bytes per second.
    pub up_rate: u64,
    /// Connections.
    pub peers: usize,
    /// Connections to peers that have everything.
    pub seeds: usize,
    /// Peers that we serve at the moment.
    pub unchoked: usize,
    /// Addresses that could be dialled.
    pub candidates: usize,
    /// Bytes verified.
    pub verified: u64,
    /// Bytes missing.
    pub left: u64,
    /// Pieces verified.
    pub pieces: u32,
    /// Buffers held for pieces in flight, bytes.
    pub buffered: u64,
    /// Blocks asked for and not here yet.
    pub requests: usize,
    /// Pieces that did not match their hash.
    pub failed_pieces: u64,
}

/// Payload that was received in vain, bytes, by reason.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Waste {
    /// Pieces that did not match their hash, and what else came from those who sent them.
    pub bad: u64,
    /// Blocks that were here already, or that nobody had asked for.
    pub unwanted: u64,
    /// Blocks of pieces that were given up before they were verified: for want of memory, not wanted any more, refused
    /// by the disk, or unfinished when the torrent was paused or stopped.
    pub given_up: u64,
    /// Parts of blocks whose connection ended.
    pub cut_off: u64,
}

impl Waste {
    /// All of it, bytes.
    pub fn total(&self) -> u64 {
        self.bad + self.unwanted + self.given_up + self.cut_off
    }
}

impl std::ops::AddAssign for Waste {
    fn add_assign(&mut self, other: Waste) {
        self.bad += other.bad;
        self.unwanted += other.unwanted;
        self.given_up += other.given_up;
        self.cut_off += other.cut_off;
    }
}

/// Figures of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStats {
    /// Which.
    pub key: PeerKey,
    /// Its address.
    pub addr: SocketAddr,
    /// Who opened it.
    pub direction: Direction,
    /// Who it says it is.
    pub peer_id: PeerId,
    /// What it offers.
    pub reserved: Reserved,
    /// Pieces that it has.
    pub pieces: u32,
    /// Payload received from it, bytes.
    pub downloaded: u64,
    /// Payload sent to it, bytes.
    pub uploaded: u64,
    /// Payload from it, bytes per second.
    pub down_rate: u64,
    /// Payload to it, bytes per second.
    pub up_rate: u64,
    /// It does not serve us.
    pub choking_us: bool,
    /// It wants something of us.
    pub interested_in_us: bool,
    /// We do not serve it.
    pub choked: bool,
    /// We want something of it.
    pub interesting: bool,
    /// It was asked and did not answer in time.
    pub snubbed: bool,
    /// Blocks asked of it and not here yet.
    pub requests: usize,
    /// Blocks that it asked for and did not get yet.
    pub queued: usize,
}
