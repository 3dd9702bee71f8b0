//! What a block of a foreign tree is, for code that reads or walks it.

use bytes::Bytes;
use cid::Cid;

use super::block::{DAG_PB, RAW};
use super::unixfs::{self, Kind};
use super::{Block, DecodeError, Entry, dag_pb};

const FORMAT: &str = "UnixFS node";

/// What a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Content as it stands: a leaf, or a file of one chunk.
    Leaf {
        /// How many bytes it holds.
        size: u64,
    },
    /// A file, or a part of one.
    File {
        /// How many bytes it holds in all.
        size: u64,
        /// The bytes that stand in the block itself, before those of the parts; only files of older
        /// profiles have them.
        content: Bytes,
        /// What follows, in order.
        parts: Vec<Part>,
    },
    /// A directory that is one block.
    Directory(Vec<Entry>),
    /// A shard of a directory. The first two characters of a link's name are its slot in hexadecimal;
    /// a link without more of a name leads to another shard.
    Shard(Vec<Entry>),
    /// A symbolic link.
    Symlink(String),
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The block at its root.
    pub cid: Cid,
    /// How many bytes of content are below it.
    pub size: u64,
    /// How many bytes its blocks take (Tsize), as the block that links to it claims.
    pub dag_size: u64,
}

/// Says what a block is. Reads more than Roadstead writes: nodes of older profiles, modes and times.
///
/// The bytes are taken for those of the CID: [`Block::verify`] first what comes from elsewhere.
///
/// ```
/// use roadstead::ipld::{Block, Node, describe, symlink};
///
/// let leaf = Block::raw("hello".into());
/// assert_eq!(describe(&leaf.cid, &leaf.bytes)?, Node::Leaf { size: 5 });
/// let link = symlink("../hello");
/// assert_eq!(describe(&link.cid, &link.bytes)?, Node::Symlink("../hello".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the bytes are not UnixFS, or the sizes of a file contradict each other.
pub fn describe(cid: &Cid, bytes: &Bytes) -> Result<Node, DecodeError> {
    match cid.codec() {
        RAW => return Ok(Node::Leaf { size: bytes.len() as u64 }),
        DAG_PB => {}
        _ => return Err(DecodeError::Unsupported("codec of a block")),
    }
    let node = dag_pb::decode(bytes)?;
    let data = unixfs::decode(&node.data)?;
    match data.kind {
        Kind::File | Kind::Raw => file(&node.links, data),
        Kind::Directory => Ok(Node::Directory(node.links)),
        Kind::Shard => Ok(Node::Shard(node.links)),
        Kind::Symlink => match String::from_utf8(data.content.into()) {
            Ok(target) => Ok(Node::Symlink(target)),
            Err(_) => Err(malformed("the target of a symbolic link is not UTF-8")),
        },
    }
}

fn file(links: &[Entry], data: unixfs::Data) -> Result<Node, DecodeError> {
    if links.len() != data.block_sizes.len() {
        return Err(malformed("a file does not tell the length of each part"));
    }
    let size = data
        .block_sizes
        .iter()
        .try_fold(data.content.len() as u64, |sum, &part| sum.checked_add(part))
        .ok_or_else(|| malformed("the length of a file exceeds 64 bits"))?;
    if data.size.is_some_and(|claimed| claimed != size) {
        return Err(malformed("the length of a file is not that of its parts"));
    }
    let parts = links
        .iter()
        .zip(data.block_sizes)
        .map(|(link, size)| Part { cid: link.cid, size, dag_size: link.size })
        .collect();
    Ok(Node::File { size, content: data.content, parts })
}

/// The links of a block, whatever it is, in its order: for walks that only follow CIDs.
///
/// ```
/// use roadstead::ipld::{links, pin_node, raw_cid};
///
/// let node = pin_node(&[raw_cid([7; 32]), raw_cid([8; 32])]);
/// let linked: Vec<_> = links(&node.cid, &node.bytes)?.into_iter().map(|link| link.cid).collect();
/// assert_eq!(linked, [raw_cid([7; 32]), raw_cid([8; 32])]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the block is neither raw nor dag-pb, or malformed.
pub fn links(cid: &Cid, bytes: &Bytes) -> Result<Vec<Entry>, DecodeError> {
    match cid.codec() {
        RAW => Ok(Vec::new()),
        DAG_PB => dag_pb::decode(bytes).map(|node| node.links),
        _ => Err(DecodeError::Unsupported("codec of a block")),
    }
}

