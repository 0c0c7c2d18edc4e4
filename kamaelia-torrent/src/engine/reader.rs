//! A file of a torrent as a `Read` and `Seek`, for ordinary code.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use mio::Waker;

use super::stream::{Delivery, FileChunk, Order, ReadId};
use super::wake;

/// A file of a torrent, to be read while it comes. Made by [`Engine::open_file`](super::Engine::open_file).
///
/// Reading waits until the bytes are verified; a jump makes what lies there come next. Nothing is fetched on its account
/// before the first read. It belongs to any thread but the one that turns the engine, which would wait for itself.
pub struct FileReader {
    read: ReadId,
    len: u64,
    pos: u64,
    timeout: Option<Duration>,
    /// Counts the jumps: what was sent before the last one is not wanted any more.
    turn: u64,
    /// The engine knows where to read.
    on_course: bool,
    chunk: Option<FileChunk>,
    orders: Sender<Order>,
    waker: Arc<Waker>,
    data: Receiver<Delivery>,
}

impl FileReader {
    pub(super) fn new(
        read: ReadId,
        len: u64,
        orders: Sender<Order>,
        waker: Arc<Waker>,
        data: Receiver<Delivery>,
    ) -> FileReader {
        let (pos, turn) = (0, 0);
        FileReader { read, len, pos, timeout: None, turn, on_course: false, chunk: None, orders, waker, data }
    }

    /// Length of the file, bytes.
    #[allow(clippy::len_without_is_empty, reason = "a file, not a collection")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// How long a read may wait for data; then it fails with [`io::ErrorKind::TimedOut`], and may be tried again.
    /// `None`, as at the beginning: for ever.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    fn order(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).map_err(|_| ended())?;
        wake(&self.waker);
        Ok(())
    }

    fn next(&self) -> io::Result<Delivery> {
        match self.timeout {
            None => self.data.recv().map_err(|_| ended()),
            Some(timeout) => self.data.recv_timeout(timeout).map_err(|e| match e {
                RecvTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
                RecvTimeoutError::Disconnected => ended(),
            }),
        }
    }
}

impl Read for FileReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if buf.is_empty() || self.pos >= self.len {
                return Ok(0);
            }
            let here = self.chunk.as_ref().and_then(|chunk| {
                let from = usize::try_from(self.pos.checked_sub(chunk.offset())?).ok()?;
                chunk.get(from..).filter(|rest| !rest.is_empty())
            });
            if let Some(rest) = here {
                let n = rest.len().min(buf.len());
                let (place, used) = (&mut buf[..n], n == rest.len());
                place.copy_from_slice(&rest[..n]);
                self.pos += n as u64;
                if used {
                    // Makes room for the next one at once.
                    self.chunk = None;
                }
                return Ok(n);
            }
            self.chunk = None;
            if !self.on_course {
                self.order(Order::Seek { read: self.read, turn: self.turn, offset: self.pos })?;
                self.on_course = true;
            }
            match self.next()? {
                Delivery::Data { turn, chunk } if turn == self.turn => self.chunk = Some(chunk),
                Delivery::End { turn, error: Some(error) } if turn == self.turn => {
                    // A later read asks again.
                    (self.turn, self.on_course) = (self.turn + 1, false);
                    return Err(io::Error::other(error));
                }
                // What was under way before a jump.
                Delivery::Data { .. } | Delivery::End { .. } => {}
            }
        }
    }
}

impl Seek for FileReader {
    /// Goes elsewhere in the file, also beyond its end, where nothing is to be read. The engine learns of it with the
    /// next read.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let pos = match to {
            SeekFrom::Start(pos) => Some(pos),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.pos.checked_add_signed(by),
        };
        let pos = pos.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("seek to before the start of the file: {to:?}"),
            )
        })?;
        let within = |chunk: &FileChunk| (chunk.offset()..chunk.offset() + chunk.len() as u64).contains(&pos);
        if pos != self.pos && !self.chunk.as_ref().is_some_and(within) {
            (self.turn, self.on_course, self.chunk) = (self.turn + 1, false, None);
        }
        self.pos = pos;
        Ok(pos)
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        // Refused only when the engine is gone, and the read with it.
        let _ = self.order(Order::Stop(self.read));
    }
}

impl fmt::Debug for FileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileReader({} of {} bytes)", self.pos, self.len)
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the engine or the torrent has ended")
}
