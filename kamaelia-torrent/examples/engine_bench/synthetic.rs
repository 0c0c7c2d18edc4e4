//! A torrent all pieces of which have the same content, so that any peer can serve any part of it from one piece in
//! memory, and a check of holes finds nothing.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use sha1::{Digest, Sha1};

use super::Outcome;
use super::options::Options;

/// The content of each piece.
pub(crate) fn piece(len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    fastrand::Rng::with_seed(len as u64).fill(&mut data);
    data
}

/// The bytes of a torrent of `total` bytes, a multiple of `piece_len`.
pub(crate) fn torrent(name: &str, total: u64, piece_len: usize) -> Vec<u8> {
    let count = total.div_ceil(piece_len as u64);
    let hash: [u8; 20] = Sha1::digest(piece(piece_len)).into();
    let (len, bytes) = (name.len(), count * 20);
    let mut out =
        format!("d4:infod6:lengthi{total}e4:name{len}:{name}12:piece lengthi{piece_len}e6:pieces{bytes}:")
            .into_bytes();
    (0..count).for_each(|_| out.extend_from_slice(&hash));
    out.extend_from_slice(b"ee");
    out
}

/// Writes the payload of a torrent into `dir`.
pub(crate) fn store(dir: &Path, name: &str, total: u64, piece_len: usize) -> Outcome {
    std::fs::create_dir_all(dir)?;
    let mut file = BufWriter::new(File::create(dir.join(name))?);
    let piece = piece(piece_len);
    for _ in 0..total / piece_len as u64 {
        file.write_all(&piece)?;
    }
    Ok(file.flush()?)
}

pub(crate) fn run(options: &Options) -> Outcome {
    let path = Path::new(options.word(0, "the file to write")?);
    let (total, piece_len) = (options.need::<u64>("total")?, options.need::<usize>("piece")?);
    if piece_len == 0 || !total.is_multiple_of(piece_len as u64) {
        return Err(format!("{total} bytes are no whole number of pieces of {piece_len}").into());
    }
    std::fs::write(path, torrent("payload.bin", total, piece_len))?;
    match options.get::<String>("data")? {
        Some(dir) => store(Path::new(&dir), "payload.bin", total, piece_len),
        None => Ok(()),
    }
}
