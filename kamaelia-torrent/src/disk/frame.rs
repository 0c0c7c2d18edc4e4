//! Blocks read straight into the messages that carry them.

use super::{DiskError, Storage};
use crate::proto::geometry::BlockRequest;

/// Bytes before the data of a `piece` message: length, id, piece, offset (BEP 3).
pub const PIECE_HEADER: usize = 4 + 1 + 4 + 4;

/// Fills `buf` with one `piece` message for each block, in order, reading neighbouring blocks together with `read`.
///
/// The data lands between the headers, so that the whole buffer goes to the socket with one call and no copy. `buf` is
/// made as long as the messages; what it held before is overwritten.
pub(crate) fn read_framed<E: From<DiskError>>(
    storage: &Storage,
    blocks: &[BlockRequest],
    buf: &mut Vec<u8>,
    read: impl Fn(u64, Vec<&mut [u8]>) -> Result<(), E>,
) -> Result<(), E> {
    let geometry = storage.geometry();
    let mut total = 0usize;
    for block in blocks {
        let offset = geometry.piece_offset(block.piece).saturating_add(block.begin.into());
        if !geometry.contains(block) || block.len > MAX_BLOCK {
            return Err(DiskError::Range { offset, len: block.len.into() }.into());
        }
        total += PIECE_HEADER + block.len as usize;
    }
    // Only growth is filled with zeros; a buffer that is used again costs nothing here.
    buf.resize(total, 0);
    let mut rest: &mut [u8] = buf;
    let mut run: Vec<&mut [u8]> = Vec::with_capacity(blocks.len());
    let mut start = 0;
    let mut end = 0;
    for block in blocks {
        let (header, tail) = rest.split_at_mut(PIECE_HEADER);
        let (payload, tail) = tail.split_at_mut(block.len as usize);
        rest = tail;
        // At most MAX_BLOCK + 9: fits.
        header[..4].copy_from_slice(&(block.len + 9).to_be_bytes());
        header[4] = PIECE_ID;
        header[5..9].copy_from_slice(&block.piece.0.to_be_bytes());
        header[9..].copy_from_slice(&block.begin.to_be_bytes());
        let offset = geometry.piece_offset(block.piece) + u64::from(block.begin);
        if offset != end && !run.is_empty() {
            read(start, std::mem::take(&mut run))?;
        }
        if run.is_empty() {
            start = offset;
        }
        end = offset + u64::from(block.len);
        run.push(payload);
    }
    if run.is_empty() { Ok(()) } else { read(start, run) }
}

/// BEP 3: id of a `piece` message.
const PIECE_ID: u8 = 7;
/// No client asks for more than 128 KiB at once, and the swarm side refuses more than that.
const MAX_BLOCK: u32 = 128 * 1024;
