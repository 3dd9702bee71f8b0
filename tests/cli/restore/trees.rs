//! Trees of any making, as archives.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use bytes::Bytes;
use cid::Cid;
use roadstead::ipld::{Block, Directory, Entry, car_frame, car_header, file};

use crate::cli::push;

/// The files of a tree, each by the names on its way, which may be odd.
#[derive(Clone, Default)]
pub(super) struct Tree(BTreeMap<Vec<String>, Bytes>);

/// A tree as blocks.
pub(super) struct Made {
    pub(super) root: Cid,
    /// In no order.
    pub(super) blocks: Vec<Block>,
}

impl Tree {
    /// A registry with one image, `team/app:v1`.
    pub(super) fn image() -> Self {
        let mut tree = Self::default();
        let text = push::image_text(&push::sha256(b"{}"), &push::sha256(b"layer"));
        for bytes in [&b"{}"[..], b"layer"] {
            let digest = push::sha256(bytes);
            tree.blob(bytes);
            let path = format!("repositories/team/app/_layers/sha256/{}/link", digest.hex());
            tree.put(&path, digest.to_string());
        }
        tree.blob(text.as_bytes());
        let digest = push::sha256(text.as_bytes());
        let below = "repositories/team/app/_manifests";
        for folder in ["revisions", "tags/v1/index"] {
            tree.put(&format!("{below}/{folder}/sha256/{}/link", digest.hex()), digest.to_string());
        }
        tree.put(&format!("{below}/tags/v1/current/link"), digest.to_string());
        tree
    }

    pub(super) fn blob(&mut self, bytes: &[u8]) {
        let hex = push::sha256(bytes).hex();
        self.put(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]), bytes.to_vec());
    }

    /// Puts a file below the place where registries begin.
    pub(super) fn put(&mut self, path: &str, bytes: impl Into<Bytes>) {
        let names = "docker/registry/v2".split('/').chain(path.split('/'));
        self.0.insert(names.map(str::to_owned).collect(), bytes.into());
    }

    /// The same by names that may be odd.
    pub(super) fn put_at(&mut self, names: &[&str], bytes: &'static str) {
        let names = names.iter().map(|&name| name.to_owned());
        self.0.insert(names.collect(), bytes.into());
    }

    pub(super) fn make(&self) -> Made {
        let mut blocks = HashMap::new();
        let files: Vec<_> = self.0.iter().map(|(path, bytes)| (&path[..], bytes)).collect();
        let (root, _) = make(&files, &mut |block: Block| drop(blocks.insert(block.cid, block)));
        Made { root, blocks: blocks.into_values().collect() }
    }
}

impl Made {
    pub(super) fn write(&self, file: &Path) {
        let mut bytes = car_header(&self.root).to_vec();
        bytes.extend(self.blocks.iter().flat_map(car_frame).flatten());
        std::fs::write(file, bytes).unwrap();
    }
}

fn make(files: &[(&[String], &Bytes)], keep: &mut impl FnMut(Block)) -> (Cid, u64) {
    let mut directory = Directory::empty();
    for below in files.chunk_by(|one, other| one.0[0] == other.0[0]) {
        let name = below[0].0[0].clone();
        let (cid, size) = if below[0].0.len() == 1 {
            let made = file::build(below[0].1, keep);
            (made.cid, made.dag_size)
        } else {
            let below: Vec<_> = below.iter().map(|(path, bytes)| (&path[1..], *bytes)).collect();
            make(&below, keep)
        };
        insert(&mut directory, Entry { name, cid, size });
    }
    directory.flush(keep, &mut drop)
}

pub(super) fn insert(directory: &mut Directory, entry: Entry) {
    directory.insert(entry, &mut |_: &Cid| Err::<Bytes, _>(fmt::Error)).unwrap();
}
