//! What a traversal tells.

use bytes::Bytes;
use cid::Cid;

use super::super::Entry;

/// What is at the end of the path, proved by the blocks so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nothing: the directory, or the one shard of it where the name would stand, does not have it. Or what
    /// the path leads through is a file or a symbolic link, which is never followed.
    Absent {
        /// How many names of the path do exist.
        found: usize,
    },
    /// A file.
    File {
        /// Its root.
        cid: Cid,
        /// How many bytes it holds.
        size: u64,
    },
    /// A directory.
    Directory {
        /// Its root.
        cid: Cid,
    },
    /// A symbolic link.
    Symlink {
        /// Its block.
        cid: Cid,
        /// What it points to; nothing is known of that.
        target: String,
    },
}

impl Target {
    /// The block that it begins with, where there is something.
    ///
    /// ```
    /// use roadstead::ipld::{Target, raw_cid};
    ///
    /// assert_eq!(Target::Absent { found: 1 }.cid(), None);
    /// assert_eq!(Target::Directory { cid: raw_cid([7; 32]) }.cid(), Some(raw_cid([7; 32])));
    /// ```
    #[must_use]
    pub fn cid(&self) -> Option<Cid> {
        match self {
            Self::Absent { .. } => None,
            Self::File { cid, .. } | Self::Directory { cid } | Self::Symlink { cid, .. } => {
                Some(*cid)
            }
        }
    }
}

/// What a block adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The next bytes of the file, cut to the requested part. They share the memory of the block.
    pub content: Vec<Bytes>,
    /// More entries of the directory, in no order but that of its blocks.
    pub entries: Vec<Entry>,
}

impl Step {
    /// Whether the block added neither content nor entries.
    ///
    /// ```
    /// use roadstead::ipld::Step;
    ///
    /// assert!(Step::default().is_empty());
    /// assert!(!Step { content: vec!["hello".into()], entries: Vec::new() }.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.is_empty() && self.entries.is_empty()
    }
}
