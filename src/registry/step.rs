//! The steps of a commit.

/// A point between two steps, for tests to stop at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Enqueued,
    Checked,
    #[cfg(test)]
    HalfApplied,
    Applied,
    Recorded,
    /// Rows of content are gone, and its bytes are not.
    Forgotten,
    /// Its bytes are set aside, and that is not noted.
    SetAside,
    /// Content is stored again, and not yet linked.
    Restored,
    /// It is linked, and may still be noted as lost.
    Relinked,
}
