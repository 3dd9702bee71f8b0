//! From bytes to a file.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::super::{Block, raw_cid};
use super::{CHUNK_SIZE, File, Interior, Spine};

/// Names a file while its bytes go by, in pieces of any length. Holds no content.
#[derive(Debug, Clone, Default)]
pub struct FileHasher {
    spine: Spine,
    chunk: Sha256,
    filled: usize,
}

impl FileHasher {
    /// An empty file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes.
    pub fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_SIZE - self.filled));
            self.chunk.update(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == CHUNK_SIZE {
                self.end_chunk();
            }
        }
    }

    /// Names the file.
    #[must_use]
    pub fn finish(mut self) -> File {
        if self.filled > 0 {
            self.end_chunk();
        }
        self.spine.finish(&mut drop)
    }

    fn end_chunk(&mut self) {
        let digest = self.chunk.finalize_reset().into();
        self.spine.push_leaf(digest, self.filled as u64, &mut drop);
        self.filled = 0;
    }
}

/// Makes all blocks of a file that is in memory, children before parents. The leaves share its memory.
#[must_use]
pub fn build(content: &Bytes, sink: &mut impl FnMut(Block)) -> File {
    let mut spine = Spine::new();
    if content.is_empty() {
        sink(Block::raw(Bytes::new()));
    }
    for start in (0..content.len()).step_by(CHUNK_SIZE) {
        let end = content.len().min(start + CHUNK_SIZE);
        let bytes = content.slice(start..end);
        let digest = Sha256::digest(&bytes).into();
        sink(Block { cid: raw_cid(digest), bytes });
        spine.push_leaf(digest, (end - start) as u64, &mut |node: Interior| sink(node.block));
    }
    spine.finish(&mut |node: Interior| sink(node.block))
}
