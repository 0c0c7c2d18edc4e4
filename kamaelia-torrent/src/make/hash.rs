//! Reading and hashing what a torrent is made of.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, unbounded};

use super::{MakeError, MakeProgress, Source, io_error};
use crate::disk::batch::{Batch, claim, share};
use crate::disk::beneath;
use crate::proto::geometry::{Geometry, PieceIndex};

/// Hashes all pieces on several threads and reports from this one.
pub(super) fn hash(
    files: &[Source],
    geometry: Geometry,
    threads: usize,
    mut progress: impl FnMut(MakeProgress) -> ControlFlow<()>,
) -> Result<Vec<Vec<u8>>, MakeError> {
    let cores = || thread::available_parallelism().map_or(1, Into::into);
    let threads = if threads == 0 { cores() } else { threads };
    let workers = u32::try_from(threads).unwrap_or(u32::MAX).min(geometry.piece_count());
    let job = Job {
        files,
        geometry,
        next: AtomicU32::new(0),
        share: share(geometry.piece_count(), workers),
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let mut hashes = vec![Vec::new(); geometry.piece_count() as usize];
    let mut report = |job: &Job<'_>| {
        let done = job.done.load(Ordering::Relaxed);
        progress(MakeProgress { done, total: geometry.total_len() })
    };
    let outcome = thread::scope(|scope| {
        let (sender, results) = unbounded();
        for _ in 0..workers {
            let (job, sender) = (&job, sender.clone());
            scope.spawn(move || job.work_off(&sender));
        }
        drop(sender);
        let outcome = loop {
            match results.recv_timeout(Duration::from_millis(100)) {
                Ok(Ok((piece, hash))) => hashes[PieceIndex::as_usize(piece)] = hash,
                Ok(Err(error)) => break Err(error),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            }
            if report(&job).is_break() {
                break Err(MakeError::Cancelled);
            }
        };
        job.stop.store(true, Ordering::Relaxed);
        outcome
    });
    outcome.map(|()| hashes)
}

struct Job<'a> {
    files: &'a [Source],
    geometry: Geometry,
    next: AtomicU32,
    /// Pieces that a thread takes at a time.
    share: u32,
    done: AtomicU64,
    stop: AtomicBool,
}

impl Job<'_> {
    fn work_off(&self, results: &Sender<Result<(PieceIndex, Vec<u8>), MakeError>>) {
        let mut open = OpenFiles(Vec::new());
        let mut batch = Batch::default();
        let mut scratch = Vec::new();
        loop {
            for piece in claim(&self.next, self.geometry.piece_count(), self.share) {
                batch.push(self.geometry, PieceIndex(piece));
            }
            if batch.is_empty() {
                return;
            }
            while !batch.is_empty() {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                batch.ask_ahead(|at, len| self.ask_ahead(at, len, &mut open));
                let mut failed = false;
                let read = |at, place: &mut [u8]| self.read(at, place, &mut open);
                let hashed = batch.advance(&mut scratch, read, |piece, hash| {
                    failed |= hash.is_err();
                    let _ = results.send(hash.map(|hash| (piece, hash.to_vec())));
                });
                self.done.fetch_add(hashed, Ordering::Relaxed);
                if failed {
                    return;
                }
            }
        }
    }

    /// The files under a range of the stream: the number of each, the offset in it and the length.
    fn segments(&self, mut at: u64, len: u64) -> impl Iterator<Item = (usize, u64, u64)> {
        let end = at + len;
        // The last file that begins at or before `at`; empty files before it begin there too.
        let first = self.files.partition_point(|f| f.offset <= at).saturating_sub(1);
        self.files.iter().enumerate().skip(first).take_while(move |(_, f)| f.offset < end).filter_map(
            move |(i, file)| {
                let offset = at - file.offset;
                let n = end.min(file.offset + file.len).saturating_sub(at);
                at += n;
                (n > 0).then_some((i, offset, n))
            },
        )
    }

    fn read(&self, at: u64, mut place: &mut [u8], open: &mut OpenFiles) -> Result<(), MakeError> {
        for (i, offset, len) in self.segments(at, place.len() as u64) {
            let file = &self.files[i];
            // A segment is never longer than the range it was cut from.
            let (head, tail) = place.split_at_mut(len as usize);
            place = tail;
            let handle = open.get(i, &file.path).map_err(|e| io_error(&file.path, e))?;
            beneath::read_exact_vectored_at(handle, &mut [IoSliceMut::new(head)], offset).map_err(
                |e| match e.kind() {
                    io::ErrorKind::UnexpectedEof => MakeError::Changed(file.path.clone()),
                    _ => io_error(&file.path, e),
                },
            )?;
        }
        Ok(())
    }

    fn ask_ahead(&self, at: u64, len: u64, open: &mut OpenFiles) {
        // To open a small file twice would take longer than it saves.
        for (i, offset, len) in self.segments(at, len).filter(|(.., len)| *len >= WORTH_ASKING) {
            if let Ok(handle) = open.get(i, &self.files[i].path) {
                beneath::advise(handle, offset, len);
            }
        }
    }
}

/// The files read last, the latest at the end.
struct OpenFiles(Vec<(usize, File)>);

impl OpenFiles {
    fn get(&mut self, index: usize, path: &Path) -> io::Result<&File> {
        let entry = match self.0.iter().rposition(|(i, _)| *i == index) {
            Some(at) => self.0.remove(at),
            None => {
                let file = File::open(path)?;
                if self.0.len() >= OPEN_FILES {
                    self.0.remove(0);
                }
                (index, file)
            }
        };
        self.0.push(entry);
        // Just pushed.
        Ok(&self.0[self.0.len() - 1].1)
    }
}

/// Files that each thread keeps open: one for each piece that is hashed at the same time.
const OPEN_FILES: usize = 16;
/// Bytes of a file for which the system is asked before they are read.
const WORTH_ASKING: u64 = 256 * 1024;
