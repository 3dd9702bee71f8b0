//! Fetching ahead: the blobs of an image whose manifest a client has just got, before it asks for them one after the
//! other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::{Result, layout};
use super::foreign_repository::ForeignRepository;
use super::{Federation, Role, linked};
use crate::index::ManifestRow;
use crate::oci::{Descriptor, ForeignName, Manifest};

/// How long a blob is waited for. After that its transfer goes on for a client alone.
const LIMIT: Duration = Duration::from_mins(1);

impl Federation {
    /// Begins to fetch the blobs that a manifest names, for which a client that got it will ask. It fetches them
    /// once for all clients, and not when too many other images are under way; what fails is left to the requests of
    /// the client.
    pub(in super::super) fn fetch_ahead(
        self: &Arc<Self>,
        name: &ForeignName,
        manifest: &ManifestRow,
    ) {
        let Some(image) = self.ahead.begin(manifest) else { return };
        let federation = Arc::clone(self);
        let (name, bytes) = (name.clone(), manifest.bytes.clone());
        tokio::spawn(async move {
            match federation.fetch_blobs(&name, &bytes).await {
                Ok(()) => image.is_done(),
                Err(error) => {
                    tracing::debug!(%error, manifest = %image.manifest, "stopped to fetch ahead");
                }
            }
        });
    }

    async fn fetch_blobs(&self, name: &ForeignName, manifest: &[u8]) -> Result<()> {
        let Ok(manifest) = Manifest::parse(manifest, None) else { return Ok(()) };
        let blobs = self.ahead.choose(manifest.blobs);
        let repository = &self.find(name).await?;
        let fetching = stream::iter(blobs)
            .map(|blob| async move { self.fetch_blob(repository, &blob).await })
            .buffer_unordered(self.ahead.at_once);
        fetching.try_collect().await
    }

    async fn fetch_blob(&self, repository: &ForeignRepository, blob: &Descriptor) -> Result<()> {
        let Some(canonical) = blob.digest.canonical() else { return Ok(()) };
        if self.remembered(&repository.label, Role::Blob, &canonical).await.is_some() {
            return Ok(());
        }
        let link = repository.link(|name| layout::layer_link(name, &blob.digest));
        let is_linked = async { Ok(link.await? == Some(canonical)) };
        // What is longer than the manifest says is not even begun.
        let coming = self.fetch_up_to(repository, canonical, Some(blob.size));
        if let Some(fetch) = linked(is_linked, coming).await? {
            self.note(&repository.label, Role::Blob, &canonical).await;
            fetch.whole(LIMIT).await?;
        }
        Ok(())
    }
}
