//! The dag-pb codec: a list of named links, and data.
//!
//! What is written is canonical (links before data, every field present). What is read may be older:
//! data may come first, and a link may lack its name or its size.

use std::mem;

use bytes::Bytes;
use cid::Cid;

use super::block::MAX_BLOCK_SIZE;
use super::wire::{self, Fields, Value};
use super::{Block, DecodeError, Entry};

const FORMAT: &str = "dag-pb";
/// The most links that fit a block, were each of them no more than the hash of its block: 38 bytes. Only links
/// that hold content inline take less, and a decoded link takes a multiple of that in memory.
pub(super) const MAX_LINKS: usize = MAX_BLOCK_SIZE / 38;

/// A decoded node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// The links, in the order of the block.
    pub(super) links: Vec<Entry>,
    /// The data, sharing the block's memory; absent is the same as empty.
    pub(super) data: Bytes,
}

impl Node {
    /// How many bytes the block and those below it take (Tsize), as far as its links tell.
    pub(super) fn dag_size(&self, block: &Bytes) -> u64 {
        let below = self.links.iter().fold(0_u64, |sum, link| sum.saturating_add(link.size));
        below.saturating_add(block.len() as u64)
    }
}

/// Decodes a block. Memory is bounded by the block's length, which is bounded by
/// [`MAX_BLOCK_SIZE`].
pub(super) fn decode(block: &Bytes) -> Result<Node, DecodeError> {
    if block.len() > MAX_BLOCK_SIZE {
        return Err(DecodeError::Unsupported("block of more than 2 MiB"));
    }
    let mut fields = Fields::new(block.clone(), FORMAT);
    let mut links = Vec::new();
    let mut data = None;
    let mut links_ended = false;
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => {
                links_ended = !links.is_empty();
                if data.replace(bytes).is_some() {
                    return Err(fields.malformed("a node has data twice"));
                }
            }
            (2, Value::Bytes(_)) if links_ended => {
                return Err(fields.malformed("links stand on both sides of the data"));
            }
            (2, Value::Bytes(_)) if links.len() == MAX_LINKS => {
                return Err(DecodeError::Unsupported("node of more links than it has room for"));
            }
            (2, Value::Bytes(bytes)) => links.push(decode_link(bytes)?),
            _ => return Err(fields.malformed("a node has an unknown field")),
        }
    }
    Ok(Node { links, data: data.unwrap_or_default() })
}

fn decode_link(message: Bytes) -> Result<Entry, DecodeError> {
    let mut fields = Fields::new(message, FORMAT);
    let mut last = 0;
    let mut link: Option<Entry> = None;
    while let Some((number, value)) = fields.next()? {
        if mem::replace(&mut last, number) >= number {
            return Err(fields.malformed("the fields of a link are out of order"));
        }
        match (number, value, &mut link) {
            (1, Value::Bytes(bytes), None) => {
                let mut rest = bytes.as_ref();
                let cid = Cid::read_bytes(&mut rest).map_err(|_| match *bytes {
                    // Kubo has content of up to 128 bytes there (`--inline-limit`), a CID here 64.
                    [1, _, 0, ..] if bytes.len() > 68 => {
                        DecodeError::Unsupported("link that holds its content itself")
                    }
                    _ => fields.malformed("the hash of a link is not a CID"),
                })?;
                if !rest.is_empty() {
                    return Err(fields.malformed("the hash of a link is more than a CID"));
                }
                link = Some(Entry { name: String::new(), cid, size: 0 });
            }
            (2, Value::Bytes(bytes), Some(link)) => {
                let name = std::str::from_utf8(&bytes)
                    .map_err(|_| fields.malformed("the name of a link is not UTF-8"))?;
                name.clone_into(&mut link.name);
            }
            (3, Value::Number(size), Some(link)) => link.size = size,
            (2 | 3, _, None) => return Err(fields.malformed("a link has no hash")),
            _ => return Err(fields.malformed("a link has an unknown field")),
        }
    }
    link.ok_or_else(|| fields.malformed("a link has no hash"))
}

/// Encodes a node canonically: `(CID, name, size)` of each link in the order given, then the data.
pub(super) fn encode<'a>(
    links: impl IntoIterator<Item = (&'a Cid, &'a str, u64)>,
    data: &[u8],
) -> Bytes {
    let mut block = Vec::new();
    for (cid, name, size) in links {
        wire::put_header(&mut block, 2, link_body_length(cid.encoded_len(), name.len(), size));
        wire::put_header(&mut block, 1, cid.encoded_len());
        cid.write_bytes(&mut block).expect("writing to memory cannot fail");
        wire::put_bytes(&mut block, 2, name.as_bytes());
        wire::put_number(&mut block, 3, size);
    }
    wire::put_bytes(&mut block, 1, data);
    block.into()
}

/// Encodes a node and names it; gives also its Tsize.
pub(super) fn block<'a>(
    links: impl Iterator<Item = (&'a Cid, &'a str, u64)> + Clone,
    data: &[u8],
) -> (Block, u64) {
    let below = links.clone().fold(0_u64, |sum, (_, _, size)| sum.saturating_add(size));
    let block = Block::dag_pb(encode(links, data));
    let dag_size = below.saturating_add(block.bytes.len() as u64);
    (block, dag_size)
}

