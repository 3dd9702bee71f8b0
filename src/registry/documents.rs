//! Manifests that are being put, parsed once each: by the request that pushes one, or, where another process or an
//! earlier one took it in, by the commit that reads it from the index.

use std::collections::HashMap;
#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::intent::Intent;
use super::{RegistryError, Result};
use crate::index::Writer;
use crate::oci::{CanonicalDigest, Manifest};
use crate::storage::Content;

/// A manifest, as it is and as it was parsed.
pub(super) struct Document {
    pub(super) content: Content,
    pub(super) bytes: Bytes,
    pub(super) manifest: Manifest,
}

/// What is known of a manifest that is to be put.
pub(super) enum Found {
    Parsed(Arc<Document>),
    /// It is not in the index.
    Absent,
    /// The bytes are no manifest.
    Invalid,
}

impl Found {
    /// Returns the size of the manifest in bytes, if it is one.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Parsed(document) => Some(document.content.size),
            Self::Absent | Self::Invalid => None,
        }
    }

    /// Returns the manifest of a change that was checked.
    pub(super) fn expect(&self, digest: &CanonicalDigest) -> Result<&Document> {
        match self {
            Self::Parsed(document) => Ok(document),
            Self::Absent => {
                Err(RegistryError::Record(format!("the content of {digest} is missing")))
            }
            Self::Invalid => Err(RegistryError::Record(format!("{digest} is not a manifest"))),
        }
    }
}

/// By content and media type, on which the reading depends.
type Key = (CanonicalDigest, String);

/// The manifests that requests of this process are about to put.
#[derive(Default)]
pub(super) struct Documents {
    known: Mutex<HashMap<Key, Weak<Document>>>,
    /// How many were read from the index.
    #[cfg(test)]
    reads: AtomicUsize,
}

impl Documents {
    /// Remembers a manifest for as long as what is returned lives.
    pub(super) fn remember(
        &self,
        content: Content,
        bytes: Bytes,
        manifest: Manifest,
    ) -> Arc<Document> {
        let key = (content.canonical, manifest.media_type.as_str().to_owned());
        let document = Arc::new(Document { content, bytes, manifest });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, document| document.strong_count() > 0);
        known.insert(key, Arc::downgrade(&document));
        document
    }

    fn get(&self, manifest: &CanonicalDigest, media_type: &str) -> Option<Arc<Document>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(*manifest, media_type.to_owned()))?.upgrade()
    }

    /// Finds the manifest that an intent puts; none if it puts none.
    pub(super) async fn find(&self, writer: &mut Writer, intent: &Intent) -> Result<Option<Found>> {
        let Intent::PutManifest { manifest, media_type, .. } = intent else { return Ok(None) };
        if let Some(known) = self.get(manifest, media_type) {
            return Ok(Some(Found::Parsed(known)));
        }
        #[cfg(test)]
        self.reads.fetch_add(1, Ordering::Relaxed);
        let Some(stored) = writer.stored_manifest(manifest).await? else {
            return Ok(Some(Found::Absent));
        };
        let Ok(parsed) = Manifest::parse(&stored.bytes, Some(media_type)) else {
            return Ok(Some(Found::Invalid));
        };
        let size = stored.bytes.len() as u64;
        let content = Content { canonical: *manifest, cid: stored.cid, size };
        let document = Document { content, bytes: stored.bytes, manifest: parsed };
        Ok(Some(Found::Parsed(Arc::new(document))))
    }

    /// Returns how many manifests were read from the index.
    #[cfg(test)]
    pub(super) fn read_count(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}
