//! IPNS records, signed by the owner of a key (specs.ipfs.tech, "IPNS Record and Protocol").
//!
//! A record may come from any source, as `application/vnd.ipfs.ipns-record`; only the signature proves
//! that it is the owner's. Keys are those of Ed25519, which their own names contain; RSA keys, which
//! are older, are not read.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use cid::Cid;
use ipld_core::ipld::Ipld;
use jiff::Timestamp;
use thiserror::Error;

use super::{Link, LinkError};

/// The longest record that is read ("Record Size Limit").
pub const MAX_RECORD: usize = 10 * 1024;

/// The prefix of the signed data.
const SIGNED: &[u8] = b"ipns-signature:";

/// A record whose signature and time are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpnsRecord {
    /// The target of the key.
    pub value: Link,
    /// Of two good records, the one with the greater number is newer; if they are equal, the one that is good
    /// for longer.
    pub sequence: u64,
    /// Until when it is good.
    pub good_until: Timestamp,
    /// How long it may be cached before a client looks for a newer one.
    pub ttl: Duration,
}

/// Why a record is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IpnsError {
    /// It is longer than [`MAX_RECORD`].
    #[error("the record is longer than 10 KiB")]
    Length,
    /// It is no record.
    #[error("the record is malformed: {0}")]
    Form(&'static str),
    /// The name is not that of an Ed25519 key.
    #[error("the name is not an Ed25519 key")]
    Key,
    /// It is not signed, is signed by another key, or was changed.
    #[error("the signature is not by the key of the name")]
    Signature,
    /// The copies of its fields for old readers say something else.
    #[error("the record contradicts itself")]
    Contradiction,
    /// Its time is over.
    #[error("the record has expired")]
    Expired,
    /// It leads nowhere.
    #[error("the record's value is not a link: {0}")]
    Value(#[from] LinkError),
}

/// Reads a record and checks it as the specification says under "Record Verification".
///
/// ```
/// use jiff::Timestamp;
/// use roadstead::dnslink::ipns::{IpnsError, MAX_RECORD, verify};
/// use roadstead::dnslink::key_of_seed;
///
/// let (name, now) = (key_of_seed(&[7; 32]), Timestamp::now());
/// assert_eq!(verify(&name, b"", now), Err(IpnsError::Signature));
/// assert_eq!(verify(&name, &[0; MAX_RECORD + 1], now), Err(IpnsError::Length));
/// ```
///
/// # Errors
/// Why it is not good.
pub fn verify(name: &Cid, record: &[u8], now: Timestamp) -> Result<IpnsRecord, IpnsError> {
    if record.len() > MAX_RECORD {
        return Err(IpnsError::Length);
    }
    let entry = Entry::read(record)?;
    let (Some(signature), Some(data)) = (entry.signature, entry.data) else {
        return Err(IpnsError::Signature);
    };
    let key = public_key(name)?;
    let signed = [SIGNED, data].concat();
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(&signed, signature).map_err(|_| IpnsError::Signature)?;

    let document: BTreeMap<String, Ipld> =
        serde_ipld_dagcbor::from_slice(data).map_err(|_| IpnsError::Form("data is not CBOR"))?;
    let document = Document::read(&document)?;
    if entry.is_for_old_readers && !entry.agrees_with(&document) {
        return Err(IpnsError::Contradiction);
    }
    let good_until: Timestamp = str::from_utf8(document.validity)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(IpnsError::Form("validity is not a time"))?;
    if good_until <= now {
        return Err(IpnsError::Expired);
    }
    let value = str::from_utf8(document.value).map_err(|_| LinkError::Characters)?.parse()?;
    let ttl = Duration::from_nanos(document.ttl);
    Ok(IpnsRecord { value, sequence: document.sequence, good_until, ttl })
}

/// The fields of the protobuf `IpnsEntry`.
#[derive(Default)]
struct Entry<'a> {
    value: Option<&'a [u8]>,
    is_for_old_readers: bool,
    validity_type: u64,
    validity: Option<&'a [u8]>,
    sequence: u64,
    ttl: u64,
    signature: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, IpnsError> {
        let mut entry = Self::default();
        let mut fields = Fields(bytes);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (1, Field::Bytes(value)) => entry.value = Some(value),
                (2, Field::Bytes(_)) => entry.is_for_old_readers = true,
                (3, Field::Number(kind)) => entry.validity_type = kind,
                (4, Field::Bytes(validity)) => entry.validity = Some(validity),
                (5, Field::Number(sequence)) => entry.sequence = sequence,
                (6, Field::Number(ttl)) => entry.ttl = ttl,
                (8, Field::Bytes(signature)) => entry.signature = Some(signature),
                (9, Field::Bytes(data)) => entry.data = Some(data),
                _ => {}
            }
        }
        entry.is_for_old_readers |= entry.value.is_some();
        Ok(entry)
    }

    fn agrees_with(&self, document: &Document<'_>) -> bool {
        self.value == Some(document.value)
            && self.validity == Some(document.validity)
            && self.validity_type == document.validity_type
            && self.sequence == document.sequence
            && self.ttl == document.ttl
    }
}

