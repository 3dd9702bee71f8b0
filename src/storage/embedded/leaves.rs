//! The leaves of the file that content is, hashed as its bytes come.

use std::fs::File;
use std::io::Read;
use std::mem;

use cid::Cid;
use sha2::{Digest as _, Sha256};

use super::super::{Result, StorageError};
use super::Layout;
use crate::ipld::file::{CHUNK_SIZE, Spine};
use crate::ipld::raw_cid;
use crate::oci::CanonicalDigest;

/// The leaves so far. The first is not hashed apart from the whole.
pub(super) struct Leaves {
    pub(super) spine: Spine,
    /// Digests of finished leaves that no checkpoint has put beside the file yet.
    pub(super) fresh: Vec<[u8; 32]>,
    /// How many there are in all, and of those how many stand beside the file.
    pub(super) finished: u64,
    pub(super) saved: u64,
    pub(super) open: Sha256,
    pub(super) open_size: usize,
}

impl Leaves {
    pub(super) fn new() -> Self {
        Self {
            spine: Spine::new(),
            fresh: Vec::new(),
            finished: 0,
            saved: 0,
            open: Sha256::new(),
            open_size: 0,
        }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.open_size == CHUNK_SIZE {
                self.end_leaf();
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_SIZE - self.open_size));
            self.open.update(now);
            self.open_size += now.len();
            bytes = later;
        }
    }

    fn end_leaf(&mut self) {
        let digest: [u8; 32] = mem::take(&mut self.open).finalize().into();
        self.spine.push_leaf(digest, self.open_size as u64, &mut |_| ());
        self.fresh.push(digest);
        self.finished += 1;
        self.open_size = 0;
    }

    /// Returns the CID of the file and those of its leaves.
    pub(super) fn close(
        mut self,
        layout: &Layout,
        id: &str,
        size: u64,
        whole: CanonicalDigest,
    ) -> Result<(Cid, Vec<[u8; 32]>)> {
        if size <= CHUNK_SIZE as u64 {
            return Ok((raw_cid(whole.0), vec![whole.0]));
        }
        self.end_leaf();
        let mut leaves = Vec::with_capacity(usize::try_from(self.finished).unwrap_or_default());
        if self.saved > 0 {
            let path = layout.leaves(id);
            let saved = File::open(&path)
                .and_then(|file| {
                    let mut bytes = Vec::new();
                    file.take(self.saved * 32).read_to_end(&mut bytes)?;
                    Ok(bytes)
                })
                .map_err(|error| StorageError::io(format!("reading {}", path.display()), error))?;
            leaves.extend_from_slice(saved.as_chunks::<32>().0);
        }
        leaves.append(&mut self.fresh);
        Ok((self.spine.finish(&mut |_| ()).cid, leaves))
    }
}
