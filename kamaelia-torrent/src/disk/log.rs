//! One file for the records of ten thousand torrents: a log that is only ever appended to.
//!
//! A file for each record would cost two flushes of the medium for each torrent that is saved; here a batch of records
//! of any number of torrents costs one. Of several records with one key the last counts; when more of the file is
//! outdated than not, it is written afresh and takes the place of the old one in one step.
//!
//! ```text
//! log    = "kamaelia-torrent log 1\n" record*
//! record = length of body (u32, little endian), first 8 bytes of the SHA-1 of body, body
//! body   = 1 or 2 (put or delete), key (20 bytes), value
//! ```
//!
//! A crash leaves at most an incomplete record at the end, which was never reported as saved: it is cut off. What is
//! damaged otherwise ends the log too, but then the file as it was found is kept beside it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::beneath::{self, Access, Dir};

/// What a record is about: an info hash.
pub(crate) type Key = [u8; 20];

/// A log of records by key.
#[derive(Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    name: &'static str,
    file: File,
    /// Where the next record goes.
    end: u64,
    /// Bytes of records that count.
    live: u64,
    places: HashMap<Key, Place>,
    /// Records that are not written yet, and what they are about.
    pending: Vec<u8>,
    changes: Vec<(Key, Option<Place>)>,
}

/// Where a value lies.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    offset: u64,
    len: u32,
}

/// The values of a log as they were at one moment, in the order in which they were put; readable from any thread.
#[derive(Debug)]
pub(crate) struct LogReader {
    file: File,
    places: Vec<(Key, Place)>,
}

impl LogReader {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The values, one after the other; an error is that of one value.
    pub(crate) fn values(&self) -> impl Iterator<Item = (Key, io::Result<Vec<u8>>)> + '_ {
        self.places.iter().map(|(key, place)| (*key, read(&self.file, *place)))
    }
}

impl Log {
    /// Opens the log of that name in a folder, or begins it.
    ///
    /// # Errors
    ///
    /// What the system reports. A damaged log is no error: what can be read of it counts.
    pub(crate) fn open(dir: &Path, name: &'static str) -> io::Result<Log> {
        let handle = Dir::open(dir, true)?;
        let file = handle.open_file(name.as_ref(), Access::Write)?;
        let len = file.metadata()?.len();
        let found = scan(BufReader::with_capacity(COPY, &file), len)?;
        let mut log = Log {
            dir: dir.to_owned(),
            name,
            file,
            end: found.end,
            live: found.places.values().map(|place| place.record_len()).sum(),
            places: found.places,
            pending: Vec::new(),
            changes: Vec::new(),
        };
        match found.rest {
            Rest::Nothing => {}
            Rest::Torn => log.file.set_len(log.end)?,
            Rest::Damaged => {
                let kept = dir.join(format!("{name}.damaged"));
                log::warn!(
                    "{} is damaged at byte {}; it is kept as {}",
                    dir.join(name).display(),
                    log.end,
                    kept.display()
                );
                std::fs::copy(dir.join(name), kept)?;
                log.file.set_len(log.end)?;
            }
        }
        if log.end == 0 {
            beneath::write_all_at(&log.file, MAGIC, 0)?;
            log.end = MAGIC.len() as u64;
        }
        Ok(log)
    }

