//! Reading archives as they come, within bounds, and taking no block that is not what it claims to be.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};
use cid::Cid;

use super::super::{Block, CarError, MAX_BLOCK_SIZE, block};
use super::header::{self, MAX_CAR_HEADER};

/// The longest CID: version, codec, hash function and length of the hash, of at most 9 bytes each, and
/// the longest hash that fits.
const MAX_CID: usize = 4 * MAX_VARINT + 64;
/// The longest length of a section, as the specification of varints has it.
const MAX_VARINT: usize = 9;

/// What a CAR holds, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarEvent {
    /// The header, once, before anything else.
    Header {
        /// What the archive claims to be of; gateways do not agree about it, and nothing proves it.
        roots: Vec<Cid>,
    },
    /// A block, whose bytes hash to its CID. Whether it was requested is not checked here.
    Block(Block),
}

/// Reads a CAR from pieces of any length.
///
/// Takes version 1, headers up to [`MAX_CAR_HEADER`] with up to
/// [`MAX_CAR_ROOTS`](super::MAX_CAR_ROOTS) roots, and blocks up to
/// [`MAX_BLOCK_SIZE`] whose CIDs are of codec raw or dag-pb by sha2-256, or hold their content inline.
/// At any time it holds what was pushed and not yet read, and at most one block beside that. A block
/// that came within one piece shares its memory; else its bytes are copied once.
///
/// Hashing is done in [`next_event`](Self::next_event): about half a millisecond for a block of 1 MiB.
#[derive(Debug)]
pub struct CarReader {
    /// How long a block may be.
    most: usize,
    pieces: VecDeque<Bytes>,
    /// What there is of the next section's length, and how many bytes it took.
    varint: (u64, usize),
    /// The length of the section under way.
    length: Option<usize>,
    /// The beginning of the section under way, where it came in pieces.
    section: BytesMut,
    has_header: bool,
    /// How many bytes were read.
    position: u64,
    failed: Option<CarError>,
}

