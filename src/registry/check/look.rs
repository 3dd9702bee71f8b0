//! Looking at links and rows: whether trees, index and content say the same.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::repair::{Fault, Finding, cannot_read};
use super::super::root::{fold_edits, peek};
use super::super::walk::{Link, PassedOver, RepositoryLinks, TagLinks};
use super::super::{Progress, Registry, Result, Steps, layout};
use super::content::Reading;
use crate::oci::{Algorithm, CanonicalDigest, Digest, Manifest, RepositoryName, TreeId};
use crate::storage::TreePath;

/// How many names are requested at a time.
const PAGE: u32 = 1000;

/// What one look at links and rows came to.
#[derive(Default)]
pub(super) struct Look {
    /// The tree that is looked at.
    tree: TreeId,
    pub(super) repositories: usize,
    pub(super) tags: usize,
    pub(super) root: String,
    /// The content that is in each tree.
    pub(super) in_tree: HashSet<(TreeId, CanonicalDigest)>,
    /// Of these, the content whose file in the tree is another one, as in a copy, or cannot be looked at.
    copied: HashSet<(TreeId, CanonicalDigest)>,
    /// The content that is a manifest of some repository of a tree, or that one of its repository names.
    pub(super) referenced: HashSet<(TreeId, CanonicalDigest)>,
    /// What no manifest of a repository names although that has a link to it.
    pub(super) leftover_links: HashSet<(RepositoryName, CanonicalDigest)>,
    /// Manifests that neither a tag nor an index leads to: `name@digest`.
    pub(super) untagged: BTreeSet<String>,
    pub(super) findings: BTreeSet<Finding>,
    /// What can be tried to be mended of that.
    pub(super) faults: BTreeSet<Fault>,
    /// The repositories that were looked at.
    pub(super) names: BTreeSet<RepositoryName>,
    /// Whether a root is not that of its tree.
    pub(super) has_other_root: bool,
}

impl Registry {
    /// Compares links, rows and content. Content that was not read yet is read.
    pub(super) async fn look(
        &self,
        reading: &mut Reading<'_>,
        progress: &dyn Progress,
    ) -> Result<Look> {
        let mut look = Look::default();
        let mut walked = Vec::new();
        for tree in TreeId::ALL {
            look.tree = tree;
            let mut passed = PassedOver::default();
            let in_tree = self.tree(tree).blobs(&mut passed).await;
            look.in_tree.extend(in_tree.iter().map(|canonical| (tree, *canonical)));
            self.look_at_tree_content(&mut look, &in_tree, reading).await?;
            let repositories = self.tree(tree).repositories(&mut passed).await;
            look.repositories += repositories.len();
            look.names.extend(repositories.iter().cloned());
            walked.push((tree, repositories, passed));
        }
        progress.begin("comparing repositories", Steps::Items(look.repositories as u64));
        for (tree, repositories, passed) in &mut walked {
            look.tree = *tree;
            for name in repositories.iter() {
                let links = self.tree(*tree).links(name, passed).await;
                self.look_at_repository(&mut look, &links, reading).await?;
                progress.advance(1);
            }
            self.look_at_names(&mut look, repositories).await?;
        }
        self.look_at_stored_content(&mut look, reading).await?;
        self.look_at_ledgers(&mut look).await?;
        progress.begin("computing the root", Steps::Unknown);
        for (tree, _, mut passed) in walked {
            look.tree = tree;
            self.look_at_root(&mut look, reading, &mut passed).await?;
            for (path, error) in &passed.unreadable {
                look.find(path, cannot_read(error));
            }
        }
        Ok(look)
    }

    /// The tree has the repositories that the index has there.
    async fn look_at_names(&self, look: &mut Look, in_tree: &[RepositoryName]) -> Result<()> {
        let known: HashSet<&RepositoryName> = in_tree.iter().collect();
        let mut last: Option<String> = None;
        loop {
            let page = self.index.repositories(Some(look.tree), last.as_deref(), PAGE).await?;
            for name in page.iter().filter(|name| !known.contains(name)) {
                look.faults.insert(Fault::Names(name.clone()));
                look.find(format!("repository {name}"), "in the index, but not in the tree");
            }
            match page.last() {
                Some(name) if page.len() == PAGE as usize => last = Some(name.to_string()),
                _ => return Ok(()),
            }
        }
    }

