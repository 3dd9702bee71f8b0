//! What can be learned of an image at any registry: its manifests, sizes, times and CIDs.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::transfer::cid_of;
use crate::client::{ClientError, ClientErrorKind, Repository, Result};
use crate::images::{Platform, again, platforms};
use crate::oci::{Descriptor, Digest, Manifest, ManifestKind, Reference};

/// How many requests are under way at a time.
pub(super) const AT_ONCE: usize = 8;

/// The largest config that is read.
const LARGEST_CONFIG: u64 = 4 << 20;

/// How many manifests below an index are read.
const MOST_CHILDREN: usize = 200;

/// One manifest of a repository.
pub(super) struct Described {
    pub(super) digest: Digest,
    /// How many bytes it has.
    size: usize,
    bytes: Bytes,
    pub(super) manifest: Manifest,
    pub(super) cid: Option<String>,
}

/// What an image's config says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config {
    pub(super) created: Option<String>,
    #[serde(flatten)]
    platform: Option<Platform>,
    #[serde(default)]
    pub(super) history: Vec<Value>,
}

impl Config {
    pub(super) fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref().filter(|platform| !platform.os.is_empty())
    }
}

/// Reads a manifest. What is none that is known is an error of the registry.
pub(super) async fn manifest(repository: &Repository, reference: &Reference) -> Result<Described> {
    let fetched = again(|| repository.manifest(reference)).await?;
    let manifest = Manifest::parse(&fetched.bytes, Some(&fetched.media_type));
    let manifest = manifest.map_err(|error| {
        let context = format!("cannot read manifest {repository}@{}", fetched.digest);
        ClientError::new(ClientErrorKind::Protocol, context, error.to_string())
    })?;
    let cid = fetched.ipfs_path.as_deref().map(cid_of);
    let (digest, size, bytes) = (fetched.digest, fetched.bytes.len(), fetched.bytes);
    Ok(Described { digest, size, bytes, manifest, cid })
}

/// Reads the images of an index, with their platforms; of an image, that alone.
pub(super) async fn images(
    repository: &Repository,
    root: &Described,
) -> Result<Vec<(Option<Platform>, Described)>> {
    let named = platforms(&root.bytes);
    let children = root.manifest.children.iter().take(MOST_CHILDREN);
    let read = stream::iter(children)
        .map(|child| async {
            let platform = named.iter().find(|(_, digest)| *digest == child.digest);
            let platform = platform.map(|(platform, _)| platform.clone());
            let found = manifest(repository, &Reference::Digest(child.digest)).await;
            // There may be many of them, and each may be large.
            found.map(|found| (platform, Described { bytes: Bytes::new(), ..found }))
        })
        .buffered(AT_ONCE);
    let read: Vec<_> = read.collect().await;
    let mut found = Vec::new();
    for image in read {
        match image {
            Ok(image) => found.push(image),
            // A registry may lack some of them, or have what is no manifest.
            Err(error)
                if matches!(error.kind, ClientErrorKind::NotFound | ClientErrorKind::Protocol) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Reads the config of an image; nothing if it has none that says something.
pub(super) async fn config(repository: &Repository, manifest: &Manifest) -> Config {
    if manifest.kind == ManifestKind::Index {
        return Config::default();
    }
    let config = manifest.blobs.first().filter(|config| config.size <= LARGEST_CONFIG);
    let Some(Descriptor { digest, size, .. }) = config else { return Config::default() };
    config_of(repository, digest, *size).await
}

/// Reads a config of at most so many bytes; nothing if there is none that says something.
pub(super) async fn config_of(repository: &Repository, digest: &Digest, most: u64) -> Config {
    let most = usize::try_from(most.min(LARGEST_CONFIG)).unwrap_or(usize::MAX);
    let read = async {
        let blob = repository.blob(digest).await?;
        blob.read_to_end(most).await
    };
    let bytes = read.await.unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Returns how many bytes images have together; what several have counts once.
pub(super) fn size<'a>(manifests: impl IntoIterator<Item = &'a Described>) -> u64 {
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    for Described { digest, size, manifest, .. } in manifests {
        sizes.insert(digest.to_string(), *size as u64);
        for blob in manifest.blobs.iter().filter(|blob| !blob.is_foreign()) {
            sizes.insert(blob.digest.to_string(), blob.size);
        }
    }
    sizes.values().fold(0, |sum, size| sum.saturating_add(*size))
}

/// Describes blobs, with the CIDs that the registry tells.
pub(super) async fn blobs(repository: &Repository, list: &[Descriptor]) -> Result<Vec<Value>> {
    stream::iter(list)
        .map(|blob| async {
            let path = again(|| repository.blob_ipfs_path(&blob.digest)).await?;
            Ok(json!({
                "mediaType": blob.media_type,
                "digest": blob.digest.to_string(),
                "size": blob.size,
                "cid": path.as_deref().map(cid_of),
            }))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}
