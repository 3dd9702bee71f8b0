//! Numbers of links by node.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;

use cid::{Cid, Version};

use crate::ipld::{digest_of, raw_cid};

/// Numbers by CID, in less than half of the memory that a map of CIDs takes: large directories link to many nodes.
#[derive(Debug, Default)]
pub(super) struct LinkCounts(HashMap<Key, i64>);

#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Codec and digest of a CID of version 1 by sha2-256, as nodes of trees have them.
    Usual(u8, [u8; 32]),
    Other(Box<Cid>),
}

impl Key {
    fn of(cid: &Cid) -> Self {
        match (cid.version(), u8::try_from(cid.codec()), digest_of(cid)) {
            (Version::V1, Ok(codec), Some(digest)) => Self::Usual(codec, digest),
            _ => Self::Other(Box::new(*cid)),
        }
    }

    fn cid(&self) -> Cid {
        match self {
            Self::Usual(codec, digest) => Cid::new_v1(u64::from(*codec), *raw_cid(*digest).hash()),
            Self::Other(cid) => **cid,
        }
    }
}

impl LinkCounts {
    pub(super) fn get(&self, cid: &Cid) -> Option<i64> {
        self.0.get(&Key::of(cid)).copied()
    }

    pub(super) fn set(&mut self, cid: &Cid, count: i64) {
        self.0.insert(Key::of(cid), count);
    }

    /// Adds to the number of a node, which is 0 where none is known, and returns it. One that becomes 0 is removed.
    pub(super) fn add(&mut self, cid: &Cid, more: i64) -> i64 {
        match self.0.entry(Key::of(cid)) {
            MapEntry::Vacant(entry) => {
                if more != 0 {
                    entry.insert(more);
                }
                more
            }
            MapEntry::Occupied(mut entry) => {
                *entry.get_mut() += more;
                let count = *entry.get();
                if count == 0 {
                    entry.remove();
                }
                count
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns all numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Cid, i64)> {
        self.0.iter().map(|(key, count)| (key.cid(), *count))
    }
}

#[cfg(test)]
mod tests {
    use cid::multihash::Multihash;

    use super::*;
    use crate::ipld::Block;

    #[test]
    fn every_cid_has_its_own_number() {
        let digest = [7; 32];
        let hash = *raw_cid(digest).hash();
        let short = Multihash::wrap(0x12, &digest[..20]).unwrap();
        let sha512 = Multihash::wrap(0x13, &[7; 64]).unwrap();
        let cids = [
            raw_cid(digest),
            Block::dag_pb(bytes::Bytes::from_static(b"\x0a\x02\x08\x01")).cid,
            Cid::new_v1(0x70, hash),
            Cid::new_v0(hash).unwrap(),
            Cid::new_v1(0x55, short),
            Cid::new_v1(0x55, sha512),
            Cid::new_v1(0x0129, hash),
        ];
        let mut counts = LinkCounts::default();
        for (number, cid) in (1..).zip(&cids) {
            assert_eq!(counts.add(cid, number), number);
        }
        for (number, cid) in (1..).zip(&cids) {
            assert_eq!(counts.get(cid), Some(number), "{cid}");
        }
        assert_eq!(counts.iter().count(), cids.len());
        assert!(counts.iter().all(|(cid, _)| cids.contains(&cid)));
        counts.add(&cids[0], -1);
        assert_eq!(counts.iter().count(), cids.len() - 1);
        assert!(std::mem::size_of::<(Key, i64)>() * 2 < std::mem::size_of::<(Cid, i64)>());
    }
}
