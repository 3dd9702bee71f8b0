//! Walking a tree: what is in it, read back through the layout.

use std::str::FromStr;

use bytes::Bytes;
use cid::Cid;

use super::layout::{self, TreeFile};
use super::{Registry, RegistryError, Result};
use crate::oci::{Algorithm, CanonicalDigest, Digest, RepositoryName, Tag, TreeId};
use crate::remote::Repeats;
use crate::storage::{
    Content, Edit, Kind, Listing, SourceFolder, Storage, StorageError, StorageErrorKind, TreePath,
};

/// The longest link file; a longer one is not a link.
pub(super) const LINK_BYTES: u64 = 1024;

/// A link file: the name that it is under, and what it holds.
pub(super) struct Link<T> {
    /// Out of the path.
    pub(super) name: T,
    /// None when the file is missing or holds no canonical digest.
    pub(super) target: Option<CanonicalDigest>,
    /// The path of the file.
    pub(super) path: TreePath,
}

/// A tag of a tree.
pub(super) struct TagLinks {
    /// What it points to.
    pub(super) current: Link<Tag>,
    /// The names that it was tagged by.
    pub(super) index: Vec<Link<Digest>>,
}

/// All that a tree says of one repository.
pub(super) struct RepositoryLinks {
    pub(super) name: RepositoryName,
    pub(super) layers: Vec<Link<Digest>>,
    pub(super) revisions: Vec<Link<Digest>>,
    pub(super) tags: Vec<TagLinks>,
    /// By subject and referrer.
    pub(super) referrers: Vec<Link<(Digest, Digest)>>,
}

/// What a walk could not make use of.
#[derive(Default)]
pub(super) struct PassedOver {
    /// What is there where a name is expected that a registry can have.
    pub(super) strays: Vec<TreePath>,
    /// What cannot be read, and why; to the walk it is as if it held nothing.
    pub(super) unreadable: Vec<(TreePath, StorageError)>,
    /// What was met, and whether the same directories came again and again: then nothing more is listed.
    repeats: Repeats,
    pub(super) is_endless: bool,
}

impl PassedOver {
    /// Fails if there was anything that cannot be read.
    pub(super) fn expect_readable(&mut self) -> Result<()> {
        self.unreadable.pop().map_or(Ok(()), |(_, error)| Err(RegistryError::Storage(error)))
    }

    /// Adds what another part of the same walk could not make use of.
    pub(super) fn absorb(&mut self, other: Self) {
        self.strays.extend(other.strays);
        self.unreadable.extend(other.unreadable);
    }

    /// Notes that a directory was met from which so many names lead on. Returns false, and says so of that path, where
    /// the same ones come again and again, as in a tree of a few blocks with millions of names.
    fn goes_on(&mut self, cid: &Cid, names: usize, path: &TreePath) -> bool {
        let is_endless = self.repeats.is_endless(cid, names);
        self.judge(is_endless, path)
    }

    /// The same of a directory that was listed.
    fn goes_on_with(&mut self, entries: &[(String, Kind)], path: &TreePath) -> bool {
        let is_endless = self.repeats.is_endless_listing(&entries, entries.len());
        self.judge(is_endless, path)
    }

    fn judge(&mut self, is_endless: bool, path: &TreePath) -> bool {
        if !is_endless {
            return true;
        }
        self.is_endless = true;
        let what = "directories of the tree repeat too often: not the tree of a registry";
        let error = StorageError::new(StorageErrorKind::Damaged, what);
        self.unreadable.push((path.clone(), error));
        false
    }

    /// Parses the last component of a path, which is a stray if it does not parse.
    fn parse<T: FromStr>(&mut self, text: &str, path: TreePath) -> Option<T> {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.strays.push(path);
        }
        parsed
    }
}

/// Of how many repositories links are read at a time, where all are.
pub(super) const AT_ONCE: usize = 8;

