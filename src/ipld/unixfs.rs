//! The UnixFS message that stands in the data of a dag-pb node and says what the node is.

use bytes::Bytes;

use super::DecodeError;
use super::dag_pb::MAX_LINKS;
use super::wire::{self, Fields, Value};

const FORMAT: &str = "UnixFS";

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Raw = 0,
    Directory = 1,
    File = 2,
    Symlink = 4,
    Shard = 5,
}

/// The multihash code of murmur3-x64-64, the only hash function of shards.
pub(super) const MURMUR3: u64 = 0x22;
/// The slots of a shard.
pub(super) const FANOUT: u64 = 256;
/// The message of every directory that is one block.
pub(super) const DIRECTORY: &[u8] = &[0x08, Kind::Directory as u8];

/// A decoded message. Modes and times are skipped: Roadstead neither shows nor keeps them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) kind: Kind,
    pub(super) content: Bytes,
    pub(super) size: Option<u64>,
    pub(super) block_sizes: Vec<u64>,
    pub(super) hash_type: Option<u64>,
    pub(super) fanout: Option<u64>,
}

/// Decodes a message; `content` shares its memory.
pub(super) fn decode(message: &Bytes) -> Result<Data, DecodeError> {
    let mut fields = Fields::new(message.clone(), FORMAT);
    let mut kind = None;
    let mut content = None;
    let mut block_sizes = Vec::new();
    let [mut size, mut hash_type, mut fanout] = [None; 3];
    while let Some(field) = fields.next()? {
        let repeated = match field {
            (1, Value::Number(number)) => kind.replace(number).is_some(),
            (2, Value::Bytes(bytes)) => content.replace(bytes).is_some(),
            (3, Value::Number(number)) => size.replace(number).is_some(),
            (4, Value::Number(number)) => {
                block_sizes.push(number);
                false
            }
            (4, Value::Bytes(packed)) => {
                let mut packed = Fields::new(packed, FORMAT);
                while let Some(number) = packed.next_packed()? {
                    if block_sizes.len() == MAX_LINKS {
                        return Err(too_many_parts());
                    }
                    block_sizes.push(number);
                }
                false
            }
            (5, Value::Number(number)) => hash_type.replace(number).is_some(),
            (6, Value::Number(number)) => fanout.replace(number).is_some(),
            (7, Value::Number(_)) | (8, Value::Bytes(_)) => false,
            _ => return Err(fields.malformed("unknown field")),
        };
        if block_sizes.len() > MAX_LINKS {
            return Err(too_many_parts());
        }
        if repeated {
            return Err(fields.malformed("a field stands twice"));
        }
    }
    let kind = match kind {
        Some(0) => Kind::Raw,
        Some(1) => Kind::Directory,
        Some(2) => Kind::File,
        Some(4) => Kind::Symlink,
        Some(5) => Kind::Shard,
        Some(_) => return Err(DecodeError::Unsupported("type of UnixFS node")),
        None => return Err(fields.malformed("the type is missing")),
    };
    Ok(Data { kind, content: content.unwrap_or_default(), size, block_sizes, hash_type, fanout })
}

fn too_many_parts() -> DecodeError {
    DecodeError::Unsupported("file of more parts than a node has room for")
}

/// The message of a file's interior node: its length, and that of each child's content.
pub(super) fn file(size: u64, block_sizes: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut message = vec![0x08, Kind::File as u8];
    wire::put_number(&mut message, 3, size);
    for block_size in block_sizes {
        wire::put_number(&mut message, 4, block_size);
    }
    message
}

/// How long the message is of a file whose children's lengths take `block_sizes` bytes.
pub(super) const fn file_length(size: u64, block_sizes: usize) -> usize {
    2 + wire::number_length(size) + block_sizes
}

/// How many bytes of the message the length of one child takes.
pub(super) const fn block_size_length(block_size: u64) -> usize {
    wire::number_length(block_size)
}

