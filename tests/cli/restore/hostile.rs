//! Archives and trees that no registry has.

use std::fs;
use std::path::Path;

use cid::Cid;
use roadstead::ipld::{Block, Directory, Entry};
use roadstead::oci::{Algorithm, Digest};

use super::copies::{Copy, Original};
use super::trees::{Made, Tree, insert};
use crate::cli::push;
use crate::common::{Finished, run, succeed};

/// What stands beside the data folder after an import that is refused.
fn refused(tree: &Made, why: &str) -> Finished {
    let copy = Copy::new();
    let file = copy.home().join("tree.car");
    tree.write(&file);
    refused_file(&copy, &file, why)
}

fn refused_file(copy: &Copy, file: &Path, why: &str) -> Finished {
    let imported = run(&mut copy.command(&["import", file.to_str().unwrap()]));
    assert_eq!(imported.code, Some(1), "{imported}");
    assert!(imported.stderr.contains(why), "{why}: {imported}");
    copy.assert_unfinished();
    let mut beside: Vec<_> = fs::read_dir(copy.home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    beside.sort_unstable();
    let mut expected = ["data", file.file_name().unwrap().to_str().unwrap()];
    expected.sort_unstable();
    assert_eq!(beside, expected, "{imported}");
    imported
}

#[test]
fn a_tree_in_any_order_is_taken() {
    let made = Tree::image().make();
    for _ in 0..3 {
        // A map has its blocks in another order each time.
        let copy = Copy::new();
        let file = copy.home().join("tree.car");
        made.write(&file);
        let imported = run(&mut copy.command(&["import", file.to_str().unwrap()]));
        assert!(imported.succeeded(), "{imported}");
        copy.assert_is(&made.root.to_string());
    }
}

#[test]
fn odd_names_are_refused_where_they_stand() {
    let version = ["docker", "registry", "v2"];
    for (names, why) in [
        (
            &["..", "..", "x"][..],
            "`docker/registry/v2/..`: not a valid name of a file or directory",
        ),
        (&["repositories", "a", "..", "x"], "repositories/a/..`: "),
        (&["repositories", "a\0b", "x"], "repositories/a\\0b`: "),
        (&["repositories", "a/../../../../b", "x"], "a/../../../../b`: "),
        (&["repositories", "\u{1b}[2Ja", "x"], "repositories/\\u{1b}[2Ja`: "),
        (&["repositories", "UP", "x"], "repositories/UP`: "),
        (&["repositories", "team", "file"], "repositories/team/file`: "),
        (&["repositories", "team", "_uploads", "1", "data"], "_uploads/1/data`: "),
        (
            &["repositories", "far.example", "app", "_layers", "x"],
            "names that begin with `far.example` belong to other registries: ",
        ),
        (&["odd"], "`docker/registry/v2/odd`: "),
        (&["blobs", "sha512", "x"], "blobs/sha512`: "),
        (&["blobs", "sha256", "ab", "x"], "blobs/sha256/ab/x`: not the name of content"),
    ] {
        let mut tree = Tree::image();
        tree.put_at(&[&version[..], names].concat(), "odd");
        refused(&tree.make(), why);
    }
}

#[test]
fn links_with_nonsense_are_refused() {
    let link = "repositories/team/app/_manifests/tags/v1/current/link";
    for (text, why) in [
        ("nonsense".to_owned(), "a link without a digest"),
        (format!("{}\n", push::sha256(b"layer")), "a link without a digest"),
        (Digest::of(Algorithm::Sha512, b"layer").to_string(), "a link without a digest"),
        ("x".repeat(2000), "2000 bytes, more than 1024"),
    ] {
        let mut tree = Tree::image();
        tree.put(link, text);
        refused(&tree.make(), why);
    }
    // What they lead to is not there, or is no manifest.
    for digest in [push::sha256(b"nowhere"), push::sha256(b"layer")] {
        let mut tree = Tree::image();
        tree.put(link, digest.to_string());
        refused(&tree.make(), "tag `team/app:v1`: its manifest is missing");
    }
}

#[test]
fn content_that_is_not_what_it_is_named_is_refused() {
    let hex = push::sha256(b"layer").hex();
    let path = format!("blobs/sha256/{}/{hex}/data", &hex[..2]);
    let mut tree = Tree::image();
    tree.put(&path, "other");
    let why = format!("{path}`: its content has another digest");
    refused(&tree.make(), &why);

    // A manifest that is too large, and one that leads to nothing.
    let mut tree = Tree::image();
    let large = " ".repeat(5 << 20);
    tree.blob(large.as_bytes());
    let digest = push::sha256(large.as_bytes());
    let revision =
        format!("repositories/team/app/_manifests/revisions/sha256/{}/link", digest.hex());
    tree.put(&revision, digest.to_string());
    refused(&tree.make(), "too large for a manifest");
    let mut tree = Tree::image();
    let text = push::image_text(&push::sha256(b"{}"), &push::sha256(b"absent"));
    tree.blob(text.as_bytes());
    let digest = push::sha256(text.as_bytes());
    let revision =
        format!("repositories/team/app/_manifests/revisions/sha256/{}/link", digest.hex());
    tree.put(&revision, digest.to_string());
    refused(&tree.make(), "it references sha256:");
}

#[test]
fn a_directory_of_too_many_entries_and_one_without_end_are_refused() {
    let link = Block::raw("nonsense".into());
    let mut blocks = vec![link.clone()];
    let mut directory = Directory::empty();
    for number in 0..500_010 {
        insert(&mut directory, Entry { name: format!("a{number}"), cid: link.cid, size: 8 });
    }
    let (cid, size) = directory.flush(&mut |block| blocks.push(block), &mut drop);
    let made = below(cid, size, &["repositories"], blocks);
    refused(&made, "more than 500000 entries");

    // Each level leads to the next one twice: more paths than anybody can go.
    let mut blocks = Vec::new();
    let (cid, size) = doubled(200, (link.cid, 8), &mut blocks);
    let made = below(cid, size, &["repositories"], blocks);
    refused(&made, "cannot restore ");
}

/// Makes so many levels of directories, each of which leads to the next one twice.
fn doubled(levels: usize, end: (Cid, u64), blocks: &mut Vec<Block>) -> (Cid, u64) {
    let (mut cid, mut size) = end;
    for _ in 0..levels {
        let mut directory = Directory::empty();
        for name in ["a", "b"] {
            insert(&mut directory, Entry { name: name.to_owned(), cid, size });
        }
        (cid, size) = directory.flush(&mut |block| blocks.push(block), &mut drop);
        size = size.min(1 << 40);
    }
    (cid, size)
}

#[test]
fn a_small_tree_of_millions_of_names_has_an_end() {
    // Some thirty blocks with 2^22 names, all of which could be on the way to a repository.
    let mut blocks = Vec::new();
    let empty = Directory::empty().flush(&mut |block| blocks.push(block), &mut drop);
    let (cid, size) = doubled(22, empty, &mut blocks);
    let made = below(cid, size, &["repositories"], blocks);
    refused(&made, "it repeats the same directories too often");
}

#[test]
fn trees_that_are_made_otherwise_are_refused_since_their_root_would_be_another() {
    // A file of five bytes as older profiles have it: in a node.
    let block = Block::dag_pb(b"\x0a\x0b\x08\x02\x12\x05hello\x18\x05".as_slice().into());
    let hex = push::sha256(b"hello").hex();
    let link = ["repositories", "app", "_layers", "sha256", &hex, "link"];
    refused(&below(block.cid, 13, &link, vec![block.clone()]), "not part of a registry tree");
    let data = ["blobs", "sha256", &hex[..2], &hex, "data"];
    refused(&below(block.cid, 13, &data, vec![block]), "its blocks are cut differently");
}

/// A tree with that below where registries begin.
fn below(mut cid: cid::Cid, mut size: u64, names: &[&str], mut blocks: Vec<Block>) -> Made {
    for name in ["docker", "registry", "v2"].iter().chain(names).rev() {
        let mut directory = Directory::empty();
        insert(&mut directory, Entry { name: (*name).to_owned(), cid, size });
        (cid, size) = directory.flush(&mut |block| blocks.push(block), &mut drop);
    }
    Made { root: cid, blocks }
}

#[test]
fn archives_that_are_not_sound_are_refused_and_a_sound_one_goes_on() {
    let original = Original::start();
    let copy = Copy::new();
    let sound = copy.home().join("sound.car");
    succeed(&mut original.server.command(["export", sound.to_str().unwrap()]));
    let bytes = fs::read(&sound).unwrap();
    let file = copy.home().join("archive.car");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::remove_file(&sound).unwrap();
    for (bytes, why) in [
        (&bytes[..bytes.len() / 2], "the archive ended early"),
        (&bytes[..bytes.len() - 1], "the archive ended early"),
        (&damaged, "the archive is invalid"),
        (&[&bytes[..], b"more"].concat(), "is not a CAR file"),
    ] {
        fs::write(&file, bytes).unwrap();
        refused_file(&copy, &file, why);
    }
    // All blocks are sound, but some are missing.
    let made = Tree::image().make();
    let whole = made.blocks.len();
    let short = Made { root: made.root, blocks: made.blocks.into_iter().skip(1).collect() };
    assert_eq!(short.blocks.len(), whole - 1);
    short.write(&file);
    let imported = refused_file(&copy, &file, "lacks block ");
    assert!(imported.stderr.contains("archive.car"), "{imported}");
    fs::write(&file, &bytes).unwrap();
    let imported = run(&mut copy.command(&["import", file.to_str().unwrap()]));
    assert!(imported.succeeded(), "{imported}");
    copy.assert_is(&original.root);

    // What is no archive at all leaves nothing behind.
    let copy = Copy::new();
    for text in ["", "<html>not an archive</html>", "\u{a}\u{0}"] {
        fs::write(&file, text).unwrap();
        let imported = run(&mut copy.command(&["import", file.to_str().unwrap()]));
        assert_eq!(imported.code, Some(1), "{imported}");
        assert!(!copy.data().exists(), "{imported}");
    }
}