/// What is walked.
#[derive(Clone, Copy)]
pub(super) enum Walk<'a> {
    /// A tree of this registry.
    Own(&'a dyn Storage, TreeId),
    /// An operator's folder in the same layout.
    Foreign(&'a SourceFolder),
}

impl Registry {
    /// A tree, to be walked.
    pub(super) fn tree(&self, tree: TreeId) -> Walk<'_> {
        Walk::Own(self.storage.as_ref(), tree)
    }

    /// Describes a whole tree as edits of an empty one. What `known` returns of content is
    /// believed of its file in the tree, the rest is read; what goes meanwhile is left out.
    pub(super) async fn tree_edits(
        &self,
        tree: TreeId,
        known: &(dyn Fn(&CanonicalDigest) -> Option<Content> + Sync),
        passed: &mut PassedOver,
    ) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (path, size) in self.tree_files(tree, passed).await {
            let content = match layout::read(&path) {
                Some(TreeFile::Content(canonical)) => known(&canonical),
                Some(TreeFile::Link(_)) | None => None,
            };
            if let Some(content) = content {
                edits.push(Edit::link(path, &content));
                continue;
            }
            match self.file_edit(tree, &path, size).await {
                Ok(edit) => edits.push(edit),
                Err(error) if error.kind == StorageErrorKind::NotFound => {}
                Err(error) => passed.unreadable.push((path, error)),
            }
        }
        edits
    }

    /// Reads a file of a tree as the edit that would put it there.
    async fn file_edit(
        &self,
        tree: TreeId,
        path: &TreePath,
        size: u64,
    ) -> std::result::Result<Edit, StorageError> {
        if size <= LINK_BYTES {
            let bytes = self.storage.read(tree, path, LINK_BYTES).await?;
            let text = bytes.and_then(|bytes| String::from_utf8(bytes.into()).ok());
            if let Some(text) = text {
                return Ok(Edit::put(path.clone(), text));
            }
        }
        let content = self.storage.identify(tree, path).await?.content;
        Ok(Edit::link(path.clone(), &content))
    }

    /// Lists every file of a tree with its size, in no order.
    async fn tree_files(&self, tree: TreeId, passed: &mut PassedOver) -> Vec<(TreePath, u64)> {
        let (mut files, mut folders) = (Vec::new(), vec![TreePath::root()]);
        // Only where directories have CIDs one can be at many paths at no cost.
        let can_repeat = self.storage.addressed().is_some();
        while let Some(folder) = folders.pop() {
            let names = self.tree(tree).names(&folder, passed).await;
            if can_repeat && !is_of_repository(&folder) && !passed.goes_on_with(&names, &folder) {
                return Vec::new();
            }
            for (name, kind) in names {
                let Some(path) = folder.child(&name) else { continue };
                match kind {
                    Kind::File(size) => files.push((path, size)),
                    Kind::Directory => folders.push(path),
                }
            }
        }
        files
    }

    /// Reads the bytes of a manifest that is in a tree.
    pub(super) async fn tree_manifest(
        &self,
        tree: TreeId,
        digest: &CanonicalDigest,
    ) -> std::result::Result<Option<Bytes>, StorageError> {
        let limit = self.limits.manifest_bytes as u64;
        match self.storage.read(tree, &layout::blob_data(digest), limit).await {
            Err(error) if error.kind == StorageErrorKind::Damaged => Ok(None),
            read => read,
        }
    }
}

