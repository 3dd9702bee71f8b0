//! Fetching ahead: the blobs of an image whose manifest a client has just got, before it asks for them one after the
//! other.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::Result;
use super::Federation;
use super::blobs::{BlobSource, Extent, Fetched};
use crate::index::ManifestRow;
use crate::oci::{CanonicalDigest, Descriptor, ForeignName, Manifest, RepositoryName};

/// For how many images that is done at a time.
const IMAGES: usize = 4;

/// Of how many it is remembered that it was done.
const DONE: usize = 10_000;

/// The longest manifest that is looked at: those of images are shorter.
const LONGEST: usize = 64 * 1024;

/// How long a blob is waited for. After that its transfer goes on for a client alone.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is fetched ahead.
pub(super) struct Ahead {
    /// The most bytes of each image.
    bytes: u64,
    /// How many blobs of an image come at a time: other reads below its root can begin beside them.
    at_once: usize,
    /// By the digests of their manifests.
    under_way: Mutex<HashSet<CanonicalDigest>>,
    done: quick_cache::sync::Cache<CanonicalDigest, ()>,
}

/// An image whose blobs are being fetched, until it is dropped.
struct Image {
    federation: Arc<Federation>,
    manifest: CanonicalDigest,
}

impl Ahead {
    /// Fetches at most so many bytes of an image ahead, where so many reads below one root are allowed at a time.
    pub(super) fn new(bytes: u64, reads_per_root: usize) -> Self {
        let at_once = (reads_per_root - reads_per_root / 4).max(1);
        let done = quick_cache::sync::Cache::new(DONE);
        Self { bytes, at_once, under_way: Mutex::default(), done }
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<CanonicalDigest>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns which blobs of an image are fetched ahead: in the order of its manifest those for which there is room.
    fn choose(&self, blobs: Vec<Descriptor>) -> Vec<Descriptor> {
        let mut left = self.bytes;
        let mut fits = |blob: &Descriptor| {
            let rest = left.checked_sub(blob.size);
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        let stored = blobs.into_iter().filter(|blob| !blob.is_foreign());
        stored.filter(|blob| fits(blob)).collect()
    }
}

impl Image {
    fn begin(federation: &Arc<Federation>, manifest: CanonicalDigest) -> Option<Self> {
        let ahead = &federation.ahead;
        let mut under_way = ahead.under_way();
        let may_begin = under_way.len() < IMAGES && ahead.done.get(&manifest).is_none();
        let begins = may_begin && under_way.insert(manifest);
        begins.then(|| Self { federation: Arc::clone(federation), manifest })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.federation.ahead.under_way().remove(&self.manifest);
    }
}

impl Federation {
    /// Begins to fetch the blobs that a manifest names, for which a client that got it will ask. It fetches them
    /// once for all clients, and not when too many other images are under way; what fails is left to the requests of
    /// the client.
    pub(in super::super) fn fetch_ahead(
        self: &Arc<Self>,
        name: &ForeignName,
        whole_name: &RepositoryName,
        manifest: &ManifestRow,
    ) {
        if self.ahead.bytes == 0 || manifest.bytes.len() > LONGEST {
            return;
        }
        let Some(image) = Image::begin(self, manifest.canonical) else { return };
        let (name, whole_name, bytes) = (name.clone(), whole_name.clone(), manifest.bytes.clone());
        tokio::spawn(async move {
            let federation = &image.federation;
            match federation.fetch_blobs(&name, &whole_name, &bytes).await {
                Ok(()) => federation.ahead.done.insert(image.manifest, ()),
                Err(error) => {
                    tracing::debug!(%error, manifest = %image.manifest, "stopped to fetch ahead");
                }
            }
        });
    }

    async fn fetch_blobs(
        &self,
        name: &ForeignName,
        whole_name: &RepositoryName,
        manifest: &[u8],
    ) -> Result<()> {
        let Ok(manifest) = Manifest::parse(manifest, None) else { return Ok(()) };
        let blobs = self.ahead.choose(manifest.blobs);
        let fetching = stream::iter(blobs)
            .map(|blob| async move { self.fetch_blob(name, whole_name, &blob).await })
            .buffer_unordered(self.ahead.at_once);
        fetching.try_collect().await
    }

    async fn fetch_blob(
        &self,
        name: &ForeignName,
        whole_name: &RepositoryName,
        blob: &Descriptor,
    ) -> Result<()> {
        let (content, source) =
            Box::pin(self.blob(name, whole_name, &blob.digest, Extent::Whole)).await?;
        if let BlobSource::Fetched(Fetched::Coming(fetch)) = source
            && content.size <= blob.size
        {
            fetch.whole(PATIENCE).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Algorithm, Digest};

    #[test]
    fn the_blobs_are_chosen_in_their_order_as_far_as_there_is_room() {
        let blob = |media_type: &str, size: u64| Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(Algorithm::Sha256, &size.to_be_bytes()),
            size,
        };
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let blobs = vec![
            blob("config", 10),
            blob(foreign, 20),
            blob("layer", 60),
            blob("layer", 31),
            blob("layer", 30),
            blob("layer", u64::MAX),
            blob("layer", 0),
        ];
        let chosen = Ahead::new(100, 8).choose(blobs);
        assert_eq!(chosen.iter().map(|it| it.size).collect::<Vec<_>>(), [10, 60, 30, 0]);
    }
}
