//! The kind of what stands at a path of a tree.

/// What stands at a path of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file of that many bytes.
    File(u64),
    /// A directory.
    Directory,
}
