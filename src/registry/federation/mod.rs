//! Other people's repositories: read-only, below a root that a domain or a CID names.
//!
//! What a client is told is proved twice: the blocks by the root, the content by its digest. Only what the
//! repository's own links lead to is served.

mod restorable;
mod roots;
mod survey;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;

use super::{RegistryError, Result, layout};
use crate::index::{ManifestRow, ReferrerRow};
use crate::ipld::{file, no_root};
use crate::oci::{
    CanonicalDigest, Digest, ForeignName, Hasher, Manifest, Reference, RepositoryName, RootName,
    Tag,
};
use crate::remote::{
    Answers, ByteStream, Cache, Fetch, Kept, RemoteError, RemoteErrorKind, read_kept,
};
use crate::storage::{Content, TreePath};
pub use restorable::Restorable;
use roots::Located;
pub use roots::Roots;
pub use survey::{Asked, Endpoint, Found, Hinted, Listed, Named, Origin, Survey};

/// The longest link that is read.
const LINK: u64 = 1024;

/// The most names of a directory that are read.
const NAMES: usize = 100_000;

/// How long a fetch is waited for where only the whole will do.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Other people's repositories.
pub struct Federation {
    cache: Arc<Cache>,
    answers: Arc<Answers>,
    roots: Roots,
    manifest_limit: u64,
}

/// Where the bytes of a blob are.
#[derive(Clone)]
pub(super) enum Held {
    /// In this registry's storage.
    Here,
    /// Nobody has asked for them yet.
    Away,
    /// In the cache.
    Kept(Arc<Kept>),
    /// On their way into it.
    Coming(Arc<Fetch>),
}

/// A repository of somebody else's, found.
struct Place {
    located: Located,
    /// The names that it may have below the root: trees of the earlier driver repeat the domain.
    names: Vec<RepositoryName>,
    /// By which it is noted what it leads to: whose it is, and its name there.
    label: String,
    answers: Arc<Answers>,
}

impl Federation {
    /// Serves what is below the roots that `roots` finds, and keeps it.
    #[must_use]
    pub fn new(cache: Arc<Cache>, answers: Answers, roots: Roots, manifest_limit: usize) -> Self {
        let answers = Arc::new(answers);
        Self { cache, answers, roots, manifest_limit: manifest_limit as u64 }
    }

    /// Tells since when the root of a name could not be asked for again, although that is due.
    pub(super) fn stale_since(&self, name: &ForeignName) -> Option<Timestamp> {
        self.roots.stale_since(&name.root)
    }

    /// Counts the names of which the last root serves on.
    pub(super) fn stale_count(&self) -> usize {
        self.roots.stale_count()
    }

    /// Finds a manifest.
    pub(super) async fn manifest(
        &self,
        name: &ForeignName,
        whole_name: &RepositoryName,
        reference: &Reference,
    ) -> Result<ManifestRow> {
        self.roots.allow(&name.root)?;
        let unknown = || RegistryError::ManifestUnknown(reference.to_string(), whole_name.clone());
        match reference {
            Reference::Digest(digest) => {
                if let Some(found) = self.remembered_manifest(name, digest).await? {
                    return Ok(found);
                }
                let place = self.find(name).await?;
                self.manifest_by_digest(&place, digest).await?.ok_or_else(unknown)
            }
            Reference::Tag(tag) => {
                let place = self.find(name).await?;
                let link = |name: &RepositoryName| layout::tag_current_link(name, tag);
                let canonical = place.link(link).await?.ok_or_else(unknown)?;
                let found = self.manifest_content(&place, canonical, canonical.into()).await?;
                self.note(&place.label, Role::Manifest, &canonical);
                Ok(found)
            }
        }
    }