    /// What quotas are compared with is what the namespaces have.
    async fn look_at_ledgers(&self, look: &mut Look) -> Result<()> {
        loop {
            let before = self.index.usage().await?;
            let counted = self.index.counted_usage().await?;
            if before == counted {
                return Ok(());
            }
            if self.index.usage().await? != before {
                // An upload has ended meanwhile.
                continue;
            }
            let (stored, real) = (before.iter(), counted.iter());
            let others = stored.filter(|it| !counted.contains(it));
            let others = others.chain(real.filter(|it| !before.contains(it)));
            let names: BTreeSet<&String> = others.map(|(namespace, _)| namespace).collect();
            for name in names {
                let what = "what is counted for its quota is not what it has: run `roadstead index rebuild`";
                look.find(format!("namespace {name}"), what);
            }
            return Ok(());
        }
    }

    /// What the tree has is there, and in the tree it is that very file.
    async fn look_at_tree_content(
        &self,
        look: &mut Look,
        in_tree: &[CanonicalDigest],
        reading: &mut Reading<'_>,
    ) -> Result<()> {
        let tree = look.tree;
        for canonical in in_tree {
            let path = layout::blob_data(canonical);
            if !reading.is_there(canonical).await? {
                look.faults.insert(Fault::Content(*canonical));
                look.find(path, "the content of that digest is missing");
                continue;
            }
            let Some(content) = reading.sound(canonical) else { continue };
            let what = match self.storage.is_linked(tree, &path, &content).await {
                Ok(true) => continue,
                Ok(false) => "not a hard link to the content of that digest".to_owned(),
                Err(error) => cannot_read(&error),
            };
            look.faults.insert(Fault::Content(*canonical));
            look.copied.insert((tree, *canonical));
            look.find(path, what);
        }
        Ok(())
    }

    /// What the index has is there.
    async fn look_at_stored_content(
        &self,
        look: &mut Look,
        reading: &mut Reading<'_>,
    ) -> Result<()> {
        let mut last: Option<CanonicalDigest> = None;
        loop {
            let page = self.index.stored_content(last.as_ref(), PAGE).await?;
            for canonical in &page {
                // A manifest that was refused, or waits in the queue, need not be stored.
                if !reading.is_there(canonical).await?
                    && (look.is_referenced(canonical)
                        || reading.has_repository(canonical).await?
                        || !self.is_stored_with_edits(canonical).await?)
                {
                    look.faults.insert(Fault::Content(*canonical));
                    let about = format!("blob {canonical}");
                    look.find(about, "in the index, but its content is missing");
                }
            }
            match page.last() {
                Some(canonical) if page.len() == PAGE as usize => last = Some(*canonical),
                _ => return Ok(()),
            }
        }
    }

    async fn look_at_repository(
        &self,
        look: &mut Look,
        links: &RepositoryLinks,
        reading: &Reading<'_>,
    ) -> Result<()> {
        let name = &links.name;
        let before = look.findings.len();
        let record = self.index.repository(name).await?;
        if let Some(other) = record.map(|record| record.tree).filter(|tree| *tree != look.tree) {
            let what = format!("in the index, the repository is in the {} tree", other.as_str());
            look.find(layout::repository(name), what);
        }
        let layers: HashSet<Digest> = links.layers.iter().map(|link| link.name).collect();
        let revisions: HashMap<Digest, CanonicalDigest> =
            links.revisions.iter().filter_map(|link| Some((link.name, link.target?))).collect();
        for link in links.layers.iter().chain(&links.revisions) {
            self.look_at_link(look, link, reading).await;
        }
        for link in &links.layers {
            if self.index.recorded_blob(name, &link.name).await?.is_none() {
                look.find(&link.path, "the blob is not in the index");
            }
        }
        let mut needs = Needs::default();
        for link in &links.revisions {
            let manifest = self.look_at_manifest(look, name, link, &layers, &revisions).await?;
            needs.add(link.target, manifest);
        }
        look.count(links, &revisions, &needs);
        for digest in self.index.manifests(name).await? {
            if !revisions.contains_key(&digest) {
                look.find(
                    format!("manifest {digest} of {name}"),
                    "in the index, but not in the tree",
                );
            }
        }
        let targets: HashSet<CanonicalDigest> = revisions.values().copied().collect();
        self.look_at_tags(look, name, &links.tags, &targets).await?;
        for link in &links.referrers {
            if !link.target.is_some_and(|target| targets.contains(&target)) {
                look.find(&link.path, "the referrer is missing");
            }
        }
        if look.findings.len() > before {
            look.faults.insert(Fault::Names(name.clone()));
        }
        Ok(())
    }

