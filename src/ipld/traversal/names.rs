//! Directories: following a name, and listing.

use super::super::TraversalError;
use super::super::hamt::SlotContent;
use super::lookup::Answer;
use super::{Purpose, Step, Target, Traversal};

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
