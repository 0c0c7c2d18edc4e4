//! A list in the order of insertion from which anything can be taken out, at a cost that does not grow with its length.

/// Values by rising numbers. A value that is taken out leaves a hole; holes are closed when they are the greater part.
pub(crate) struct Ordered<T> {
    items: Vec<(u64, Option<T>)>,
    next: u64,
    holes: usize,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: 0, holes: 0 }
    }
}

impl<T> Ordered<T> {
    /// Appends a value; the number it can be found by.
    pub(crate) fn push(&mut self, value: T) -> u64 {
        let number = self.next;
        self.next += 1;
        self.items.push((number, Some(value)));
        number
    }

    fn position(&self, number: u64) -> Option<usize> {
        self.items.binary_search_by_key(&number, |(n, _)| *n).ok()
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.items[self.position(number)?].1.as_ref()
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let at = self.position(number)?;
        let value = self.items[at].1.take()?;
        self.holes += 1;
        if self.holes * 2 > self.items.len() {
            self.items.retain(|(_, v)| v.is_some());
            self.holes = 0;
            if self.items.capacity() > 4 * self.items.len() + 16 {
                self.items.shrink_to(2 * self.items.len());
            }
        }
        Some(value)
    }

    /// Takes everything out; numbers are not used again.
    pub(crate) fn take(&mut self) -> Self {
        let next = self.next;
        std::mem::replace(self, Self { next, ..Self::default() })
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len() - self.holes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.items.iter().filter_map(|(_, v)| v.as_ref())
    }

    /// The values with their numbers, oldest first.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u64, &T)> {
        self.items.iter().filter_map(|(n, v)| Some((*n, v.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_keeps_its_order_and_its_number() {
        let mut list = Ordered::default();
        let numbers: Vec<u64> = (0..1000).map(|v| list.push(v)).collect();
        for n in numbers.iter().filter(|n| *n % 3 != 0) {
            assert_eq!(list.remove(*n), Some(*n as i32));
            assert_eq!(list.remove(*n), None);
        }
        assert!(list.iter().copied().eq((0..1000).step_by(3)));
        assert!(list.numbered().all(|(n, v)| n == *v as u64));
        assert_eq!((list.len(), list.get(999), list.get(998)), (334, Some(&999), None));
        assert!(list.items.len() < 700, "holes are closed");
        let next = list.push(0);
        assert_eq!(list.take().len(), 335);
        assert!(list.is_empty() && list.push(0) > next);
    }
}
