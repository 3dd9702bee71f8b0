//! The vectors of the profile `unixfs-v1-2025` (IPIP-499), regenerated from their seeds.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::HashMap;
use std::convert::Infallible;

use bytes::Bytes;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use roadstead::ipld::file::{CHUNK_SIZE, FileHasher};
use roadstead::ipld::{Block, Cid, Directory, Entry};
use sha2::{Digest, Sha256};

const GIBIBYTE: usize = 1 << 30;

/// The `ChaCha20` key stream of a seed. It is taken from proptest's generator, which is that cipher under
/// a nonce of zeros, and is compiled with optimisation. Each request begins at a whole word of four
/// bytes: ask for everything that does not come in whole words at once.
fn stream(seed: &str) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &Sha256::digest(seed))
}

/// Appends the next bytes of a stream.
fn append(hasher: &mut FileHasher, stream: &mut TestRng, length: usize) {
    let mut chunk = vec![0; CHUNK_SIZE];
    for start in (0..length).step_by(CHUNK_SIZE) {
        let chunk = &mut chunk[..CHUNK_SIZE.min(length - start)];
        stream.fill_bytes(chunk);
        hasher.append(chunk);
    }
}

fn file(seed: &str, length: usize) -> String {
    let mut hasher = FileHasher::new();
    append(&mut hasher, &mut stream(seed), length);
    hasher.finish().cid.to_string()
}

#[test]
fn small_files_have_the_cids_of_the_profile() {
    let mut hello = FileHasher::new();
    hello.append(b"hello world");
    let hello = hello.finish();
    let expected = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    assert_eq!(hello.cid.to_string(), expected);
    assert_eq!((hello.size, hello.dag_size), (11, 11));

    let empty = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    assert_eq!(file("none", 0), empty);
    let chunk = "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta";
    assert_eq!(file("chunk-v1-seed", CHUNK_SIZE), chunk);
    let chunk_and_byte = "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64";
    assert_eq!(file("chunk-v1-seed", CHUNK_SIZE + 1), chunk_and_byte);
}

#[test]
fn files_of_a_gibibyte_and_a_byte_more_have_the_cids_of_the_profile() {
    let mut stream = stream("v1-2025-seed");
    let mut hasher = FileHasher::new();
    append(&mut hasher, &mut stream, GIBIBYTE);
    let full = "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm";
    assert_eq!(hasher.clone().finish().cid.to_string(), full);
    append(&mut hasher, &mut stream, 1);
    let over = "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe";
    assert_eq!(hasher.finish().cid.to_string(), over);
}

/// The directory of 4,766 files that hold `x`, of which the last name has the length given.
fn directory(last_length: usize) -> (String, usize) {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz01234567890-_";
    const COUNT: usize = 4766;
    let mut hasher = FileHasher::new();
    hasher.append(b"x");
    let content = hasher.finish();
    let mut names = vec![0; (COUNT - 1) * 11 + last_length];
    stream("hamt-unixfs-v1-2025").fill_bytes(&mut names);
    let mut directory = Directory::empty();
    let mut blocks: HashMap<Cid, Bytes> = HashMap::new();
    let mut nothing = |cid: &Cid| -> Result<Bytes, Infallible> { panic!("{cid} was loaded") };
    for index in 0..COUNT {
        let start = index * 11;
        let end = if index == COUNT - 1 { names.len() } else { start + 11 };
        let name = names[start..end]
            .iter()
            .map(|&byte| ALPHABET[usize::from(byte) % ALPHABET.len()] as char);
        let entry = Entry { name: name.collect(), cid: content.cid, size: content.dag_size };
        assert_eq!(directory.insert(entry, &mut nothing).unwrap(), None);
    }
    let mut added = |block: Block| {
        assert_eq!(blocks.insert(block.cid, block.bytes), None);
    };
    let (cid, dag_size) = directory.flush(&mut added, &mut |cid| panic!("{cid} was removed"));
    let length: usize = blocks.values().map(Bytes::len).sum();
    assert_eq!(dag_size, (length + COUNT) as u64);
    (cid.to_string(), blocks[&cid].len())
}

#[test]
fn directories_at_and_above_the_threshold_have_the_cids_of_the_profile() {
    let basic = "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4";
    assert_eq!(directory(21), (basic.to_owned(), 262_144));
    let sharded = "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu";
    assert_eq!(directory(22).0, sharded);
}
