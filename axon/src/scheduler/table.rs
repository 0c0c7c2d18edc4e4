//! The table of a scheduler's processes.

use std::rc::Rc;

use crate::microprocess::Process;

/// A slab, so that wakers can name a process by a number; each entry remembers when it came.
#[derive(Default)]
pub(crate) struct Table {
    slots: Vec<Option<(Rc<Process>, u64)>>,
    free: Vec<u32>,
    serial: u64,
    len: usize,
}

impl Table {
    pub(crate) fn insert(&mut self, process: Rc<Process>) {
        let key = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("a process takes more than 4 bytes of memory")
        });
        process.set_key(key);
        self.serial += 1;
        self.len += 1;
        self.slots[key as usize] = Some((process, self.serial));
    }

    pub(crate) fn remove(&mut self, process: &Process) {
        if self.get(process.key(), process.id().get()).is_some() {
            self.slots[process.key() as usize] = None;
            self.free.push(process.key());
            self.len -= 1;
        }
    }

    /// The process with that key, if it is still the one of that number.
    pub(crate) fn get(&self, key: u32, id: u64) -> Option<&Rc<Process>> {
        let (process, _) = self.slots.get(key as usize)?.as_ref()?;
        (process.id().get() == id).then_some(process)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, in the order of insertion.
    pub(crate) fn in_order(&self) -> Vec<Rc<Process>> {
        let mut all: Vec<_> = self.slots.iter().flatten().collect();
        all.sort_by_key(|(_, serial)| *serial);
        all.into_iter().map(|(p, _)| p.clone()).collect()
    }

    /// Takes all of them out, in the order of insertion.
    pub(crate) fn take(&mut self) -> Vec<Rc<Process>> {
        let slots = std::mem::take(&mut self.slots);
        *self = Self { serial: self.serial, ..Self::default() };
        let mut all: Vec<_> = slots.into_iter().flatten().collect();
        all.sort_by_key(|(_, serial)| *serial);
        all.into_iter().map(|(p, _)| p).collect()
    }
}