/// The message of a shard of which the slots in the bitfield (big-endian) are taken.
pub(super) fn shard(bitfield: &[u8]) -> Vec<u8> {
    let zeros = bitfield.iter().take_while(|&&byte| byte == 0).count();
    let mut message = vec![0x08, Kind::Shard as u8];
    wire::put_bytes(&mut message, 2, &bitfield[zeros..]);
    wire::put_number(&mut message, 5, MURMUR3);
    wire::put_number(&mut message, 6, FANOUT);
    message
}

/// The message of a symbolic link.
pub(super) fn symlink(target: &str) -> Vec<u8> {
    let mut message = vec![0x08, Kind::Symlink as u8];
    wire::put_bytes(&mut message, 2, target.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(message: &[u8]) -> Result<Data, DecodeError> {
        decode(&Bytes::copy_from_slice(message))
    }

    #[test]
    fn messages_survive_the_round_trip() {
        let sizes = [1 << 20, 1 << 20, 5];
        let message = file(2_097_157, sizes);
        let list = sizes.iter().map(|&size| block_size_length(size)).sum();
        assert_eq!(message.len(), file_length(2_097_157, list));
        let data = read(&message).unwrap();
        assert_eq!((data.kind, data.size), (Kind::File, Some(2_097_157)));
        assert_eq!(data.block_sizes, sizes);

        let mut bitfield = [0; 32];
        bitfield[30] = 0x81;
        let data = read(&shard(&bitfield)).unwrap();
        assert_eq!((data.kind, data.hash_type, data.fanout), (Kind::Shard, Some(0x22), Some(256)));
        assert_eq!(data.content, &bitfield[30..]);

        assert_eq!(read(DIRECTORY).unwrap().kind, Kind::Directory);
        assert_eq!(read(&symlink("target")).unwrap().content, "target");
    }

    #[test]
    fn packed_sizes_modes_and_times_are_read() {
        let data = read(&[8, 2, 0x18, 3, 0x22, 2, 1, 2, 0x38, 0xa4, 3, 0x42, 2, 8, 1]).unwrap();
        assert_eq!(data.block_sizes, [1, 2]);
    }

    #[test]
    fn more_parts_than_a_node_can_link_to_are_refused() {
        let sizes = vec![0; MAX_LINKS + 1];
        let one_by_one = |count: usize| [&[8, 2][..], &[0x20, 0].repeat(count)].concat();
        assert!(read(&one_by_one(MAX_LINKS)).is_ok());
        assert!(read(&one_by_one(MAX_LINKS + 1)).is_err());
        let mut packed = vec![8, 2];
        wire::put_bytes(&mut packed, 4, &sizes[1..]);
        assert!(read(&packed).is_ok());
        packed.truncate(2);
        wire::put_bytes(&mut packed, 4, &sizes);
        assert!(read(&packed).is_err());
    }

    #[test]
    fn a_message_without_a_known_type_or_with_a_field_twice_is_refused() {
        for message in [&[][..], &[8, 3], &[8, 6], &[8, 1, 8, 1], &[8, 1, 0x48, 0], &[0x0a, 1, 1]] {
            assert!(read(message).is_err(), "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_damaged_message_is_refused_or_another_message(
            sizes in prop::collection::vec(any::<u64>(), 0..5),
            at in any::<prop::sample::Index>(),
            byte: u8,
        ) {
            let mut message = file(sizes.iter().fold(0, |sum, size| sum ^ size), sizes);
            let at = at.index(message.len());
            message[at] = byte;
            let Ok(data) = read(&message) else { return Ok(()) };
            let is_plain = data.content.is_empty() && (data.hash_type, data.fanout) == (None, None);
            if let (Kind::File, Some(size), true) = (data.kind, data.size, is_plain) {
                prop_assert_eq!(read(&file(size, data.block_sizes.clone())).unwrap(), data);
            }
        }
    }
}
