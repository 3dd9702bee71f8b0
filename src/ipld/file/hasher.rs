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
    ///
    /// ```
    /// use roadstead::ipld::{Block, file::FileHasher};
    ///
    /// assert_eq!(FileHasher::new().finish().cid, Block::raw("".into()).cid);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes.
    ///
    /// ```
    /// use roadstead::ipld::{Block, file::FileHasher};
    ///
    /// let mut hasher = FileHasher::new();
    /// hasher.append(b"hel");
    /// hasher.append(b"lo");
    /// assert_eq!(hasher.finish().cid, Block::raw("hello".into()).cid, "a small file is one leaf");
    /// ```
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
    ///
    /// ```
    /// use roadstead::ipld::file::{CHUNK_SIZE, FileHasher};
    ///
    /// let mut hasher = FileHasher::new();
    /// hasher.append(&vec![0; CHUNK_SIZE + 1]);
    /// let file = hasher.finish();
    /// assert_eq!(file.size, CHUNK_SIZE as u64 + 1);
    /// assert!(file.dag_size > file.size, "a node links two leaves");
    /// ```
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
///
/// ```
/// use roadstead::ipld::file::{CHUNK_SIZE, build};
///
/// let mut blocks = Vec::new();
/// let file = build(&vec![0; CHUNK_SIZE + 1].into(), &mut |block| blocks.push(block));
/// assert_eq!(blocks.len(), 3, "two leaves and a node");
/// assert_eq!(blocks[2].cid, file.cid);
/// ```
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
