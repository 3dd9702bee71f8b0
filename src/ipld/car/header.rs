//! What a CAR begins with: a map in DAG-CBOR, of which it takes no more than a handful of forms.

use cid::Cid;

use super::super::{CarError, block};

/// The longest header that is read.
pub const MAX_CAR_HEADER: usize = 8 << 10;
/// The most roots that are read; they are only claims.
pub const MAX_CAR_ROOTS: usize = 128;

const NUMBER: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
/// The tag of a CID.
const CID_TAG: u8 = 42;
/// What stands before a CID in CBOR: the identity multibase.
const MULTIBASE: u8 = 0;

/// The header with that one root.
pub(super) fn encode(root: &Cid) -> Vec<u8> {
    let cid = root.to_bytes();
    let length = u8::try_from(cid.len() + 1).expect("no CID takes 255 bytes");
    let mut header = Vec::new();
    put(&mut header, MAP, 2);
    put(&mut header, TEXT, 5);
    header.extend(b"roots");
    put(&mut header, ARRAY, 1);
    put(&mut header, TAG, CID_TAG);
    put(&mut header, BYTES, length);
    header.push(MULTIBASE);
    header.extend(cid);
    put(&mut header, TEXT, 7);
    header.extend(b"version");
    put(&mut header, NUMBER, 1);
    header
}

/// Writes the head of an item in its shortest form, as DAG-CBOR demands.
fn put(buffer: &mut Vec<u8>, major: u8, value: u8) {
    if value < 24 {
        buffer.push(major << 5 | value);
    } else {
        buffer.extend([major << 5 | 0x18, value]);
    }
}

/// The roots of a header, which holds them and the version and nothing else.
pub(super) fn decode(header: &[u8]) -> Result<Vec<Cid>, CarError> {
    let mut items = Items { rest: header };
    let pairs = items.expect(MAP)?;
    let (mut roots, mut version) = (None, None);
    for _ in 0..pairs {
        let length = items.expect(TEXT)?;
        match items.take(length)? {
            b"roots" if roots.is_none() => roots = Some(items.roots()?),
            b"version" if version.is_none() => version = Some(items.expect(NUMBER)?),
            _ => return Err(CarError::Header("a key is unknown or stands twice")),
        }
    }
    if !items.rest.is_empty() {
        return Err(CarError::Header("something follows the map"));
    }
    match version {
        Some(1) => roots.ok_or(CarError::Header("the roots are missing")),
        Some(version) => Err(CarError::Version(version)),
        None => Err(CarError::Header("the version is missing")),
    }
}

/// Reads items of CBOR one after another.
struct Items<'bytes> {
    rest: &'bytes [u8],
}

impl<'bytes> Items<'bytes> {
    fn roots(&mut self) -> Result<Vec<Cid>, CarError> {
        let count = self.expect(ARRAY)?;
        if count > MAX_CAR_ROOTS as u64 {
            return Err(CarError::Header("there are more than 128 roots"));
        }
        let mut roots = Vec::new();
        for _ in 0..count {
            if self.expect(TAG)? != u64::from(CID_TAG) {
                return Err(CarError::Header("a root is not a CID"));
            }
            let length = self.expect(BYTES)?;
            let cid = self.take(length)?.strip_prefix(&[MULTIBASE]).and_then(block::read_cid);
            match cid {
                Some((cid, [])) => roots.push(cid),
                _ => return Err(CarError::Header("a root is not a CID")),
            }
        }
        Ok(roots)
    }

    /// The value of the next item's head, which is of that type.
    fn expect(&mut self, major: u8) -> Result<u64, CarError> {
        let head = self.take(1)?[0];
        if head >> 5 != major {
            return Err(CarError::Header("an item is of another type"));
        }
        let (value, least) = match head & 31 {
            value @ 0..24 => return Ok(u64::from(value)),
            24 => (self.number(1)?, 24),
            25 => (self.number(2)?, 1 << 8),
            26 => (self.number(4)?, 1 << 16),
            27 => (self.number(8)?, 1 << 32),
            _ => return Err(CarError::Header("an item has no length")),
        };
        if value < least {
            return Err(CarError::Header("a number is not in its shortest form"));
        }
        Ok(value)
    }

