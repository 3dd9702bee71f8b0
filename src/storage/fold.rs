//! Folding: from a tree's root and the edits that came since to its new root. The same for every
//! driver, since it works on blocks alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use cid::Cid;

use super::edit::linked;
use super::{Edit, StorageError, TreePath};
use crate::ipld::{self, Block, Directory, Entry, Error, Load, file};

/// How many directories are in memory at the most, about, and how many bytes of stored ones were loaded: beyond that
/// they are written as they stand.
const MOST_FOLDERS: usize = 2048;
const MOST_BYTES: usize = 512 << 10;

/// By how many of the first names of their paths edits are put in order. In the layout of a stock registry a path of so
/// many names leads to a repository (`…/repositories/team/app`) or to a 256th of all content (`…/blobs/sha256/ab`).
const ORDERED: usize = 6;

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
    let (folded, writes) = fold_by_parts(root, edits, load)?;
    tracing::trace!(
        edits = edits.len(),
        blocks = folded.added.len(),
        writes,
        "folded edits into a tree"
    );
    Ok(folded)
}

/// The same, with how often the tree was written before all edits were in it.
fn fold_by_parts<L: Load>(
    root: Option<&Cid>,
    edits: &[Edit],
    load: &mut L,
) -> Result<(Folded, usize), FoldError<L::Error>> {
    let top = match root {
        Some(root) => Folder::open(root, load)?,
        None => Folder::empty(),
    };
    let mut tree = Tree { top, opened: 0 };
    let mut added = BTreeMap::new();
    let (mut loaded, mut writes) = (0, 0);
    for edit in in_order(edits) {
        if tree.opened > MOST_FOLDERS || loaded > MOST_BYTES {
            tree.flush(&mut added, load)?;
            loaded = 0;
            writes += 1;
        }
        let load = &mut Overlay { added: &added, load, loaded: &mut loaded };
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
            Edit::Remove { path } => tree.remove(path, load)?,
        }
    }
    let (root, dag_size) = tree.flush(&mut added, load)?;
    if writes > 0 {
        keep_reachable(&root, &mut added)?;
    }
    Ok((Folded { root, dag_size, added: added.into_values().collect() }, writes))
}

/// Puts edits of one part of the tree behind each other, so that each part is in memory once. What they come to is the
/// same: edits of which one's path leads to the other's keep their order.
fn in_order(edits: &[Edit]) -> Vec<&Edit> {
    let mut ordered: Vec<&Edit> = edits.iter().collect();
    if edits.iter().all(|edit| edit.path().components().count() >= ORDERED) {
        ordered.sort_by(|one, other| {
            let [one, other] = [one, other].map(|edit| edit.path().components().take(ORDERED));
            one.cmp(other)
        });
    }
    ordered
}

/// Removes blocks that the tree does not have: directories as they were in between.
fn keep_reachable<E>(root: &Cid, added: &mut BTreeMap<Cid, Block>) -> Result<(), FoldError<E>> {
    let mut reached = BTreeMap::new();
    let mut next = vec![*root];
    while let Some(cid) = next.pop() {
        let Some(block) = added.remove(&cid) else { continue };
        let links = ipld::links(&cid, &block.bytes)
            .map_err(|source| Error::Decode { cid: Box::new(cid), source })?;
        next.extend(links.into_iter().map(|entry| entry.cid));
        reached.insert(cid, block);
    }
    *added = reached;
    Ok(())
}

/// The blocks that were added before all others.
struct Overlay<'fold, L> {
    added: &'fold BTreeMap<Cid, Block>,
    load: &'fold mut L,
    /// How many bytes of stored blocks were loaded. What was added does not count: one path may have more than fits, and
    /// the tree would be written again for each of its edits.
    loaded: &'fold mut usize,
}

impl<L: Load> Load for Overlay<'_, L> {
    type Error = L::Error;

    fn load(&mut self, cid: &Cid) -> Result<Bytes, L::Error> {
        if let Some(block) = self.added.get(cid) {
            return Ok(block.bytes.clone());
        }
        let bytes = self.load.load(cid)?;
        *self.loaded += bytes.len();
        Ok(bytes)
    }
}

