//! Adopting the folder of a stock registry: its blobs are taken in, then its manifests and tags are
//! pushed again, so that all that holds for a push holds for them, and the root is that of the
//! pushes.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::thread::available_parallelism;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::blobs::{content, new_blob};
use super::intent::{Intent, Refusal};
use super::walk::{Link, PassedOver, RepositoryLinks, TagLinks, Walk, below};
use super::{Condition, Progress, Registry, RegistryError, Result, Steps, layout, now};
use crate::auth::foreign_namespace;
use crate::index::StoredManifest;
use crate::oci::{Algorithm, CanonicalDigest, Digest, Manifest, RepositoryName, Tag};
use crate::storage::{Content, Finished, SourceFolder, StorageError, StorageErrorKind, TreePath};

/// How many changes are left for the root at a time.
const UNFOLDED: u64 = 2000;

/// The place of a tree that a folder may stand for: where the stock registry begins.
#[must_use]
pub fn adoptable_place() -> TreePath {
    layout::root()
}

/// What an adoption came to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// The public root.
    pub root: String,
    /// How many repositories have anything.
    pub repositories: usize,
    /// How many manifests they have.
    pub manifests: usize,
    /// How many tags they have.
    pub tags: usize,
    /// How many blobs were taken in, manifests included, also those that were refused then; what an
    /// earlier, interrupted adoption took in does not count.
    pub blobs: usize,
    /// How many bytes these have.
    pub bytes: u64,
    /// How many of them share their bytes with the folder.
    pub linked: usize,
    /// What was not taken, and why.
    pub left_out: Vec<LeftOut>,
}

/// Something that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What kind of thing it is.
    pub kind: LeftOutKind,
    /// Which one.
    pub about: String,
    /// Why.
    pub why: String,
}

/// What kind of thing was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutKind {
    /// A push that was not finished.
    Upload,
    /// Content that no repository has, or that nobody can have.
    Blob,
    /// A blob of a repository.
    Layer,
    /// A manifest of a repository.
    Manifest,
    /// A tag of a repository.
    Tag,
    /// A whole repository.
    Repository,
    /// Some place of the folder.
    Place,
}

impl LeftOut {
    /// Tells whether an image that the folder lists may be missing by it. (A layer that an image
    /// needs is no loss beside that of its manifest.)
    #[must_use]
    pub fn is_loss(&self) -> bool {
        !matches!(self.kind, LeftOutKind::Upload | LeftOutKind::Blob | LeftOutKind::Layer)
    }
}

/// An adoption under way.
struct Adoption<'a> {
    registry: &'a Registry,
    source: &'a SourceFolder,
    local_namespaces: &'a [String],
    progress: &'a dyn Progress,
    /// Content of the folder that nothing has led to yet.
    unreferenced: HashSet<CanonicalDigest>,
    /// Content that cannot be had, and why.
    unfit: HashMap<CanonicalDigest, String>,
    passed: PassedOver,
    result: Adopted,
}

/// A manifest to be pushed.
struct Candidate {
    content: Content,
    /// Every name that the repository has it by.
    names: Vec<Digest>,
    children: Vec<Digest>,
}

impl Registry {
    /// Takes in the folder of a stock registry, whose content must not change meanwhile (that more is
    /// pushed or deleted there does no harm, but is taken or not). First components in
    /// `local_namespaces` are this registry's own even where they look like somebody's root.
    ///
    /// Each image is there as a whole once its tag is. Repeating the call goes on: blobs that are
    /// there are not read again.
    ///
    /// # Errors
    /// Those of the index and the storage. What is wrong with the folder is no error.
    pub async fn adopt(
        &self,
        source: &SourceFolder,
        local_namespaces: &[String],
        progress: &dyn Progress,
    ) -> Result<Adopted> {
        let mut adoption = Adoption {
            registry: self,
            source,
            local_namespaces,
            progress,
            unfit: HashMap::new(),
            unreferenced: HashSet::new(),
            passed: PassedOver::default(),
            result: Adopted::default(),
        };
        adoption.blobs().await;
        for name in adoption.walk().repositories(&mut adoption.passed).await {
            adoption.repository(&name).await?;
            if self.index.unfolded_entry_count().await? > UNFOLDED {
                self.root().await?;
            }
        }
        adoption.tell_unreferenced();
        adoption.tell_passed_over();
        progress.begin("computing the root", Steps::Unknown);
        adoption.result.root = self.root().await?.to_string();
        // Also what no root tells of: blobs that no manifest names.
        self.storage.sync().await?;
        Ok(adoption.result)
    }
}

