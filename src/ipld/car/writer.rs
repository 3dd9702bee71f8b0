//! Writing archives.

use bytes::Bytes;
use cid::Cid;

use super::super::wire::put_varint;
use super::super::{Block, block, file};
use super::header;

/// The start of a CAR with that one root, which need not be among the blocks.
///
/// ```
/// use roadstead::ipld::{car_header, no_root};
///
/// let header = car_header(&no_root());
/// assert_eq!(usize::from(header[0]), header.len() - 1, "it begins with its length");
/// assert!(header.ends_with(b"version\x01"));
/// ```
///
/// # Panics
/// When the CID is longer than any that is made here.
#[must_use]
pub fn car_header(root: &Cid) -> Bytes {
    let header = header::encode(root);
    let mut bytes = Vec::with_capacity(header.len() + 1);
    put_varint(&mut bytes, header.len() as u64);
    bytes.extend(header);
    bytes.into()
}

/// The pieces of one block of a CAR: what stands before it, and its bytes, which are not copied.
///
/// ```
/// use roadstead::ipld::{Block, car_frame};
///
/// let block = Block::raw("hello".into());
/// let [head, bytes] = car_frame(&block);
/// assert_eq!(head[1..], block.cid.to_bytes(), "behind the length of both");
/// assert_eq!(bytes, "hello");
/// ```
#[must_use]
pub fn car_frame(block: &Block) -> [Bytes; 2] {
    let cid = block.cid.to_bytes();
    let mut head = Vec::with_capacity(cid.len() + 4);
    put_varint(&mut head, (cid.len() + block.bytes.len()) as u64);
    head.extend(cid);
    [head.into(), block.bytes.clone()]
}

/// A root to write into a CAR that has none: the empty file.
///
/// ```
/// use roadstead::ipld::{Block, no_root};
///
/// assert_eq!(no_root(), Block::raw("".into()).cid);
/// ```
#[must_use]
pub fn no_root() -> Cid {
    block::raw_cid(file::EMPTY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_car_is_written_as_the_specification_says() {
        let header = car_header(&no_root());
        assert_eq!(usize::from(header[0]), header.len() - 1);
        assert_eq!(&header[1..9], b"\xa2\x65roots\x81");
        assert_eq!(&header[9..14], b"\xd8\x2a\x58\x25\x00");
        assert_eq!(&header[14..50], no_root().to_bytes());
        assert_eq!(&header[50..], b"\x67version\x01");

        let block = Block::raw(Bytes::from(vec![7; 300]));
        let [head, bytes] = car_frame(&block);
        assert_eq!(head[..2], [0xd0, 0x02], "336 bytes as a varint");
        assert_eq!(head[2..], block.cid.to_bytes());
        assert_eq!(bytes, block.bytes);
    }
}
