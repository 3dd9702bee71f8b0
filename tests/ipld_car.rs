//! What a real Kubo answers is read, block for block; and what it answers is what we would have written.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use roadstead::ipld::{
    Block, CarEvent, CarReader, Cid, Entry, Node, Scope, Target, Traversal, car_frame, car_header,
    describe,
};
use tempfile::TempDir;

use crate::common::http::{self, Response};
use crate::common::{KuboNode, succeed};

const MIB: usize = 1 << 20;

/// Bytes of which no two chunks are alike.
fn random(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]).fill_bytes(&mut bytes);
    bytes
}

/// What an archive was read to.
struct Read {
    roots: Vec<Cid>,
    blocks: Vec<Block>,
    target: Target,
    content: Vec<u8>,
    entries: Vec<Entry>,
}

/// Reads an archive of which each block has to be the one that comes next.
fn read(archive: &[u8], root: Cid, path: &[&str], scope: Scope) -> Read {
    let names = path.iter().map(|&name| name.to_owned());
    let mut traversal = Traversal::new(root, names, scope).unwrap();
    let (mut roots, mut blocks) = (Vec::new(), Vec::new());
    let (mut content, mut entries) = (Vec::new(), Vec::new());
    for event in events(archive) {
        match event {
            CarEvent::Header { roots: claimed } => roots = claimed,
            CarEvent::Block(block) => {
                assert_eq!(traversal.next_cid(), Some(block.cid), "{path:?} {scope:?}");
                let step = traversal.supply(&block).unwrap();
                blocks.push(block);
                content.extend(step.content.concat());
                entries.extend(step.entries);
            }
        }
    }
    assert_eq!(traversal.next_cid(), None, "{path:?} {scope:?}");
    Read { roots, blocks, target: traversal.target().unwrap().clone(), content, entries }
}

fn events(archive: &[u8]) -> Vec<CarEvent> {
    let mut reader = CarReader::new();
    let mut events = Vec::new();
    for piece in archive.chunks(50_001) {
        reader.push(Bytes::copy_from_slice(piece));
        while let Some(event) = reader.next_event().unwrap() {
            events.push(event);
        }
    }
    reader.finish().unwrap();
    events
}

/// Writes the archive that a gateway answers, out of blocks that are at hand.
fn write(blocks: &HashMap<Cid, Block>, root: Cid, path: &[&str], scope: Scope) -> Vec<u8> {
    let names = path.iter().map(|&name| name.to_owned());
    let mut traversal = Traversal::new(root, names, scope).unwrap();
    let mut frames = Vec::new();
    while let Some(cid) = traversal.next_cid() {
        frames.extend(car_frame(&blocks[&cid]));
        traversal.supply(&blocks[&cid]).unwrap();
    }
    // Kubo puts what is at the end of the path there, and the empty content where nothing is.
    let empty = "bafkqaaa".parse().unwrap();
    let terminal = traversal.target().unwrap().cid().unwrap_or(empty);
    [car_header(&terminal).to_vec(), frames.concat()].concat()
}