    /// Whether there is a value.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        match self.changes.iter().rev().find(|(changed, _)| changed == key) {
            Some((_, place)) => place.is_some(),
            None => self.places.contains_key(key),
        }
    }

    /// The value of a key, also one that is not committed yet.
    ///
    /// # Errors
    ///
    /// It cannot be read any more.
    pub(crate) fn get(&self, key: &Key) -> io::Result<Option<Vec<u8>>> {
        let changed = self.changes.iter().rev().find(|(changed, _)| changed == key).map(|(_, place)| *place);
        match changed.unwrap_or_else(|| self.places.get(key).copied()) {
            None => Ok(None),
            Some(place) if place.offset >= self.end => {
                let from = (place.offset - self.end) as usize;
                Ok(self.pending.get(from..from + place.len as usize).map(<[u8]>::to_vec))
            }
            Some(place) => read(&self.file, place).map(Some),
        }
    }

    /// Puts a value in the place of an older one; [`commit`](Log::commit) makes it last.
    ///
    /// # Errors
    ///
    /// The value is too long.
    pub(crate) fn put(&mut self, key: Key, value: &[u8]) -> io::Result<()> {
        if value.len() > MAX_VALUE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the record is too long"));
        }
        self.append(PUT, key, value);
        let len = value.len() as u32;
        let offset = self.end + self.pending.len() as u64 - u64::from(len);
        self.changes.push((key, Some(Place { offset, len })));
        Ok(())
    }

    /// Takes a value away; [`commit`](Log::commit) makes it last. Harmless if there is none.
    pub(crate) fn delete(&mut self, key: Key) {
        if self.contains(&key) {
            self.append(DELETE, key, &[]);
            self.changes.push((key, None));
        }
    }

    fn append(&mut self, kind: u8, key: Key, value: &[u8]) {
        let body = [&[kind][..], &key, value].concat();
        self.pending.extend_from_slice(&(body.len() as u32).to_le_bytes());
        self.pending.extend_from_slice(&sum(&body));
        self.pending.extend_from_slice(&body);
    }

    /// Brings what was put and deleted to the medium, all with one flush. Costs nothing if there is nothing.
    ///
    /// # Errors
    ///
    /// What the system reports (a full disk, say). Then the log is as it was before, without what was to be written.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let (pending, changes) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.changes));
        let written =
            beneath::write_all_at(&self.file, &pending, self.end).and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            // What was written of it would be taken for a damaged record.
            if let Err(e) = self.file.set_len(self.end) {
                log::warn!("{}: {e}", self.dir.join(self.name).display());
            }
            return Err(e);
        }
        self.end += pending.len() as u64;
        for (key, place) in changes {
            let old = match place {
                Some(place) => {
                    self.live += place.record_len();
                    self.places.insert(key, place)
                }
                None => self.places.remove(&key),
            };
            self.live -= old.map_or(0, |old| old.record_len());
        }
        if self.end > 2 * self.live + SLACK {
            // What is there is good without that.
            self.compact().unwrap_or_else(|e| log::warn!("{}: {e}", self.dir.join(self.name).display()));
        }
        Ok(())
    }

    /// All values as they are now.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub(crate) fn reader(&self) -> io::Result<LogReader> {
        let mut places: Vec<_> = self.places.iter().map(|(key, place)| (*key, *place)).collect();
        places.sort_unstable_by_key(|(_, place)| place.offset);
        Ok(LogReader { file: self.file.try_clone()?, places })
    }

    /// Writes the log afresh without what is outdated. A crash leaves the old one or the new one.
    fn compact(&mut self) -> io::Result<()> {
        let reader = self.reader()?;
        let dir = Dir::open(&self.dir, false)?;
        let new_name = format!("{}.new", self.name);
        let file = dir.open_file(new_name.as_ref(), Access::Write)?;
        file.set_len(0)?;
        let mut new = Log {
            dir: self.dir.clone(),
            name: self.name,
            file,
            end: 0,
            live: self.live,
            places: HashMap::with_capacity(self.places.len()),
            pending: MAGIC.to_vec(),
            changes: Vec::new(),
        };
        for (key, value) in reader.values() {
            new.put(key, &value?)?;
            if new.pending.len() > COPY {
                new.spill()?;
            }
        }
        new.spill()?;
        new.file.sync_data()?;
        std::fs::rename(self.dir.join(new_name), self.dir.join(self.name))?;
        dir.sync()?;
        *self = new;
        Ok(())
    }

    /// Writes what is pending, without a flush.
    fn spill(&mut self) -> io::Result<()> {
        beneath::write_all_at(&self.file, &self.pending, self.end)?;
        self.end += self.pending.len() as u64;
        self.pending.clear();
        self.places.extend(self.changes.drain(..).filter_map(|(key, place)| Some((key, place?))));
        Ok(())
    }
}

impl Place {
    fn record_len(self) -> u64 {
        HEADER as u64 + BODY as u64 + u64::from(self.len)
    }
}

/// What a log was found to hold.
struct Found {
    places: HashMap<Key, Place>,
    /// Where the last good record ends; 0 if not even the first line is there.
    end: u64,
    rest: Rest,
}

/// What comes after the last good record.
enum Rest {
    Nothing,
    /// The beginning of a record: the writer was interrupted.
    Torn,
    /// Something else.
    Damaged,
}

