//! The linkages that one component made (Kamaelia: `Axon/Postoffice.py`).

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use crate::boxes::SlotRef;
use crate::component::{AnyInstance, Microprocess};
use crate::error::LinkError;
use crate::linkage::{LinkEnd, LinkOptions, LinkTo, Linkage, link_with};
use crate::microprocess::Process;
use crate::ordered::Ordered;

/// A register of links. When the component that owns it ends, all of them are undone, whoever their ends belong to.
#[derive(Default)]
pub struct Postoffice {
    debug_name: String,
    links: Ordered<Linkage>,
    index: Option<Index>,
}

/// The numbers of the links at each component; kept only if there are many. What was undone is found in it until it is
/// dropped, which happens when that is the greater part.
#[derive(Default)]
struct Index {
    numbers: HashMap<*const Process, Vec<u64>>,
    entries: usize,
}

impl Postoffice {
    /// An empty register without a name.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty register; the name shows in its text form, followed by `:debug ` (AX-PO-01).
    pub fn with_name(name: &str) -> Self {
        Self { debug_name: name.to_string(), ..Self::default() }
    }

    /// Makes a link and registers it (AX-PO-03).
    ///
    /// # Errors
    /// [`LinkError`]; nothing is registered then.
    pub fn link<K: LinkEnd>(&mut self, source: impl LinkTo<K>, sink: K) -> Result<Linkage, LinkError> {
        self.link_with(source, sink, LinkOptions::new())
    }

    /// Makes a link with options and registers it.
    ///
    /// # Errors
    /// [`LinkError`]; nothing is registered then.
    pub fn link_with<K: LinkEnd>(
        &mut self,
        source: impl LinkTo<K>,
        sink: K,
        options: LinkOptions,
    ) -> Result<Linkage, LinkError> {
        let linkage = link_with(source, sink, options)?;
        let number = self.links.push(linkage.clone());
        linkage.set_number(number);
        if let Some(index) = &mut self.index {
            index.add(number, &linkage);
        }
        Ok(linkage)
    }

    fn number_of(&self, linkage: &Linkage) -> Option<u64> {
        linkage.number().filter(|n| self.links.get(*n) == Some(linkage))
    }

    /// Undoes a link if it is registered here; otherwise nothing (AX-PO-04).
    pub fn unlink(&mut self, linkage: &Linkage) {
        if let Some(number) = self.number_of(linkage) {
            self.remove(number);
        }
    }

    /// Undoes every link registered here that has an end at the component (AX-PO-05).
    pub fn unlink_component(&mut self, component: impl Into<AnyInstance>) {
        let component = component.into();
        let process = component.process();
        if self.links.len() < FEW {
            return self.unlink_where(|l| l.touches(process));
        }
        let index = self.index.get_or_insert_with(|| Index::of(&self.links));
        for number in index.numbers.remove(&Rc::as_ptr(process)).unwrap_or_default() {
            self.remove(number);
        }
    }

    /// Undoes every link registered here that has an end at the box.
    pub(crate) fn unlink_slot(&mut self, slot: &SlotRef) {
        self.unlink_where(|l| l.touches_slot(slot));
    }

    fn unlink_where(&mut self, matches: impl Fn(&Linkage) -> bool) {
        let hits: Vec<u64> = self.links.numbered().filter(|(_, l)| matches(l)).map(|(n, _)| n).collect();
        for number in hits {
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) {
        if let Some(linkage) = self.links.remove(number) {
            linkage.unlink();
        }
        // Each link has two entries.
        if self.index.as_ref().is_some_and(|i| i.entries > 4 * self.links.len() + FEW) {
            self.index = None;
        }
    }

    /// Undoes all, oldest first (AX-PO-06).
    pub fn unlink_all(&mut self) {
        self.index = None;
        for l in self.links.take().iter() {
            l.unlink();
        }
    }

    /// How often a link is registered here: 0 or 1 (AX-PO-08).
    pub fn is_registered(&self, linkage: &Linkage) -> usize {
        usize::from(self.number_of(linkage).is_some())
    }

    /// The links, oldest first.
    pub fn linkages(&self) -> Vec<Linkage> {
        self.links.iter().cloned().collect()
    }

    /// Its text under another debug name; a component's is worked out when somebody asks, not kept.
    pub(crate) fn text_of(&self, debug_name: &str) -> String {
        let debug = if debug_name.is_empty() { String::new() } else { format!("{debug_name}:debug ") };
        format!("{{{{ POSTOFFICE: {debug}links {:?} }}}}", self.linkages())
    }
}

impl Index {
    fn of(links: &Ordered<Linkage>) -> Self {
        let mut index = Self::default();
        links.numbered().for_each(|(n, l)| index.add(n, l));
        index
    }

    fn add(&mut self, number: u64, linkage: &Linkage) {
        for owner in linkage.owners() {
            self.numbers.entry(owner).or_default().push(number);
            self.entries += 1;
        }
    }
}

/// Links that are looked through one by one.
const FEW: usize = 32;

/// The text of AX-PO-02.
impl fmt::Display for Postoffice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text_of(&self.debug_name))
    }
}
