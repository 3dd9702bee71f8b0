//! Walking a tree: what stands in it, read back through the layout.

use std::str::FromStr;

use bytes::Bytes;

use super::{Registry, Result, layout};
use crate::oci::{Algorithm, CanonicalDigest, Digest, RepositoryName, Tag, Visibility};
use crate::storage::{Content, Edit, Kind, StorageErrorKind, TreePath};

/// The longest link file; a longer one is not a link.
const LINK_BYTES: u64 = 1024;

/// A link file: the name that it stands under, and what it holds.
pub(super) struct Link<T> {
    /// Out of the path.
    pub(super) name: T,
    /// None when the file is missing or holds no canonical digest.
    pub(super) target: Option<CanonicalDigest>,
    /// Where the file stands.
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

impl Registry {
    /// Lists the names in a directory of the public tree; none of them if it is not there.
    async fn names(&self, path: &TreePath) -> Result<Vec<(String, Kind)>> {
        Ok(self.storage.list(TREE, path).await?.unwrap_or_default())
    }

    /// Describes the whole public tree as edits of an empty one. What `known` tells of content is
    /// believed, the rest is read.
    pub(super) async fn tree_edits(
        &self,
        known: &(dyn Fn(&CanonicalDigest) -> Option<Content> + Sync),
    ) -> Result<Vec<Edit>> {
        let mut edits = Vec::new();
        for (path, size) in self.tree_files().await? {
            let named =
                path.components().nth(5).and_then(|hex| format!("sha256:{hex}").parse().ok());
            let named = named.filter(|canonical| layout::blob_data(canonical) == path);
            if let Some(content) = named.and_then(|canonical| known(&canonical)) {
                edits.push(Edit::link(path, &content));
                continue;
            }
            if size <= LINK_BYTES {
                let bytes = self.storage.read(TREE, &path, LINK_BYTES).await?.unwrap_or_default();
                if let Ok(text) = String::from_utf8(bytes.into()) {
                    edits.push(Edit::put(path, text));
                    continue;
                }
            }
            let content = self.storage.identify(TREE, &path).await?.content;
            edits.push(Edit::link(path, &content));
        }
        Ok(edits)
    }

    /// Lists every file of the public tree with its size, in no order.
    async fn tree_files(&self) -> Result<Vec<(TreePath, u64)>> {
        let (mut files, mut folders) = (Vec::new(), vec![TreePath::root()]);
        while let Some(folder) = folders.pop() {
            for (name, kind) in self.names(&folder).await? {
                let Some(path) = folder.child(&name) else { continue };
                match kind {
                    Kind::File(size) => files.push((path, size)),
                    Kind::Directory => folders.push(path),
                }
            }
        }
        Ok(files)
    }

    /// Lists the names of content in the public tree.
    pub(super) async fn tree_blobs(&self) -> Result<Vec<CanonicalDigest>> {
        let mut blobs = Vec::new();
        for (shard, _) in self.names(&layout::blobs()).await? {
            let Some(folder) = layout::blobs().child(&shard) else { continue };
            let names = self.names(&folder).await?;
            blobs.extend(
                names
                    .iter()
                    .filter_map(|(hex, _)| format!("sha256:{hex}").parse::<CanonicalDigest>().ok()),
            );
        }
        Ok(blobs)
    }

    /// Lists the repositories of the public tree: directories with links, wherever they nest.
    pub(super) async fn tree_repositories(&self) -> Result<Vec<RepositoryName>> {
        let (mut found, mut folders) = (Vec::new(), vec![(String::new(), layout::repositories())]);
        while let Some((prefix, folder)) = folders.pop() {
            let mut has_links = false;
            for (name, kind) in self.names(&folder).await? {
                if matches!(name.as_str(), "_layers" | "_manifests" | "_referrers") {
                    has_links = true;
                }
                let (Kind::Directory, Some(child)) = (kind, folder.child(&name)) else { continue };
                if !name.starts_with('_') {
                    let full = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
                    folders.push((full, child));
                }
            }
            if has_links {
                found.extend(prefix.parse::<RepositoryName>());
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Reads all links of a repository.
    pub(super) async fn tree_links(&self, name: &RepositoryName) -> Result<RepositoryLinks> {
        let root = layout::repository(name);
        let mut links = RepositoryLinks {
            name: name.clone(),
            layers: self.digest_links(below(&root, "_layers")).await?,
            revisions: self.digest_links(below(&root, "_manifests/revisions")).await?,
            tags: Vec::new(),
            referrers: Vec::new(),
        };
        for (tag, _) in self.names(&below(&root, "_manifests/tags")).await? {
            let Ok(tag) = Tag::from_str(&tag) else { continue };
            let path = layout::tag_current_link(name, &tag);
            let index = self.digest_links(below(&layout::tag(name, &tag), "index")).await?;
            let current = Link { name: tag, target: self.link_target(&path).await?, path };
            links.tags.push(TagLinks { current, index });
        }
        for (subject, folder) in self.digest_folders(below(&root, "_referrers")).await? {
            for referrer in self.digest_links(folder).await? {
                links.referrers.push(Link {
                    name: (subject, referrer.name),
                    target: referrer.target,
                    path: referrer.path,
                });
            }
        }
        Ok(links)
    }

    /// Reads the bytes of a manifest that stands in the public tree.
    pub(super) async fn tree_manifest(&self, digest: &CanonicalDigest) -> Result<Option<Bytes>> {
        let limit = self.limits.manifest_bytes as u64;
        match self.storage.read(TREE, &layout::blob_data(digest), limit).await {
            Err(error) if error.kind == StorageErrorKind::Damaged => Ok(None),
            read => Ok(read?),
        }
    }

    /// Lists `<alg>/<hex>` below a directory.
    async fn digest_folders(&self, folder: TreePath) -> Result<Vec<(Digest, TreePath)>> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let folder = below(&folder, algorithm.as_str());
            for (hex, _) in self.names(&folder).await? {
                let digest = format!("{algorithm}:{hex}").parse::<Digest>();
                found.extend(digest.ok().zip(folder.child(&hex)));
            }
        }
        Ok(found)
    }

    /// Reads `<alg>/<hex>/link` below a directory; a directory without its link is none.
    async fn digest_links(&self, folder: TreePath) -> Result<Vec<Link<Digest>>> {
        let mut links = Vec::new();
        for (name, folder) in self.digest_folders(folder).await? {
            let path = below(&folder, "link");
            links.push(Link { name, target: self.link_target(&path).await?, path });
        }
        Ok(links)
    }

    async fn link_target(&self, path: &TreePath) -> Result<Option<CanonicalDigest>> {
        let bytes = match self.storage.read(TREE, path, LINK_BYTES).await {
            Err(error) if error.kind == StorageErrorKind::Damaged => None,
            read => read?,
        };
        let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        Ok(text.and_then(|text| text.parse().ok()))
    }
}

/// The tree that is walked.
pub(super) const TREE: Visibility = Visibility::Public;

fn below(path: &TreePath, name: &str) -> TreePath {
    path.child(name).expect("the layout's own names are components")
}
