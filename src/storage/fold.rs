//! Folding: from a tree's root and the edits that came since to its new root. The same for every
//! driver, since it works on blocks alone.

use std::collections::BTreeMap;

use cid::Cid;

use super::edit::linked;
use super::{Edit, StorageError, TreePath};
use crate::ipld::{self, Block, Directory, Entry, Load, file};

/// What folding came to.
#[derive(Debug)]
pub struct Folded {
    /// The new root.
    pub root: Cid,
    /// How many bytes all blocks below the root take (Tsize).
    pub dag_size: u64,
    /// Blocks that the new tree has and the old one may not have had, each once: directories,
    /// shards and link files. Linked content is not among them.
    pub added: Vec<Block>,
}

/// Why a tree could not be folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError<E> {
    /// A block is not what a directory of a tree is made of, or could not be loaded.
    #[error(transparent)]
    Block(#[from] ipld::Error<E>),
    /// An edit cannot be read.
    #[error(transparent)]
    Edit(#[from] StorageError),
}

/// Applies edits to the tree with that root (an empty one where there is none) and returns the new
/// root, with the blocks that it is made of. The work follows the edits, not the size of the tree.
///
/// # Errors
/// Whatever `load` answers, and blocks that are no directories where one is needed.
pub fn fold<L: Load>(
    root: Option<&Cid>,
    edits: &[Edit],
    load: &mut L,
) -> Result<Folded, FoldError<L::Error>> {
    let mut tree = match root {
        Some(root) => Folder::open(root, load)?,
        None => Folder::empty(),
    };
    let mut added = BTreeMap::new();
    for edit in edits {
        match edit {
            Edit::Link { path, digest, cid, size } => {
                let content = linked(digest, cid, *size)?;
                tree.insert(path, content.cid, file::dag_size(content.size), load)?;
            }
            Edit::Put { path, text } => {
                let block = Block::raw(text.clone().into());
                tree.insert(path, block.cid, text.len() as u64, load)?;
                added.insert(block.cid, block);
            }
            Edit::Remove { path } => tree.remove(&path.components().collect::<Vec<_>>(), load)?,
        }
    }
    let (root, dag_size) = tree.flush(&mut |block| drop(added.insert(block.cid, block)), load)?;
    Ok(Folded { root, dag_size, added: added.into_values().collect() })
}

/// A directory of the tree with those of its directories that were touched.
struct Folder {
    directory: Directory,
    touched: BTreeMap<String, Folder>,
}

impl Folder {
    fn empty() -> Self {
        Self { directory: Directory::empty(), touched: BTreeMap::new() }
    }

    fn open<L: Load>(cid: &Cid, load: &mut L) -> Result<Self, FoldError<L::Error>> {
        Ok(Self { directory: Directory::open(cid, load)?, touched: BTreeMap::new() })
    }

    /// Returns the directory of that name, if it is there.
    fn enter<L: Load>(
        &mut self,
        name: &str,
        load: &mut L,
    ) -> Result<Option<&mut Self>, FoldError<L::Error>> {
        if !self.touched.contains_key(name) {
            let Some(entry) = self.directory.get(name, load)? else { return Ok(None) };
            self.touched.insert(name.to_owned(), Self::open(&entry.cid, load)?);
        }
        Ok(self.touched.get_mut(name))
    }

    fn insert<L: Load>(
        &mut self,
        path: &TreePath,
        cid: Cid,
        dag_size: u64,
        load: &mut L,
    ) -> Result<(), FoldError<L::Error>> {
        let parts: Vec<&str> = path.components().collect();
        let Some((name, parents)) = parts.split_last() else { return Ok(()) };
        let mut folder = self;
        for parent in parents {
            if folder.enter(parent, load)?.is_none() {
                folder.touched.insert((*parent).to_owned(), Self::empty());
            }
            folder = folder.touched.get_mut(*parent).expect("it was entered or made just now");
        }
        folder.directory.insert(Entry { name: (*name).to_owned(), cid, size: dag_size }, load)?;
        Ok(())
    }

    fn remove<L: Load>(&mut self, path: &[&str], load: &mut L) -> Result<(), FoldError<L::Error>> {
        let Some((name, rest)) = path.split_first() else { return Ok(()) };
        if rest.is_empty() {
            self.touched.remove(*name);
            self.directory.remove(name, load)?;
            return Ok(());
        }
        let Some(folder) = self.enter(name, load)? else { return Ok(()) };
        folder.remove(rest, load)
    }

    /// Writes what was touched, from below; a directory that is left empty goes.
    fn flush<L: Load>(
        &mut self,
        added: &mut impl FnMut(Block),
        load: &mut L,
    ) -> Result<(Cid, u64), FoldError<L::Error>> {
        for (name, mut folder) in std::mem::take(&mut self.touched) {
            let (cid, size) = folder.flush(added, load)?;
            if folder.directory.is_empty() {
                self.directory.remove(&name, load)?;
            } else {
                self.directory.insert(Entry { name, cid, size }, load)?;
            }
        }
        Ok(self.directory.flush(added, &mut |_| ()))
    }
}
