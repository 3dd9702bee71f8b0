//! Files: which parts a range needs.

use bytes::Bytes;
use cid::Cid;

use super::super::{Node, TraversalError};
use super::{MAX_FILE_DEPTH, Purpose, Step, Traversal, excess};

impl Traversal {
    /// Takes the file, or a part of it, of which the block that links to it tells offset, size and depth.
    pub(super) fn take_part(
        &mut self,
        cid: Cid,
        bytes: &Bytes,
        node: Node,
        (offset, claimed, depth): (u64, u64, usize),
        step: &mut Step,
    ) -> Result<(), TraversalError> {
        let (actual, content, parts) = match node {
            Node::Leaf { size } => (size, bytes.clone(), Vec::new()),
            Node::File { size, content, parts } => (size, content, parts),
            Node::Directory(_) | Node::Shard(_) | Node::Symlink(_) => {
                return Err(TraversalError::NotAFile(Box::new(cid)));
            }
        };
        if actual != claimed {
            return Err(TraversalError::Length { cid: Box::new(cid), claimed, actual });
        }
        step.content.extend(self.window.cut(offset, &content));
        if !parts.is_empty() && depth == MAX_FILE_DEPTH {
            return Err(excess("nodes of a file above one another", MAX_FILE_DEPTH));
        }
        // No sum of them exceeds the size, which was checked where the node was read.
        let mut next = offset + content.len() as u64;
        let window = self.window;
        self.want(parts.into_iter().filter_map(|part| {
            let offset = next;
            next += part.size;
            let purpose = Purpose::Part { offset, size: part.size, depth: depth + 1 };
            window.meets(offset, part.size).then_some((part.cid, purpose))
        }))
    }
}
