//! A disk that gives no more than it is told to.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::sync::{Arc, Condvar, Mutex};

use kamaelia_torrent::disk::DiskHook;

/// A disk of which no more can be read than was granted so far, bytes: what is left of that, and what was read.
#[derive(Clone, Default)]
pub struct Granted(Arc<(Mutex<(u64, u64)>, Condvar)>);

impl Granted {
    /// Lets so many more bytes be read.
    pub fn more(&self, bytes: u64) {
        self.0.0.lock().unwrap().0 += bytes;
        self.0.1.notify_all();
    }

    /// Stops whoever comes to the disk until what he wants is granted.
    pub fn hook(&self) -> DiskHook {
        let granted = self.clone();
        DiskHook::new(move |_, bytes| {
            let (left, changed) = &*granted.0;
            let mut left = changed.wait_while(left.lock().unwrap(), |left| left.0 < bytes).unwrap();
            *left = (left.0 - bytes, left.1 + bytes);
            Ok(())
        })
    }

    /// Bytes that were read so far.
    pub fn read(&self) -> u64 {
        self.0.0.lock().unwrap().1
    }
}
