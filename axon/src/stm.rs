//! Values that several threads change without waiting for each other (Kamaelia: `Axon/STM.py`).
//!
//! A [`Store`] keeps versioned values. Who wants to change some takes private copies, works on them as long as it
//! likes, and commits; the commit is refused if somebody else committed one of them meanwhile.
//!
//! ```
//! use axon::stm::{Store, StmError};
//!
//! let accounts: Store<i64> = Store::new();
//! let mut d = accounts.using(["one", "two", "mine"])?;
//! d.set("one", 50)?;
//! d.set("two", 100)?;
//! d.commit()?;
//!
//! let mut d = accounts.using(["one", "two", "mine"])?;
//! let sum = d.value("one").unwrap_or(&0) + d.value("two").unwrap_or(&0);
//! d.set("mine", sum)?;
//!
//! let mut quicker = accounts.usevar("one")?;
//! quicker.set(0);
//! quicker.commit()?;
//!
//! assert_eq!(d.commit(), Err(StmError::ConcurrentUpdate)); // to be done again, from the start
//! # Ok::<(), StmError>(())
//! ```

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// Why the store did not do what was asked; nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StmError {
    /// Somebody else commits or reads at this moment. Asking again is right, without doing the work again.
    BusyRetry,
    /// Somebody else has committed a value since the copy was taken. The work has to be done again on new copies.
    ConcurrentUpdate,
    /// The collection has no value of that name; it has those that [`Store::using`] was asked for.
    NotInCollection(String),
}

impl fmt::Display for StmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BusyRetry => f.write_str("the store is busy, try again"),
            Self::ConcurrentUpdate => f.write_str("a value was updated meanwhile, do the work again"),
            Self::NotInCollection(key) => write!(f, "{key:?} is not in the collection"),
        }
    }
}

impl std::error::Error for StmError {}

/// Versioned values by name, shared between threads. A clone is the same store.
///
/// The lock is tried and never waited for (AX-STM-05), so a component can use a store without stopping the others of
/// its scheduler. Values are copied in and out with `Clone` (AX-STM-06); a type whose clones share something, such as
/// an `Arc`, is shared as far as that goes.
pub struct Store<T>(Arc<Mutex<Entries<T>>>);

type Entries<T> = BTreeMap<String, Entry<T>>;

struct Entry<T> {
    version: u64,
    value: Option<T>,
}

/// A private copy of one value of a store, and the version that it was taken at.
///
/// It belongs to the store that it came from and is committed there and nowhere else (D-44).
pub struct Value<T> {
    version: u64,
    value: Option<T>,
    key: String,
    store: Store<T>,
}

/// Private copies of several values, taken together and committed together.
pub struct Collection<T> {
    values: BTreeMap<String, Value<T>>,
    store: Store<T>,
}

impl<T: Clone> Store<T> {
    /// An empty store.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Entries::new())))
    }

    /// Takes a copy of a value; a name that is not known yet is made, with version 0 and no value (AX-STM-01).
    ///
    /// # Errors
    /// [`StmError::BusyRetry`].
    pub fn usevar(&self, key: impl Into<String>) -> Result<Value<T>, StmError> {
        let mut entries = self.try_lock()?;
        Ok(self.copy(&mut entries, key.into()))
    }

    /// Takes copies of several values at one moment (AX-STM-04).
    ///
    /// # Errors
    /// [`StmError::BusyRetry`].
    pub fn using<K: Into<String>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Collection<T>, StmError> {
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        let mut entries = self.try_lock()?;
        let values = keys.into_iter().map(|key| (key.clone(), self.copy(&mut entries, key))).collect();
        Ok(Collection { values, store: self.clone() })
    }

    fn copy(&self, entries: &mut Entries<T>, key: String) -> Value<T> {
        let entry = entries.entry(key.clone()).or_insert(Entry { version: 0, value: None });
        Value { version: entry.version, value: entry.value.clone(), key, store: self.clone() }
    }

    /// Writes all of the values or none.
    fn write(&self, values: &mut [&mut Value<T>]) -> Result<(), StmError> {
        // `Clone` and `Drop` of the values are foreign code: run outside the lock, a panic in it cannot leave half a
        // commit behind, and a slow one holds nobody up.
        let mut copies: Vec<Option<T>> = values.iter().map(|v| v.value.clone()).collect();
        {
            let mut entries = self.try_lock()?;
            let is_current = |v: &&mut Value<T>| entries.get(&v.key).is_some_and(|e| e.version == v.version);
            if !values.iter().all(is_current) {
                return Err(StmError::ConcurrentUpdate);
            }
            for (value, copy) in values.iter_mut().zip(&mut copies) {
                value.version += 1;
                if let Some(entry) = entries.get_mut(&value.key) {
                    entry.version = value.version;
                    std::mem::swap(&mut entry.value, copy);
                }
            }
        }
        Ok(())
    }
}

