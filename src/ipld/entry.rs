//! A named link of a directory.

use cid::Cid;

/// No CID made by sha2-256 is shorter; only those are that hold their content inline.
pub(super) const SHORTEST_CID: usize = 34;

/// A named link to a file, a directory or a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name: not empty. Whether `/` or `..` make sense is not checked here.
    pub name: String,
    /// The root of what is linked.
    pub cid: Cid,
    /// How many bytes all blocks below the link take (Tsize).
    pub size: u64,
}