fn scan(mut input: impl Read, len: u64) -> io::Result<Found> {
    let mut found = Found { places: HashMap::new(), end: 0, rest: Rest::Nothing };
    let mut magic = [0; MAGIC.len()];
    let n = len.min(MAGIC.len() as u64) as usize;
    input.read_exact(&mut magic[..n])?;
    if magic[..n] != *MAGIC {
        let torn = MAGIC.starts_with(&magic[..n]);
        found.rest = if n == 0 {
            Rest::Nothing
        } else if torn {
            Rest::Torn
        } else {
            Rest::Damaged
        };
        return Ok(found);
    }
    found.end = MAGIC.len() as u64;
    let mut body = Vec::new();
    while found.end < len {
        let left = len - found.end;
        let mut header = [0; HEADER];
        if left < HEADER as u64 {
            found.rest = Rest::Torn;
            break;
        }
        input.read_exact(&mut header)?;
        let (size, expected) = header.split_at(4);
        let size = size.try_into().map_or(0, u32::from_le_bytes) as usize;
        if !(BODY..=BODY + MAX_VALUE).contains(&size) {
            found.rest = Rest::Damaged;
            break;
        }
        if left < (HEADER + size) as u64 {
            found.rest = Rest::Torn;
            break;
        }
        body.resize(size, 0);
        input.read_exact(&mut body)?;
        let (kind, key) = (body[0], body[1..BODY].try_into().unwrap_or([0; 20]));
        if sum(&body) != expected || !matches!(kind, PUT | DELETE) {
            // The system may have made the file longer before the data was there.
            let last = left == (HEADER + size) as u64;
            found.rest = if last { Rest::Torn } else { Rest::Damaged };
            break;
        }
        let offset = found.end + (HEADER + BODY) as u64;
        match kind {
            PUT => found.places.insert(key, Place { offset, len: (size - BODY) as u32 }),
            _ => found.places.remove(&key),
        };
        found.end += (HEADER + size) as u64;
    }
    Ok(found)
}

/// Reads any bytes as a log and tells how many values it has, for tests and fuzz targets.
#[doc(hidden)]
pub fn scan_log(bytes: &[u8]) -> usize {
    // Reading from memory does not fail.
    scan(bytes, bytes.len() as u64).map_or(0, |found| found.places.len())
}

fn read(file: &File, place: Place) -> io::Result<Vec<u8>> {
    let mut value = vec![0; place.len as usize];
    beneath::read_exact_vectored_at(file, &mut [io::IoSliceMut::new(&mut value)], place.offset)?;
    Ok(value)
}

fn sum(body: &[u8]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..]: [u8; 20] = Sha1::digest(body).into();
    [a, b, c, d, e, f, g, h]
}

