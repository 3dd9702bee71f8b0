//! What an index is opened for.

/// What an index is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To serve: the schema is migrated, everything works.
    Full,
    /// To look beside a running server: nothing is made or migrated, and only the reads work.
    ReadOnly,
}