impl<'a> Adoption<'a> {
    fn walk(&self) -> Walk<'a> {
        Walk::Foreign(self.source)
    }

    fn leave_out(&mut self, kind: LeftOutKind, about: impl Into<String>, why: impl Into<String>) {
        self.result.left_out.push(LeftOut { kind, about: about.into(), why: why.into() });
    }

    async fn repository(&mut self, name: &RepositoryName) -> Result<()> {
        let mut passed = std::mem::take(&mut self.passed);
        let uploads = below(&layout::repository(name), "_uploads");
        for (id, _) in self.walk().names(&uploads, &mut passed).await {
            let why = "it was not finished";
            self.leave_out(LeftOutKind::Upload, format!("upload {id} of `{name}`"), why);
        }
        let links = self.walk().links(name, &mut passed).await;
        self.passed = passed;
        if let Some(first) = foreign_namespace(name, self.local_namespaces) {
            let why = format!(
                "`{first}` names somebody's root; list it in server.local_namespaces to keep it here"
            );
            self.leave_out(LeftOutKind::Repository, format!("repository `{name}`"), why);
            return Ok(());
        }
        let revisions = self.resolve(name, &links.revisions, LeftOutKind::Manifest).await?;
        let layers = self.resolve(name, &links.layers, LeftOutKind::Layer).await?;
        self.layers(name, &layers).await?;
        let (manifests, tags) = self.manifests(name, &links, &revisions).await?;
        if !layers.is_empty() || manifests > 0 {
            self.result.repositories += 1;
        }
        self.result.manifests += manifests;
        self.result.tags += tags;
        Ok(())
    }

    /// Takes in what the links lead to; returns each name whose content has it.
    async fn resolve(
        &mut self,
        name: &RepositoryName,
        links: &[Link<Digest>],
        kind: LeftOutKind,
    ) -> Result<Vec<(Digest, Finished)>> {
        let targets: HashSet<CanonicalDigest> =
            links.iter().filter_map(|link| link.target).collect();
        let taken = self.take_in(targets, kind).await?;
        let mut sound = Vec::new();
        for link in links {
            let why = match link.target {
                // The stock registry deletes a link, and leaves its directory.
                None if !self.is_there(&link.path).await => continue,
                None => "its link cannot be read".to_owned(),
                Some(target) => match taken.get(&target) {
                    None => self.unfit.get(&target).cloned().unwrap_or_default(),
                    Some(finished) if self.is_named(&finished.content, &link.name).await? => {
                        sound.push((link.name, finished.clone()));
                        continue;
                    }
                    Some(_) => format!("its link leads to {target}"),
                },
            };
            let what = if kind == LeftOutKind::Layer { "blob" } else { "manifest" };
            self.leave_out(kind, format!("{what} {} of `{name}`", link.name), why);
        }
        Ok(sound)
    }

    async fn is_there(&self, path: &TreePath) -> bool {
        !matches!(self.walk().read(path, 0).await, Ok(None))
    }

    async fn is_named(&self, content: &Content, name: &Digest) -> Result<bool> {
        Ok(match name.algorithm() {
            Algorithm::Sha256 => *name == content.canonical.into(),
            Algorithm::Sha512 => *name == self.registry.sha512(content).await?,
        })
    }

    /// Takes content in, several at a time; what is not in the answer is unfit.
    async fn take_in(
        &mut self,
        wanted: HashSet<CanonicalDigest>,
        kind: LeftOutKind,
    ) -> Result<HashMap<CanonicalDigest, Finished>> {
        let wanted = wanted.into_iter().filter(|canonical| !self.unfit.contains_key(canonical));
        let wanted: Vec<CanonicalDigest> = wanted.collect();
        let width = available_parallelism().map_or(2, NonZero::get);
        let (registry, source) = (self.registry, self.source);
        let mut taking = stream::iter(wanted)
            .map(|canonical| async move {
                let known = known(registry, &canonical, kind).await?;
                if let Some(finished) = known {
                    return Ok((canonical, Ok((finished, None))));
                }
                let path = layout::blob_data(&canonical);
                Ok::<_, RegistryError>(
                    match registry.storage.take(source, &path, &canonical).await {
                        Ok(taken) => (canonical, Ok((taken.finished, Some(taken.is_linked)))),
                        Err(error) => (canonical, Err(blame(error)?)),
                    },
                )
            })
            .buffer_unordered(width);
        let mut taken = HashMap::new();
        while let Some(next) = taking.next().await {
            let (canonical, came) = next?;
            if self.unreferenced.remove(&canonical) {
                self.progress.advance(1);
            }
            match came {
                Ok((finished, is_linked)) => {
                    if let Some(is_linked) = is_linked {
                        self.result.blobs += 1;
                        self.result.bytes += finished.content.size;
                        self.result.linked += usize::from(is_linked);
                    }
                    taken.insert(canonical, finished);
                }
                Err(why) => {
                    self.unfit.insert(canonical, why);
                }
            }
        }
        Ok(taken)
    }

    /// Gives the repository its blobs, also those that no manifest names.
    async fn layers(&self, name: &RepositoryName, layers: &[(Digest, Finished)]) -> Result<()> {
        if layers.is_empty() {
            return Ok(());
        }
        let mut writer = self.registry.index.lock().await?;
        writer.begin().await?;
        for (digest, finished) in layers {
            writer.put_blob(Some(name), &new_blob(finished, vec![*digest])?, now()).await?;
        }
        Ok(writer.commit().await?)
    }

    /// Pushes the manifests of a repository, children first, each with its tags. Returns how many
    /// manifests and tags it has then.
    async fn manifests(
        &mut self,
        name: &RepositoryName,
        links: &RepositoryLinks,
        revisions: &[(Digest, Finished)],
    ) -> Result<(usize, usize)> {
        let candidates = self.candidates(name, revisions).await?;
        let mut tags = tags_by_target(&links.tags, &candidates);
        let mut queued = Vec::new();
        for candidate in &candidates {
            let bytes = self.bytes(&candidate.content).await?;
            let manifest = Manifest::parse(&bytes, None)?;
            let stored = StoredManifest {
                canonical: candidate.content.canonical,
                cid: candidate.content.cid,
                bytes,
            };
            for digest in &candidate.names {
                let tags = tags.remove(digest).unwrap_or_default();
                if self.is_pushed(name, digest, &tags).await? {
                    queued.push((None, *digest, tags));
                    continue;
                }
                let intent = Intent::PutManifest {
                    repository: name.clone(),
                    manifest: stored.canonical,
                    digest: *digest,
                    media_type: manifest.media_type.as_str().to_owned(),
                    tags: tags.clone(),
                    by_tag: false,
                    condition: Condition::default(),
                };
                let record = serde_json::to_vec(&intent)?;
                let seq = self.registry.index.enqueue(&record, Some(&stored), now()).await?;
                queued.push((Some(seq), *digest, tags));
            }
        }
        let mut writer = self.registry.index.lock().await?;
        self.registry.drain(writer.as_mut()).await?;
        let (mut kept, mut kept_tags) = (HashSet::new(), HashSet::new());
        for (seq, digest, tags) in queued {
            let outcome: std::result::Result<(), Refusal> = match seq {
                None => Ok(()),
                Some(seq) => {
                    let outcome = writer.entry(seq).await?.and_then(|entry| entry.outcome);
                    serde_json::from_slice(&outcome.unwrap_or_default())?
                }
            };
            match outcome {
                Ok(()) => {
                    kept.insert(digest);
                    kept_tags.extend(tags);
                }
                Err(refusal) => {
                    let why = explain(&refusal);
                    let about = format!("manifest {digest} of `{name}`");
                    self.leave_out(LeftOutKind::Manifest, about, why);
                }
            }
        }
        drop(writer);
        for link in &links.tags {
            if !kept_tags.contains(&link.current.name) {
                let why = match link.current.target {
                    Some(target) => format!("manifest {target} is not there, or was left out"),
                    None => "its link is missing, or cannot be read".to_owned(),
                };
                let about = format!("tag `{name}:{}`", link.current.name);
                self.leave_out(LeftOutKind::Tag, about, why);
            }
        }
        let kept: HashSet<CanonicalDigest> = candidates
            .iter()
            .filter(|candidate| candidate.names.iter().any(|digest| kept.contains(digest)))
            .map(|candidate| candidate.content.canonical)
            .collect();
        Ok((kept.len(), kept_tags.len()))
    }

    /// Finds what a PUT may take for a manifest, children before what names them.
    async fn candidates(
        &mut self,
        name: &RepositoryName,
        revisions: &[(Digest, Finished)],
    ) -> Result<Vec<Candidate>> {
        let mut found: Vec<Candidate> = Vec::new();
        let mut places = HashMap::new();
        for (digest, finished) in revisions {
            let content = finished.content;
            if let Some(place) = places.get(&content.canonical) {
                let known: &mut Candidate = &mut found[*place];
                known.names.push(*digest);
                continue;
            }
            let limit = self.registry.limits.manifest_bytes;
            let parsed = if content.size > limit as u64 {
                Err(RegistryError::ManifestTooLarge { limit }.to_string())
            } else {
                let bytes = self.bytes(&content).await?;
                Manifest::parse(&bytes, None).map_err(|error| error.to_string())
            };
            match parsed {
                Ok(manifest) => {
                    places.insert(content.canonical, found.len());
                    let children = manifest.children.iter().map(|child| child.digest).collect();
                    found.push(Candidate { content, names: vec![*digest], children });
                }
                Err(why) => {
                    let about = format!("manifest {digest} of `{name}`");
                    self.leave_out(LeftOutKind::Manifest, about, why);
                    self.forget(&content.canonical).await?;
                }
            }
        }
        Ok(children_first(found))
    }

    /// Reads content that is small.
    async fn bytes(&self, content: &Content) -> Result<Bytes> {
        let mut bytes = BytesMut::new();
        let mut pieces = self.registry.storage.open(content, 0..content.size).await?;
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes.freeze())
    }

    /// Tells whether an earlier adoption came as far as this.
    async fn is_pushed(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        tags: &[Tag],
    ) -> Result<bool> {
        let index = &self.registry.index;
        if index.manifest(name, digest).await?.is_none() {
            return Ok(false);
        }
        for tag in tags {
            let tagged = index.tagged_manifest(name, tag).await?;
            if tagged.is_none_or(|tagged| tagged.digest != *digest) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks at what content the folder has.
    async fn blobs(&mut self) {
        let mut passed = PassedOver::default();
        let blobs = self.walk().blobs(&mut passed).await;
        for stray in passed.strays {
            self.leave_out(LeftOutKind::Blob, stray.to_string(), "no blob has that name");
        }
        self.passed.unreadable.append(&mut passed.unreadable);
        self.progress.begin("taking in blobs", Steps::each(&blobs));
        self.unreferenced.extend(blobs);
    }

    /// Keeps content no longer that turned out to be of no use, unless somebody has it.
    async fn forget(&self, canonical: &CanonicalDigest) -> Result<()> {
        let index = &self.registry.index;
        if index.stored_blob(canonical).await?.is_none()
            && index.stored_manifest(canonical).await?.is_none()
        {
            self.registry.storage.forget(canonical).await?;
        }
        Ok(())
    }

    fn tell_unreferenced(&mut self) {
        let mut unreferenced: Vec<_> = std::mem::take(&mut self.unreferenced).into_iter().collect();
        unreferenced.sort_unstable_by_key(CanonicalDigest::hex);
        for canonical in unreferenced {
            let why = "no repository that was taken has it";
            self.leave_out(LeftOutKind::Blob, format!("blob {canonical}"), why);
        }
    }

    fn tell_passed_over(&mut self) {
        let PassedOver { strays, unreadable } = std::mem::take(&mut self.passed);
        for stray in strays {
            let why = "no registry has that name";
            self.leave_out(LeftOutKind::Place, stray.to_string(), why);
        }
        for (path, error) in unreadable {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let why = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
            self.leave_out(LeftOutKind::Place, path.to_string(), why);
        }
    }
}

/// Finds content that is kept already, as a thing of that kind.
async fn known(
    registry: &Registry,
    canonical: &CanonicalDigest,
    kind: LeftOutKind,
) -> Result<Option<Finished>> {
    let found = if kind == LeftOutKind::Layer {
        registry.index.stored_blob(canonical).await?.map(|row| content(&row))
    } else {
        registry.index.stored_manifest(canonical).await?.map(|stored| Content {
            canonical: stored.canonical,
            cid: stored.cid,
            size: stored.bytes.len() as u64,
        })
    };
    let Some(content) = found else { return Ok(None) };
    let is_kept = registry.storage.contains(&content).await?;
    Ok(is_kept.then(|| Finished { content, leaves: Vec::new() }))
}

/// Says what is wrong with content, if the fault is that of the folder.
fn blame(error: StorageError) -> Result<String> {
    match error.kind {
        StorageErrorKind::NotFound => Ok("its content is missing".to_owned()),
        StorageErrorKind::DigestMismatch => Ok(format!("its bytes are {}", error.context)),
        StorageErrorKind::Damaged => Ok(format!("its content cannot be read: {}", error.context)),
        StorageErrorKind::Full
        | StorageErrorKind::Unavailable
        | StorageErrorKind::Unusable
        | StorageErrorKind::Failed => Err(error.into()),
    }
}

fn explain(refusal: &Refusal) -> String {
    match refusal {
        Refusal::MissingReferences(missing) => {
            let first = missing.first().map(ToString::to_string).unwrap_or_default();
            let more = match missing.len() {
                0 | 1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            format!("it references {first}{more}, which the repository does not have")
        }
        other => other.to_string(),
    }
}

/// Orders manifests so that each comes after its children. Nothing can name itself, since a digest
/// depends on what it is the digest of.
fn children_first(mut waiting: Vec<Candidate>) -> Vec<Candidate> {
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let names: HashSet<Digest> =
            waiting.iter().flat_map(|candidate| candidate.names.iter().copied()).collect();
        let (later, ready): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|candidate| candidate.children.iter().any(|child| names.contains(child)));
        if ready.is_empty() {
            ordered.extend(later);
            return ordered;
        }
        ordered.extend(ready);
        waiting = later;
    }
    ordered
}

/// Collects the tags of each manifest under the name that they were tagged by.
fn tags_by_target(tags: &[TagLinks], candidates: &[Candidate]) -> HashMap<Digest, Vec<Tag>> {
    let names: HashMap<CanonicalDigest, &[Digest]> = candidates
        .iter()
        .map(|candidate| (candidate.content.canonical, candidate.names.as_slice()))
        .collect();
    let mut found: HashMap<Digest, Vec<Tag>> = HashMap::new();
    for tag in tags {
        let Some(target) = tag.current.target else { continue };
        let Some(names) = names.get(&target) else { continue };
        let mut tagged_by =
            tag.index.iter().filter(|link| link.target == Some(target)).map(|link| link.name);
        let digest = tagged_by.find(|digest| names.contains(digest)).or(names.first().copied());
        if let Some(digest) = digest {
            found.entry(digest).or_default().push(tag.current.name.clone());
        }
    }
    found
}