impl Walk<'_> {
    /// Lists the names in a directory; none of them if it is not there.
    pub(super) async fn names(
        self,
        path: &TreePath,
        passed: &mut PassedOver,
    ) -> Vec<(String, Kind)> {
        let names = match self {
            Self::Own(..) if passed.is_endless => return Vec::new(),
            Self::Own(storage, tree) => storage.list(tree, path).await,
            Self::Foreign(folder) => folder.list(path).await.map(|listing| {
                listing.map(|Listing { entries, unreadable }| {
                    passed.unreadable.extend(unreadable);
                    entries
                })
            }),
        };
        match names {
            Ok(names) => names.unwrap_or_default(),
            Err(error) => {
                passed.unreadable.push((path.clone(), error));
                Vec::new()
            }
        }
    }

    /// Reads a small file; none if there is none.
    pub(super) async fn read(
        self,
        path: &TreePath,
        limit: u64,
    ) -> std::result::Result<Option<Bytes>, StorageError> {
        match self {
            Self::Own(storage, tree) => storage.read(tree, path, limit).await,
            Self::Foreign(folder) => folder.read(path, limit).await,
        }
    }

    /// Lists the names of content, whether or not their `data` is there.
    pub(super) async fn blobs(self, passed: &mut PassedOver) -> Vec<CanonicalDigest> {
        let mut blobs = Vec::new();
        for (shard, _) in self.names(&layout::blobs(), passed).await {
            let Some(folder) = layout::blobs().child(&shard) else { continue };
            for (hex, kind) in self.names(&folder, passed).await {
                let Some(path) = folder.child(&hex) else { continue };
                let digest = format!("sha256:{hex}").parse::<CanonicalDigest>();
                match digest.ok().filter(|digest| digest.hex()[..2] == shard) {
                    Some(canonical) if kind == Kind::Directory => blobs.push(canonical),
                    _ => passed.strays.push(path),
                }
            }
        }
        blobs
    }

    /// Lists the repositories: directories with links, wherever they nest. Of a foreign folder also
    /// those that have only uploads.
    pub(super) async fn repositories(self, passed: &mut PassedOver) -> Vec<RepositoryName> {
        let (mut found, mut folders) = (Vec::new(), vec![(String::new(), layout::repositories())]);
        while let Some((prefix, folder)) = folders.pop() {
            let mut has_links = false;
            let names = self.names(&folder, passed).await;
            let leads_on =
                |(name, kind): &&(String, Kind)| *kind == Kind::Directory && !name.starts_with('_');
            let on = names.iter().filter(leads_on).count();
            let addressed = match self {
                Self::Own(storage, tree) if on > 0 => {
                    storage.addressed().map(|addressed| (addressed, tree))
                }
                _ => None,
            };
            if let Some((addressed, tree)) = addressed {
                match addressed.directory_cid(tree, &folder).await {
                    Ok(Some(cid)) if !passed.goes_on(&cid, on, &folder) => return Vec::new(),
                    Ok(_) => {}
                    Err(error) => passed.unreadable.push((folder.clone(), error)),
                }
            }
            for (name, kind) in names {
                has_links |= match name.as_str() {
                    "_layers" | "_manifests" | "_referrers" => true,
                    "_uploads" => matches!(self, Self::Foreign(_)),
                    _ => false,
                };
                let (Kind::Directory, Some(child)) = (kind, folder.child(&name)) else { continue };
                if !name.starts_with('_') {
                    let full = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
                    folders.push((full, child));
                }
            }
            if has_links {
                found.extend(passed.parse::<RepositoryName>(&prefix, folder));
            }
        }
        found.sort_unstable();
        found
    }

    /// Reads all links of a repository.
    pub(super) async fn links(
        self,
        name: &RepositoryName,
        passed: &mut PassedOver,
    ) -> RepositoryLinks {
        let root = layout::repository(name);
        let mut links = RepositoryLinks {
            name: name.clone(),
            layers: self.digest_links(below(&root, "_layers"), passed).await,
            revisions: self.digest_links(below(&root, "_manifests/revisions"), passed).await,
            tags: Vec::new(),
            referrers: Vec::new(),
        };
        let tags = below(&root, "_manifests/tags");
        for (tag, _) in self.names(&tags, passed).await {
            let Some(folder) = tags.child(&tag) else { continue };
            let Some(tag) = passed.parse::<Tag>(&tag, folder.clone()) else { continue };
            let index = self.digest_links(below(&folder, "index"), passed).await;
            let path = layout::tag_current_link(name, &tag);
            let target = self.link_target(&path, passed).await;
            links.tags.push(TagLinks { current: Link { name: tag, target, path }, index });
        }
        for (subject, folder) in self.digest_folders(below(&root, "_referrers"), passed).await {
            for referrer in self.digest_links(folder, passed).await {
                links.referrers.push(Link {
                    name: (subject, referrer.name),
                    target: referrer.target,
                    path: referrer.path,
                });
            }
        }
        links
    }

    /// Lists `<alg>/<hex>` below a directory.
    async fn digest_folders(
        self,
        folder: TreePath,
        passed: &mut PassedOver,
    ) -> Vec<(Digest, TreePath)> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let folder = below(&folder, algorithm.as_str());
            for (hex, _) in self.names(&folder, passed).await {
                let Some(path) = folder.child(&hex) else { continue };
                let digest = passed.parse::<Digest>(&format!("{algorithm}:{hex}"), path.clone());
                found.extend(digest.map(|digest| (digest, path)));
            }
        }
        found
    }

    /// Reads `<alg>/<hex>/link` below a directory; a directory without its link is none.
    async fn digest_links(self, folder: TreePath, passed: &mut PassedOver) -> Vec<Link<Digest>> {
        let mut links = Vec::new();
        for (name, folder) in self.digest_folders(folder, passed).await {
            let path = below(&folder, "link");
            links.push(Link { name, target: self.link_target(&path, passed).await, path });
        }
        links
    }

    async fn link_target(
        self,
        path: &TreePath,
        passed: &mut PassedOver,
    ) -> Option<CanonicalDigest> {
        let bytes = match self.read(path, LINK_BYTES).await {
            Ok(bytes) => bytes?,
            Err(error) if error.kind == StorageErrorKind::Damaged => return None,
            Err(error) => {
                passed.unreadable.push((path.clone(), error));
                return None;
            }
        };
        std::str::from_utf8(&bytes).ok()?.parse().ok()
    }
}

/// Returns whether a directory is where the layout has those of repositories. Any number of these may be the same,
/// and the list of the repositories has an end of its own.
fn is_of_repository(folder: &TreePath) -> bool {
    /// Below its name: `_manifests/tags/<tag>/index/<algorithm>/<digest>`.
    const LEVELS: usize = 6;

    let mut names = folder.components();
    let is_below = layout::repositories().components().all(|name| names.next() == Some(name));
    let mut names = names.skip_while(|name| !name.starts_with('_')).peekable();
    let is_own = names.peek().is_none_or(|name| layout::OF_REPOSITORY.contains(name));
    is_below && is_own && names.count() <= LEVELS
}