impl CarReader {
    /// A reader that was given nothing as yet.
    ///
    /// ```
    /// use roadstead::ipld::{Block, CarEvent, CarReader, car_frame, car_header};
    ///
    /// let block = Block::raw("hello".into());
    /// let mut reader = CarReader::new();
    /// reader.push(car_header(&block.cid));
    /// car_frame(&block).into_iter().for_each(|piece| reader.push(piece));
    /// assert_eq!(reader.next_event()?, Some(CarEvent::Header { roots: vec![block.cid] }));
    /// assert_eq!(reader.next_event()?, Some(CarEvent::Block(block)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::at_most(MAX_BLOCK_SIZE)
    }

    /// The same, where no block is expected that is longer than that.
    ///
    /// ```
    /// use roadstead::ipld::{Block, CarError, CarReader, car_frame, car_header};
    ///
    /// let block = Block::raw("hello".into());
    /// let mut reader = CarReader::at_most(4);
    /// reader.push(car_header(&block.cid));
    /// car_frame(&block).into_iter().for_each(|piece| reader.push(piece));
    /// reader.next_event()?;
    /// assert_eq!(reader.next_event(), Err(CarError::TooLong { length: 5, limit: 4 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn at_most(most: usize) -> Self {
        Self {
            most: most.min(MAX_BLOCK_SIZE),
            pieces: VecDeque::new(),
            varint: (0, 0),
            length: None,
            section: BytesMut::new(),
            has_header: false,
            position: 0,
            failed: None,
        }
    }

    /// How long the section is that has begun and is not whole: so much memory it is about to take.
    ///
    /// ```
    /// use roadstead::ipld::{CarReader, car_header, no_root};
    ///
    /// let header = car_header(&no_root());
    /// let mut reader = CarReader::new();
    /// reader.push(header.slice(..10));
    /// assert_eq!(reader.next_event()?, None);
    /// assert_eq!(reader.pending(), header.len() - 1, "the length itself takes one byte");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn pending(&self) -> usize {
        self.length.unwrap_or_default()
    }

    /// Gives it the bytes that come next.
    ///
    /// ```
    /// use roadstead::ipld::{CarReader, car_header, no_root};
    ///
    /// let mut reader = CarReader::new();
    /// for byte in car_header(&no_root()) {
    ///     assert_eq!(reader.next_event()?, None);
    ///     reader.push(vec![byte].into());
    /// }
    /// assert!(reader.next_event()?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() && self.failed.is_none() {
            self.pieces.push_back(piece);
        }
    }

    /// What comes next, or none until more is [pushed](Self::push).
    ///
    /// ```
    /// use roadstead::ipld::{CarError, CarReader};
    ///
    /// let mut reader = CarReader::new();
    /// assert_eq!(reader.next_event()?, None);
    /// reader.push(vec![0].into());
    /// assert!(matches!(reader.next_event(), Err(CarError::Length(_))), "no section is empty");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the archive is malformed, exceeds a bound, or holds a block that is not what its CID says.
    /// Another call returns the same.
    pub fn next_event(&mut self) -> Result<Option<CarEvent>, CarError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = self.advance();
        if let Err(error) = &outcome {
            *self = Self { failed: Some(error.clone()), ..Self::at_most(self.most) };
        }
        outcome
    }

    /// How many bytes of the archive were read: when a block was just returned, up to its end.
    ///
    /// ```
    /// use roadstead::ipld::{CarReader, car_header, no_root};
    ///
    /// let header = car_header(&no_root());
    /// let mut reader = CarReader::new();
    /// reader.push(header.clone());
    /// reader.next_event()?;
    /// assert_eq!(reader.position(), header.len() as u64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Says whether the archive may end here, once [`next_event`](Self::next_event) gave none: behind a
    /// block, or behind the header. That it holds all it should is for others to say.
    ///
    /// ```
    /// use roadstead::ipld::{CarError, CarReader, car_header, no_root};
    ///
    /// assert_eq!(CarReader::new().finish(), Err(CarError::Truncated), "there is no header");
    /// let mut reader = CarReader::new();
    /// reader.push(car_header(&no_root()));
    /// while reader.next_event()?.is_some() {}
    /// assert_eq!(reader.finish(), Ok(()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When it ends within something, or failed before.
    pub fn finish(self) -> Result<(), CarError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let is_between = self.length.is_none() && self.varint.1 == 0 && self.pieces.is_empty();
        if is_between && self.has_header { Ok(()) } else { Err(CarError::Truncated) }
    }

    fn advance(&mut self) -> Result<Option<CarEvent>, CarError> {
        let length = match self.length {
            Some(length) => length,
            None => match self.read_length()? {
                Some(length) => *self.length.insert(length),
                None => return Ok(None),
            },
        };
        let Some(section) = self.gather(length) else { return Ok(None) };
        self.length = None;
        if mem::replace(&mut self.has_header, true) {
            read_block(&section, self.most).map(|block| Some(CarEvent::Block(block)))
        } else {
            header::decode(&section).map(|roots| Some(CarEvent::Header { roots }))
        }
    }

    /// The length of the next section, as far as its bytes are there.
    fn read_length(&mut self) -> Result<Option<usize>, CarError> {
        while let Some(byte) = self.take_byte() {
            let (value, count) = &mut self.varint;
            *value |= u64::from(byte & 0x7f) << (7 * *count);
            *count += 1;
            if byte & 0x80 == 0 {
                if byte == 0 && *count > 1 {
                    return Err(CarError::Length("is not in its shortest form"));
                }
                let (value, _) = mem::take(&mut self.varint);
                return self.within_bounds(value).map(Some);
            }
            if *count == MAX_VARINT {
                return Err(CarError::Length("takes more than 9 bytes"));
            }
        }
        Ok(None)
    }

    fn within_bounds(&self, length: u64) -> Result<usize, CarError> {
        let limit = if self.has_header { MAX_CID + self.most } else { MAX_CAR_HEADER };
        match usize::try_from(length) {
            Ok(0) => Err(CarError::Length("is zero")),
            Ok(length) if length <= limit => Ok(length),
            _ => Err(CarError::TooLong { length, limit }),
        }
    }

    fn take_byte(&mut self) -> Option<u8> {
        let piece = self.pieces.front_mut()?;
        let byte = piece.split_to(1)[0];
        self.position += 1;
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Some(byte)
    }

    /// The next bytes, if so many are there; until then they are collected.
    fn gather(&mut self, length: usize) -> Option<Bytes> {
        while self.section.len() < length {
            let piece = self.pieces.front_mut()?;
            let missing = length - self.section.len();
            let taken = piece.split_to(missing.min(piece.len()));
            self.position += taken.len() as u64;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            if taken.len() == length {
                return Some(taken);
            }
            if self.section.is_empty() {
                self.section = BytesMut::with_capacity(length);
            }
            self.section.extend_from_slice(&taken);
        }
        Some(mem::take(&mut self.section).freeze())
    }
}

/// The block of a section: its CID, then its bytes.
fn read_block(section: &Bytes, most: usize) -> Result<Block, CarError> {
    let (cid, bytes) = block::read_cid(section).ok_or(CarError::Cid)?;
    if !block::is_known(&cid) {
        return Err(CarError::Unsupported(Box::new(cid)));
    }
    if bytes.len() > most {
        return Err(CarError::TooLong { length: bytes.len() as u64, limit: most });
    }
    let bytes = section.slice_ref(bytes);
    Block::verify(cid, bytes).map_err(|error| CarError::Block(Box::new(error)))
}