/// A tree in memory, as far as it was touched since it was written last.
struct Tree {
    top: Folder,
    /// How many directories were opened or made since, the top aside.
    opened: usize,
}

impl Tree {
    fn insert<L: Load>(
        &mut self,
        path: &TreePath,
        cid: Cid,
        dag_size: u64,
        load: &mut L,
    ) -> Result<(), FoldError<L::Error>> {
        let parts: Vec<&str> = path.components().collect();
        let Some((name, parents)) = parts.split_last() else { return Ok(()) };
        let mut folder = &mut self.top;
        for parent in parents {
            if folder.enter(parent, &mut self.opened, load)?.is_none() {
                self.opened += 1;
                folder.touched.insert((*parent).to_owned(), Box::new(Folder::empty()));
            }
            folder = folder.touched.get_mut(*parent).expect("it was entered or made just now");
        }
        folder.directory.insert(Entry { name: (*name).to_owned(), cid, size: dag_size }, load)?;
        Ok(())
    }

    fn remove<L: Load>(
        &mut self,
        path: &TreePath,
        load: &mut L,
    ) -> Result<(), FoldError<L::Error>> {
        self.top.remove(&path.components().collect::<Vec<_>>(), &mut self.opened, load)
    }

    /// Writes what was touched, and returns the root and its Tsize.
    fn flush<L: Load>(
        &mut self,
        added: &mut BTreeMap<Cid, Block>,
        load: &mut L,
    ) -> Result<(Cid, u64), FoldError<L::Error>> {
        self.opened = 0;
        let mut written = Vec::new();
        let load = &mut Overlay { added, load, loaded: &mut 0 };
        let flushed = self.top.flush(&mut |block| written.push(block), load)?;
        added.extend(written.into_iter().map(|block| (block.cid, block)));
        Ok(flushed)
    }
}

