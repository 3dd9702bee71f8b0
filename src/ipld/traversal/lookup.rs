//! Looking a name up in a block of a directory.

use std::collections::HashSet;

use bytes::Bytes;
use cid::Cid;

use super::super::hamt::{self, SlotContent};
use super::super::{DecodeError, Entry, Node, murmur};

/// Where a name leads.
pub(super) enum Answer {
    /// Nowhere, and this is proved.
    Absent,
    /// To what has that name.
    Entry(Cid),
    /// To the shard that knows.
    Shard(Cid),
}

/// Looks for a name in a block that was described.
pub(super) fn look_up(
    name: &str,
    node: &Node,
    (cid, bytes): (&Cid, &Bytes),
) -> Result<Answer, DecodeError> {
    match node {
        Node::Directory(entries) => {
            check(entries)?;
            let found = entries.iter().find(|entry| entry.name == name);
            Ok(found.map_or(Answer::Absent, |entry| Answer::Entry(entry.cid)))
        }
        Node::Shard(_) => look_up_in_shard(name, 0, cid, bytes),
        // Nothing is below these.
        Node::Leaf { .. } | Node::File { .. } | Node::Symlink(_) => Ok(Answer::Absent),
    }
}

/// Looks for a name in the shard that stands so deep on its way.
pub(super) fn look_up_in_shard(
    name: &str,
    depth: usize,
    cid: &Cid,
    bytes: &Bytes,
) -> Result<Answer, DecodeError> {
    let hash = murmur::hash(name);
    let (path, rest) = hash.split_at(depth.min(hash.len()));
    let slots = hamt::read(*cid, bytes, path)?;
    let slot = slots.into_iter().find(|(index, _)| Some(index) == rest.first());
    Ok(match slot {
        Some((_, SlotContent::Entry(entry))) if entry.name == name => Answer::Entry(entry.cid),
        Some((_, SlotContent::Shard(cid))) => Answer::Shard(cid),
        Some((_, SlotContent::Entry(_))) | None => Answer::Absent,
    })
}

/// Accepts the entries of a directory that is one block, if each has a name of its own.
pub(super) fn check(entries: &[Entry]) -> Result<(), DecodeError> {
    let malformed = |reason| Err(DecodeError::Malformed { format: "directory", reason });
    if entries.iter().any(|entry| entry.name.is_empty()) {
        return malformed("an entry has no name");
    }
    let is_sorted = entries.is_sorted_by(|one, next| one.name < next.name);
    let mut names = HashSet::new();
    if !is_sorted && !entries.iter().all(|entry| names.insert(entry.name.as_str())) {
        return malformed("a name stands twice");
    }
    Ok(())
}
