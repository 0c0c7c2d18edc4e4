//! What is read, and how much of it may be kept.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::Sender;
use mio::Waker;

use super::{Order, ReadId};
use crate::engine::wake;

/// Bytes of a file that is being read. Its memory counts against the read until it is dropped.
pub struct FileChunk {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) credit: Credit,
}

impl FileChunk {
    /// Where it lies in the file, bytes from the start.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes alone; from now on they do not count against the read.
    pub fn into_vec(self) -> Vec<u8> {
        drop(self.credit);
        self.bytes
    }
}

impl Deref for FileChunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq for FileChunk {
    fn eq(&self, other: &FileChunk) -> bool {
        (self.offset, &self.bytes) == (other.offset, &other.bytes)
    }
}

impl Eq for FileChunk {}

impl fmt::Debug for FileChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileChunk({} bytes at {})", self.bytes.len(), self.offset)
    }
}

/// What of a read is kept in memory.
pub(super) struct Account {
    read: ReadId,
    kept: AtomicUsize,
    /// The read waits for room.
    rests: AtomicBool,
    orders: Sender<Order>,
    waker: Arc<Waker>,
}

impl Account {
    pub(super) fn new(read: ReadId, orders: Sender<Order>, waker: Arc<Waker>) -> Arc<Account> {
        let (kept, rests) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Account { read, kept, rests, orders, waker })
    }

    /// Takes room for this much, or has it said when there is some.
    pub(super) fn take(&self, len: usize) -> bool {
        loop {
            let kept = self.kept.load(Ordering::SeqCst);
            if kept == 0 || kept + len <= MAX_KEPT {
                self.kept.fetch_add(len, Ordering::SeqCst);
                return true;
            }
            // A second look: room may have come before the flag was up.
            if self.rests.swap(true, Ordering::SeqCst) {
                return false;
            }
        }
    }
}

/// Gives room back when it is dropped.
pub(super) struct Credit {
    pub(super) len: usize,
    pub(super) account: Arc<Account>,
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.account.kept.fetch_sub(self.len, Ordering::SeqCst);
        if self.account.rests.swap(false, Ordering::SeqCst)
            && self.account.orders.send(Order::Freed(self.account.read)).is_ok()
        {
            wake(&self.account.waker);
        }
    }
}

/// Bytes kept at most of one read.
const MAX_KEPT: usize = 1024 * 1024;
