//! The linkages that one component made (Kamaelia: `Axon/Postoffice.py`).

use std::fmt;

use crate::boxes::SlotRef;
use crate::component::{AnyInstance, Microprocess};
use crate::error::LinkError;
use crate::linkage::{LinkEnd, LinkOptions, LinkTo, Linkage, link_with};

/// A register of links. When the component that owns it ends, all of them are undone, whoever their ends belong to.
#[derive(Default)]
pub struct Postoffice {
    debug_name: String,
    links: Vec<Linkage>,
}

impl Postoffice {
    /// An empty register without a name.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty register; the name shows in its text form, followed by `:debug ` (AX-PO-01).
    pub fn with_name(name: &str) -> Self {
        Self { debug_name: name.to_string(), links: Vec::new() }
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
        self.links.push(linkage.clone());
        Ok(linkage)
    }

    /// Undoes a link if it is registered here; otherwise nothing (AX-PO-04).
    pub fn unlink(&mut self, linkage: &Linkage) {
        if let Some(at) = self.links.iter().position(|l| l == linkage) {
            self.links.remove(at).unlink();
        }
    }

    /// Undoes every link registered here that has an end at the component (AX-PO-05).
    pub fn unlink_component(&mut self, component: impl Into<AnyInstance>) {
        let component = component.into();
        self.unlink_where(|l| l.touches(component.process()));
    }

    /// Undoes every link registered here that has an end at the box.
    pub(crate) fn unlink_slot(&mut self, slot: &SlotRef) {
        self.unlink_where(|l| l.touches_slot(slot));
    }

    fn unlink_where(&mut self, matches: impl Fn(&Linkage) -> bool) {
        self.links.retain(|l| {
            let hit = matches(l);
            if hit {
                l.unlink();
            }
            !hit
        });
    }

    /// Undoes all, oldest first (AX-PO-06).
    pub fn unlink_all(&mut self) {
        for l in self.links.drain(..) {
            l.unlink();
        }
    }

    /// How often a link is registered here: 0 or 1 (AX-PO-08).
    pub fn is_registered(&self, linkage: &Linkage) -> usize {
        self.links.iter().filter(|l| *l == linkage).count()
    }

    /// The links, oldest first.
    pub fn linkages(&self) -> &[Linkage] {
        &self.links
    }

    /// Its text under another debug name; a component's is worked out when somebody asks, not kept.
    pub(crate) fn text_of(&self, debug_name: &str) -> String {
        let debug = if debug_name.is_empty() { String::new() } else { format!("{debug_name}:debug ") };
        format!("{{{{ POSTOFFICE: {debug}links {:?} }}}}", self.links)
    }
}

/// The text of AX-PO-02.
impl fmt::Display for Postoffice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text_of(&self.debug_name))
    }
}