const MAGIC: &[u8; 23] = b"kamaelia-torrent log 1\n";
const PUT: u8 = 1;
const DELETE: u8 = 2;
/// Bytes before the body of a record.
const HEADER: usize = 12;
/// Bytes of a body without its value.
const BODY: usize = 21;
/// Longest value, bytes: that of a resume record or a .torrent file, with reserve.
const MAX_VALUE: usize = 32 * 1024 * 1024;
/// Outdated bytes that are never worth a new file.
const SLACK: u64 = 1024 * 1024;
/// Bytes read and written at a time.
const COPY: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "test.log";

    fn key(n: u8) -> Key {
        [n; 20]
    }

    fn values(log: &Log) -> Vec<(u8, Vec<u8>)> {
        log.reader().unwrap().values().map(|(key, value)| (key[0], value.unwrap())).collect()
    }

    fn three(dir: &Path) -> Log {
        let mut log = Log::open(dir, NAME).unwrap();
        log.put(key(1), b"one").unwrap();
        log.put(key(2), b"two").unwrap();
        log.commit().unwrap();
        log.put(key(3), b"").unwrap();
        log.put(key(1), b"uno").unwrap();
        log.commit().unwrap();
        log
    }

    #[test]
    fn the_last_value_counts_also_after_a_restart() {
        let tmp = tempfile::tempdir().unwrap();
        let mut log = three(tmp.path());
        let expected = [(2, b"two".to_vec()), (3, vec![]), (1, b"uno".to_vec())];
        assert_eq!(values(&log), expected);
        log.delete(key(2));
        log.delete(key(9));
        assert_eq!((log.get(&key(2)).unwrap(), log.get(&key(1)).unwrap()), (None, Some(b"uno".to_vec())));
        log.put(key(2), b"again").unwrap();
        assert_eq!(log.get(&key(2)).unwrap(), Some(b"again".to_vec()), "also before it is committed");
        log.delete(key(2));
        log.commit().unwrap();
        drop(log);
        let log = Log::open(tmp.path(), NAME).unwrap();
        assert_eq!(values(&log), expected[1..]);
        assert!(log.contains(&key(3)) && !log.contains(&key(2)));
    }

    #[test]
    fn a_crash_at_any_byte_loses_only_what_was_not_committed() {
        let tmp = tempfile::tempdir().unwrap();
        let mut log = Log::open(tmp.path(), NAME).unwrap();
        log.put(key(1), b"one").unwrap();
        log.commit().unwrap();
        let committed = log.end as usize;
        log.put(key(2), b"two").unwrap();
        log.commit().unwrap();
        let whole = std::fs::read(tmp.path().join(NAME)).unwrap();
        for cut in 0..whole.len() {
            let tmp = tempfile::tempdir().unwrap();
            let mut torn = whole[..cut].to_vec();
            for grown in [false, true] {
                if grown && cut > committed {
                    // The file has its length already, but not all of its data.
                    torn.resize(whole.len(), 0);
                }
                std::fs::write(tmp.path().join(NAME), &torn).unwrap();
                let mut log = Log::open(tmp.path(), NAME).unwrap();
                let expected = if cut >= committed { vec![(1, b"one".to_vec())] } else { vec![] };
                assert_eq!(values(&log), expected, "cut at {cut}");
                assert!(!tmp.path().join("test.log.damaged").exists() || (grown && cut < committed + HEADER));
                // Whatever a later run writes, nothing of the torn record comes after it.
                let len = std::fs::metadata(tmp.path().join(NAME)).unwrap().len();
                assert_eq!(len, log.end, "cut at {cut}: what is torn is cut off");
                log.put(key(3), b"more").unwrap();
                log.commit().unwrap();
                drop(log);
                assert_eq!(values(&Log::open(tmp.path(), NAME).unwrap()).len(), expected.len() + 1);
            }
        }
    }

    #[test]
    fn what_was_torn_does_not_come_back_after_a_shorter_record() {
        let tmp = tempfile::tempdir().unwrap();
        let mut log = Log::open(tmp.path(), NAME).unwrap();
        // Its value looks like a record, which must never be taken for one.
        let mut inner = Log::open(&tmp.path().join("inner"), NAME).unwrap();
        inner.append(PUT, key(9), b"never said");
        let long = [vec![0; "short".len()], std::mem::take(&mut inner.pending), vec![1; 100]].concat();
        log.put(key(2), &long).unwrap();
        log.commit().unwrap();
        drop(log);
        let path = tmp.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let mut log = Log::open(tmp.path(), NAME).unwrap();
        // Ends just where the other one begins.
        log.put(key(1), b"short").unwrap();
        log.commit().unwrap();
        drop(log);
        let log = Log::open(tmp.path(), NAME).unwrap();
        assert_eq!(values(&log), [(1, b"short".to_vec())]);
    }

    #[test]
    fn what_is_damaged_is_kept_aside_and_what_came_before_counts() {
        let tmp = tempfile::tempdir().unwrap();
        drop(three(tmp.path()));
        let mut bytes = std::fs::read(tmp.path().join(NAME)).unwrap();
        // In the second record.
        bytes[MAGIC.len() + HEADER + BODY + 3 + HEADER + BODY] ^= 1;
        std::fs::write(tmp.path().join(NAME), &bytes).unwrap();
        let log = Log::open(tmp.path(), NAME).unwrap();
        assert_eq!(values(&log), [(1, b"one".to_vec())]);
        assert_eq!(std::fs::read(tmp.path().join("test.log.damaged")).unwrap(), bytes);
        std::fs::write(tmp.path().join(NAME), b"something else").unwrap();
        assert!(values(&Log::open(tmp.path(), NAME).unwrap()).is_empty());
        assert_eq!(std::fs::read(tmp.path().join("test.log.damaged")).unwrap(), b"something else");
    }

    #[test]
    fn outdated_records_do_not_pile_up() {
        let tmp = tempfile::tempdir().unwrap();
        let mut log = Log::open(tmp.path(), NAME).unwrap();
        log.put(key(1), b"stays").unwrap();
        for n in 0..100u32 {
            log.put(key(2), &vec![n as u8; 100_000]).unwrap();
            log.commit().unwrap();
            assert!(log.end < 2_300_000, "{}", log.end);
        }
        drop(log);
        let log = Log::open(tmp.path(), NAME).unwrap();
        assert_eq!(values(&log), [(1, b"stays".to_vec()), (2, vec![99; 100_000])]);
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 1);
    }

    #[test]
    fn any_bytes_are_a_log() {
        let tmp = tempfile::tempdir().unwrap();
        drop(three(tmp.path()));
        let bytes = std::fs::read(tmp.path().join(NAME)).unwrap();
        assert_eq!(scan_log(&bytes), 3);
        for at in 0..bytes.len() {
            for value in [0, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                assert!(scan_log(&bytes) <= 3);
            }
        }
        assert_eq!(scan_log(b""), 0);
    }
}