    /// A link leads to content of the name that it is under.
    async fn look_at_link(&self, look: &mut Look, link: &Link<Digest>, reading: &Reading<'_>) {
        let Some(target) = link.target else {
            look.find(&link.path, "the link has no digest");
            return;
        };
        if !look.in_tree.contains(&(look.tree, target)) {
            look.faults.insert(Fault::Content(target));
            look.find(&link.path, format!("it points to {target}, which is missing"));
            return;
        }
        let has_name = match (link.name.algorithm(), reading.sound(&target)) {
            (Algorithm::Sha256, _) => Ok(link.name == target.into()),
            (Algorithm::Sha512, Some(content)) => {
                self.sha512(&content).await.map(|digest| digest == link.name)
            }
            (Algorithm::Sha512, None) => Ok(true),
        };
        match has_name {
            Ok(true) => {}
            Ok(false) => {
                look.find(&link.path, format!("it points to {target}, which has another digest"));
            }
            Err(error) => look.find(&link.path, cannot_read(&error)),
        }
    }

    /// The index has the manifest, and the repository what it references.
    async fn look_at_manifest(
        &self,
        look: &mut Look,
        name: &RepositoryName,
        link: &Link<Digest>,
        layers: &HashSet<Digest>,
        revisions: &HashMap<Digest, CanonicalDigest>,
    ) -> Result<Option<Manifest>> {
        let row = self.index.manifest(name, &link.name).await?;
        if row.is_none() {
            look.find(&link.path, "the manifest is not in the index");
        }
        let Some(target) = link.target else { return Ok(None) };
        let bytes = match self.tree_manifest(look.tree, &target).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(error) => {
                look.find(layout::blob_data(&target), cannot_read(&error));
                return Ok(None);
            }
        };
        // The media type may have come with the push alone.
        match Manifest::parse(&bytes, row.as_ref().map(|row| row.media_type.as_str())) {
            Err(error) => {
                look.find(&link.path, error.to_string());
                Ok(None)
            }
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
                    look.find(&link.path, format!("it references {digest}, which is missing"));
                }
                Ok(Some(manifest))
            }
        }
    }

    async fn look_at_tags(
        &self,
        look: &mut Look,
        name: &RepositoryName,
        tags: &[TagLinks],
        targets: &HashSet<CanonicalDigest>,
    ) -> Result<()> {
        for tag in tags {
            look.tags += 1;
            let target = tag.current.target;
            if !target.is_some_and(|target| targets.contains(&target)) {
                look.find(&tag.current.path, "the tag points to a missing manifest");
            }
            let row = self.index.tagged_manifest(name, &tag.current.name).await?;
            if row.as_ref().map(|row| row.canonical) != target {
                look.find(&tag.current.path, "the tag points to another manifest in the index");
            }
        }
        let known: HashSet<&str> = tags.iter().map(|tag| tag.current.name.as_str()).collect();
        let mut last: Option<String> = None;
        loop {
            let page = self.index.tags(name, last.as_deref(), PAGE).await?;
            for tag in page.iter().filter(|tag| !known.contains(tag.as_str())) {
                look.find(format!("tag {name}:{tag}"), "in the index, but not in the tree");
            }
            match page.last() {
                Some(tag) if page.len() == PAGE as usize => last = Some(tag.to_string()),
                _ => return Ok(()),
            }
        }
    }

    async fn look_at_root(
        &self,
        look: &mut Look,
        reading: &Reading<'_>,
        passed: &mut PassedOver,
    ) -> Result<()> {
        let tree = look.tree;
        let expected = peek(self.index.clone(), tree).await?.root;
        if tree.is_public() {
            look.root = expected.to_string();
        }
        let known_unreadable = passed.unreadable.len();
        // What was read as content is what the tree has, unless that has a file of its own.
        let known = |canonical: &CanonicalDigest| {
            reading.sound(canonical).filter(|_| !look.copied.contains(&(tree, *canonical)))
        };
        let edits = self.tree_edits(tree, &known, passed).await;
        if passed.unreadable.len() > known_unreadable {
            // What cannot be read is a finding already, and its root would be of something else.
            return Ok(());
        }
        let found = fold_edits(self.index.clone(), None, edits).await?.root;
        if found != expected {
            look.has_other_root = true;
            let about = format!("the {} root", tree.as_str());
            look.find(about, format!("it is {found}, not {expected} as in the index"));
        }
        Ok(())
    }
}