impl<T> Store<T> {
    fn try_lock(&self) -> Result<MutexGuard<'_, Entries<T>>, StmError> {
        match self.0.try_lock() {
            Ok(entries) => Ok(entries),
            // A `Clone` panicked while a copy was taken; that reads only.
            Err(TryLockError::Poisoned(e)) => Ok(e.into_inner()),
            Err(TryLockError::WouldBlock) => Err(StmError::BusyRetry),
        }
    }
}

impl<T: fmt::Debug> Store<T> {
    /// The text that [`Store::dump`] prints: a heading, then `key : Value(version, value)` for each name, in order of
    /// the names (AX-STM-07).
    ///
    /// # Errors
    /// [`StmError::BusyRetry`].
    pub fn dump_text(&self) -> Result<String, StmError> {
        let mut out = "DEBUG: Store dump ------------------------------\n".to_string();
        for (key, entry) in &*self.try_lock()? {
            out.push_str("      ");
            out.push_str(key);
            out.push_str(" : ");
            let _ = write_value(&mut out, entry.version, entry.value.as_ref()); // a string takes everything
            out.push('\n');
        }
        out.push('\n');
        Ok(out)
    }

    /// Prints the whole store to standard output.
    ///
    /// # Errors
    /// [`StmError::BusyRetry`].
    pub fn dump(&self) -> Result<(), StmError> {
        print!("{}", self.dump_text()?);
        Ok(())
    }
}

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone> Default for Store<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl<T> Value<T> {
    /// The version that this copy was taken or last committed at; 0 was never committed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The name of the value.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The copy; nothing if nobody has ever committed one.
    pub fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Changes the copy and nothing else (AX-STM-02). `None` is a value like any other: a fork that nobody holds, say.
    pub fn set(&mut self, value: impl Into<Option<T>>) {
        self.value = value.into();
    }
}

impl<T: Clone> Value<T> {
    /// Writes the copy to its store, with the next version; the copy gets that version too and can commit again
    /// (AX-STM-02).
    ///
    /// # Errors
    /// [`StmError::ConcurrentUpdate`] unless the store still has the version that this copy was taken at (AX-STM-03,
    /// D-44); [`StmError::BusyRetry`].
    pub fn commit(&mut self) -> Result<(), StmError> {
        let store = self.store.clone();
        store.write(&mut [self])
    }
}

/// `Value(<version>, <value>)`, where nothing is `None` (AX-STM-07).
impl<T: fmt::Debug> fmt::Display for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(f, self.version, self.value.as_ref())
    }
}

impl<T: fmt::Debug> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T> Collection<T> {
    /// The value of that name, if the collection has it.
    pub fn get(&self, key: &str) -> Option<&Value<T>> {
        self.values.get(key)
    }

    /// The copy under that name; nothing if the collection does not have it, or nobody has ever committed one.
    pub fn value(&self, key: &str) -> Option<&T> {
        self.get(key)?.value()
    }

    /// The names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(|k| &**k)
    }

    /// Changes a copy and nothing else.
    ///
    /// # Errors
    /// [`StmError::NotInCollection`].
    pub fn set(&mut self, key: &str, value: impl Into<Option<T>>) -> Result<(), StmError> {
        let slot = self.values.get_mut(key).ok_or_else(|| StmError::NotInCollection(key.into()))?;
        slot.set(value);
        Ok(())
    }
}

impl<T: Clone> Collection<T> {
    /// Writes all copies to the store, or none (AX-STM-04).
    ///
    /// # Errors
    /// [`StmError::ConcurrentUpdate`] if any of the values was committed by somebody else meanwhile;
    /// [`StmError::BusyRetry`].
    pub fn commit(&mut self) -> Result<(), StmError> {
        let mut values: Vec<&mut Value<T>> = self.values.values_mut().collect();
        self.store.write(&mut values)
    }
}

impl<T: fmt::Debug> fmt::Debug for Collection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.values).finish()
    }
}

fn write_value<T: fmt::Debug>(out: &mut impl Write, version: u64, value: Option<&T>) -> fmt::Result {
    match value {
        Some(value) => write!(out, "Value({version}, {value:?})"),
        None => write!(out, "Value({version}, None)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody outside can make one, but the check must not be "older than": a copy of a newer version is as wrong.
    #[test]
    fn d44_a_copy_that_is_newer_than_the_store_is_refused() {
        let store: Store<u8> = Store::new();
        let mut value = store.usevar("h").unwrap();
        value.version = 5;
        assert_eq!(value.commit(), Err(StmError::ConcurrentUpdate));
        assert_eq!((value.version(), store.usevar("h").unwrap().version()), (5, 0));
    }
}
