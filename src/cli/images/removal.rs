//! What goes when a tag goes: the manifests that no other tag and no tagged index needs, and what refers to them.

use std::collections::{BTreeMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::describe::{self, AT_ONCE};
use super::pattern::matches;
use crate::client::{ClientErrorKind, Repository, Result};
use crate::images::again;
use crate::oci::{Descriptor, Digest, ManifestKind, MediaType, Reference, Tag};

/// What of a repository is to be deleted.
#[derive(Debug, Clone)]
pub(super) enum What {
    Tag(Tag),
    Pattern(String),
    Digest(Digest),
}

/// What a manifest that goes was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DoomedKind {
    Image,
    Child,
    Referrer,
}

impl DoomedKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Child => "child",
            Self::Referrer => "referrer",
        }
    }
}

/// A manifest that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doomed {
    pub(super) digest: Digest,
    pub(super) kind: DoomedKind,
}

/// What goes.
#[derive(Debug, Default)]
pub(super) struct Removal {
    pub(super) tags: Vec<Tag>,
    /// Images before what they list, and that before what refers to it.
    pub(super) manifests: Vec<Doomed>,
    /// The manifest that was to go, and the tag of an index that lists it.
    pub(super) needed: Option<(Digest, Tag)>,
    by_tag: BTreeMap<Tag, Descriptor>,
}

impl Removal {
    /// Finds out what goes.
    pub(super) async fn find(
        repository: &Repository,
        what: &What,
        is_tag_only: bool,
    ) -> Result<Self> {
        let mut removal = Self { by_tag: read_tags(repository).await?, ..Self::default() };
        let chosen = |tag: &Tag, digest: &Digest| match what {
            What::Tag(named) => tag == named,
            What::Pattern(pattern) => matches(pattern, tag.as_str()) && subject_of(tag).is_none(),
            What::Digest(named) => digest == named,
        };
        let is_chosen = |(tag, it): &(&Tag, &Descriptor)| chosen(tag, &it.digest);
        removal.tags =
            removal.by_tag.iter().filter(is_chosen).map(|(tag, _)| tag.clone()).collect();
        if is_tag_only {
            return Ok(removal);
        }
        let mut doomed: Vec<Digest> =
            removal.tags.iter().map(|tag| removal.by_tag[tag].digest).collect();
        if let What::Digest(digest) = what {
            let reference = Reference::Digest(*digest);
            let is_there = again(|| repository.find_manifest(&reference)).await?.is_some();
            doomed.extend(is_there.then_some(*digest));
        }
        doomed.dedup();
        let needed = removal.needed(repository).await?;
        if let What::Digest(digest) = what
            && let Some(tag) = needed.get(&digest.to_string())
        {
            removal.needed = Some((*digest, tag.clone()));
            return Ok(removal);
        }
        removal.add(repository, doomed, DoomedKind::Image, &needed).await?;
        removal.add_referrers(repository, &needed).await?;
        Ok(removal)
    }

    /// Tells whether the manifest of a tag goes, and the tag with it.
    pub(super) fn goes_with_manifest(&self, tag: &Tag) -> bool {
        let digest = self.digest_of(tag);
        self.manifests.iter().any(|it| Some(it.digest) == digest)
    }

    /// Returns what a tag names.
    pub(super) fn digest_of(&self, tag: &Tag) -> Option<Digest> {
        self.by_tag.get(tag).map(|it| it.digest)
    }

