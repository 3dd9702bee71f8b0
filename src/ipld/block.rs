//! Blocks: bytes named by their hash.

use bytes::Bytes;
use cid::Cid;
use multihash::Multihash;
use sha2::{Digest, Sha256, Sha512};

use super::BlockError;

/// The codec of bytes without structure: the leaves of files.
pub const RAW: u64 = 0x55;
/// The codec of nodes: directories, and files of more than one chunk.
pub(super) const DAG_PB: u64 = 0x70;

const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;
const SHA2_512: u64 = 0x13;

/// The longest block that peers exchange; no format here is decoded beyond it.
pub const MAX_BLOCK_SIZE: usize = 2 << 20;

/// Bytes and the CID that names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The name: the hash of the bytes, and what they are.
    pub cid: Cid,
    /// The content.
    pub bytes: Bytes,
}

impl Block {
    /// Names a leaf.
    ///
    /// ```
    /// use roadstead::ipld::Block;
    ///
    /// let block = Block::raw("hello".into());
    /// assert_eq!(block.cid.to_string(), "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq");
    /// ```
    #[must_use]
    pub fn raw(bytes: Bytes) -> Self {
        Self { cid: raw_cid(Sha256::digest(&bytes).into()), bytes }
    }

    /// Names a dag-pb node. The bytes are not looked into.
    ///
    /// ```
    /// use roadstead::ipld::Block;
    ///
    /// let block = Block::dag_pb(vec![0x0a, 2, 8, 1].into());
    /// assert_eq!(block.cid.to_string(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
    /// ```
    #[must_use]
    pub fn dag_pb(bytes: Bytes) -> Self {
        Self { cid: node_cid(Sha256::digest(&bytes).into()), bytes }
    }

    /// Accepts bytes that claim to be the block `cid`, if they hash to it.
    ///
    /// ```
    /// use roadstead::ipld::{Block, BlockError};
    ///
    /// let block = Block::raw("hello".into());
    /// assert_eq!(Block::verify(block.cid, "hello".into()), Ok(block.clone()));
    /// assert_eq!(Block::verify(block.cid, "hullo".into()), Err(BlockError::Mismatch(block.cid)));
    /// ```
    ///
    /// # Errors
    /// When they do not, or when the hash function is not one of sha2-256, sha2-512 and identity.
    pub fn verify(cid: Cid, bytes: Bytes) -> Result<Self, BlockError> {
        let expected = cid.hash().digest();
        let equal = match cid.hash().code() {
            SHA2_256 => Sha256::digest(&bytes).as_slice() == expected,
            SHA2_512 => Sha512::digest(&bytes).as_slice() == expected,
            IDENTITY => bytes.as_ref() == expected,
            code => return Err(BlockError::UnsupportedHash { cid, code }),
        };
        if equal { Ok(Self { cid, bytes }) } else { Err(BlockError::Mismatch(cid)) }
    }
}

/// The CID of a leaf whose sha2-256 is known.
///
/// ```
/// use roadstead::ipld::{Block, raw_cid};
/// use sha2::{Digest, Sha256};
///
/// assert_eq!(raw_cid(Sha256::digest("hello").into()), Block::raw("hello".into()).cid);
/// ```
#[must_use]
pub fn raw_cid(digest: [u8; 32]) -> Cid {
    Cid::new_v1(RAW, sha256(digest))
}

/// The CID of a dag-pb node whose sha2-256 is known.
pub(super) fn node_cid(digest: [u8; 32]) -> Cid {
    Cid::new_v1(DAG_PB, sha256(digest))
}

fn sha256(digest: [u8; 32]) -> Multihash<64> {
    Multihash::wrap(SHA2_256, &digest).expect("32 bytes fit a multihash of 64")
}

/// The sha2-256 that a CID is made of, or `None` where another function made it.
///
/// ```
/// use roadstead::ipld::{digest_of, raw_cid};
///
/// assert_eq!(digest_of(&raw_cid([7; 32])), Some([7; 32]));
/// assert_eq!(digest_of(&"bafkqaaa".parse()?), None, "it holds its content inline");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn digest_of(cid: &Cid) -> Option<[u8; 32]> {
    let hash = cid.hash();
    if hash.code() == SHA2_256 { hash.digest().try_into().ok() } else { None }
}