    fn number(&mut self, length: u64) -> Result<u64, CarError> {
        Ok(self.take(length)?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn take(&mut self, length: u64) -> Result<&'bytes [u8], CarError> {
        let split = usize::try_from(length).ok().and_then(|at| self.rest.split_at_checked(at));
        let (taken, rest) = split.ok_or(CarError::Header("an item is cut short"))?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::raw_cid;
    use super::*;

    const VERSION: &[u8] = b"\x67version\x01";

    fn refused(header: &[u8]) -> bool {
        matches!(decode(header), Err(CarError::Header(_)))
    }

    /// The item of an array of these roots, without its key.
    fn roots(cids: &[Cid]) -> Vec<u8> {
        let mut item = Vec::new();
        put(&mut item, ARRAY, u8::try_from(cids.len()).unwrap());
        for cid in cids {
            item.extend([0xd8, 42, 0x58, u8::try_from(cid.encoded_len() + 1).unwrap(), 0]);
            item.extend(cid.to_bytes());
        }
        item
    }

    #[test]
    fn what_is_written_is_read_also_with_a_short_root() {
        let inline: Cid = "bafkqaaa".parse().unwrap();
        for root in [raw_cid([7; 32]), inline, Cid::new_v0(*raw_cid([7; 32]).hash()).unwrap()] {
            assert_eq!(decode(&encode(&root)), Ok(vec![root]));
        }
        assert_eq!(encode(&inline), b"\xa2\x65roots\x81\xd8\x2a\x45\0\x01\x55\0\0\x67version\x01");
    }

    #[test]
    fn any_number_of_roots_up_to_the_bound_stands_on_either_side_of_the_version() {
        for count in [0, 1, 2, 23, 24, MAX_CAR_ROOTS] {
            let cids = vec![raw_cid([1; 32]); count];
            let roots = roots(&cids);
            let header = [b"\xa2\x65roots", &roots[..], VERSION].concat();
            assert_eq!(decode(&header).as_ref(), Ok(&cids));
            let header = [b"\xa2", VERSION, b"\x65roots", &roots].concat();
            assert_eq!(decode(&header), Ok(cids));
        }
        let many = roots(&[raw_cid([1; 32]); MAX_CAR_ROOTS + 1]);
        assert!(refused(&[b"\xa2\x65roots", &many[..], VERSION].concat()));
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(decode(b"\xa1\x67version\x02"), Err(CarError::Version(2)));
        assert_eq!(decode(b"\xa2\x65roots\x80\x67version\x00"), Err(CarError::Version(0)));
    }

    #[test]
    fn what_dag_cbor_or_the_format_forbids_is_refused() {
        for header in [
            &b""[..],
            b"\xa0",
            b"\xa1\x65roots\x80",
            b"\xa1\x67version\x01",
            b"\xa2\x65roots\x80\x67version\x01\0",
            b"\xa2\x65roots\x80\x67version",
            b"\xa3\x65roots\x80\x67version\x01\x61a\x01",
            b"\xa2\x65roots\x80\x65roots\x80",
            b"\xa2\x67version\x01\x67version\x01",
            b"\xa2\x65roots\xf6\x67version\x01",
            b"\xa2\x65roots\x80\x67version\x18\x01",
            b"\xa2\x65roots\x80\x67version\x19\0\x01",
            b"\xa2\x65roots\x80\x67version\x61\x01",
            b"\xbf\x65roots\x80\x67version\x01\xff",
            b"\xa2\x65roots\x9f\xff\x67version\x01",
            b"\xa2\x45roots\x80\x67version\x01",
            b"\xa2\x65roots\x81\x01\x67version\x01",
            b"\xa2\x65roots\x81\xd8\x2a\x40\x67version\x01",
            b"\xa2\x65roots\x81\xd8\x2a\x45\x01\x01\x55\0\0\x67version\x01",
            b"\xa2\x65roots\x81\xd8\x2a\x46\0\x01\x55\0\0\0\x67version\x01",
            b"\xa2\x65roots\x81\xd8\x2b\x45\0\x01\x55\0\0\x67version\x01",
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xa2\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(refused(header), "{header:02x?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_damaged_header_is_refused_or_another_header(at in 0_usize..60, byte in any::<u8>()) {
            let mut header = encode(&raw_cid([7; 32]));
            let at = at % header.len();
            header[at] = byte;
            if let Ok(roots) = decode(&header) && let [root] = roots[..] {
                prop_assert_eq!(encode(&root), header);
            }
        }
    }
}
