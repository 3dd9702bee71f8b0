//! A real Kubo gives the same CIDs: `ipfs add` of files and folders against ours, also after edits.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bytes::Bytes;
use roadstead::ipld::file::{self, CHUNK_SIZE};
use roadstead::ipld::{self, Cid, Directory, Entry};
use tempfile::TempDir;

use crate::common::Ipfs;

type Blocks = HashMap<Cid, Bytes>;

/// What is at a path: its root and its Tsize; the nodes of directories are kept.
fn ours(path: &Path, blocks: &mut Blocks) -> (Cid, u64) {
    let kind = path.symlink_metadata().unwrap().file_type();
    if kind.is_symlink() {
        let target = fs::read_link(path).unwrap();
        let block = ipld::symlink(target.to_str().unwrap());
        return (block.cid, block.bytes.len() as u64);
    }
    if kind.is_file() {
        let file = file::build(&fs::read(path).unwrap().into(), &mut drop);
        return (file.cid, file.dag_size);
    }
    let mut directory = Directory::empty();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let (cid, size) = ours(&entry.path(), blocks);
        directory.insert(Entry { name, cid, size }, &mut load(&Blocks::new())).unwrap();
    }
    flush(&mut directory, blocks)
}

fn load(blocks: &Blocks) -> impl FnMut(&Cid) -> Result<Bytes, Infallible> {
    |cid| Ok(blocks[cid].clone())
}

fn flush(directory: &mut Directory, blocks: &mut Blocks) -> (Cid, u64) {
    let mut removed = Vec::new();
    let flushed = directory.flush(
        &mut |block| {
            blocks.insert(block.cid, block.bytes);
        },
        &mut |cid| removed.push(cid),
    );
    for cid in &removed {
        blocks.remove(cid);
    }
    flushed
}

#[test]
fn kubo_gives_files_the_same_cids() {
    let Some(ipfs) = Ipfs::find() else { return };
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    for length in [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 5 * CHUNK_SIZE, 7_654_321] {
        let content: Vec<u8> =
            b"some bytes that repeat".iter().copied().cycle().take(length).collect();
        fs::write(&path, content).unwrap();
        let (cid, _) = ours(&path, &mut Blocks::new());
        assert_eq!(ipfs.cid(&path, &["--hidden"]), cid.to_string(), "{length}");
    }
}

#[test]
fn kubo_gives_a_folder_of_everything_the_same_cid() {
    let Some(ipfs) = Ipfs::find() else { return };
    let folder = TempDir::new().unwrap();
    let deep = folder.path().join("docker/registry/v2/blobs/sha256/ab");
    fs::create_dir_all(&deep).unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(deep.join("data"), vec![7; 3 * CHUNK_SIZE + 1]).unwrap();
    fs::write(deep.join(".hidden"), "hidden").unwrap();
    fs::write(deep.join("été — \u{1F6A2}"), "a name beyond ASCII").unwrap();
    for name in ["a", "B", "a.b", "a-b", "aa", "Z", "_", "~"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    symlink("docker/registry/v2", folder.path().join("link")).unwrap();
    let (cid, _) = ours(folder.path(), &mut Blocks::new());
    assert_eq!(ipfs.cid(folder.path(), &["--hidden"]), cid.to_string());
}

/// Every file holds its index, so that sizes differ; 1,500 of these names exceed one block.
fn fill(folder: &Path, indices: impl Iterator<Item = usize>) {
    for index in indices {
        fs::write(folder.join(name(index)), index.to_string()).unwrap();
    }
}

fn name(index: usize) -> String {
    format!("{index:04}-{}", "long".repeat(50))
}

#[test]
fn kubo_gives_an_edited_folder_the_same_cid_in_every_form() {
    let Some(ipfs) = Ipfs::find() else { return };
    let folder = TempDir::new().unwrap();
    let sharded = folder.path().join("sharded");
    fs::create_dir(&sharded).unwrap();
    fill(&sharded, 0..3000);
    let mut blocks = Blocks::new();
    let (root, size) = ours(folder.path(), &mut blocks);
    assert_eq!(ipfs.cid(folder.path(), &["--hidden"]), root.to_string());

    let mut parent = Directory::open(&root, &mut load(&blocks)).unwrap();
    let inner = parent.get("sharded", &mut load(&blocks)).unwrap().unwrap();
    assert!(inner.size < size && blocks.len() > 200);
    let mut directory = Directory::open(&inner.cid, &mut load(&blocks)).unwrap();

    // Removed to a fifth (which is one block), grown to shards again, and shrunk with replacements.
    let steps: [(std::ops::Range<usize>, std::ops::Range<usize>); 4] =
        [(2000..3000, 0..0), (500..2000, 0..0), (0..10, 700..2500), (1100..2500, 0..400)];
    let mut forms = Vec::new();
    for (removed, added) in steps {
        for index in removed {
            fs::remove_file(sharded.join(name(index))).unwrap();
            directory.remove(&name(index), &mut load(&blocks)).unwrap().unwrap();
        }
        for index in added {
            let content = Bytes::from(format!("{index} again"));
            fs::write(sharded.join(name(index)), &content).unwrap();
            let made = file::build(&content, &mut drop);
            let entry = Entry { name: name(index), cid: made.cid, size: made.dag_size };
            directory.insert(entry, &mut load(&blocks)).unwrap();
        }
        let (cid, size) = flush(&mut directory, &mut blocks);
        let entry = Entry { name: "sharded".to_owned(), cid, size };
        parent.insert(entry, &mut load(&blocks)).unwrap();
        let (root, _) = flush(&mut parent, &mut blocks);
        assert_eq!(ipfs.cid(folder.path(), &["--hidden"]), root.to_string());
        forms.push(blocks.len() > 2);
    }
    assert_eq!(forms, [true, false, true, false]);
}
