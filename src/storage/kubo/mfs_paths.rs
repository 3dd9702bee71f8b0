//! Where everything stands in the node's MFS, below the folder that the settings name:
//!
//! ```text
//! roots/<seq>                 the registry: `public` and `private`; the highest number counts
//! content/<ab>/<hex>          each stored blob, by its sha256; no manifest of one leaf as a push stores it
//! held/<id>.<session>.<n>     what an upload under way has sent
//! held/commit-<seq>.<session> the new blocks of a commit under way
//! ```
//!
//! A collection keeps what is below a name and nothing else, so whatever is sent is named before.

use crate::ipld::{Block, Cid, Directory, Entry};
use crate::oci::CanonicalDigest;

/// What the names of a commit's blocks begin with; uploads have other names.
const COMMIT: &str = "commit-";

/// The paths below one folder.
#[derive(Debug, Clone)]
pub(super) struct MfsPaths(String);

impl MfsPaths {
    /// Takes a folder, without a slash at its end.
    pub(super) fn new(root: &str) -> Self {
        Self(root.to_owned())
    }

    pub(super) fn root(&self) -> &str {
        &self.0
    }

    pub(super) fn roots(&self) -> String {
        format!("{}/roots", self.0)
    }

    pub(super) fn snapshot(&self, seq: u64) -> String {
        format!("{}/roots/{seq}", self.0)
    }

    pub(super) fn all_staged(&self) -> String {
        format!("{}/held", self.0)
    }

    pub(super) fn staged(&self, name: &str) -> String {
        format!("{}/held/{name}", self.0)
    }

    pub(super) fn all_content(&self) -> String {
        format!("{}/content", self.0)
    }

    /// Where content stands whose digest begins with these two characters.
    pub(super) fn shard(&self, shard: &str) -> String {
        format!("{}/content/{shard}", self.0)
    }

    pub(super) fn content(&self, digest: &CanonicalDigest) -> String {
        let hex = digest.hex();
        format!("{}/content/{}/{hex}", self.0, &hex[..2])
    }

    /// The name of the pins that a cleaning needs for a while.
    pub(super) fn pin(&self) -> String {
        format!("roadstead-cleaning:{}", self.0)
    }

    /// The name of the pins of published roots.
    pub(super) fn published_pin(&self) -> String {
        format!("roadstead-published:{}", self.0)
    }
}

/// The name for what the upload `id` sends in a session.
pub(super) fn part(id: &str, session: &str, number: u32) -> String {
    format!("{id}.{session}.{number}")
}

/// The name for the blocks of the commit that is to be number `seq`.
pub(super) fn commit(seq: u64, session: &str, number: usize) -> String {
    format!("{COMMIT}{seq}.{session}.{number}")
}

/// What a staged name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// An upload, by its id.
    Upload(&'a str),
    /// The commit of that number.
    Commit(u64),
}

/// Returns what a staged name belongs to; none if it is no name of ours.
pub(super) fn owner(name: &str) -> Option<Owner<'_>> {
    let (id, _) = name.split_once('.')?;
    match id.strip_prefix(COMMIT) {
        Some(seq) => seq.parse().ok().map(Owner::Commit),
        None => Some(Owner::Upload(id)),
    }
}

/// The folders of a registry as they are before anything is in them, `content`, `held` and `roots`: the block of
/// each, and all blocks.
pub(super) fn skeleton() -> ([Block; 3], Vec<Block>) {
    let mut blocks = Vec::new();
    let empty = directory(&[], &mut blocks);
    let shards: Vec<(String, Entry)> =
        (0..=255_u8).map(|byte| (format!("{byte:02x}"), empty.clone())).collect();
    let content = directory(&shards, &mut blocks);
    let block = |entry: &Entry| {
        let found = blocks.iter().find(|block| block.cid == entry.cid);
        found.expect("each was made above").clone()
    };
    ([block(&content), block(&empty), block(&empty)], blocks)
}

/// Makes a small directory; what names an entry is taken from beside it.
pub(super) fn directory(entries: &[(String, Entry)], blocks: &mut Vec<Block>) -> Entry {
    let mut directory = Directory::empty();
    let mut nothing = |cid: &Cid| Err::<bytes::Bytes, Cid>(*cid);
    for (name, entry) in entries {
        let entry = Entry { name: name.clone(), ..entry.clone() };
        directory.insert(entry, &mut nothing).expect("so few entries need no other block");
    }
    let (cid, size) = directory.flush(&mut |block| blocks.push(block), &mut |_| ());
    if entries.is_empty() {
        // An empty one counts as stored from the beginning.
        blocks.push(Block::dag_pb(bytes::Bytes::from_static(b"\x0a\x02\x08\x01")));
    }
    Entry { name: String::new(), cid, size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staged_name_contains_its_owner() {
        assert_eq!(owner(&part("0193-ab", "5f", 3)), Some(Owner::Upload("0193-ab")));
        assert_eq!(owner(&commit(17, "5f", 0)), Some(Owner::Commit(17)));
        assert_eq!(owner("anything"), None);
        assert_eq!(owner("commit-x.1"), None);
    }

    #[test]
    fn the_skeleton_has_every_block_that_it_names() {
        let (tops, blocks) = skeleton();
        let known = |cid: &Cid| blocks.iter().any(|block| block.cid == *cid);
        assert!(tops.iter().all(|top| known(&top.cid)));
        for block in &blocks {
            let links = crate::ipld::links(&block.cid, &block.bytes).unwrap();
            assert!(links.iter().all(|link| known(&link.cid)), "{}", block.cid);
        }
    }
}
