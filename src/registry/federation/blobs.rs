//! Somebody else's blobs: told of by what their repository's links name, read while they come.

use std::ops::Range;
use std::sync::Arc;

use futures_util::TryStreamExt;

use super::super::{RegistryError, Result, layout};
use super::place::Place;
use super::{Federation, PATIENCE, Role, label, missing};
use crate::ipld::no_root;
use crate::oci::{CanonicalDigest, Digest, ForeignName, Hasher, RepositoryName};
use crate::remote::{ByteStream, Fetch, Kept, RemoteError, RemoteErrorKind, read_kept};
use crate::storage::Content;

/// Where the bytes of a blob are.
#[derive(Clone)]
pub(in super::super) enum Held {
    /// In this registry's storage.
    Here,
    /// Nobody has asked for them yet.
    Away,
    /// In the cache.
    Kept(Arc<Kept>),
    /// On their way into it.
    Coming(Arc<Fetch>),
}

impl Held {
    /// Reads a range of what is not this registry's own; none of what nobody has asked for.
    pub(in super::super) fn read(&self, range: Range<u64>) -> Option<ByteStream> {
        match self {
            Self::Here | Self::Away => None,
            Self::Kept(kept) => Some(read_kept(Arc::clone(&kept.file), range)),
            Self::Coming(fetch) => Some(fetch.read(range)),
        }
    }
}

impl Federation {
    /// Finds a blob; `bytes` says whether they will be wanted too, which are on their way then.
    pub(in super::super) async fn blob(
        &self,
        name: &ForeignName,
        whole_name: &RepositoryName,
        digest: &Digest,
        bytes: bool,
    ) -> Result<(Content, Held)> {
        self.roots.allow(&name.root)?;
        let unknown = || RegistryError::BlobUnknown(*digest, whole_name.clone());
        if let Some(canonical) = digest.canonical()
            && let Some(kept) = self.remembered(&label(name), Role::Blob, &canonical).await
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
        if let Some(kept) = self.cache.find(&canonical).await {
            return Ok(held(canonical, kept));
        }
        let found = place.stat(&layout::blob_data(&canonical)).await?;
        let (cid, size) = found.ok_or_else(|| missing(&canonical))?;
        Ok((Content { canonical, cid, size }, Held::Away))
    }

    async fn coming(&self, place: &Place, canonical: CanonicalDigest) -> Result<(Content, Held)> {
        if let Some(kept) = self.cache.find(&canonical).await {
            return Ok(held(canonical, kept));
        }
        let fetch = self.fetch(place, canonical, false).await?;
        // A client is told what is wrong as long as nothing else was told.
        if fetch.is_held_back() {
            fetch.whole(PATIENCE).await?;
        }
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
        self.verify(&content, &held, digest).await?;
        Ok((content, held))
    }

    /// Refuses content that does not have a digest.
    pub(super) async fn verify(
        &self,
        content: &Content,
        held: &Held,
        digest: &Digest,
    ) -> Result<()> {
        let canonical = content.canonical;
        let bytes = held.read(0..content.size);
        let mut bytes = bytes.ok_or_else(|| missing(&canonical))?;
        let mut hasher = Hasher::new(digest.algorithm());
        while let Some(piece) = bytes.try_next().await? {
            hasher.update(&piece);
        }
        if hasher.finish() != *digest {
            let what = format!("what stands under {digest} has another digest");
            return Err(RemoteError::new(RemoteErrorKind::Invalid, what).into());
        }
        Ok(())
    }
}

/// What is told of a blob that is kept; its CID is not known any more.
pub(super) fn held(canonical: CanonicalDigest, kept: Kept) -> (Content, Held) {
    let content = Content { canonical, cid: no_root(), size: kept.size };
    (content, Held::Kept(Arc::new(kept)))
}
