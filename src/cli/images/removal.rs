//! What goes when a tag goes: the manifests that no other tag and no tagged index needs, and what refers to them.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::describe::AT_ONCE;
use super::pattern::matches;
use crate::client::{ClientError, ClientErrorKind, Repository, Result};
use crate::images::again;
use crate::oci::{Descriptor, Digest, MediaType, Reference, Tag};

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
    /// Each after all of these that list it.
    pub(super) manifests: Vec<Doomed>,
    /// The manifest that was to go, and the tag of an index that lists it.
    pub(super) needed: Option<(Digest, Tag)>,
    /// Tags whose manifests the registry fails to find, so that it is unknown which other manifests they need.
    pub(super) unreadable: Vec<Tag>,
    by_tag: BTreeMap<Tag, Descriptor>,
    /// Which of the manifests list which.
    lists: Vec<(Digest, Digest)>,
}

impl Removal {
    /// Finds out what goes.
    pub(super) async fn find(
        repository: &Repository,
        what: &What,
        is_tag_only: bool,
    ) -> Result<Self> {
        let (by_tag, unreadable) = read_tags(repository).await?;
        let mut removal = Self { unreadable, by_tag, ..Self::default() };
        let chosen = |tag: &Tag, digest: &Digest| match what {
            What::Tag(named) => tag == named,
            What::Pattern(pattern) => matches(pattern, tag.as_str()) && !tag.is_of_referrers(),
            What::Digest(named) => digest == named,
        };
        let is_chosen = |(tag, it): &(&Tag, &Descriptor)| chosen(tag, &it.digest);
        removal.tags =
            removal.by_tag.iter().filter(is_chosen).map(|(tag, _)| tag.clone()).collect();
        let is_broken = |tag: &&Tag| match what {
            What::Tag(named) => *tag == named,
            What::Pattern(pattern) => matches(pattern, tag.as_str()) && !tag.is_of_referrers(),
            What::Digest(_) => false,
        };
        let broken: Vec<Tag> = removal.unreadable.iter().filter(is_broken).cloned().collect();
        removal.tags.extend(broken);
        // Whatever the other tags name, it may need the manifests.
        let is_uncertain = removal.unreadable.iter().any(|tag| !removal.tags.contains(tag));
        if is_tag_only || (is_uncertain && !matches!(what, What::Digest(_))) {
            return Ok(removal);
        }
        let mut doomed: Vec<Digest> =
            removal.tags.iter().filter_map(|tag| removal.digest_of(tag)).collect();
        if let What::Digest(digest) = what {
            let reference = Reference::Digest(*digest);
            let is_there = again(|| repository.find_manifest(&reference)).await?.is_some();
            doomed.extend(is_there.then_some(*digest));
        }
        doomed.dedup();
        if is_uncertain {
            // What it lists may be needed by a tag that cannot be read.
            let kind = DoomedKind::Image;
            removal.manifests.extend(doomed.into_iter().map(|digest| Doomed { digest, kind }));
            return Ok(removal);
        }
        let needed = removal.needed(repository).await?;
        if let What::Digest(digest) = what
            && let Some(tag) = needed.get(&digest.to_string())
        {
            removal.needed = Some((*digest, tag.clone()));
            return Ok(removal);
        }
        removal.add(repository, doomed, DoomedKind::Image, &needed).await?;
        removal.add_referrers(repository, &needed).await?;
        removal.sort();
        Ok(removal)
    }

