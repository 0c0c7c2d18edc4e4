//! A TCP connection and what waits to be sent on it.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};

use mio::net::TcpStream;

/// A non-blocking connection with its send queue.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: TcpStream,
    queue: VecDeque<Chunk>,
    /// Bytes of the first chunk that are sent.
    sent: usize,
    /// Bytes that the system took since this was asked last.
    written: u64,
}

/// Blocks of a chunk that was handed to the network as a whole.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Number of blocks; 0 for protocol messages.
    pub(crate) blocks: u32,
    /// Their payload, bytes.
    pub(crate) payload: u64,
    /// The buffer, to be used again.
    pub(crate) buf: Vec<u8>,
}

/// How a read or write left the socket.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The socket may have more, or take more, right now.
    More,
    /// Wait until the system says that it is ready.
    Blocked,
    /// The peer closed its side.
    Closed,
}

#[derive(Debug)]
struct Chunk {
    data: Vec<u8>,
    blocks: u32,
    payload: u64,
}

impl Conn {
    /// A connection with nothing to send.
    pub(crate) fn new(stream: TcpStream) -> Conn {
        Conn { stream, queue: VecDeque::new(), sent: 0, written: 0 }
    }

    /// The socket, for registration.
    pub(crate) fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Whether the attempt to connect has succeeded; `None` while it goes on.
    pub(crate) fn connected(&self) -> Option<io::Result<()>> {
        match self.stream.take_error() {
            Ok(Some(e)) | Err(e) => return Some(Err(e)),
            Ok(None) => {}
        }
        match self.stream.peer_addr() {
            Ok(_) => Some(Ok(())),
            // A wake without cause; see mio, "Spurious events".
            Err(e) if e.kind() == io::ErrorKind::NotConnected => None,
            Err(e) => Some(Err(e)),
        }
    }

    /// Reads once. A read that does not fill `buf` has emptied the socket.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<(usize, Progress)> {
        loop {
            match self.stream.read(buf) {
                Ok(0) => return Ok((0, Progress::Closed)),
                Ok(n) if n < buf.len() => return Ok((n, Progress::Blocked)),
                Ok(n) => return Ok((n, Progress::More)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok((0, Progress::Blocked)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Reads once into several places in turn. A read that does not fill them has emptied the socket.
    pub(crate) fn read_scattered(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<(usize, Progress)> {
        let room: usize = slices.iter().map(|slice| slice.len()).sum();
        loop {
            match self.stream.read_vectored(slices) {
                Ok(0) => return Ok((0, Progress::Closed)),
                Ok(n) if n < room => return Ok((n, Progress::Blocked)),
                Ok(n) => return Ok((n, Progress::More)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok((0, Progress::Blocked)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// A buffer at the end of the queue to which protocol bytes can be appended.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        if self.queue.back().is_none_or(|chunk| chunk.blocks > 0) {
            self.queue.push_back(Chunk { data: Vec::new(), blocks: 0, payload: 0 });
        }
        match self.queue.back_mut() {
            Some(chunk) => &mut chunk.data,
            None => unreachable!("a chunk was pushed above"),
        }
    }

    /// Queues a buffer of framed blocks.
    pub(crate) fn push_blocks(&mut self, data: Vec<u8>, blocks: u32, payload: u64) {
        self.queue.push_back(Chunk { data, blocks, payload });
    }

    /// Buffers of blocks that wait.
    pub(crate) fn waiting_reads(&self) -> usize {
        self.queue.iter().filter(|chunk| chunk.blocks > 0).count()
    }

    /// Bytes that the system took since the last call, whether payload or protocol.
    pub(crate) fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written)
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.queue.iter().map(|chunk| chunk.data.len()).sum::<usize>() - self.sent
    }

    /// Sends once, from as many chunks as the system takes together. Chunks that are through are given to `sent`.
    pub(crate) fn flush(&mut self, mut sent: impl FnMut(Sent)) -> io::Result<Progress> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        let mut total = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.queue) {
            let from = if count == 0 { self.sent } else { 0 };
            *slice = IoSlice::new(&chunk.data[from..]);
            total += slice.len();
            count += 1;
        }
        if total == 0 {
            self.queue.clear();
            self.sent = 0;
            return Ok(Progress::Blocked);
        }
        let written = loop {
            match self.stream.write_vectored(&slices[..count]) {
                Ok(n) => break n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(e) => return Err(e),
            }
        };
        self.sent += written;
        self.written += written as u64;
        while let Some(first) = self.queue.front()
            && self.sent >= first.data.len()
        {
            self.sent -= first.data.len();
            if let Some(chunk) = self.queue.pop_front() {
                sent(Sent { blocks: chunk.blocks, payload: chunk.payload, buf: chunk.data });
            }
        }
        // A short write has filled the socket; the system reports when there is room again.
        Ok(if written < total { Progress::Blocked } else { Progress::More })
    }
}

/// Slices given to the system at once: two reads of blocks with protocol messages between, and some.
const MAX_SLICES: usize = 8;
