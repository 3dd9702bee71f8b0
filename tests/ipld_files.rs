//! Files: however the bytes arrive, the CID is the same, and it is that of other builders.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use roadstead::ipld::file::{self, CHUNK_SIZE, File, FileHasher, Interior, MAX_LINKS, Spine};
use roadstead::ipld::{Block, Cid};
use rust_unixfs::file::adder::{BalancedCollector, Chunker, FileAdder};
use sha2::{Digest, Sha256};

static CONTENT: LazyLock<Bytes> = LazyLock::new(|| {
    let mut content = vec![0; 4 * CHUNK_SIZE + 5];
    TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]).fill_bytes(&mut content);
    content.into()
});

/// Lengths, of which many are close to a border between chunks.
fn lengths() -> impl Strategy<Value = usize> {
    let close = (0..=4_usize, 0..6_usize)
        .prop_map(|(chunks, past)| (chunks * CHUNK_SIZE + past).saturating_sub(3));
    prop_oneof![close, 0..=CONTENT.len()]
}

/// Where the content is cut into appends.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(lengths(), 0..8).prop_map(|mut cuts| {
        cuts.sort_unstable();
        cuts
    })
}

fn pieces<'a>(content: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for cut in cuts.iter().map(|&cut| cut.min(content.len())).chain([content.len()]) {
        pieces.push(&content[start..cut]);
        start = cut;
    }
    pieces
}

fn oracle(content: &[u8]) -> String {
    let mut adder = FileAdder::builder()
        .with_chunker(Chunker::Size(CHUNK_SIZE))
        .with_collector(BalancedCollector::with_branching_factor(MAX_LINKS))
        .build();
    // A file of exactly one chunk hands out its root here, and nothing at the end.
    let mut last = None;
    let mut rest = content;
    while !rest.is_empty() {
        let (blocks, consumed) = adder.push(rest);
        last = blocks.last().or(last);
        rest = &rest[consumed..];
    }
    let (cid, _) = adder.finish().last().or(last).unwrap();
    cid.to_string()
}

/// Uploads in pieces as the storage does: whole chunks go to the spine, and between two pieces all that
/// is kept is the bytes of the spine and the chunk that is not full.
fn upload(pieces: &[&[u8]]) -> (File, Vec<Interior>) {
    let mut checkpoint = Spine::new().to_bytes();
    let mut open: Vec<u8> = Vec::new();
    let mut nodes = Vec::new();
    for piece in pieces {
        let mut spine = Spine::from_bytes(&checkpoint).unwrap();
        open.extend_from_slice(piece);
        while open.len() >= CHUNK_SIZE {
            let chunk: Vec<u8> = open.drain(..CHUNK_SIZE).collect();
            let digest = Sha256::digest(&chunk).into();
            spine.push_leaf(digest, CHUNK_SIZE as u64, &mut |node| nodes.push(node));
        }
        checkpoint = spine.to_bytes();
    }
    let mut spine = Spine::from_bytes(&checkpoint).unwrap();
    let mut sink = |node| nodes.push(node);
    if !open.is_empty() {
        spine.push_leaf(Sha256::digest(&open).into(), open.len() as u64, &mut sink);
    }
    let file = spine.finish(&mut sink);
    (file, nodes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_file_has_one_cid_whatever_the_appends_and_the_checkpoints(
        length in lengths(),
        cuts in cuts(),
    ) {
        let content = CONTENT.slice(..length);
        let pieces = pieces(&content, &cuts);
        let mut hasher = FileHasher::new();
        for piece in &pieces {
            hasher.append(piece);
        }
        let file = hasher.finish();
        prop_assert_eq!(file.size, length as u64);
        prop_assert_eq!(file.dag_size, file::dag_size(file.size));
        prop_assert_eq!(file.cid.to_string(), oracle(&content));

        let (uploaded, nodes) = upload(&pieces);
        prop_assert_eq!(uploaded, file);
        let leaves: Vec<[u8; 32]> = content
            .chunks(CHUNK_SIZE)
            .chain(content.is_empty().then_some(&[][..]))
            .map(|chunk| Sha256::digest(chunk).into())
            .collect();
        prop_assert_eq!(&file::interior(&leaves, file.size).unwrap(), &nodes);

        let mut blocks: Vec<Block> = Vec::new();
        prop_assert_eq!(file::build(&content, &mut |block| blocks.push(block)), file);
        prop_assert_eq!(blocks.last().map(|root| root.cid), Some(file.cid));
        let total: u64 = blocks.iter().map(|block| block.bytes.len() as u64).sum();
        prop_assert_eq!(total, file.dag_size);
        for block in blocks {
            prop_assert!(Block::verify(block.cid, block.bytes).is_ok());
        }
    }
}

#[test]
fn a_checkpoint_anywhere_in_a_large_file_leads_to_the_same_file() {
    let digest = |index: u32| Sha256::digest(index.to_be_bytes()).into();
    let chunk = CHUNK_SIZE as u64;
    let count = 2 * 1024 + 700;
    let mut straight = Spine::new();
    let mut resumed = Spine::new();
    let [mut first, mut second]: [Vec<Cid>; 2] = Default::default();
    for index in 0..count {
        straight.push_leaf(digest(index), chunk, &mut |node| first.push(node.block.cid));
        resumed.push_leaf(digest(index), chunk, &mut |node| second.push(node.block.cid));
        if index % 97 == 0 || index % 1024 > 1021 || index % 1024 < 2 {
            resumed = Spine::from_bytes(&resumed.to_bytes()).unwrap();
        }
    }
    let file = straight.finish(&mut |node| first.push(node.block.cid));
    assert_eq!(resumed.finish(&mut |node| second.push(node.block.cid)), file);
    assert_eq!(first, second);
    assert_eq!(first.len(), 4);
    assert_eq!(file.dag_size, file::dag_size(u64::from(count) * chunk));
}