/// What the manifests of a repository name.
#[derive(Default)]
struct Needs {
    blobs: HashSet<Digest>,
    children: HashSet<Digest>,
    /// The subject of each manifest that has one.
    subjects: HashMap<CanonicalDigest, Digest>,
}

impl Needs {
    fn add(&mut self, target: Option<CanonicalDigest>, manifest: Option<Manifest>) {
        let (Some(target), Some(manifest)) = (target, manifest) else { return };
        let blobs = manifest.blobs.iter().filter(|blob| !blob.is_foreign());
        self.blobs.extend(blobs.map(|blob| blob.digest));
        self.children.extend(manifest.children.iter().map(|child| child.digest));
        if let Some(subject) = manifest.subject {
            self.subjects.insert(target, subject.digest);
        }
    }
}

impl Look {
    /// Counts what no manifest of a repository names, and what neither a tag nor an index leads to.
    fn count(
        &mut self,
        links: &RepositoryLinks,
        revisions: &HashMap<Digest, CanonicalDigest>,
        needs: &Needs,
    ) {
        let is_needed = |name: &Digest| {
            needs.blobs.contains(name)
                || needs.children.contains(name) && !revisions.contains_key(name)
        };
        let needed: HashSet<CanonicalDigest> = links
            .layers
            .iter()
            .filter(|link| is_needed(&link.name))
            .filter_map(|link| link.target)
            .collect();
        for link in &links.layers {
            let Some(target) = link.target else { continue };
            // The canonical link goes with every other one.
            let is_canonical = link.name == target.into() && needed.contains(&target);
            if !is_needed(&link.name) && !is_canonical {
                self.leftover_links.insert((links.name.clone(), target));
            }
        }
        let referenced = needed.into_iter().chain(revisions.values().copied());
        self.referenced.extend(referenced.map(|canonical| (self.tree, canonical)));
        let tagged: HashSet<CanonicalDigest> =
            links.tags.iter().filter_map(|tag| tag.current.target).collect();
        let children: HashSet<CanonicalDigest> =
            needs.children.iter().filter_map(|child| revisions.get(child)).copied().collect();
        for target in revisions.values() {
            let subject = needs.subjects.get(target);
            let is_referrer = subject.is_some_and(|subject| revisions.contains_key(subject));
            if !tagged.contains(target) && !children.contains(target) && !is_referrer {
                self.untagged.insert(format!("{}@{target}", links.name));
            }
        }
    }

    /// Tells whether any tree has content.
    pub(super) fn is_in_a_tree(&self, canonical: &CanonicalDigest) -> bool {
        TreeId::ALL.into_iter().any(|tree| self.in_tree.contains(&(tree, *canonical)))
    }

    /// Tells whether a manifest of any repository names content, or is it.
    pub(super) fn is_referenced(&self, canonical: &CanonicalDigest) -> bool {
        TreeId::ALL.into_iter().any(|tree| self.referenced.contains(&(tree, *canonical)))
    }

    fn find(&mut self, about: impl Into<About>, what: impl Into<String>) {
        let about = match about.into() {
            About::Path(path) => format!("{}/{path}", self.tree.as_str()),
            About::Other(text) => text,
        };
        self.findings.insert(Finding { about, what: what.into() });
    }
}

/// What a finding is about, from whatever names it.
enum About {
    /// A path of the tree that is looked at.
    Path(TreePath),
    Other(String),
}

impl From<String> for About {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

impl From<&str> for About {
    fn from(text: &str) -> Self {
        Self::Other(text.to_owned())
    }
}

impl From<TreePath> for About {
    fn from(path: TreePath) -> Self {
        Self::Path(path)
    }
}

impl From<&TreePath> for About {
    fn from(path: &TreePath) -> Self {
        Self::Path(path.clone())
    }
}
