//! Lists in pages.

/// Which part of a list is read.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// The end of the page before; none for the first one.
    pub after: Option<&'a str>,
    /// How many at the most.
    pub limit: u32,
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins; none after the last one.
    pub next: Option<String>,
}

impl PageRequest<'_> {
    /// The most that a page has.
    pub const MOST: u32 = 200;

    pub(super) fn limit(&self) -> u32 {
        self.limit.clamp(1, Self::MOST)
    }

    /// Returns how many are read: one more than are shown tells whether there is a next page.
    pub(super) fn read(&self) -> u32 {
        self.limit() + 1
    }

    /// Returns the number after which the page begins.
    pub(super) fn number(&self) -> Option<i64> {
        self.after.and_then(|after| after.parse().ok())
    }

    /// Makes a page of what was read; `end` is what the next one begins after.
    pub(super) fn page<T>(&self, mut items: Vec<T>, end: impl Fn(&T) -> String) -> Page<T> {
        let limit = self.limit() as usize;
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(end);
        Page { items, next }
    }
}

impl<T> Page<T> {
    /// Makes a page of other things.
    pub(super) fn map<U>(self, with: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(with).collect(), next: self.next }
    }
}