/// Whether blocks of that name are read: raw or dag-pb, by sha2-256 or [inlined].
pub(super) fn is_known(cid: &Cid) -> bool {
    matches!(cid.codec(), RAW | DAG_PB) && (digest_of(cid).is_some() || inlined(cid).is_some())
}

/// The name of the hash function that a CID is made by, as the table of multicodecs has it, where it is one whose
/// blocks are not read.
///
/// ```
/// use roadstead::ipld::{hash_name, raw_cid};
///
/// assert_eq!(hash_name(&raw_cid([7; 32])), None);
/// let sha1 = "bafkrcfbvmckg5o7jkttcxiqr5r44mt2x6qntyly";
/// assert_eq!(hash_name(&sha1.parse()?).as_deref(), Some("sha1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn hash_name(cid: &Cid) -> Option<String> {
    if digest_of(cid).is_some() || inlined(cid).is_some() {
        return None;
    }
    Some(match cid.hash().code() {
        0x11 => "sha1".to_owned(),
        // Its digest is cut short.
        SHA2_256 => "a shortened sha2-256".to_owned(),
        0x13 => "sha2-512".to_owned(),
        0x14 => "sha3-512".to_owned(),
        0x16 => "sha3-256".to_owned(),
        0x1b => "keccak-256".to_owned(),
        0x1e => "blake3".to_owned(),
        0xb220 => "blake2b-256".to_owned(),
        0xb260 => "blake2s-256".to_owned(),
        code => format!("hash function {code:#x}"),
    })
}

/// The content of a CID that is its content rather than a hash of it.
pub(super) fn inlined(cid: &Cid) -> Option<&[u8]> {
    (cid.hash().code() == IDENTITY).then(|| cid.hash().digest())
}

/// The CID that bytes begin with, in its only form, and what follows it.
pub(super) fn read_cid(bytes: &[u8]) -> Option<(Cid, &[u8])> {
    let mut rest = bytes;
    let cid = Cid::read_bytes(&mut rest).ok()?;
    // The library also takes numbers of more than 64 bits, and leaves out the bits above.
    let read = &bytes[..bytes.len() - rest.len()];
    (cid.to_bytes() == read).then_some((cid, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_named_as_ipfs_names_it() {
        let block = Block::raw(Bytes::from_static(b"hello world"));
        let expected = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
        assert_eq!(block.cid.to_string(), expected);
        assert_eq!(digest_of(&block.cid).map(raw_cid), Some(block.cid));
    }

    #[test]
    fn bytes_are_accepted_only_under_their_own_name() {
        let bytes = Bytes::from_static(b"content");
        let sha512 = Multihash::wrap(SHA2_512, &Sha512::digest(&bytes)).unwrap();
        let identity = Multihash::wrap(IDENTITY, &bytes).unwrap();
        let version_0 = Cid::new_v0(sha256(Sha256::digest(&bytes).into())).unwrap();
        let names = [
            Block::raw(bytes.clone()).cid,
            Block::dag_pb(bytes.clone()).cid,
            Cid::new_v1(RAW, sha512),
            Cid::new_v1(RAW, identity),
            version_0,
        ];
        for cid in names {
            assert_eq!(Block::verify(cid, bytes.clone()).unwrap().cid, cid);
            let forged = Block::verify(cid, Bytes::from_static(b"contents"));
            assert_eq!(forged, Err(BlockError::Mismatch(cid)));
        }
    }

    #[test]
    fn an_unknown_hash_function_is_never_taken_for_a_match() {
        let cid = Cid::new_v1(RAW, Multihash::wrap(0xb220, &[0; 32]).unwrap());
        let refused = Block::verify(cid, Bytes::new());
        assert_eq!(refused, Err(BlockError::UnsupportedHash { cid, code: 0xb220 }));
        assert_eq!(digest_of(&cid), None);
    }

    #[test]
    fn a_truncated_sha256_is_not_a_match() {
        let digest = Sha256::digest(b"content");
        let cid = Cid::new_v1(RAW, Multihash::wrap(SHA2_256, &digest[..8]).unwrap());
        assert!(Block::verify(cid, Bytes::from_static(b"content")).is_err());
        assert_eq!(digest_of(&cid), None);
    }
}