/// The blocks of a DAG, as `ipfs dag export` gives them.
fn export(node: &KuboNode, root: Cid) -> Vec<u8> {
    let answer = node.rpc("dag/export", &[("arg", &root.to_string()), ("progress", "false")]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.body
}

fn by_name(archive: &[u8]) -> HashMap<Cid, Block> {
    let blocks = events(archive).into_iter().filter_map(|event| match event {
        CarEvent::Block(block) => Some((block.cid, block)),
        CarEvent::Header { .. } => None,
    });
    blocks.collect()
}

/// Asks the gateway for an archive with its blocks in order and as often as they are linked to.
fn ask(node: &KuboNode, root: Cid, path: &[&str], scope: &str) -> Response {
    let path: String = path.iter().flat_map(|name| ["/", name]).collect();
    let query = format!("format=car&car-order=dfs&car-dups=y&dag-scope={scope}");
    let answer = http::get(&format!("{}/ipfs/{root}{path}?{query}", node.gateway()));
    assert_eq!(answer.status, 200, "{path} {scope}: {}", answer.text());
    let content_type = "application/vnd.ipld.car; version=1; order=dfs; dups=y";
    assert_eq!(answer.header("content-type"), content_type);
    answer
}

/// Asks for an archive, reads it, and compares it with ours.
fn compare(
    node: &KuboNode,
    blocks: &HashMap<Cid, Block>,
    root: Cid,
    path: &[&str],
    query: &str,
) -> Read {
    let scope = match query.split_once("&entity-bytes=") {
        Some((_, range)) => Scope::Entity(Some(range.parse().unwrap())),
        None if query == "entity" => Scope::Entity(None),
        None if query == "block" => Scope::Block,
        None => Scope::All { limit: 100_000 },
    };
    let answer = ask(node, root, path, query);
    let found = read(&answer.body, root, path, scope);
    assert!(write(blocks, root, path, scope) == answer.body, "{path:?} {query}: {:?}", found.roots);
    found
}

fn name(index: usize) -> String {
    format!("{index:04}-{}", "long".repeat(50))
}

/// A folder of a sharded directory, files of many chunks, alike and not, and a symbolic link.
fn fill(folder: &Path, large: &[u8]) {
    let sharded = folder.join("unique/sharded");
    fs::create_dir_all(&sharded).unwrap();
    for index in 0..3000 {
        fs::write(sharded.join(name(index)), format!("content {index}")).unwrap();
    }
    fs::write(folder.join("unique/large"), large).unwrap();
    fs::write(folder.join("repeated"), vec![7; 3 * MIB + 1]).unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    symlink("unique/large", folder.join("link")).unwrap();
}

fn add(node: &KuboNode, folder: &Path) -> Cid {
    node.ipfs(["add", "-rQ", folder.to_str().unwrap()]).parse().unwrap()
}

#[test]
fn the_archives_of_kubo_are_read_and_written_byte_for_byte() {
    let Some(node) = KuboNode::start() else { return };
    let folder = TempDir::new().unwrap();
    let large = random(5 * MIB + 9, 1);
    fill(folder.path(), &large);
    let root = add(&node, folder.path());
    let blocks = by_name(&export(&node, root));
    let get = |path: &[&str], query: &str| compare(&node, &blocks, root, path, query);

    let one = name(1234);
    let found = get(&["unique", "sharded", &one], "entity");
    assert_eq!(found.content, b"content 1234");
    assert!(found.blocks.len() > 4, "of the root, two directories, shards and the file");
    let mut listed = get(&["unique", "sharded"], "entity").entries;
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<String> = (0..3000).map(name).collect();
    assert_eq!(listed.into_iter().map(|entry| entry.name).collect::<Vec<_>>(), names);
    assert_eq!(get(&["unique", "sharded"], "block").blocks.len(), 3);
    assert_eq!(get(&[], "entity").entries.len(), 4);
    assert_eq!(get(&[], "block").blocks.len(), 1);

    let found = get(&["unique", "large"], "entity");
    assert!(found.content == large);
    assert!(matches!(found.target, Target::File { size, .. } if size == large.len() as u64));
    let found = get(&["repeated"], "entity");
    assert!(found.content == vec![7; 3 * MIB + 1]);
    assert_eq!(
        found.blocks[2], found.blocks[3],
        "a block that is linked to twice stands there twice"
    );
    assert_eq!(get(&["empty"], "entity").target, Target::File { cid: file_of(b""), size: 0 });
    let link = get(&["link"], "entity");
    assert!(matches!(link.target, Target::Symlink { target, .. } if target == "unique/large"));
    assert!(get(&["unique"], "all").blocks.len() > 3000 + 256 + 6);
    assert_eq!(get(&["repeated"], "all").blocks, found.blocks);
}

fn file_of(content: &'static [u8]) -> Cid {
    Block::raw(Bytes::from_static(content)).cid
}

#[test]
fn ranges_of_kubo_are_those_slices_with_no_other_leaf() {
    let Some(node) = KuboNode::start() else { return };
    let folder = TempDir::new().unwrap();
    let large = random(5 * MIB + 9, 2);
    fs::write(folder.path().join("large"), &large).unwrap();
    fs::write(folder.path().join("small"), &large[..100]).unwrap();
    let root = add(&node, folder.path());
    let blocks = by_name(&export(&node, root));
    for (range, slice, leaves) in [
        ("0:*", 0..large.len(), 6),
        ("0:0", 0..1, 1),
        ("0:1048575", 0..MIB, 1),
        ("1048575:1048576", MIB - 1..MIB + 1, 2),
        ("1048576:3145727", MIB..3 * MIB, 2),
        ("-9:*", 5 * MIB..large.len(), 1),
        ("-10:*", 5 * MIB - 1..large.len(), 2),
        ("-99999999:3", 0..4, 1),
        ("5000000:-20", 5_000_000..large.len() - 19, 1),
        ("5242880:99999999", 5 * MIB..large.len(), 1),
        ("5242889:*", 0..0, 0),
        ("99999999:*", 0..0, 0),
    ] {
        let query = format!("entity&entity-bytes={range}");
        let found = compare(&node, &blocks, root, &["large"], &query);
        assert!(found.content == large[slice], "{range}");
        assert_eq!(found.blocks.len(), 2 + leaves, "{range}");
    }
    for (range, slice) in [("0:*", 0..100), ("10:19", 10..20), ("-1:*", 99..100), ("200:*", 0..0)] {
        let query = format!("entity&entity-bytes={range}");
        let found = compare(&node, &blocks, root, &["small"], &query);
        assert_eq!(found.content, &large[slice], "{range}");
    }
    let found = compare(&node, &blocks, root, &[], "entity&entity-bytes=5:6");
    assert_eq!(found.entries.len(), 2, "a directory has no bytes");
}

#[test]
fn what_kubo_does_not_have_is_proved_absent() {
    let Some(node) = KuboNode::start() else { return };
    let folder = TempDir::new().unwrap();
    fill(folder.path(), b"not large");
    let root = add(&node, folder.path());
    let blocks = by_name(&export(&node, root));
    let one = name(5);
    for (path, found) in [
        (&["absent"][..], 0),
        (&["absent", "below"], 0),
        (&["unique", "sharded", "absent"], 2),
        (&["unique", "sharded", "absent", "below", "it"], 2),
        (&["unique", "sharded", &one, "below"], 3),
        (&["unique", "sharded", &one, "below", "it"], 3),
        (&["link", "below"], 1),
        (&["link", "below", "it"], 1),
        (&["repeated", "below"], 1),
        (&["repeated", "below", "it"], 1),
    ] {
        for scope in ["entity", "block", "all"] {
            let read = compare(&node, &blocks, root, path, scope);
            assert_eq!(read.target, Target::Absent { found }, "{path:?}");
            assert!(read.content.is_empty() && read.entries.is_empty());
        }
    }
}

#[test]
fn an_export_of_kubo_is_read_whole() {
    let Some(node) = KuboNode::start() else { return };
    let folder = TempDir::new().unwrap();
    fill(folder.path(), &random(3 * MIB, 3));
    // Exports leave out what they had before, so nothing may stand there twice.
    let root = add(&node, &folder.path().join("unique"));
    let read = read(&export(&node, root), root, &[], Scope::All { limit: 10_000 });
    assert_eq!(read.roots, [root]);
    assert!(read.blocks.len() > 3000 + 4 + 256);
}

/// Writes a file as clients of the files API do, in two pieces.
fn write_file(node: &KuboNode, path: &str, content: &[u8]) {
    let folder = TempDir::new().unwrap();
    let piece = folder.path().join("piece");
    let half = content.len() / 2;
    for (offset, bytes) in [(0, &content[..half]), (half, &content[half..])] {
        fs::write(&piece, bytes).unwrap();
        let offset = offset.to_string();
        let write = ["files", "write", "--create", "--parents", "--offset", &offset, path];
        succeed(node.command(write).arg(&piece));
    }
}

#[test]
fn a_tree_of_the_files_api_in_kubo_s_own_profile_is_read() {
    let Some(node) = KuboNode::plan().set("Import", "{}").start() else { return };
    // More leaves than the root of a trickle has room for.
    let large = random(46 * MIB + 5, 4);
    let data = "/tree/docker/registry/v2/blobs/sha256/ab/abcd/data";
    write_file(&node, data, &large);
    write_file(&node, "/tree/docker/registry/v2/link", b"sha256:abcd");
    let root: Cid = node.ipfs(["files", "stat", "--hash", "/tree"]).parse().unwrap();
    assert!(root.to_string().starts_with("Qm"));
    let blocks = by_name(&export(&node, root));

    let path: Vec<&str> = data.trim_start_matches("/tree/").split('/').collect();
    let found = compare(&node, &blocks, root, &path, "entity");
    assert!(found.content == large);
    let is_of_node = |block: &&Block| {
        let node = describe(&block.cid, &block.bytes);
        matches!(node, Ok(Node::File { parts, .. }) if !parts.is_empty())
    };
    assert!(
        found.blocks.iter().filter(is_of_node).count() > 1,
        "a trickle has nodes below its root"
    );
    assert!(found.blocks.iter().all(|block| block.cid.version() == root.version()));
    let found = compare(&node, &blocks, root, &path, "entity&entity-bytes=47000000:48000000");
    assert!(found.content == large[47_000_000..=48_000_000]);
    let link = ["docker", "registry", "v2", "link"];
    assert_eq!(compare(&node, &blocks, root, &link, "entity").content, b"sha256:abcd");
    let absent = ["docker", "registry", "v3"];
    let read = compare(&node, &blocks, root, &absent, "entity");
    assert_eq!(read.target, Target::Absent { found: 2 });
}

/// Puts a node that links to these parts, each with how many bytes it holds, and says that it is a file of them.
fn put_node(node: &KuboNode, parts: &[(Cid, u8)]) -> Block {
    let mut bytes = Vec::new();
    for (cid, size) in parts {
        let hash = cid.to_bytes();
        let hash = [&[0x0a, u8::try_from(hash.len()).unwrap()], &hash[..]].concat();
        let link = [&hash[..], &[0x12, 0, 0x18, *size]].concat();
        bytes.extend([0x12, u8::try_from(link.len()).unwrap()]);
        bytes.extend(link);
    }
    let mut message = vec![8, 2, 0x18, parts.iter().map(|(_, size)| size).sum()];
    message.extend(parts.iter().flat_map(|(_, size)| [0x20, *size]));
    bytes.extend([0x0a, u8::try_from(message.len()).unwrap()]);
    bytes.extend(message);
    let block = Block::dag_pb(bytes.into());
    assert_eq!(put(node, &block, "dag-pb"), block.cid);
    block
}

fn put(node: &KuboNode, block: &Block, codec: &str) -> Cid {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("block");
    fs::write(&path, &block.bytes).unwrap();
    let put = ["block", "put", "--cid-codec", codec];
    succeed(node.command(put).arg(&path)).parse().unwrap()
}

#[test]
fn empty_parts_that_kubo_sends_are_passed_over_and_inline_ones_that_it_does_not_send_are_read() {
    let Some(node) = KuboNode::start() else { return };
    let [hello, empty] = [Block::raw("hello".into()), Block::raw(Bytes::new())];
    for leaf in [&hello, &empty] {
        assert_eq!(put(&node, leaf, "raw"), leaf.cid);
    }
    // The CID of `, ` by the identity.
    let inline = Cid::try_from(&b"\x01\x55\x00\x02, "[..]).unwrap();
    let parts = [
        (empty.cid, 0),
        (hello.cid, 5),
        (empty.cid, 0),
        (inline, 2),
        (hello.cid, 5),
        (empty.cid, 0),
    ];
    let root = put_node(&node, &parts).cid;
    let mut traversal = Traversal::new(root, [], Scope::Entity(None)).unwrap();
    let (mut content, mut blocks) = (Vec::new(), Vec::new());
    for event in events(&ask(&node, root, &[], "entity").body) {
        if let CarEvent::Block(block) = event {
            content.extend(traversal.supply(&block).unwrap().content.concat());
            blocks.push(block.cid);
        }
    }
    assert_eq!(traversal.next_cid(), None);
    assert_eq!(content, b"hello, hello");
    assert!(blocks.contains(&empty.cid), "Kubo sends them: {blocks:?}");
    assert!(!blocks.contains(&inline));
}
