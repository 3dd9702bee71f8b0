//! Reading a tree: from its root down, node by node.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::task::spawn_blocking;

use super::super::{Kind, Result, StorageError, StorageErrorKind, TreePath};
use super::blocks::{Blocks, Loader};
use super::commit::unreadable;
use super::node::{Node, ended_early};
use crate::ipld::{self, Cid, Directory, Entry, Load, RAW, describe};

/// One tree, as it was at some moment.
#[derive(Clone)]
pub(super) struct Tree {
    pub(super) node: Arc<Node>,
    pub(super) blocks: Arc<Blocks>,
    pub(super) root: Cid,
}

impl Tree {
    /// Finds what stands at a path.
    pub(super) async fn find(&self, path: &TreePath) -> Result<Option<(Entry, Kind)>> {
        let (mut loader, root, path) = (self.blocks.loader(), self.root, path.clone());
        self.blocking(move || resolve(root, &path, &mut loader)).await
    }

    /// Lists a directory, sorted bytewise.
    pub(super) async fn list(&self, path: &TreePath) -> Result<Option<Vec<(String, Kind)>>> {
        let (mut loader, root, path) = (self.blocks.loader(), self.root, path.clone());
        self.blocking(move || {
            let Some((entry, Kind::Directory)) = resolve(root, &path, &mut loader)? else {
                return Ok(None);
            };
            let directory = Directory::open(&entry.cid, &mut loader).map_err(unreadable)?;
            let mut entries = Vec::new();
            for entry in directory.entries(&mut loader).map_err(unreadable)? {
                let kind = kind(&entry, &mut loader)?;
                entries.push((entry.name, kind));
            }
            Ok(Some(entries))
        })
        .await
    }

    /// Reads a small file.
    pub(super) async fn read(&self, path: &TreePath, limit: u64) -> Result<Option<Bytes>> {
        let Some((entry, Kind::File(size))) = self.find(path).await? else { return Ok(None) };
        if size > limit {
            let what = format!("{path} has more than {limit} bytes");
            return Err(StorageError::new(StorageErrorKind::Damaged, what));
        }
        if entry.cid.codec() == RAW {
            return Ok(Some(self.blocks.get(&entry.cid).await?));
        }
        let body = self.node.kubo.read(&entry.cid, 0..size).await?;
        let bytes = body.try_fold(Vec::new(), async |mut all, bytes| {
            all.extend_from_slice(&bytes);
            Ok(all)
        });
        Ok(Some(bytes.await?.into()))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        spawn_blocking(work).await.map_err(ended_early)?
    }
}

/// Goes down a path; nothing when there is nothing, or a file on the way.
fn resolve(root: Cid, path: &TreePath, loader: &mut Loader) -> Result<Option<(Entry, Kind)>> {
    let mut entry = Entry { name: String::new(), cid: root, size: 0 };
    for name in path.components() {
        let directory = match Directory::open(&entry.cid, loader) {
            Err(ipld::Error::NotADirectory(_)) => return Ok(None),
            directory => directory.map_err(unreadable)?,
        };
        match directory.get(name, loader).map_err(unreadable)? {
            Some(found) => entry = found,
            None => return Ok(None),
        }
    }
    let kind = kind(&entry, loader)?;
    Ok(Some((entry, kind)))
}

/// Says what an entry is. Of a leaf the entry tells the length.
fn kind(entry: &Entry, loader: &mut Loader) -> Result<Kind> {
    if entry.cid.codec() == RAW {
        return Ok(Kind::File(entry.size));
    }
    let bytes = loader.load(&entry.cid)?;
    let odd = |what: String| StorageError::new(StorageErrorKind::Damaged, what);
    match describe(&entry.cid, &bytes).map_err(|error| odd(format!("{}: {error}", entry.cid)))? {
        ipld::Node::Leaf { size } | ipld::Node::File { size, .. } => Ok(Kind::File(size)),
        ipld::Node::Directory(_) | ipld::Node::Shard(_) => Ok(Kind::Directory),
        ipld::Node::Symlink(_) => Err(odd(format!("{} is a symbolic link", entry.cid))),
    }
}
