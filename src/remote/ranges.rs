//! Parts of files, read from the blocks that they touch: each is checked against the root of the file, and none is
//! fetched that no part touches.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use futures_util::StreamExt;
use futures_util::stream::try_unfold;

use super::leaves::{Coming, Leaves};
use super::{ByteStream, Remote, RemoteError, Result, race};
use crate::ipld::{Scope, Traversal};

/// How many blocks of a part are fetched at a time.
const WIDTH: usize = 4;

/// A part in transit.
struct Part {
    leaves: Arc<Leaves>,
    remote: Remote,
    traversal: Traversal,
    /// The blocks that come next.
    coming: HashMap<Cid, Coming>,
    pieces: VecDeque<Bytes>,
}

/// Reads bytes of a file, which are not none, through the blocks that are here.
pub(super) fn read(
    leaves: Arc<Leaves>,
    remote: Remote,
    file: Cid,
    range: &Range<u64>,
) -> Result<ByteStream> {
    let scope = Scope::Entity(Some(race::range(range)?));
    let traversal = Traversal::new(file, [], scope)?;
    let pieces = traversal.inlined().content.iter().cloned().collect();
    let part = Part { leaves, remote, traversal, coming: HashMap::new(), pieces };
    let bytes = try_unfold(part, |mut part| async move {
        let piece = part.next().await?;
        Ok(piece.map(|piece| (piece, part)))
    });
    Ok(bytes.boxed())
}

impl Part {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(Some(piece));
            }
            let upcoming = self.traversal.upcoming(WIDTH);
            let Some(first) = upcoming.first() else { return Ok(None) };
            self.coming.retain(|cid, _| upcoming.contains(cid));
            for cid in &upcoming {
                if !self.coming.contains_key(cid) {
                    self.coming.insert(*cid, self.leaves.get(&self.remote, *cid));
                }
            }
            let leaf = self.coming[first].clone().await.map_err(RemoteError::from)?;
            let block = leaf.read().await?;
            self.pieces.extend(self.traversal.supply(&block)?.content);
        }
    }
}
