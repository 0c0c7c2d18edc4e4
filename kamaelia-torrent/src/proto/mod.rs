//! The protocol without input or output: bytes and `now` come in; bytes, events and the next deadline go out.
//!
//! Nothing below this module opens a socket or a file, reads a clock, starts a thread or draws unseeded random
//! numbers; `tests/sans_io.rs` searches the sources for them.

pub mod announce;
pub mod bencode;
pub mod bitfield;
pub mod buffer;
pub mod choker;
pub mod extension;
pub mod geometry;
pub mod handshake;
pub mod info_hash;
pub mod limit;
pub mod metainfo;
pub mod parts;
pub mod path;
pub mod peer;
pub mod picker;
pub mod pipeline;
pub mod rate;
pub mod resume;
pub mod selection;
pub mod stored;
pub mod torrent;
pub mod tracker;
pub mod wire;

pub use bitfield::{Bitfield, BitfieldError};
pub use geometry::{BLOCK_LEN, BlockRequest, Fetch, Geometry, GeometryError, PieceIndex};
pub use info_hash::InfoHash;
pub use metainfo::{FileEntry, Metainfo, MetainfoError};
pub use selection::{Priority, Selection};