/// The block of a symbolic link. Its Tsize is its length.
///
/// ```
/// use roadstead::ipld::{Node, describe, symlink};
///
/// let block = symlink("target");
/// assert_eq!(describe(&block.cid, &block.bytes)?, Node::Symlink("target".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn symlink(target: &str) -> Block {
    Block::dag_pb(dag_pb::encode([], &unixfs::symlink(target)))
}

fn malformed(reason: &'static str) -> DecodeError {
    DecodeError::Malformed { format: FORMAT, reason }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ipld::{file, raw_cid};

    fn part(data: &[u8]) -> Result<Node, DecodeError> {
        let leaf = raw_cid([3; 32]);
        let block = Block::dag_pb(dag_pb::encode([(&leaf, "", 7)], data));
        describe(&block.cid, &block.bytes)
    }

    #[test]
    fn a_symbolic_link_has_the_cid_that_ipfs_gives_it() {
        let block = symlink("f");
        let expected = "bafybeicocvf5esj6pszitz6o5blpriyjc7mxjhqxdc73lw47s4ay3xmyo4";
        assert_eq!(block.cid.to_string(), expected);
        assert_eq!(describe(&block.cid, &block.bytes), Ok(Node::Symlink("f".to_owned())));
    }

    #[test]
    fn a_file_lists_its_parts() {
        let mut blocks = Vec::new();
        let content = Bytes::from(vec![1; (2 << 20) + 9]);
        let made = file::build(&content, &mut |block| blocks.push(block));
        let root = blocks.pop().unwrap();
        assert_eq!(root.cid, made.cid);
        let Ok(Node::File { size, content, parts }) = describe(&root.cid, &root.bytes) else {
            panic!("not a file");
        };
        assert_eq!((size, content.len()), ((2 << 20) + 9, 0));
        assert_eq!(parts.iter().map(|part| part.size).collect::<Vec<_>>(), [1 << 20, 1 << 20, 9]);
        assert_eq!(links(&root.cid, &root.bytes).unwrap().len(), 3);
        for (part, leaf) in parts.iter().zip(&blocks) {
            assert_eq!(part.cid, leaf.cid);
            assert_eq!(describe(&leaf.cid, &leaf.bytes), Ok(Node::Leaf { size: part.size }));
            assert_eq!(links(&leaf.cid, &leaf.bytes), Ok(Vec::new()));
        }
    }

    #[test]
    fn content_that_stands_in_nodes_is_read() {
        let block = Block::dag_pb(Bytes::from_static(b"\x0a\x0b\x08\x02\x12\x05hello\x18\x05"));
        let node = describe(&block.cid, &block.bytes).unwrap();
        assert_eq!(node, Node::File { size: 5, content: "hello".into(), parts: Vec::new() });
    }

    #[test]
    fn sizes_that_contradict_each_other_are_refused() {
        assert!(part(&unixfs::file(7, [7])).is_ok());
        assert!(part(&unixfs::file(8, [7])).is_err());
        assert!(part(&unixfs::file(7, [])).is_err());
        assert!(part(&unixfs::file(14, [7, 7])).is_err());
        let mut overflow = unixfs::file(u64::MAX, [u64::MAX]);
        overflow.extend([0x12, 1, 0]);
        assert!(part(&overflow).is_err());
    }

    #[test]
    fn an_unknown_codec_is_refused() {
        let cid = Cid::new_v1(0x71, *raw_cid([0; 32]).hash());
        assert!(describe(&cid, &Bytes::new()).is_err());
        assert!(links(&cid, &Bytes::new()).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let block = Block::dag_pb(bytes.into());
            let _ = describe(&block.cid, &block.bytes);
            let _ = links(&block.cid, &block.bytes);
        }
    }
}
