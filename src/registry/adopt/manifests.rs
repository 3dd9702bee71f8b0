//! The manifests of a folder: pushed again, with their tags.

use std::collections::{HashMap, HashSet};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::super::guard::Guard;
use super::super::intent::{Intent, Refusal};
use super::super::walk::TagLinks;
use super::super::{Condition, RegistryError, Result, now};
use super::{Adoption, LeftOutKind, SoundLinks};
use crate::index::{Actor, StoredManifest, Writer};
use crate::oci::{CanonicalDigest, Digest, Manifest, RepositoryName, Tag};
use crate::storage::{Content, Finished};

/// A name that a repository is to have a manifest by, and its tags; with its entry of the queue, unless it has them.
type Queued = (Option<i64>, Digest, Vec<Tag>);

/// A manifest to be pushed.
struct Candidate {
    content: Content,
    /// Every name that the repository has it by.
    names: Vec<Digest>,
    children: Vec<Digest>,
}

impl Adoption<'_> {
    /// Pushes the manifests of repositories, children first, each with its tags. Returns how many
    /// manifests and tags each has then.
    pub(super) async fn manifests(
        &mut self,
        repositories: &[SoundLinks],
    ) -> Result<Vec<(usize, usize)>> {
        let mut queued = Vec::with_capacity(repositories.len());
        for repository in repositories {
            queued.push(self.enqueue(repository).await?);
        }
        let mut writer = self.registry.index.lock().await?;
        self.registry.drain(&mut writer).await?;
        let mut counts = Vec::with_capacity(repositories.len());
        for (repository, (candidates, queued)) in repositories.iter().zip(queued) {
            counts.push(self.settle(&mut writer, repository, &candidates, queued).await?);
        }
        Ok(counts)
    }

    /// Enqueues what a repository is to have.
    async fn enqueue(&mut self, repository: &SoundLinks) -> Result<(Vec<Candidate>, Vec<Queued>)> {
        let name = &repository.name;
        let candidates = self.candidates(name, &repository.revisions).await?;
        let mut tags = tags_by_target(&repository.tags, &candidates);
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
                    guard: Guard::default(),
                    is_adopted: true,
                    identity: None,
                };
                let record = serde_json::to_vec(&intent)?;
                let (index, actor) = (&self.registry.index, Actor::default());
                let seq = index.enqueue(&actor, &record, Some(&stored), now()).await?;
                queued.push((Some(seq), *digest, tags));
            }
        }
        Ok((candidates, queued))
    }

    /// Looks at what the entries of a repository came to; returns how many manifests and tags it has.
    async fn settle(
        &mut self,
        writer: &mut Writer,
        repository: &SoundLinks,
        candidates: &[Candidate],
        queued: Vec<Queued>,
    ) -> Result<(usize, usize)> {
        let name = &repository.name;
        let (mut adopted, mut adopted_tags) = (HashSet::new(), HashSet::new());
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
                    adopted.insert(digest);
                    adopted_tags.extend(tags);
                }
                Err(refusal) => {
                    let why = explain(&refusal);
                    let about = format!("manifest {digest} of `{name}`");
                    self.leave_out(LeftOutKind::Manifest, about, why);
                }
            }
        }
        for link in &repository.tags {
            if !adopted_tags.contains(&link.current.name) {
                let why = match link.current.target {
                    Some(target) => format!("manifest {target} is missing, or was left out"),
                    None => "its link is missing or unreadable".to_owned(),
                };
                let about = format!("tag `{name}:{}`", link.current.name);
                self.leave_out(LeftOutKind::Tag, about, why);
            }
        }
        let adopted: HashSet<CanonicalDigest> = candidates
            .iter()
            .filter(|candidate| candidate.names.iter().any(|digest| adopted.contains(digest)))
            .map(|candidate| candidate.content.canonical)
            .collect();
        Ok((adopted.len(), adopted_tags.len()))
    }

    /// Finds what a PUT may take for a manifest, children before what names them.
    async fn candidates(
        &mut self,
        name: &RepositoryName,
        revisions: &[(Digest, Finished)],
    ) -> Result<Vec<Candidate>> {
        let mut found: Vec<Candidate> = Vec::new();
        let mut positions = HashMap::new();
        for (digest, finished) in revisions {
            let content = finished.content;
            if let Some(position) = positions.get(&content.canonical) {
                let known: &mut Candidate = &mut found[*position];
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
                    positions.insert(content.canonical, found.len());
                    let children = manifest.children.iter().map(|child| child.digest).collect();
                    found.push(Candidate { content, names: vec![*digest], children });
                }
                Err(why) => {
                    let about = format!("manifest {digest} of `{name}`");
                    self.leave_out(LeftOutKind::Manifest, about, why);
                    self.useless.insert(content.canonical);
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

    /// Returns whether an earlier adoption came as far as this.
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
}

fn explain(refusal: &Refusal) -> String {
    match refusal {
        Refusal::MissingReferences(missing) => {
            let first = missing.first().map(ToString::to_string).unwrap_or_default();
            let more = match missing.len() {
                0 | 1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            format!("it references {first}{more}, missing in the repository")
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