    /// Has each manifest come after all those that list it, and leaves their order otherwise: a registry deletes nothing
    /// that an index lists.
    fn sort(&mut self) {
        let mut waits_for: HashMap<Digest, usize> = HashMap::new();
        for (_, child) in &self.lists {
            *waits_for.entry(*child).or_default() += 1;
        }
        let mut left = std::mem::take(&mut self.manifests);
        while !left.is_empty() {
            let is_free = |it: &Doomed| waits_for.get(&it.digest).is_none_or(|count| *count == 0);
            // There is always one, since no manifest lists itself at whatever depth.
            let doomed = left.remove(left.iter().position(is_free).unwrap_or_default());
            for (_, child) in self.lists.iter().filter(|(index, _)| *index == doomed.digest) {
                if let Some(count) = waits_for.get_mut(child) {
                    *count = count.saturating_sub(1);
                }
            }
            self.manifests.push(doomed);
        }
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
            if self.tags.contains(tag) || tag.is_of_referrers() {
                continue;
            }
            let mut left = vec![root.digest];
            while let Some(digest) = left.pop() {
                let is_known = needed.insert(digest.to_string(), tag.clone()).is_some();
                if is_known || digest == root.digest && !may_list(&root.media_type) {
                    continue;
                }
                left.extend(children(repository, &digest).await?.unwrap_or_default());
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
            let below = children(repository, &digest).await?;
            // An index may list what the registry does not have.
            if below.is_none() && kind != DoomedKind::Image {
                continue;
            }
            self.manifests.push(Doomed { digest, kind });
            self.lists.extend(below.iter().flatten().map(|child| (digest, *child)));
            let kind = if kind == DoomedKind::Image { DoomedKind::Child } else { kind };
            left.extend(below.unwrap_or_default().into_iter().rev().map(|child| (child, kind)));
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
            let own = self.by_tag.iter().filter(|(tag, _)| tag.refers_to(&digest));
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

/// Reads all tags with what they name, and those of which the registry fails to say it.
async fn read_tags(repository: &Repository) -> Result<(BTreeMap<Tag, Descriptor>, Vec<Tag>)> {
    let tags = match again(|| repository.tags().all()).await {
        Err(error) if error.kind == ClientErrorKind::NotFound => Vec::new(),
        tags => tags?,
    };
    let found = stream::iter(tags).map(|tag| async {
        let reference = Reference::Tag(tag.clone());
        match again(|| repository.find_manifest(&reference)).await {
            Ok(found) => Ok(found.map(|found| (tag, Some(found)))),
            Err(error) if is_broken(&error) => Ok(Some((tag, None))),
            Err(error) => Err(error),
        }
    });
    let found: Vec<_> = found.buffer_unordered(AT_ONCE).try_collect().await?;
    let (mut by_tag, mut unreadable) = (BTreeMap::new(), Vec::new());
    for (tag, found) in found.into_iter().flatten() {
        match found {
            Some(found) => drop(by_tag.insert(tag, found)),
            None => unreadable.push(tag),
        }
    }
    unreadable.sort();
    Ok((by_tag, unreadable))
}

/// Tells whether the registry answers, and fails to find one manifest.
fn is_broken(error: &ClientError) -> bool {
    match error.kind {
        ClientErrorKind::Corrupt | ClientErrorKind::Protocol => true,
        ClientErrorKind::Unavailable => error.status == Some(500),
        _ => false,
    }
}

/// Tells whether what has that media type may list something.
fn may_list(media_type: &str) -> bool {
    matches!(MediaType::parse(media_type), Some(MediaType::OciIndex | MediaType::DockerList) | None)
}

/// Returns the manifests that an index lists; of an image, none. Nothing if the registry does not have it.
async fn children(repository: &Repository, digest: &Digest) -> Result<Option<Vec<Digest>>> {
    let reference = Reference::Digest(*digest);
    match again(|| repository.manifest(&reference)).await {
        Ok(fetched) => Ok(Some(listed(&fetched.bytes))),
        Err(error) if error.kind == ClientErrorKind::NotFound => Ok(None),
        // Nobody can read what it lists.
        Err(error)
            if matches!(error.kind, ClientErrorKind::Corrupt | ClientErrorKind::Protocol) =>
        {
            Ok(Some(Vec::new()))
        }
        Err(error) => Err(error),
    }
}

/// Returns the manifests that a document lists, as far as they can be read. Older caches of BuildKit list layers as well.
fn listed(bytes: &[u8]) -> Vec<Digest> {
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let entries = document["manifests"].as_array().into_iter().flatten();
    let is_manifest = |entry: &&Value| {
        let media_type = entry["mediaType"].as_str().unwrap_or_default();
        media_type.is_empty() || MediaType::parse(media_type).is_some()
    };
    let digests = entries.filter(is_manifest).filter_map(|entry| entry["digest"].as_str());
    digests.filter_map(|digest| digest.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    #[test]
    fn what_can_be_read_of_an_odd_index_is_read() {
        let digest = Digest::of(Algorithm::Sha256, b"image");
        let index = format!(
            r#"{{"manifests": [{{"digest": "md5:1"}}, 7, {{"digest": "{digest}"}},
                {{"digest": "{digest}", "mediaType": "application/vnd.oci.image.layer.v1.tar"}}]}}"#
        );
        assert_eq!(listed(index.as_bytes()), [digest]);
        for odd in ["", "[]", "{}", r#"{"manifests": 1}"#] {
            assert_eq!(listed(odd.as_bytes()), []);
        }
    }
}