pub(super) fn below(path: &TreePath, name: &str) -> TreePath {
    path.child(name).expect("the layout's own names are components")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use tempfile::TempDir;

    use super::super::crashes::{Client, open};
    use super::*;
    use crate::ipld::Block;

    fn cid(number: usize) -> Cid {
        Block::raw(number.to_string().into()).cid
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn content_that_is_known_is_not_read_for_the_edits_of_a_tree() {
        let (client, folder) = (Client::new(), TempDir::new().unwrap());
        let registry = open(folder.path()).await;
        // As short as a link, and longer.
        for config in [&b"config"[..], &[1; 2000]] {
            let image = client.image(&registry, config).await;
            client.put(&registry, "tag", &image).await.unwrap();
        }
        let contents = registry.storage.contents().await.unwrap();
        let mut stored = Vec::new();
        for canonical in &contents {
            stored.push(registry.storage.verify(canonical).await.unwrap());
            // What is there now is not what is known.
            let file = folder.path().join("public").join(layout::blob_data(canonical).as_str());
            std::fs::write(file, "other bytes").unwrap();
        }
        let requested = Mutex::new(BTreeSet::new());
        let known = |canonical: &CanonicalDigest| {
            requested.lock().unwrap().insert(*canonical);
            stored.iter().find(|content| content.canonical == *canonical).copied()
        };
        let mut passed = PassedOver::default();
        let edits = registry.tree_edits(TreeId::Public, &known, &mut passed).await;
        passed.expect_readable().unwrap();
        assert_eq!(
            (contents.len(), requested.into_inner().unwrap()),
            (4, contents.into_iter().collect())
        );
        for content in &stored {
            let edit = Edit::link(layout::blob_data(&content.canonical), content);
            assert!(edits.contains(&edit), "{}", content.canonical);
        }
        // Links are read.
        assert!(edits.iter().any(|edit| matches!(edit, Edit::Put { .. })));
    }

    #[test]
    fn a_few_directories_with_millions_of_names_have_an_end() {
        let (mut passed, mut met, mut folders) = (PassedOver::default(), 0, vec![22_usize]);
        while let Some(level) = folders.pop() {
            met += 1;
            if level > 0 {
                if !passed.goes_on(&cid(level), 2, &TreePath::root()) {
                    break;
                }
                folders.extend([level - 1; 2]);
            }
        }
        assert!(passed.is_endless && met < 100_000, "{met}");
        assert!(passed.expect_readable().is_err());
    }

    #[test]
    fn directories_of_repositories_may_be_the_same_in_any_number() {
        let of_repository = |path: &str| is_of_repository(&TreePath::parse(path).unwrap());
        let root = "docker/registry/v2/repositories";
        for path in ["", "/a/b/c", "/a/_layers/sha256/ab", "/a/_manifests/tags/v1/index/sha256/ab"]
        {
            assert!(of_repository(&format!("{root}{path}")), "{path}");
        }
        for path in
            ["", "/blobs/sha256/ab", "/other", "/repositories/a/_x", "/repositories/a/_x/a/a"]
        {
            assert!(!of_repository(&format!("docker/registry/v2{path}")), "{path}");
        }
    }

    #[test]
    fn a_thousand_listings_of_the_same_thousand_files_are_not_many() {
        let wide = |kind: &dyn Fn(usize) -> Kind| -> Vec<_> {
            (0..1_000).map(|number| (number.to_string(), kind(number))).collect()
        };
        let (outer, inner) = (wide(&|_| Kind::Directory), wide(&|_| Kind::File(1)));
        let mut passed = PassedOver::default();
        assert!(passed.goes_on_with(&outer, &TreePath::root()));
        let ended = (0..1_000).position(|_| !passed.goes_on_with(&inner, &TreePath::root()));
        assert!(
            ended.is_none(),
            "a thousand names, each with the same thousand files, are not many"
        );
        let ended = (0..100_000).position(|_| !passed.goes_on_with(&inner, &TreePath::root()));
        assert!(ended.is_some());
    }

    #[test]
    fn the_same_repositories_in_many_folders_are_no_such_tree() {
        let mut passed = PassedOver::default();
        assert!(passed.goes_on(&cid(0), 500, &TreePath::root()));
        for _ in 0..500 {
            assert!(passed.goes_on(&cid(1), 500, &TreePath::root()));
        }
        passed.expect_readable().unwrap();
    }
}