    /// Tells whether the same goes, and the tags that go name the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let sorted = |removal: &Self| {
            let mut tags: Vec<_> =
                removal.tags.iter().map(|tag| (tag.clone(), removal.digest_of(tag))).collect();
            tags.sort();
            let manifests = removal.manifests.iter();
            let mut manifests: Vec<_> = manifests.map(|it| (it.digest, it.kind.as_str())).collect();
            manifests.sort_unstable();
            (tags, manifests)
        };
        self.needed == other.needed && sorted(self) == sorted(other)
    }

    /// Returns the manifests that tags need which stay, each with one of these tags.
    async fn needed(&self, repository: &Repository) -> Result<BTreeMap<String, Tag>> {
        let mut needed = BTreeMap::new();
        for (tag, root) in &self.by_tag {
            // Lists of referrers need nothing.
            if self.tags.contains(tag) || subject_of(tag).is_some() {
                continue;
            }
            let mut left = vec![root.clone()];
            while let Some(found) = left.pop() {
                if needed.insert(found.digest.to_string(), tag.clone()).is_some() {
                    continue;
                }
                left.extend(children(repository, &found).await?);
            }
        }
        Ok(needed)
    }

    /// Adds manifests and what they list, but for what is needed.
    async fn add(
        &mut self,
        repository: &Repository,
        digests: Vec<Digest>,
        kind: DoomedKind,
        needed: &BTreeMap<String, Tag>,
    ) -> Result<()> {
        let mut left: Vec<_> = digests.into_iter().rev().map(|digest| (digest, kind)).collect();
        while let Some((digest, kind)) = left.pop() {
            let is_known = self.manifests.iter().any(|it| it.digest == digest);
            if is_known || needed.contains_key(&digest.to_string()) {
                continue;
            }
            self.manifests.push(Doomed { digest, kind });
            let media_type = String::new();
            let below = children(repository, &Descriptor { media_type, digest, size: 0 }).await?;
            let kind = if kind == DoomedKind::Image { DoomedKind::Child } else { kind };
            left.extend(below.into_iter().rev().map(|child| (child.digest, kind)));
        }
        Ok(())
    }

    /// Adds what refers to the manifests, and the tags by which clients list that.
    async fn add_referrers(
        &mut self,
        repository: &Repository,
        needed: &BTreeMap<String, Tag>,
    ) -> Result<()> {
        let mut next = 0;
        let mut seen = HashSet::new();
        while let Some(Doomed { digest, .. }) = self.manifests.get(next).cloned() {
            next += 1;
            if !seen.insert(digest) {
                continue;
            }
            let referrers = again(|| repository.referrers(&digest, None)).await?;
            let referrers = referrers.into_iter().map(|it| it.descriptor.digest).collect();
            self.add(repository, referrers, DoomedKind::Referrer, needed).await?;
            let own = self.by_tag.iter().filter(|(tag, _)| subject_of(tag) == Some(digest));
            let own: Vec<(Tag, Digest)> = own.map(|(tag, it)| (tag.clone(), it.digest)).collect();
            for (tag, digest) in own {
                if !self.tags.contains(&tag) {
                    self.tags.push(tag);
                }
                self.add(repository, vec![digest], DoomedKind::Referrer, needed).await?;
            }
        }
        Ok(())
    }
}

/// Reads all tags with what they name.
async fn read_tags(repository: &Repository) -> Result<BTreeMap<Tag, Descriptor>> {
    let tags = match again(|| repository.tags().all()).await {
        Err(error) if error.kind == ClientErrorKind::NotFound => Vec::new(),
        tags => tags?,
    };
    let found = stream::iter(tags).map(|tag| async {
        let reference = Reference::Tag(tag.clone());
        let found = again(|| repository.find_manifest(&reference)).await?;
        Ok(found.map(|found| (tag, found)))
    });
    let found: Vec<_> = found.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Returns what an index lists; of an image, nothing.
async fn children(repository: &Repository, found: &Descriptor) -> Result<Vec<Descriptor>> {
    let is_index = match MediaType::parse(&found.media_type) {
        Some(MediaType::OciIndex | MediaType::DockerList) | None => true,
        Some(_) => false,
    };
    if !is_index {
        return Ok(Vec::new());
    }
    match describe::manifest(repository, &Reference::Digest(found.digest)).await {
        Ok(found) if found.manifest.kind == ManifestKind::Index => Ok(found.manifest.children),
        Ok(_) => Ok(Vec::new()),
        // An index may list what the registry does not have, or layers.
        Err(error) if error.kind == ClientErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Returns what the list of referrers is about that clients name so: `sha256-<hex>`, or with `.sig`, `.att` or `.sbom`
/// behind it.
fn subject_of(tag: &Tag) -> Option<Digest> {
    let text = tag.as_str();
    let suffixes = [".sig", ".att", ".sbom"];
    let text = suffixes.iter().find_map(|it| text.strip_suffix(it)).unwrap_or(text);
    text.replacen('-', ":", 1).parse().ok()
}
