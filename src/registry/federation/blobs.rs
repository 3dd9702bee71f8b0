//! Foreign blobs: found by the links of their repository, read while they come.

use std::ops::Range;
use std::sync::Arc;

use cid::Cid;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::{RegistryError, Result, layout};
use super::foreign_repository::ForeignRepository;
use super::foreign_repository::label;
use super::{Federation, Role, TIMEOUT, linked, missing};
use crate::ipld::no_root;
use crate::oci::{CanonicalDigest, Digest, ForeignName, RepositoryName};
use crate::remote::{ByteStream, Cached, Fetch, RemoteError, RemoteErrorKind, read_cached};
use crate::storage::Content;

/// Where the bytes of a blob are.
#[derive(Clone)]
pub(in super::super) enum BlobSource {
    /// At its publisher's; none of it was requested yet.
    Away(Arc<Away>),
    /// On this machine, or on their way to it.
    Fetched(Fetched),
}

impl BlobSource {
    /// Returns whether the CID of the blob is known.
    pub(in super::super) fn knows_cid(&self) -> bool {
        !matches!(self, Self::Fetched(Fetched::Cached(_)))
    }
}

/// Bytes of a blob that were requested from its publisher.
#[derive(Clone)]
pub(in super::super) enum Fetched {
    /// They are in the cache.
    Cached(Arc<Cached>),
    /// They are on their way into it.
    Coming(Arc<Fetch>),
}

impl Fetched {
    fn read(&self, range: Range<u64>) -> ByteStream {
        match self {
            Self::Cached(cached) => read_cached(Arc::clone(&cached.file), range),
            Self::Coming(fetch) => fetch.read(range),
        }
    }
}

/// What is known of a blob that is read when a client says which part of it.
pub(in super::super) struct Away {
    repository: ForeignRepository,
    digest: Digest,
    /// Whether a client that wants its end can want all that comes before, too.
    is_open: bool,
}

/// How much of a blob a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Nothing but what it is.
    Nothing,
    /// All of it.
    Whole,
    /// Ranges of which each names its first and its last byte.
    Closed,
    /// Ranges of which one has no end but that of the blob (`bytes=7-`, `bytes=-7`).
    Open,
}

/// Up to this a blob comes as a whole, whatever part of it is requested: it is about as long as one leaf.
const SHORT: u64 = 256 * 1024;

/// Up to this a closed range may take the end of a blob without the whole being fetched: lazy pulls read the
/// index of a layer there (stargz), and have no use for the rest.
const FOOTER: u64 = 64 * 1024;

impl Away {
    /// Returns whether the whole has to be checked before a range is sent to its end.
    fn needs_whole(&self, range: &Range<u64>, size: u64) -> bool {
        let is_footer = !self.is_open && range.start > 0 && range.end - range.start <= FOOTER;
        size <= SHORT || (range.end == size && !is_footer)
    }
}

impl Federation {
    /// Finds a blob; where a client wants all of it, it is on its way then.
    pub(in super::super) async fn blob(
        &self,
        name: &ForeignName,
        whole_name: &RepositoryName,
        digest: &Digest,
        extent: Extent,
    ) -> Result<(Content, BlobSource)> {
        self.roots.allow(&name.root)?;
        let unknown = || RegistryError::BlobUnknown(*digest, whole_name.clone());
        if let Some(canonical) = digest.canonical()
            && let Some(cached) = self.remembered(&label(name), Role::Blob, &canonical).await
        {
            return Ok(as_source(cached_blob(canonical, cached)));
        }
        let repository = self.find(name).await?;
        let Some(expected) = digest.canonical() else {
            let link = repository.link(|name| layout::layer_link(name, digest));
            let canonical = link.await?.ok_or_else(unknown)?;
            return match extent {
                Extent::Whole => {
                    Ok(as_source(self.verified_blob(&repository, canonical, digest).await?))
                }
                _ => self.away(repository, (canonical, digest), extent).await,
            };
        };
        let label = repository.label.clone();
        let link = repository.link(|name| layout::layer_link(name, digest));
        let is_linked = async { Ok(link.await? == Some(expected)) };
        let found = if extent == Extent::Whole {
            let coming = linked(is_linked, self.coming(&repository, expected)).await?;
            as_source(coming.ok_or_else(unknown)?)
        } else if Box::pin(is_linked).await? {
            self.away(repository, (expected, digest), extent).await?
        } else {
            return Err(unknown());
        };
        self.note(&label, Role::Blob, &expected).await;
        Ok(found)
    }

    /// Finds a blob without any of its content.
    async fn away(
        &self,
        repository: ForeignRepository,
        (canonical, digest): (CanonicalDigest, &Digest),
        extent: Extent,
    ) -> Result<(Content, BlobSource)> {
        if digest.canonical().is_some()
            && let Some(cached) = self.cache.find(&canonical).await
        {
            return Ok(as_source(cached_blob(canonical, cached)));
        }
        let (cid, size) = self.size(&repository, canonical).await?;
        let away = Away { repository, digest: *digest, is_open: extent == Extent::Open };
        Ok((Content { canonical, cid, size }, BlobSource::Away(Arc::new(away))))
    }

