//! Checking the whole store: digests, CIDs, links, and the index against the tree.
//!
//! It changes nothing, and works beside a running server: what is found while the registry moves
//! counts only if it is found again.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures_util::StreamExt;
use serde::Serialize;

use super::root::{fold_edits, peek_root};
use super::walk::{Link, RepositoryLinks, TREE};
use super::{Registry, Result, layout};
use crate::index::Folding;
use crate::oci::{Algorithm, CanonicalDigest, Digest, Hasher, Manifest, Reference, RepositoryName};
use crate::storage::{Content, TreePath};

/// How often a registry that moves is looked at again.
const LOOKS: usize = 5;

/// How many names are asked for at a time.
const PAGE: u32 = 1000;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// A path below the data folder, or the name of what it is about.
    pub about: String,
    /// What is wrong, as a sentence.
    pub what: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many blobs were read, manifests included.
    pub blobs: usize,
    /// How many bytes that was.
    pub bytes: u64,
    /// How many repositories were looked at.
    pub repositories: usize,
    /// How many tags were looked at.
    pub tags: usize,
    /// The public root.
    pub root: String,
    /// All that is wrong; none if all is well.
    pub findings: Vec<Finding>,
}

/// Content that was read: what it is, where it is what it should be.
type Examined = HashMap<CanonicalDigest, Option<Content>>;

/// What one look at links and rows came to.
#[derive(Default)]
struct Look {
    repositories: usize,
    tags: usize,
    root: String,
    findings: BTreeSet<Finding>,
}

impl Registry {
    /// Reads the whole store and says what is wrong with it.
    ///
    /// # Errors
    /// Those of the index and the storage that keep it from going on.
    pub async fn check(&self) -> Result<Report> {
        let mut report = Report::default();
        let content = self.check_content(&mut report).await?;
        let mut look = Look::default();
        let mut persistent: Option<BTreeSet<Finding>> = None;
        for _ in 0..LOOKS {
            let before = self.moment().await?;
            look = self.look(&content).await?;
            let again = match persistent {
                Some(findings) => findings.intersection(&look.findings).cloned().collect(),
                None => look.findings.clone(),
            };
            let settled = again.is_empty() || self.moment().await? == before;
            persistent = Some(again);
            if settled {
                break;
            }
        }
        report.findings.extend(persistent.unwrap_or_default());
        report.repositories = look.repositories;
        report.tags = look.tags;
        report.root = look.root;
        Ok(report)
    }

    /// Returns something that is another as soon as a commit went by.
    async fn moment(&self) -> Result<(u64, u64, Folding)> {
        Ok((
            self.index.version().await?,
            self.index.open_entry_count().await?,
            self.index.folding(TREE).await?,
        ))
    }

    /// Reads all content: each blob has its digest, and the index its right CID and size.
    async fn check_content(&self, report: &mut Report) -> Result<Examined> {
        let mut seen = HashMap::new();
        for canonical in self.storage.contents().await? {
            let blob = self.index.stored_blob(&canonical).await?.map(|row| (row.cid, row.size));
            let manifest = self.index.stored_manifest(&canonical).await?;
            let expected =
                blob.or(manifest.map(|manifest| (manifest.cid, manifest.bytes.len() as u64)));
            let found = self.storage.examine(&canonical).await?;
            report.blobs += 1;
            report.bytes += found.size;
            let what = match expected {
                _ if found.canonical != canonical => {
                    Some(format!("its bytes are {}", found.canonical))
                }
                Some((cid, _)) if cid != found.cid => {
                    Some(format!("the index says its CID is {cid}, it is {}", found.cid))
                }
                Some((_, size)) if size != found.size => {
                    Some(format!("the index says it has {size} bytes, it has {}", found.size))
                }
                _ => None,
            };
            let is_sound = what.is_none();
            report
                .findings
                .extend(what.map(|what| Finding { about: format!("blob {canonical}"), what }));
            seen.insert(canonical, is_sound.then_some(found));
        }
        Ok(seen)
    }

    async fn look(&self, content: &Examined) -> Result<Look> {
        let mut look = Look::default();
        let in_tree: HashSet<CanonicalDigest> = self.tree_blobs().await?.into_iter().collect();
        for canonical in &in_tree {
            let path = layout::blob_data(canonical);
            match content.get(canonical) {
                None => look.find(path, "the content of that digest is missing"),
                Some(Some(content)) if !self.storage.holds(TREE, &path, content).await? => {
                    look.find(path, "it is not the content of that digest");
                }
                Some(_) => {}
            }
        }
        let repositories = self.tree_repositories().await?;
        for name in &repositories {
            let links = self.tree_links(name).await?;
            self.look_at_repository(&mut look, &links, &in_tree, content).await?;
        }
        let known: HashSet<&RepositoryName> = repositories.iter().collect();
        let mut last: Option<String> = None;
        loop {
            let page = self.index.repositories(last.as_deref(), PAGE).await?;
            for name in page.iter().filter(|name| !known.contains(name)) {
                look.find(format!("repository {name}"), "the index has it, the tree does not");
            }
            match page.last() {
                Some(name) if page.len() == PAGE as usize => last = Some(name.to_string()),
                _ => break,
            }
        }
        look.repositories = repositories.len();
        self.look_at_root(&mut look, content).await?;
        Ok(look)
    }