/// The fields of the signed document.
struct Document<'a> {
    value: &'a [u8],
    validity_type: u64,
    validity: &'a [u8],
    sequence: u64,
    ttl: u64,
}

impl<'a> Document<'a> {
    fn read(fields: &'a BTreeMap<String, Ipld>) -> Result<Self, IpnsError> {
        let bytes = |name: &str| match fields.get(name) {
            Some(Ipld::Bytes(bytes)) => Ok(bytes.as_slice()),
            _ => Err(IpnsError::Form("data lacks a field of bytes")),
        };
        let number = |name: &str| match fields.get(name) {
            Some(Ipld::Integer(number)) => u64::try_from(*number).ok(),
            _ => None,
        };
        let number =
            |name: &str| number(name).ok_or(IpnsError::Form("data lacks a field of a number"));
        let document = Self {
            value: bytes("Value")?,
            validity_type: number("ValidityType")?,
            validity: bytes("Validity")?,
            sequence: number("Sequence")?,
            ttl: number("TTL")?,
        };
        if document.validity_type != 0 {
            return Err(IpnsError::Form("unknown validity type"));
        }
        Ok(document)
    }
}

/// Extracts the key from a name: an identity hash of the protobuf `PublicKey`.
fn public_key(name: &Cid) -> Result<&[u8], IpnsError> {
    const IDENTITY: u64 = 0;
    const ED25519_KEY: u64 = 1;

    if name.hash().code() != IDENTITY {
        return Err(IpnsError::Key);
    }
    let (mut kind, mut key) = (None, None);
    let mut fields = Fields(name.hash().digest());
    while let Some(field) = fields.next().map_err(|_| IpnsError::Key)? {
        match field {
            (1, Field::Number(number)) => kind = Some(number),
            (2, Field::Bytes(bytes)) => key = Some(bytes),
            _ => {}
        }
    }
    match (kind, key) {
        (Some(ED25519_KEY), Some(key)) if key.len() == 32 => Ok(key),
        _ => Err(IpnsError::Key),
    }
}