    async fn remembered_manifest(
        &self,
        name: &ForeignName,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>> {
        let Some(canonical) = digest.canonical() else { return Ok(None) };
        let label = label(name);
        let Some(kept) = self.remembered(&label, Role::Manifest, &canonical) else {
            return Ok(None);
        };
        let bytes = collect(read_kept(kept.file, 0..kept.size)).await?;
        row(*digest, canonical, bytes).map(Some)
    }

    /// Finds content that a repository was seen to have.
    fn remembered(&self, label: &str, role: Role, canonical: &CanonicalDigest) -> Option<Kept> {
        let is_noted = self.cache.knows(&role.of(label), canonical);
        is_noted.then(|| self.cache.find(canonical)).flatten()
    }

    async fn manifest_by_digest(
        &self,
        place: &Place,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>> {
        let link = place.link(|name| layout::revision_link(name, digest));
        let Some(expected) = digest.canonical() else {
            let Some(canonical) = link.await? else { return Ok(None) };
            return self.manifest_content(place, canonical, *digest).await.map(Some);
        };
        // The link and what it leads to are asked for at once.
        let (link, found) = tokio::join!(link, self.manifest_content(place, expected, *digest));
        match link? {
            Some(canonical) if canonical == expected => {
                let found = found?;
                self.note(&place.label, Role::Manifest, &expected);
                Ok(Some(found))
            }
            _ => Ok(None),
        }
    }

    /// Reads a manifest, whoever has it.
    async fn manifest_content(
        &self,
        place: &Place,
        canonical: CanonicalDigest,
        digest: Digest,
    ) -> Result<ManifestRow> {
        if let Some(kept) = self.cache.find(&canonical) {
            self.check_limit(&canonical, kept.size)?;
            return row(digest, canonical, collect(read_kept(kept.file, 0..kept.size)).await?);
        }
        let fetch = self.fetch(place, canonical, true).await?;
        // It may have been begun as a blob.
        self.check_limit(&canonical, fetch.size)?;
        fetch.whole(PATIENCE).await?;
        row(digest, canonical, collect(fetch.read(0..fetch.size)).await?)
    }

    /// Finds a blob; `bytes` says whether they will be wanted too, which are on their way then.
    pub(super) async fn blob(
        &self,
        name: &ForeignName,
        whole_name: &RepositoryName,
        digest: &Digest,
        bytes: bool,
    ) -> Result<(Content, Held)> {
        self.roots.allow(&name.root)?;
        let unknown = || RegistryError::BlobUnknown(*digest, whole_name.clone());
        if let Some(canonical) = digest.canonical()
            && let Some(kept) = self.remembered(&label(name), Role::Blob, &canonical)
        {
            return Ok(held(canonical, kept));
        }
        let place = self.find(name).await?;
        let link = place.link(|name| layout::layer_link(name, digest));
        let Some(expected) = digest.canonical() else {
            let canonical = link.await?.ok_or_else(unknown)?;
            return self.verified_blob(&place, canonical, digest).await;
        };
        let found = async {
            if bytes {
                self.coming(&place, expected).await
            } else {
                self.away(&place, expected).await
            }
        };
        // The link and what it leads to are asked for at once.
        let (link, found) = tokio::join!(link, found);
        if link? != Some(expected) {
            return Err(unknown());
        }
        let found = found?;
        self.note(&place.label, Role::Blob, &expected);
        Ok(found)
    }

    async fn away(&self, place: &Place, canonical: CanonicalDigest) -> Result<(Content, Held)> {
        if let Some(kept) = self.cache.find(&canonical) {
            return Ok(held(canonical, kept));
        }
        let located = &place.located;
        let path = located.below(&layout::blob_data(&canonical));
        let found = located.remote.stat(located.root, path).await?;
        let (cid, size) = found.ok_or_else(|| missing(&canonical))?;
        Ok((Content { canonical, cid, size }, Held::Away))
    }

    async fn coming(&self, place: &Place, canonical: CanonicalDigest) -> Result<(Content, Held)> {
        if let Some(kept) = self.cache.find(&canonical) {
            return Ok(held(canonical, kept));
        }
        let fetch = self.fetch(place, canonical, false).await?;
        let content = Content { canonical, cid: fetch.cid, size: fetch.size };
        Ok((content, Held::Coming(fetch)))
    }

    /// Finds a blob by a digest that is not the one that it is fetched by: it is told once it is whole.
    async fn verified_blob(
        &self,
        place: &Place,
        canonical: CanonicalDigest,
        digest: &Digest,
    ) -> Result<(Content, Held)> {
        let (content, held) = self.coming(place, canonical).await?;
        let mut bytes = match &held {
            Held::Coming(fetch) => fetch.read(0..fetch.size),
            Held::Kept(kept) => read_kept(Arc::clone(&kept.file), 0..kept.size),
            Held::Here | Held::Away => return Err(missing(&canonical).into()),
        };
        let mut hasher = Hasher::new(digest.algorithm());
        while let Some(piece) = bytes.try_next().await? {
            hasher.update(&piece);
        }
        if hasher.finish() != *digest {
            let what = format!("what stands under {digest} has another digest");
            return Err(RemoteError::new(RemoteErrorKind::Invalid, what).into());
        }
        Ok((content, held))
    }

    /// Lists the tags of a repository, bytewise; none if there is no such repository.
    pub(super) async fn tags(&self, name: &ForeignName) -> Result<Option<Vec<Tag>>> {
        self.roots.allow(&name.root)?;
        let place = self.find(name).await?;
        for name in &place.names {
            if let Some(entries) = place.list(&layout::tags(name)).await? {
                return Ok(Some(entries.iter().filter_map(|entry| entry.parse().ok()).collect()));
            }
            if place.list(&layout::repository(name)).await?.is_some() {
                return Ok(Some(Vec::new()));
            }
        }
        Ok(None)
    }

    /// Lists the manifests that refer to a subject, after `last`, at most `limit`, ordered by digest.
    pub(super) async fn referrers(
        &self,
        name: &ForeignName,
        subject: &Digest,
        last: Option<&Digest>,
        limit: u32,
    ) -> Result<Vec<ReferrerRow>> {
        self.roots.allow(&name.root)?;
        let place = self.find(name).await?;
        let mut digests: Vec<Digest> = Vec::new();
        for name in &place.names {
            let hexes = place.list(&layout::referrers(name, subject)).await?.unwrap_or_default();
            let named = hexes.iter().map(|hex| format!("sha256:{hex}").parse::<Digest>());
            digests.extend(named.filter_map(std::result::Result::ok));
        }
        digests.sort_unstable_by_key(ToString::to_string);
        digests.retain(|digest| last.is_none_or(|last| digest.to_string() > last.to_string()));
        let mut rows = Vec::new();
        for digest in digests.into_iter().take(limit as usize) {
            if let Some(found) = self.manifest_by_digest(&place, &digest).await? {
                let ManifestRow { digest, media_type, bytes, .. } = found;
                rows.push(ReferrerRow { digest, media_type, bytes });
            }
        }
        Ok(rows)
    }

    async fn find(&self, name: &ForeignName) -> Result<Place> {
        let located = self.roots.find(&name.root).await?;
        let mut names = vec![name.repository.clone()];
        if let RootName::Domain(domain) = &name.root {
            names.extend(format!("{domain}/{}", name.repository).parse());
        }
        Ok(Place { located, names, label: label(name), answers: Arc::clone(&self.answers) })
    }

    /// Notes that a repository has content, which was proved.
    fn note(&self, label: &str, role: Role, canonical: &CanonicalDigest) {
        if let Err(error) = self.cache.note(&role.of(label), canonical) {
            tracing::warn!(%error, "could not note what a repository has");
        }
    }

    /// Begins to fetch content, or joins whoever does.
    async fn fetch(
        &self,
        place: &Place,
        canonical: CanonicalDigest,
        is_manifest: bool,
    ) -> Result<Arc<Fetch>> {
        let open = async {
            let path = place.located.below(&layout::blob_data(&canonical));
            let file = place.located.remote.open(place.located.root, path, None).await?;
            let file = file.ok_or_else(|| missing(&canonical))?;
            if is_manifest {
                self.check_limit(&canonical, file.size)?;
            }
            Ok(file)
        };
        Ok(self.cache.fetch_below(place.located.root, canonical, open).await?)
    }

    /// Refuses a manifest that is too long.
    fn check_limit(
        &self,
        canonical: &CanonicalDigest,
        size: u64,
    ) -> std::result::Result<(), RemoteError> {
        if size <= self.manifest_limit {
            return Ok(());
        }
        let what =
            format!("manifest {canonical} has {size} bytes, more than {}", self.manifest_limit);
        Err(RemoteError::new(RemoteErrorKind::Invalid, what))
    }
}

impl Place {
    /// Reads a link under whatever name the repository has.
    async fn link(
        &self,
        path: impl Fn(&RepositoryName) -> TreePath,
    ) -> Result<Option<CanonicalDigest>> {
        let Located { root, remote, .. } = &self.located;
        for name in &self.names {
            let path = self.located.below(&path(name));
            if let Some(digest) = self.answers.recall(root, &path) {
                return Ok(Some(digest));
            }
            let found = remote.read(*root, path.clone(), LINK).await?;
            let Some((_, bytes)) = found else { continue };
            let digest = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
            let nonsense = || {
                let what = format!("the link at {} is no digest", path.join("/"));
                RemoteError::new(RemoteErrorKind::Invalid, what)
            };
            let digest = digest.ok_or_else(nonsense)?;
            if let Err(error) = self.answers.remember(root, &path, &digest) {
                tracing::warn!(%error, "could not keep what a link says");
            }
            return Ok(Some(digest));
        }
        Ok(None)
    }

    /// Lists the names in a directory, bytewise.
    async fn list(&self, path: &TreePath) -> Result<Option<Vec<String>>> {
        let Located { root, remote, .. } = &self.located;
        let entries = remote.list(*root, self.located.below(path), NAMES).await?;
        Ok(entries.map(|entries| entries.into_iter().map(|entry| entry.name).collect()))
    }
}

/// What a repository has something as.
#[derive(Clone, Copy)]
enum Role {
    Manifest,
    Blob,
}

impl Role {
    /// The name under which it is noted.
    fn of(self, label: &str) -> String {
        match self {
            Self::Manifest => format!("{label} manifest"),
            Self::Blob => format!("{label} blob"),
        }
    }
}

/// What is told of a blob that is kept; its CID is not known any more.
fn held(canonical: CanonicalDigest, kept: Kept) -> (Content, Held) {
    let content = Content { canonical, cid: no_root(), size: kept.size };
    (content, Held::Kept(Arc::new(kept)))
}

/// By what it is noted what a repository leads to.
fn label(name: &ForeignName) -> String {
    format!("{}/{}", name.root, name.repository)
}

fn missing(canonical: &CanonicalDigest) -> RemoteError {
    let what = format!("{canonical} is named, but not there");
    RemoteError::new(RemoteErrorKind::Invalid, what)
}

async fn collect(bytes: ByteStream) -> Result<Bytes> {
    let all = bytes.try_fold(Vec::new(), async |mut all, piece| {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    Ok(all.await?.into())
}

/// Makes the row of a manifest, which is what both of its digests say.
fn row(digest: Digest, canonical: CanonicalDigest, bytes: Bytes) -> Result<ManifestRow> {
    if Digest::of(digest.algorithm(), &bytes) != digest {
        let what = format!("what stands under {digest} has another digest");
        return Err(RemoteError::new(RemoteErrorKind::Invalid, what).into());
    }
    let manifest = Manifest::parse(&bytes, None).map_err(|error| {
        RemoteError::wrap(RemoteErrorKind::Invalid, format!("{digest} is no manifest"), error)
    })?;
    let media_type = manifest.media_type.as_str().to_owned();
    let cid = file::build(&bytes, &mut drop).cid;
    Ok(ManifestRow { digest, canonical, cid, media_type, bytes })
}