    async fn look_at_repository(
        &self,
        look: &mut Look,
        links: &RepositoryLinks,
        in_tree: &HashSet<CanonicalDigest>,
        content: &Examined,
    ) -> Result<()> {
        let name = &links.name;
        let layers: HashSet<Digest> = links.layers.iter().map(|link| link.name).collect();
        let revisions: HashMap<Digest, CanonicalDigest> =
            links.revisions.iter().filter_map(|link| Some((link.name, link.target?))).collect();
        for link in links.layers.iter().chain(&links.revisions) {
            self.look_at_link(look, link, in_tree, content).await?;
        }
        for link in &links.layers {
            if self.index.blob(name, &link.name).await?.is_none() {
                look.find(&link.path, "the index does not know the blob");
            }
        }
        for link in &links.revisions {
            if self.index.manifest(name, &link.name).await?.is_none() {
                look.find(&link.path, "the index does not know the manifest");
            }
            let Some(bytes) = self.manifest_bytes(link.target).await? else { continue };
            match Manifest::parse(&bytes, None) {
                Err(error) => look.find(&link.path, error.to_string()),
                Ok(manifest) => {
                    let blobs = manifest.blobs.iter().filter(|blob| !blob.is_foreign());
                    let missing =
                        blobs.map(|blob| blob.digest).filter(|digest| !layers.contains(digest));
                    let children = manifest.children.iter().map(|child| child.digest);
                    let orphans = children.filter(|digest| {
                        !self.limits.sparse_indexes
                            && !layers.contains(digest)
                            && !revisions.contains_key(digest)
                    });
                    for digest in missing.chain(orphans) {
                        look.find(
                            &link.path,
                            format!("it references {digest}, which is not there"),
                        );
                    }
                }
            }
        }
        for digest in self.index.manifests(name).await? {
            if !revisions.contains_key(&digest) {
                look.find(
                    format!("manifest {digest} of {name}"),
                    "the index has it, the tree does not",
                );
            }
        }
        for tag in &links.tags {
            look.tags += 1;
            let target = tag.current.target;
            if !revisions.values().any(|revision| Some(*revision) == target) {
                look.find(&tag.current.path, "the manifest that the tag points to is not there");
            }
            let reference = Reference::Tag(tag.current.name.clone());
            let Reference::Tag(tag_name) = &reference else { continue };
            let row = self.index.tagged_manifest(name, tag_name).await?;
            if row.as_ref().map(|row| row.canonical) != target {
                look.find(&tag.current.path, "the index says that the tag points elsewhere");
            }
        }
        let tags: HashSet<&str> = links.tags.iter().map(|tag| tag.current.name.as_str()).collect();
        let mut last: Option<String> = None;
        loop {
            let page = self.index.tags(name, last.as_deref(), PAGE).await?;
            for tag in page.iter().filter(|tag| !tags.contains(tag.as_str())) {
                look.find(format!("tag {name}:{tag}"), "the index has it, the tree does not");
            }
            match page.last() {
                Some(tag) if page.len() == PAGE as usize => last = Some(tag.to_string()),
                _ => break,
            }
        }
        for link in &links.referrers {
            if !link
                .target
                .is_some_and(|target| revisions.values().any(|revision| *revision == target))
            {
                look.find(&link.path, "the referrer is not there");
            }
        }
        Ok(())
    }

    /// A link leads to content of the name that it stands under.
    async fn look_at_link(
        &self,
        look: &mut Look,
        link: &Link<Digest>,
        in_tree: &HashSet<CanonicalDigest>,
        content: &Examined,
    ) -> Result<()> {
        let Some(target) = link.target else {
            look.find(&link.path, "it holds no digest");
            return Ok(());
        };
        if !in_tree.contains(&target) {
            look.find(&link.path, format!("it leads to {target}, which is not there"));
            return Ok(());
        }
        let has_name = match (link.name.algorithm(), content.get(&target)) {
            (Algorithm::Sha256, _) => link.name == target.into(),
            (Algorithm::Sha512, Some(Some(content))) => self.sha512(content).await? == link.name,
            (Algorithm::Sha512, _) => true,
        };
        if !has_name {
            look.find(&link.path, format!("it leads to {target}, which has another digest"));
        }
        Ok(())
    }

    async fn manifest_bytes(
        &self,
        target: Option<CanonicalDigest>,
    ) -> Result<Option<bytes::Bytes>> {
        match target {
            Some(target) => self.tree_manifest(&target).await,
            None => Ok(None),
        }
    }

    async fn look_at_root(&self, look: &mut Look, content: &Examined) -> Result<()> {
        let expected = peek_root(self.index.clone()).await?;
        look.root = expected.to_string();
        let edits = self.tree_edits(&|canonical| content.get(canonical).copied().flatten()).await?;
        let found = fold_edits(self.index.clone(), None, edits).await?.root;
        if found != expected {
            look.find("the public root", format!("the index says {expected}, the tree is {found}"));
        }
        Ok(())
    }

    /// Computes the sha512 digest of content.
    pub(super) async fn sha512(&self, content: &Content) -> Result<Digest> {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        let mut bytes = self.storage.open(content, 0..content.size).await?;
        while let Some(piece) = bytes.next().await {
            hasher.update(&piece?);
        }
        Ok(hasher.finish())
    }
}

impl Look {
    fn find(&mut self, about: impl Into<About>, what: impl Into<String>) {
        self.findings.insert(Finding { about: about.into().0, what: what.into() });
    }
}

/// What a finding is about, from whatever names it.
struct About(String);

impl From<String> for About {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for About {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<TreePath> for About {
    fn from(path: TreePath) -> Self {
        Self::from(&path)
    }
}

impl From<&TreePath> for About {
    fn from(path: &TreePath) -> Self {
        Self(format!("{}/{path}", TREE.as_str()))
    }
}
