//! Foreign manifests: found by tag or digest, and fetched whole before anything of them is returned.

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::super::{Expected, RegistryError, Result, layout};
use super::foreign_repository::ForeignRepository;
use super::foreign_repository::label;
use super::{Federation, Role, TIMEOUT, expect_at_most, linked};
use crate::index::ManifestRow;
use crate::ipld::file;
use crate::oci::{CanonicalDigest, Digest, ForeignName, Manifest, Reference, RepositoryName};
use crate::remote::{RemoteError, RemoteErrorKind, collect, read_cached};

/// The longest manifest that is hashed without a thread of its own.
const SHORT: usize = 32 * 1024;

impl Federation {
    /// Finds a manifest.
    pub(in super::super) async fn manifest(
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
                let repository = self.find(name).await?;
                self.manifest_by_digest(&repository, digest).await?.ok_or_else(unknown)
            }
            Reference::Tag(tag) => {
                let repository = self.find(name).await?;
                let link = |name: &RepositoryName| layout::tag_current_link(name, tag);
                let canonical = repository.link(link).await?.ok_or_else(unknown)?;
                let found = self.manifest_content(&repository, canonical, canonical.into()).await?;
                self.note(&repository.label, Role::Manifest, &canonical).await;
                Ok(found)
            }
        }
    }

    /// Returns the digest of a manifest that a client has, where the tree names it: its content is not fetched.
    pub(in super::super) async fn known_manifest(
        &self,
        name: &ForeignName,
        reference: &Reference,
        known: &Expected,
    ) -> Result<Option<Digest>> {
        self.roots.allow(&name.root)?;
        let target = match reference {
            Reference::Digest(digest) if !known.includes(digest) => return Ok(None),
            Reference::Digest(digest) => {
                let canonical = digest.canonical();
                if let Some(canonical) = canonical
                    && self.remembered(&label(name), Role::Manifest, &canonical).await.is_some()
                {
                    return Ok(Some(*digest));
                }
                let repository = self.find(name).await?;
                let linked = repository.link(|name| layout::revision_link(name, digest)).await?;
                linked
                    .filter(|it| canonical.is_none_or(|canonical| canonical == *it))
                    .map(|_| *digest)
            }
            Reference::Tag(tag) => {
                let repository = self.find(name).await?;
                let linked = repository.link(|name| layout::tag_current_link(name, tag)).await?;
                linked.map(Digest::from)
            }
        };
        Ok(target.filter(|digest| known.includes(digest)))
    }

    pub(super) async fn remembered_manifest(
        &self,
        name: &ForeignName,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>> {
        let Some(canonical) = digest.canonical() else { return Ok(None) };
        let label = label(name);
        let Some(cached) = self.remembered(&label, Role::Manifest, &canonical).await else {
            return Ok(None);
        };
        let bytes = collect(read_cached(cached.file, 0..cached.size)).await?;
        row(*digest, canonical, bytes).await.map(Some)
    }

    pub(super) async fn manifest_by_digest(
        &self,
        repository: &ForeignRepository,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>> {
        let link = repository.link(|name| layout::revision_link(name, digest));
        let Some(expected) = digest.canonical() else {
            let Some(canonical) = link.await? else { return Ok(None) };
            return self.manifest_content(repository, canonical, *digest).await.map(Some);
        };
        let is_linked = async { Ok(link.await? == Some(expected)) };
        let found = linked(is_linked, self.manifest_content(repository, expected, *digest)).await?;
        if found.is_some() {
            self.note(&repository.label, Role::Manifest, &expected).await;
        }
        Ok(found)
    }

    /// Reads a manifest, from the cache or a source.
    async fn manifest_content(
        &self,
        repository: &ForeignRepository,
        canonical: CanonicalDigest,
        digest: Digest,
    ) -> Result<ManifestRow> {
        if let Some(cached) = self.cache.find(&canonical).await {
            self.check_limit(&canonical, cached.size)?;
            let bytes = collect(read_cached(cached.file, 0..cached.size)).await?;
            return row(digest, canonical, bytes).await;
        }
        let fetch = self.fetch(repository, canonical, true).await?;
        // It may have been begun as a blob.
        self.check_limit(&canonical, fetch.size)?;
        fetch.whole(TIMEOUT).await?;
        row(digest, canonical, collect(fetch.read(0..fetch.size)).await?).await
    }

    /// Refuses a manifest that is too long.
    pub(super) fn check_limit(
        &self,
        canonical: &CanonicalDigest,
        size: u64,
    ) -> std::result::Result<(), RemoteError> {
        expect_at_most(self.manifest_limit, canonical, size)
    }
}

/// Makes the row of a manifest, which is what both of its digests say.
pub(super) async fn row(
    digest: Digest,
    canonical: CanonicalDigest,
    bytes: Bytes,
) -> Result<ManifestRow> {
    if bytes.len() <= SHORT {
        return verified_row(digest, canonical, bytes);
    }
    let row = spawn_blocking(move || verified_row(digest, canonical, bytes)).await;
    row.map_err(|error| RegistryError::Record(error.to_string()))?
}

fn verified_row(digest: Digest, canonical: CanonicalDigest, bytes: Bytes) -> Result<ManifestRow> {
    if Digest::of(digest.algorithm(), &bytes) != digest {
        let what = format!("the content at {digest} has another digest");
        return Err(RemoteError::new(RemoteErrorKind::Invalid, what).into());
    }
    let manifest = Manifest::parse(&bytes, None).map_err(|error| {
        RemoteError::wrap(RemoteErrorKind::Invalid, format!("{digest} is not a manifest"), error)
    })?;
    let media_type = manifest.media_type.as_str().to_owned();
    let cid = file::build(&bytes, &mut drop).cid;
    Ok(ManifestRow { digest, canonical, cid, media_type, bytes })
}