impl Default for CarReader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use multihash::Multihash;
    use proptest::prelude::*;

    use super::super::super::wire::put_varint;
    use super::super::super::{BlockError, RAW, raw_cid};
    use super::super::{car_frame, car_header};
    use super::*;

    fn archive(blocks: &[Block]) -> Vec<u8> {
        let mut bytes = car_header(&raw_cid([1; 32])).to_vec();
        bytes.extend(blocks.iter().flat_map(car_frame).flatten());
        bytes
    }

    /// A section of these bytes behind a sound header.
    fn with_section(section: &[u8]) -> Vec<u8> {
        let mut bytes = archive(&[]);
        put_varint(&mut bytes, section.len() as u64);
        bytes.extend(section);
        bytes
    }

    /// What there is in an archive that is cut into pieces so long, over and over.
    fn read(bytes: &[u8], lengths: &[usize]) -> Result<Vec<CarEvent>, CarError> {
        let mut reader = CarReader::new();
        let mut events = Vec::new();
        let mut rest = Bytes::copy_from_slice(bytes);
        for length in lengths.iter().cycle() {
            reader.push(rest.split_to((*length).min(rest.len())));
            while let Some(event) = reader.next_event()? {
                events.push(event);
            }
            assert!(reader.section.capacity() <= MAX_CID + MAX_BLOCK_SIZE);
            assert!(reader.pieces.is_empty(), "all that can be read was read");
            if rest.is_empty() {
                break;
            }
        }
        reader.finish().map(|()| events)
    }

    fn blocks() -> impl Strategy<Value = Vec<Block>> {
        let bytes = prop::collection::vec(any::<u8>(), 0..400).prop_map(Bytes::from);
        let inline = prop::collection::vec(any::<u8>(), 0..64).prop_map(|bytes| {
            let cid = Cid::new_v1(RAW, Multihash::wrap(0, &bytes).unwrap());
            Block { cid, bytes: bytes.into() }
        });
        let block = prop_oneof![
            bytes.clone().prop_map(Block::raw),
            bytes.clone().prop_map(Block::dag_pb),
            bytes.prop_map(|bytes| {
                let Block { cid, bytes } = Block::dag_pb(bytes);
                Block { cid: Cid::new_v0(*cid.hash()).unwrap(), bytes }
            }),
            inline,
        ];
        prop::collection::vec(block, 0..6)
    }

    proptest! {
        #[test]
        fn an_archive_is_read_the_same_however_it_is_cut(
            blocks in blocks(),
            lengths in prop::collection::vec(1_usize..300, 1..6),
        ) {
            let mut expected = vec![CarEvent::Header { roots: vec![raw_cid([1; 32])] }];
            expected.extend(blocks.iter().cloned().map(CarEvent::Block));
            let bytes = archive(&blocks);
            for lengths in [&[bytes.len()][..], &[1], &lengths] {
                prop_assert_eq!(&read(&bytes, lengths).unwrap(), &expected);
            }
        }

        #[test]
        fn an_archive_that_is_cut_short_never_ends_well(
            blocks in blocks(),
            at in any::<prop::sample::Index>(),
        ) {
            let bytes = archive(&blocks);
            let at = at.index(bytes.len());
            let mut ends = Vec::new();
            let mut end = car_header(&raw_cid([1; 32])).len();
            for block in &blocks {
                ends.push(end);
                end += car_frame(block).iter().map(Bytes::len).sum::<usize>();
            }
            prop_assert_eq!(read(&bytes[..at], &[7]).is_ok(), ends.contains(&at));
        }

        #[test]
        fn hostile_bytes_never_panic(
            head in prop::collection::vec(any::<u8>(), 0..20),
            body in prop::collection::vec(any::<u8>(), 0..300),
            length in 1_usize..100,
        ) {
            let _ = read(&[&head[..], &body].concat(), &[length]);
            let _ = read(&[&archive(&[])[..], &head, &body].concat(), &[length]);
            let _ = read(&with_section(&[&head[..], &body].concat()), &[length]);
        }

        #[test]
        fn a_damaged_archive_is_refused_or_ends_early(
            blocks in blocks(),
            at in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let sound = archive(&blocks);
            let header = car_header(&raw_cid([1; 32])).len();
            prop_assume!(sound.len() > header);
            let mut bytes = sound.clone();
            bytes[header + at.index(sound.len() - header)] ^= 1 << bit;
            // Only what is inline can become other content, under another name.
            let events = read(&bytes, &[50]);
            let is_inline = |block: &Block| block::inlined(&block.cid).is_some();
            if !blocks.iter().any(is_inline) {
                // A codec is part of the name, and no part of the hash.
                for (event, block) in events.into_iter().flatten().skip(1).zip(&blocks) {
                    let CarEvent::Block(read) = event else { panic!("two headers") };
                    prop_assert_eq!(&read.bytes, &block.bytes);
                }
            }
        }
    }

    #[test]
    fn a_block_within_one_piece_is_not_copied() {
        let block = Block::raw(vec![7; 1000].into());
        let bytes = Bytes::from(archive(std::slice::from_ref(&block)));
        let range = bytes.as_ptr_range();
        let mut reader = CarReader::new();
        reader.push(bytes);
        reader.next_event().unwrap();
        let Ok(Some(CarEvent::Block(read))) = reader.next_event() else { panic!("no block") };
        assert_eq!(read, block);
        assert!(range.contains(&read.bytes.as_ptr()));
        assert_eq!(reader.next_event(), Ok(None));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn the_longest_block_is_read_and_no_longer_one() {
        let longest = Block::raw(vec![0; MAX_BLOCK_SIZE].into());
        assert_eq!(read(&archive(&[longest]), &[100_000]).unwrap().len(), 2);
        let longer = Block::raw(vec![0; MAX_BLOCK_SIZE + 1].into());
        let refused = read(&archive(&[longer]), &[100_000]);
        assert!(matches!(refused, Err(CarError::TooLong { limit: MAX_BLOCK_SIZE, .. })));
    }

    #[test]
    fn lengths_beyond_the_bounds_are_refused_before_memory_is_allocated() {
        let mut header = Vec::new();
        put_varint(&mut header, MAX_CAR_HEADER as u64 + 1);
        let refused = read(&header, &[1]);
        assert!(matches!(refused, Err(CarError::TooLong { limit: MAX_CAR_HEADER, .. })));
        let mut section = archive(&[]);
        put_varint(&mut section, i64::MAX as u64);
        assert!(matches!(read(&section, &[1]), Err(CarError::TooLong { .. })));
        for length in [&[0xff; 9][..], &[0x80, 0], &[0xa0, 0x80, 0], &[0]] {
            let bytes = [&archive(&[])[..], length].concat();
            assert!(matches!(read(&bytes, &[1]), Err(CarError::Length(_))), "{length:?}");
        }
    }

    #[test]
    fn a_length_without_its_bytes_is_an_early_end() {
        let mut bytes = archive(&[]);
        put_varint(&mut bytes, MAX_BLOCK_SIZE as u64);
        bytes.push(1);
        assert_eq!(read(&bytes, &[1]), Err(CarError::Truncated));
    }

    #[test]
    fn a_block_of_another_name_is_refused_and_so_is_all_after_it() {
        let mut forged = Block::raw("content".into());
        forged.bytes = "contents".into();
        let mut reader = CarReader::new();
        reader.push(archive(&[forged.clone(), Block::raw("content".into())]).into());
        assert!(matches!(reader.next_event(), Ok(Some(CarEvent::Header { .. }))));
        let mismatch = CarError::Block(Box::new(BlockError::Mismatch(forged.cid)));
        for _ in 0..2 {
            assert_eq!(reader.next_event(), Err(mismatch.clone()));
            reader.push(archive(&[]).into());
        }
        assert_eq!(reader.finish(), Err(mismatch));
    }

    #[test]
    fn names_of_other_codecs_and_hashes_are_refused() {
        let hash = *raw_cid([1; 32]).hash();
        let short = Multihash::wrap(0x12, &[1; 20]).unwrap();
        let sha512 = Multihash::wrap(0x13, &[1; 64]).unwrap();
        for cid in [Cid::new_v1(0x71, hash), Cid::new_v1(RAW, short), Cid::new_v1(RAW, sha512)] {
            let refused = read(&with_section(&cid.to_bytes()), &[9]);
            assert_eq!(refused, Err(CarError::Unsupported(Box::new(cid))));
        }
        // Version 2, a codec that is not in its shortest form, one that is cut short.
        for cid in [&[2, 0x55, 0, 0][..], &[1, 0xd5, 0, 0, 0], &[1, 0x55, 0x12, 32, 1]] {
            assert_eq!(read(&with_section(cid), &[9]), Err(CarError::Cid), "{cid:?}");
        }
    }

    #[test]
    fn an_archive_of_version_2_is_refused_by_its_version() {
        let pragma = b"\x0a\xa1\x67version\x02";
        assert_eq!(read(&[&pragma[..], &[0; 40]].concat(), &[60]), Err(CarError::Version(2)));
        assert_eq!(read(b"", &[1]), Err(CarError::Truncated));
        assert_eq!(read(b"<html>not found</html>", &[30]), Err(CarError::Truncated));
    }

    #[test]
    fn the_text_that_a_gateway_appends_to_an_archive_that_it_cannot_end_is_an_error() {
        let mut bytes = archive(&[Block::raw("content".into())]);
        bytes.extend(b"\n\n[Gateway Error: CAR stream truncated, response is incomplete]");
        assert!(read(&bytes, &[1000]).is_err());
    }
}