    /// Returns the root of a blob's file, and its length.
    async fn size(
        &self,
        repository: &ForeignRepository,
        canonical: CanonicalDigest,
    ) -> Result<(Cid, u64)> {
        let key = (repository.root(), canonical);
        if let Some(known) = self.sizes.get(&key) {
            return Ok(known);
        }
        let found = if let Some(fetch) = self.cache.under_way(repository.root(), canonical) {
            (fetch.cid, fetch.size)
        } else {
            let found = repository.stat(&layout::blob_data(&canonical)).await?;
            found.ok_or_else(|| missing(&canonical))?
        };
        self.sizes.insert(key, found);
        Ok(found)
    }

    /// Reads a range of a blob, which is not empty unless the blob is.
    pub(in super::super) async fn read(
        &self,
        source: &BlobSource,
        content: &Content,
        range: Range<u64>,
    ) -> Result<ByteStream> {
        match source {
            BlobSource::Away(away) => self.read_away(away, content, range).await,
            BlobSource::Fetched(fetched) => Ok(fetched.read(range)),
        }
    }

    async fn read_away(
        &self,
        away: &Away,
        content: &Content,
        range: Range<u64>,
    ) -> Result<ByteStream> {
        let Away { repository, digest, .. } = away;
        let canonical = content.canonical;
        if away.needs_whole(&range, content.size) {
            let coming = async {
                match digest.canonical() {
                    Some(_) => self.coming(repository, canonical).await,
                    None => self.verified_blob(repository, canonical, digest).await,
                }
            };
            let (_, fetched) = coming.await.map_err(in_time)?;
            return Ok(fetched.read(range));
        }
        if let Some(cached) = self.cache.find(&canonical).await {
            return Ok(read_cached(cached.file, range));
        }
        let coming = self.cache.under_way(repository.root(), canonical);
        let bytes = self.cache.part(repository.remote(), content.cid, range, coming.as_deref())?;
        drop(coming);
        promptly(bytes).await.map_err(|error| in_time(error.into()))
    }

    async fn coming(
        &self,
        repository: &ForeignRepository,
        canonical: CanonicalDigest,
    ) -> Result<(Content, Fetched)> {
        if let Some(cached) = self.cache.find(&canonical).await {
            return Ok(cached_blob(canonical, cached));
        }
        let fetch = self.fetch(repository, canonical, false).await?;
        // A client can be sent an error as long as nothing else was sent.
        if fetch.is_withheld() {
            fetch.whole(TIMEOUT).await?;
        }
        let content = Content { canonical, cid: fetch.cid, size: fetch.size };
        Ok((content, Fetched::Coming(fetch)))
    }

    /// Finds a blob by a digest that is not the one that it is fetched by: it is returned once it is whole.
    async fn verified_blob(
        &self,
        repository: &ForeignRepository,
        canonical: CanonicalDigest,
        digest: &Digest,
    ) -> Result<(Content, Fetched)> {
        let (content, fetched) = self.coming(repository, canonical).await?;
        self.verify(&content, &fetched, digest).await?;
        Ok((content, fetched))
    }

    /// Refuses content that does not have a digest.
    pub(super) async fn verify(
        &self,
        content: &Content,
        fetched: &Fetched,
        digest: &Digest,
    ) -> Result<()> {
        let found = match fetched {
            Fetched::Cached(cached) => cached.file.sha512().await?,
            Fetched::Coming(fetch) => {
                // It is read from where it was written, once it is whole.
                let mut bytes = fetch.read(0..fetch.size);
                while bytes.try_next().await?.is_some() {}
                let cached = self.cache.find(&content.canonical).await;
                let cached = cached.ok_or_else(|| missing(&content.canonical))?;
                cached.file.sha512().await?
            }
        };
        if found != *digest {
            let what = format!("the content at {digest} has another digest");
            return Err(RemoteError::new(RemoteErrorKind::Invalid, what).into());
        }
        Ok(())
    }
}

/// Waits for the first of the bytes: as long as none was sent, a client can be sent the reason.
async fn promptly(mut bytes: ByteStream) -> std::result::Result<ByteStream, RemoteError> {
    let late = |_| RemoteError::new(RemoteErrorKind::TimedOut, "the range did not arrive in time");
    let first = tokio::time::timeout(TIMEOUT, bytes.try_next()).await.map_err(late)??;
    Ok(match first {
        Some(first) => stream::iter([Ok(first)]).chain(bytes).boxed(),
        None => bytes,
    })
}

/// Has a client that asked for a range ask again later where it does not come in time.
fn in_time(error: RegistryError) -> RegistryError {
    match error {
        RegistryError::Remote(error) if error.kind == RemoteErrorKind::TimedOut => {
            let what = format!("cannot read the range now: {error}; try again later");
            RemoteError::wrap(RemoteErrorKind::Busy, what, error).into()
        }
        other => other,
    }
}

/// What is known of a cached blob; its CID is not known any more.
pub(super) fn cached_blob(canonical: CanonicalDigest, cached: Cached) -> (Content, Fetched) {
    let content = Content { canonical, cid: no_root(), size: cached.size };
    (content, Fetched::Cached(Arc::new(cached)))
}

/// What was fetched, as the source of a blob.
pub(super) fn as_source((content, fetched): (Content, Fetched)) -> (Content, BlobSource) {
    (content, BlobSource::Fetched(fetched))
}
