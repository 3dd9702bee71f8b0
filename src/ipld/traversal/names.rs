//! Directories: looking a name up, and listing them.

use std::collections::HashSet;

use bytes::Bytes;
use cid::Cid;

use super::super::hamt::{self, SlotContent};
use super::super::{DecodeError, Entry, Node, TraversalError, murmur};
use super::{Purpose, Step, Target, Traversal};

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

impl Traversal {
    /// Goes on where the next name leads.
    pub(super) fn follow(&mut self, answer: &Answer, depth: usize) -> Result<(), TraversalError> {
        match *answer {
            Answer::Absent => {
                self.target = Some(Target::Absent { found: self.found.len() });
                Ok(())
            }
            Answer::Entry(cid) => {
                self.path.pop_front();
                self.found.push(cid);
                self.want([(cid, Purpose::Path)])
            }
            Answer::Shard(cid) => self.want([(cid, Purpose::Lookup { depth: depth + 1 })]),
        }
    }

    /// Takes a shard of the directory that is listed.
    pub(super) fn list(
        &mut self,
        slots: Vec<(u8, SlotContent)>,
        path: &[u8],
        step: &mut Step,
    ) -> Result<(), TraversalError> {
        let mut shards = Vec::new();
        for (index, slot) in slots {
            match slot {
                SlotContent::Entry(entry) => step.entries.push(entry),
                SlotContent::Shard(cid) => {
                    shards.push((cid, Purpose::Listing { path: [path, &[index]].concat() }));
                }
            }
        }
        self.want(shards)
    }
}