/// A field of a protobuf.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a protobuf that are left.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, IpnsError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.take(8).map(|_| Field::Other)?,
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Field::Other)?,
            _ => return Err(IpnsError::Form("unknown field type")),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], IpnsError> {
        let short = IpnsError::Form("a field is longer than its message");
        let length = usize::try_from(length).map_err(|_| short)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, IpnsError> {
        let mut value = 0_u64;
        for (index, byte) in self.0.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        Err(IpnsError::Form("a number does not end"))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use cid::multihash::Multihash;
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "/ipfs/bafkqaaa/a";
    const LATER: &str = "2999-01-01T00:00:00.000000001Z";

    struct Owner(Ed25519KeyPair);

    impl Owner {
        fn new() -> Self {
            Self(Ed25519KeyPair::generate().unwrap())
        }

        fn name(&self) -> Cid {
            let key = [&[8, 1, 18, 32], self.0.public_key().as_ref()].concat();
            Cid::new_v1(0x72, Multihash::wrap(0, &key).unwrap())
        }

        /// A record of version 2 alone, with the copies for old readers where one is given.
        fn record(&self, value: &str, validity: &str, copy: Option<&str>) -> Vec<u8> {
            let document = BTreeMap::from([
                ("Value".to_owned(), Ipld::Bytes(value.into())),
                ("Validity".to_owned(), Ipld::Bytes(validity.into())),
                ("ValidityType".to_owned(), Ipld::Integer(0)),
                ("Sequence".to_owned(), Ipld::Integer(7)),
                ("TTL".to_owned(), Ipld::Integer(60_000_000_000)),
                ("_more".to_owned(), Ipld::List(vec![Ipld::Null])),
            ]);
            let data = serde_ipld_dagcbor::to_vec(&document).unwrap();
            let signature = self.0.sign(&[SIGNED, &data].concat());
            let mut record = Vec::new();
            if let Some(copy) = copy {
                put(&mut record, 1, copy.as_bytes());
                put(&mut record, 2, b"an old signature");
                put(&mut record, 4, validity.as_bytes());
                record.extend([5 << 3, 7, 6 << 3]);
                record.extend([0x80, 0xb0, 0x9d, 0xc2, 0xdf, 0x01]);
            }
            put(&mut record, 8, signature.as_ref());
            put(&mut record, 9, &data);
            record
        }
    }

    fn put(record: &mut Vec<u8>, field: u8, bytes: &[u8]) {
        record.push(field << 3 | 2);
        let length = bytes.len();
        record.extend([length % 128 + 128, length / 128].map(|it| u8::try_from(it).unwrap()));
        record.extend(bytes);
    }

    fn check(owner: &Owner, record: &[u8]) -> Result<IpnsRecord, IpnsError> {
        verify(&owner.name(), record, Timestamp::now())
    }

    #[test]
    fn a_record_of_the_owner_is_good_with_and_without_copies_for_old_readers() {
        let owner = Owner::new();
        for copy in [None, Some(VALUE)] {
            let record = check(&owner, &owner.record(VALUE, LATER, copy)).unwrap();
            assert_eq!(record.value, VALUE.parse().unwrap());
            assert_eq!((record.sequence, record.ttl), (7, Duration::from_mins(1)));
            assert_eq!(record.good_until, LATER.parse().unwrap());
        }
    }

    #[test]
    fn a_record_is_good_only_for_its_own_name() {
        let (owner, other) = (Owner::new(), Owner::new());
        let record = owner.record(VALUE, LATER, None);
        assert_eq!(check(&other, &record), Err(IpnsError::Signature));
        let hashed = Cid::new_v1(0x72, Multihash::wrap(0x12, &[0; 32]).unwrap());
        assert_eq!(verify(&hashed, &record, Timestamp::now()), Err(IpnsError::Key));
    }

    #[test]
    fn a_record_that_was_changed_anywhere_is_not_good() {
        let owner = Owner::new();
        let record = owner.record(VALUE, LATER, None);
        for index in 0..record.len() {
            let mut changed = record.clone();
            changed[index] ^= 1;
            assert!(check(&owner, &changed).is_err(), "byte {index}");
        }
    }

    #[test]
    fn copies_for_old_readers_must_say_the_same() {
        let owner = Owner::new();
        let record = owner.record(VALUE, LATER, Some("/ipfs/bafkqaaa/b"));
        assert_eq!(check(&owner, &record), Err(IpnsError::Contradiction));
        let mut only_old = Vec::new();
        put(&mut only_old, 1, VALUE.as_bytes());
        put(&mut only_old, 2, b"a signature");
        assert_eq!(check(&owner, &only_old), Err(IpnsError::Signature));
    }

    #[test]
    fn what_is_over_or_leads_nowhere_or_is_too_long_is_refused() {
        let owner = Owner::new();
        let record = |value: &str, validity: &str| owner.record(value, validity, None);
        let check = |record: &[u8]| check(&owner, record).unwrap_err();
        assert_eq!(check(&record(VALUE, "2001-01-01T00:00:00Z")), IpnsError::Expired);
        assert_eq!(check(&record(VALUE, "soon")), IpnsError::Form("validity is not a time"));
        assert_eq!(check(&record("/hyper/a", LATER)), IpnsError::Value(LinkError::Namespace));
        assert_eq!(check(&vec![0; MAX_RECORD + 1]), IpnsError::Length);
        assert_eq!(check(&[]), IpnsError::Signature);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let owner = Owner::new();
            prop_assert!(check(&owner, &bytes).is_err());
        }
    }
}
