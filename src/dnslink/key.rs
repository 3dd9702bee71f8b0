//! Names that are public keys: IPNS names and peer ids, which are the same thing.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use cid::multibase::Base;
use cid::multihash::Multihash;
use cid::{Cid, Version};

/// The multicodec of a libp2p public key, which an IPNS name is the CID of.
const LIBP2P_KEY: u64 = 0x72;
const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;

/// The longest key that its own name contains; longer ones are hashed (libp2p, "Peer Ids").
const MAX_INLINE: usize = 42;

/// Reads an IPNS name or a peer id: a CID of a libp2p key, or the bare multihash in base58, as
/// `12D3KooW…` and `Qm…`. None if it is neither.
///
/// ```
/// use roadstead::dnslink::{key_of_seed, parse_key, peer_id};
///
/// let key = key_of_seed(&[7; 32]);
/// assert_eq!(parse_key(&key.to_string()), Some(key));
/// assert_eq!(parse_key(&peer_id(&key)), Some(key));
/// assert_eq!(parse_key("example.com"), None);
/// ```
#[must_use]
pub fn parse_key(text: &str) -> Option<Cid> {
    let hash = match text.as_bytes().first()? {
        // A multihash in base58; no CID of version 1 begins with these.
        b'1' | b'Q' => Multihash::from_bytes(&Base::Base58Btc.decode(text).ok()?).ok()?,
        _ => {
            let cid = Cid::try_from(text).ok()?;
            let is_key = cid.version() == Version::V1 && cid.codec() == LIBP2P_KEY;
            is_key.then(|| *cid.hash())?
        }
    };
    let is_sound = match hash.code() {
        IDENTITY => (1..=MAX_INLINE).contains(&usize::from(hash.size())),
        SHA2_256 => hash.size() == 32,
        _ => false,
    };
    is_sound.then(|| Cid::new_v1(LIBP2P_KEY, hash))
}

/// Returns the name of the key that is derived from a seed (libp2p, "Peer Ids": Ed25519).
///
/// ```
/// use roadstead::dnslink::{key_of_seed, peer_id};
///
/// let key = key_of_seed(&[7; 32]);
/// assert!(peer_id(&key).starts_with("12D3KooW"));
/// assert_ne!(key, key_of_seed(&[8; 32]));
/// ```
///
/// # Panics
/// Never: any 32 bytes are a seed.
#[must_use]
pub fn key_of_seed(seed: &[u8; 32]) -> Cid {
    // A protobuf of two fields: the type, 1, and the key.
    const HEAD: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

    let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed");
    let key = [&HEAD, pair.public_key().as_ref()].concat();
    Cid::new_v1(LIBP2P_KEY, Multihash::wrap(IDENTITY, &key).expect("36 bytes fit"))
}

/// Writes a key as a peer id, as Kubo does: its multihash in base58.
///
/// ```
/// use roadstead::dnslink::{parse_key, peer_id};
///
/// let id = "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";
/// assert_eq!(parse_key(id).map(|key| peer_id(&key)).as_deref(), Some(id));
/// ```
#[must_use]
pub fn peer_id(key: &Cid) -> String {
    Base::Base58Btc.encode(key.hash().to_bytes())
}

/// Writes a key as an IPNS name: a CID in base36.
pub(super) fn ipns_name(key: &Cid) -> String {
    key.to_string_of_base(Base::Base36Lower).unwrap_or_else(|_| key.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";
    const RSA: &str = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

    #[test]
    fn a_key_is_read_in_each_of_its_forms() {
        for text in [ED25519, RSA] {
            let key = parse_key(text).unwrap();
            assert_eq!(peer_id(&key), text);
            assert_eq!(parse_key(&ipns_name(&key)), Some(key));
            assert_eq!(parse_key(&key.to_string()), Some(key), "in base32");
        }
        assert!(ipns_name(&parse_key(ED25519).unwrap()).starts_with("k51"));
    }

    #[test]
    fn anything_else_is_no_key() {
        for text in [
            "",
            "1",
            "12D3KooW",
            "Qm",
            "example.com",
            "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5",
            "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF0",
        ] {
            assert_eq!(parse_key(text), None, "{text}");
        }
    }
}