/// A directory of the tree with those of its directories that were touched.
struct Folder {
    directory: Directory,
    // In boxes: a map has slots for eleven at the least, and most of these have one.
    touched: BTreeMap<String, Box<Folder>>,
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
        opened: &mut usize,
        load: &mut L,
    ) -> Result<Option<&mut Self>, FoldError<L::Error>> {
        if !self.touched.contains_key(name) {
            let Some(entry) = self.directory.get(name, load)? else { return Ok(None) };
            self.touched.insert(name.to_owned(), Box::new(Self::open(&entry.cid, load)?));
            *opened += 1;
        }
        Ok(self.touched.get_mut(name).map(Box::as_mut))
    }

    fn remove<L: Load>(
        &mut self,
        path: &[&str],
        opened: &mut usize,
        load: &mut L,
    ) -> Result<(), FoldError<L::Error>> {
        let Some((name, rest)) = path.split_first() else { return Ok(()) };
        if rest.is_empty() {
            self.touched.remove(*name);
            self.directory.remove(name, load)?;
            return Ok(());
        }
        let Some(folder) = self.enter(name, opened, load)? else { return Ok(()) };
        folder.remove(rest, opened, load)
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Blocks by their CIDs.
    struct Store(HashMap<Cid, Bytes>);

    impl Load for Store {
        type Error = StorageError;

        fn load(&mut self, cid: &Cid) -> Result<Bytes, StorageError> {
            Ok(self.0.get(cid).cloned().expect("what the tree has was kept"))
        }
    }

    fn path(text: &str) -> TreePath {
        text.split('/').fold(TreePath::root(), |path, part| path.child(part).unwrap())
    }

    /// Edits of more directories than are in memory at a time; some come back to what others wrote before.
    fn edits(above: &str) -> Vec<Edit> {
        let mut edits = Vec::new();
        for number in 0..2 * MOST_FOLDERS {
            let folder = format!("{above}repositories/team{}/app{number}", number % 7);
            edits.push(Edit::put(path(&format!("{folder}/tags/v1/link")), format!("{number}")));
            edits.push(Edit::put(path(&format!("{folder}/layers/link")), "same"));
            if number % 3 == 0 {
                edits.push(Edit::remove(path(&format!("{folder}/tags/v1"))));
            }
            if number % 5 == 0 {
                let earlier =
                    format!("{above}repositories/team{}/app{}", number / 2 % 7, number / 2);
                edits.push(Edit::remove(path(&earlier)));
                edits.push(Edit::put(path(&format!("{earlier}/again/link")), "again"));
            }
        }
        edits
    }

    #[test]
    fn what_is_written_in_between_changes_neither_root_nor_blocks() {
        // The first are too short to be put in order.
        check(&edits(""));
        check(&edits("docker/registry/v2/"));
    }

    #[test]
    fn edits_of_one_part_are_behind_each_other_and_those_of_one_path_in_their_order() {
        let teams = 40;
        let put = |number: usize| {
            let above = "docker/registry/v2/repositories";
            let file = format!("{above}/team{}/app{}/link", number % teams, number % 90);
            Edit::put(path(&file), number.to_string())
        };
        let edits: Vec<Edit> = (0..1000).map(put).collect();
        let ordered: Vec<Edit> = in_order(&edits).into_iter().cloned().collect();
        let team = |edit: &Edit| edit.path().components().nth(4).map(str::to_owned);
        let parts = ordered.chunk_by(|one, other| team(one) == team(other)).count();
        assert_eq!(parts, teams);
        for edit in &edits {
            let same = |edits: &[Edit]| -> Vec<Edit> {
                edits.iter().filter(|other| other.path() == edit.path()).cloned().collect()
            };
            assert_eq!(same(&ordered), same(&edits));
        }
        // One that may take the others with it.
        let mixed = [put(1), put(0), Edit::remove(path("docker/registry/v2/repositories")), put(1)];
        let ordered: Vec<Edit> = in_order(&mixed).into_iter().cloned().collect();
        assert_eq!(ordered, mixed);
    }

    #[test]
    fn a_tree_with_large_directories_on_one_path_is_not_written_for_each_edit() {
        let above = "docker/registry/v2/repositories";
        // Directories of 200 KB each, one below the other.
        let depth: Vec<String> = (0..5).map(|level| format!("level{level}")).collect();
        let wide = |number: usize| format!("{number:0>240}");
        let mut edits = Vec::new();
        for level in 0..=depth.len() {
            let folder = [&[above.to_owned()], &depth[..level]].concat().join("/");
            let put = |number| Edit::put(path(&format!("{folder}/{}", wide(number))), "text");
            edits.extend((0..700).map(put));
        }
        let mut store = Store(HashMap::new());
        let folded = fold(None, &edits, &mut store).unwrap();
        store.0.extend(folded.added.into_iter().map(|block| (block.cid, block.bytes)));

        let deepest = [&[above.to_owned()], &depth[..]].concat().join("/");
        let put = |number| Edit::put(path(&format!("{deepest}/{}", wide(number))), "more");
        let more: Vec<Edit> = (700..800).map(put).collect();
        let (_, writes) = fold_by_parts(Some(&folded.root), &more, &mut store).unwrap();
        assert!(writes <= 2, "{writes}");
    }

    /// Folds edits at once and by parts.
    fn check(edits: &[Edit]) {
        let whole = fold(None, edits, &mut Store(HashMap::new())).unwrap();
        let (mut store, mut root) = (Store(HashMap::new()), None);
        for part in edits.chunks(100) {
            let folded = fold(root.as_ref(), part, &mut store).unwrap();
            store.0.extend(folded.added.into_iter().map(|block| (block.cid, block.bytes)));
            root = Some(folded.root);
        }
        assert_eq!(Some(whole.root), root);

        // Just the blocks of the tree, each once.
        let count = whole.added.len();
        let mut added: BTreeMap<Cid, Block> =
            whole.added.into_iter().map(|block| (block.cid, block)).collect();
        assert_eq!(added.len(), count);
        let mut next = vec![whole.root];
        let mut reached = std::collections::HashSet::new();
        while let Some(cid) = next.pop() {
            if reached.insert(cid) {
                let block = added.remove(&cid).expect("a block is missing");
                next.extend(
                    ipld::links(&cid, &block.bytes).unwrap().into_iter().map(|link| link.cid),
                );
            }
        }
        assert!(added.is_empty(), "{} blocks of no tree", added.len());
    }
}
