//! The leaves of the file that content is, as far as they are finished.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;

use cid::Cid;

use super::super::{Result, StorageError};
use super::layout::Layout;
use crate::ipld::file::{CHUNK_SIZE, Spine};

/// The leaves so far.
pub(super) struct Leaves {
    spine: Spine,
    /// Digests of finished leaves that no checkpoint has put beside the file yet.
    fresh: Vec<[u8; 32]>,
    /// How many stand beside the file.
    saved: u64,
}

impl Leaves {
    pub(super) fn new() -> Self {
        Self { spine: Spine::new(), fresh: Vec::new(), saved: 0 }
    }

    /// Appends a leaf of full length.
    pub(super) fn push(&mut self, digest: [u8; 32]) {
        self.spine.push_leaf(digest, CHUNK_SIZE as u64, &mut drop);
        self.fresh.push(digest);
    }

    /// Puts fresh leaves beside the file, and returns the rest as bytes.
    pub(super) fn save(&mut self, layout: &Layout, id: &str) -> Result<Vec<u8>> {
        if !self.fresh.is_empty() {
            let path = layout.leaves(id);
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .and_then(|file| file.write_all_at(self.fresh.as_flattened(), self.saved * 32))
                .map_err(|error| StorageError::io(format!("writing {}", path.display()), error))?;
            self.saved += self.fresh.len() as u64;
            self.fresh.clear();
        }
        Ok(self.spine.to_bytes())
    }

    /// Goes on with the leaves that a file of that length had when they were saved; none where they
    /// do not fit it.
    pub(super) fn restore(layout: &Layout, id: &str, bytes: &[u8], length: u64) -> Option<Self> {
        let spine = Spine::from_bytes(bytes).ok()?;
        let chunk = CHUNK_SIZE as u64;
        let saved = length / chunk;
        if spine.size() != saved * chunk
            || (saved > 0 && layout.leaves(id).metadata().ok()?.len() < saved * 32)
        {
            return None;
        }
        Some(Self { spine, fresh: Vec::new(), saved })
    }

    /// Returns the CID of the file and its leaves, of which the last may be shorter than the others.
    pub(super) fn close(
        mut self,
        layout: &Layout,
        id: &str,
        size: u64,
        last: Option<[u8; 32]>,
    ) -> Result<(Cid, Vec<[u8; 32]>)> {
        if let Some(last) = last {
            if size > 0 {
                self.spine.push_leaf(last, size % CHUNK_SIZE as u64, &mut drop);
            }
            self.fresh.push(last);
        }
        let mut leaves = Vec::new();
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
        Ok((self.spine.finish(&mut drop).cid, leaves))
    }
}
