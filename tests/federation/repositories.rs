//! Repositories of the publisher, as both registries serve them.

use crate::common::repository::Repository;
use crate::federation::operators::{DOMAIN, Operators};

impl Operators {
    /// A repository of the publisher.
    pub(crate) fn own(&self, name: &str) -> Repository<'_> {
        Repository::of(&self.publisher, name)
    }

    /// The same as the other one serves it.
    pub(crate) fn foreign(&self, name: &str) -> Repository<'_> {
        Repository::of(&self.other, &format!("{DOMAIN}/{name}"))
    }
}
