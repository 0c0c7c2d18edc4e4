//! The steps of a read: what is verified is read from the disk and handed out, the rest is waited for.

use std::sync::Arc;
use std::time::Instant;

use super::chunk::{Credit, FileChunk};
use super::deadlines::piece_at;
use super::{Delivery, Engine, ReadId, Sink};
use crate::disk::DiskError;
use crate::engine::event::{Event, TorrentId};
use crate::proto::geometry::PieceIndex;

impl Engine {
    /// Something more of a torrent is verified: reads that wait for it go on.
    pub(in crate::engine) fn read_on(&mut self, now: Instant, id: TorrentId) {
        if self.streams.by_torrent.is_empty() {
            return;
        }
        for read in self.streams.by_torrent.get(&id).cloned().unwrap_or_default() {
            self.advance(now, read);
        }
    }

    /// The disk has read what was asked for.
    pub(in crate::engine) fn range_read(
        &mut self,
        now: Instant,
        token: u64,
        offset: u64,
        result: Result<Vec<u8>, DiskError>,
    ) {
        let id = ReadId(token);
        let Some(read) = self.streams.reads.get_mut(&id) else { return };
        read.reading = false;
        let asked = result.as_ref().map_or(0, Vec::len);
        let credit = Credit { len: std::mem::take(&mut read.asked), account: Arc::clone(&read.account) };
        debug_assert!(asked == 0 || asked == credit.len);
        // It may have jumped elsewhere meanwhile.
        if read.active && read.pos == offset {
            match result {
                Ok(bytes) => {
                    read.pos += bytes.len() as u64;
                    let chunk = FileChunk { offset: offset - read.base, bytes, credit };
                    match &read.sink {
                        Sink::Events => {
                            let torrent = read.torrent;
                            self.emit(Event::FileData { id: torrent, read: id, data: Arc::new(chunk) });
                        }
                        Sink::Reader { turn, data } => {
                            // Refused only when it is gone, which it says itself.
                            let _ = data.send(Delivery::Data { turn: *turn, chunk });
                        }
                    }
                }
                Err(error) => return self.range_failed(now, id, &error),
            }
        }
        self.advance(now, id);
    }

    /// A range could not be read: if that may be because it was changed, or is elsewhere now, it is waited for.
    fn range_failed(&mut self, now: Instant, id: ReadId, error: &DiskError) {
        let Some(read) = self.streams.reads.get_mut(&id) else { return };
        let (place, pos) = (read.place, read.pos);
        let piece = PieceIndex(piece_at(pos, read.piece_len));
        let Some(&t) = self.by_id.get(&read.torrent) else { return };
        let slot = &self.torrents[t];
        if place != slot.storage.place() || slot.ops.is_some() {
            return self.advance(now, id);
        }
        let lost = self.lost_data(now, t, error);
        // Of a torrent that is paused nothing is fetched, and no check of it began.
        if lost && !self.torrents[t].have().is_some_and(|have| have.get(piece)) {
            return self.advance(now, id);
        }
        self.finish(now, id, Some(error.to_string()));
    }

    /// Starts a read at an offset of its file.
    pub(super) fn begin(&mut self, id: ReadId, offset: u64, len: Option<u64>) {
        let Some(read) = self.streams.reads.get_mut(&id) else { return };
        read.pos = read.base.saturating_add(offset).min(read.end);
        if let Some(len) = len {
            read.end = read.pos.saturating_add(len).min(read.end);
        }
        (read.active, read.hurried) = (true, 0);
        self.advance(Instant::now(), id);
    }

    /// Takes the next step of a read, if it can be taken.
    pub(super) fn advance(&mut self, now: Instant, id: ReadId) {
        let Some(read) = self.streams.reads.get_mut(&id).filter(|read| read.active && !read.reading) else {
            return;
        };
        if read.pos >= read.end {
            return self.finish(now, id, None);
        }
        let Some(&t) = self.by_id.get(&read.torrent) else { return };
        self.hurry(now, id, t);
        let slot = &mut self.torrents[t];
        let (Some(read), Some(have)) = (self.streams.reads.get_mut(&id), slot.have()) else { return };
        let piece_len = read.piece_len;
        // As much as is verified and fits into a chunk.
        let most = read.end.min(read.pos + CHUNK_LEN);
        let first = piece_at(read.pos, piece_len);
        let mut piece = first;
        while u64::from(piece) * piece_len < most && have.get(PieceIndex(piece)) {
            piece += 1;
        }
        let until = most.min(u64::from(piece) * piece_len);
        let Some(len) = until.checked_sub(read.pos).filter(|len| *len > 0) else {
            if let Some(doubt) = &slot.doubt
                && doubt.holds(PieceIndex(first))
            {
                let error = slot.trouble.as_ref().map(|trouble| trouble.error.clone());
                let error = error.unwrap_or_else(|| "it is not there any more".to_owned());
                return self.finish(now, id, Some(error));
            }
            // It waits for this piece: whatever became of its deadline, it is needed now.
            if let Some(swarm) = &mut slot.swarm
                && swarm.deadline_of(PieceIndex(first)).is_none()
            {
                swarm.set_deadline(now, PieceIndex(first), now);
                self.touch(t);
            }
            return;
        };
        if slot.ops.is_some() {
            // The files are on their way; it goes on when they are there.
            return;
        }
        // At most CHUNK_LEN.
        let len = len as usize;
        if read.account.take(len) {
            (read.reading, read.asked) = (true, len);
            read.place = slot.storage.place();
            let pos = read.pos;
            slot.jobs += 1;
            slot.reads += 1;
            if slot.look_at.is_none() && slot.runs() {
                let next = self.next_look(now);
                self.torrents[t].look_at = Some(next);
                self.touch(t);
            }
            let slot = &self.torrents[t];
            self.disk.read_range(&slot.storage, id.0, pos, len);
        }
    }

    /// A read has come to its end, or cannot go on.
    fn finish(&mut self, now: Instant, id: ReadId, error: Option<String>) {
        self.calm(now, id);
        let Some(read) = self.streams.reads.get_mut(&id) else { return };
        read.active = false;
        match &read.sink {
            // It may go back and read on.
            Sink::Reader { turn, data } => {
                let _ = data.send(Delivery::End { turn: *turn, error });
            }
            Sink::Events => {
                let torrent = read.torrent;
                self.streams.remove(id);
                self.emit(Event::ReadEnded { id: torrent, read: id, error });
            }
        }
    }
}

/// Bytes handed out at a time.
const CHUNK_LEN: u64 = 256 * 1024;