/// How many bytes of a block a link takes.
pub(super) const fn link_length(cid_length: usize, name_length: usize, size: u64) -> usize {
    wire::bytes_length(link_body_length(cid_length, name_length, size))
}

/// How many bytes of a block data of this length takes.
pub(super) const fn data_length(length: usize) -> usize {
    wire::bytes_length(length)
}

const fn link_body_length(cid_length: usize, name_length: usize, size: u64) -> usize {
    wire::bytes_length(cid_length) + wire::bytes_length(name_length) + wire::number_length(size)
}

impl Entry {
    /// How many bytes the entry takes in the block of a directory that is not sharded.
    pub(super) fn length(&self) -> usize {
        link_length(self.cid.encoded_len(), self.name.len(), self.size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::raw_cid;
    use super::*;

    fn link_message(cid: &Cid) -> Vec<u8> {
        let mut message = Vec::new();
        wire::put_bytes(&mut message, 1, &cid.to_bytes());
        message
    }

    #[test]
    fn a_link_that_holds_its_content_is_said_to_be_unsupported_where_that_is_long() {
        let link = |length: u8| {
            // Version 1, raw, identity.
            let cid = [&[1, 0x55, 0, length][..], &vec![7; length.into()]].concat();
            let (mut message, mut node) = (Vec::new(), Vec::new());
            wire::put_bytes(&mut message, 1, &cid);
            wire::put_bytes(&mut node, 2, &message);
            decode(&node.into())
        };
        assert_eq!(link(64).unwrap().links.len(), 1);
        for length in [65, 127] {
            assert!(matches!(link(length), Err(DecodeError::Unsupported(_))), "{length}");
        }
    }

    proptest! {
        #[test]
        fn nodes_survive_the_round_trip_and_have_the_length_foretold(
            links in prop::collection::vec((any::<[u8; 32]>(), ".{0,200}", any::<u64>()), 0..20),
            data in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let links: Vec<Entry> = links
                .into_iter()
                .map(|(digest, name, size)| Entry { name, cid: raw_cid(digest), size })
                .collect();
            let block = encode(links.iter().map(|l| (&l.cid, l.name.as_str(), l.size)), &data);
            let foretold: usize =
                links.iter().map(|l| link_length(l.cid.encoded_len(), l.name.len(), l.size)).sum();
            prop_assert_eq!(block.len(), foretold + data_length(data.len()));
            let node = decode(&block).unwrap();
            prop_assert_eq!(node.links, links);
            prop_assert_eq!(node.data, data);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = decode(&bytes.into());
        }

        #[test]
        fn a_damaged_node_is_refused_or_another_node(at in 0_usize..100, byte in any::<u8>()) {
            let cid = raw_cid([7; 32]);
            let mut block = encode([(&cid, "first", 300), (&cid, "second", 1)], b"data").to_vec();
            let at = at % block.len();
            block[at] = byte;
            if let Ok(node) = decode(&block.into()) {
                let links = node.links.iter().map(|link| (&link.cid, link.name.as_str(), link.size));
                prop_assert_eq!(decode(&encode(links, &node.data)).unwrap(), node);
            }
        }
    }

    #[test]
    fn old_nodes_with_data_first_and_bare_links_are_read() {
        let cid = raw_cid([1; 32]);
        let mut block = Vec::new();
        wire::put_bytes(&mut block, 1, b"data");
        wire::put_bytes(&mut block, 2, &link_message(&cid));
        let node = decode(&block.into()).unwrap();
        assert_eq!(node.data, "data");
        assert_eq!(node.links, [Entry { name: String::new(), cid, size: 0 }]);
    }

    #[test]
    fn what_the_codec_forbids_is_refused() {
        let cid = raw_cid([1; 32]);
        let mut trailing = cid.to_bytes();
        trailing.push(0);
        let mut name_first = Vec::new();
        wire::put_bytes(&mut name_first, 2, b"name");
        wire::put_bytes(&mut name_first, 1, &cid.to_bytes());
        let mut twice = link_message(&cid);
        twice.extend(link_message(&cid));
        let mut bad_name = link_message(&cid);
        wire::put_bytes(&mut bad_name, 2, &[0xff]);
        let mut long_hash = Vec::new();
        wire::put_bytes(&mut long_hash, 1, &trailing);
        for link in [Vec::new(), name_first, twice, bad_name, long_hash] {
            let mut block = Vec::new();
            wire::put_bytes(&mut block, 2, &link);
            assert!(decode(&block.into()).is_err(), "{link:?}");
        }
        for block in [&[0x0a, 0, 0x0a, 0][..], &[0x08, 1], &[0x1a, 0]] {
            assert!(decode(&Bytes::copy_from_slice(block)).is_err(), "{block:?}");
        }
        let mut around = Vec::new();
        wire::put_bytes(&mut around, 2, &link_message(&cid));
        wire::put_bytes(&mut around, 1, b"data");
        wire::put_bytes(&mut around, 2, &link_message(&cid));
        assert!(decode(&around.into()).is_err());
        let inline = [0x12, 6, 0x0a, 4, 1, 0x55, 0, 0];
        assert!(decode(&inline.repeat(MAX_LINKS).into()).is_ok());
        assert!(decode(&inline.repeat(MAX_LINKS + 1).into()).is_err());
        assert!(decode(&vec![0; MAX_BLOCK_SIZE + 1].into()).is_err());
    }
}
