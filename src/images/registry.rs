//! Registries, as sources and as targets.

use std::collections::BTreeMap;
use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::error::{ImageError, Result};
use super::plan::{Plan, PlannedManifest};
use super::source::{ImageSource, LARGEST_MANIFEST};
use super::target::{ImageTarget, Stored};
use super::transfer::again;
use crate::client::{ClientError, ClientErrorKind, Content, Repository};
use crate::oci::{Descriptor, Digest, Manifest, MediaType, Reference, Tag};

/// An image of a registry.
pub(crate) struct RegistrySource {
    repository: Repository,
    reference: Reference,
}

impl RegistrySource {
    /// Takes a repository, and what names the image in it.
    pub(crate) fn new(repository: Repository, reference: Reference) -> Self {
        Self { repository, reference }
    }
}

#[async_trait]
impl ImageSource for RegistrySource {
    fn name(&self) -> String {
        self.repository.to_string()
    }

    async fn root(&self) -> Result<(Descriptor, Bytes)> {
        let fetched = again(|| self.repository.manifest(&self.reference)).await?;
        let name = format!("{}@{}", self.repository, fetched.digest);
        let manifest = Manifest::parse(&fetched.bytes, Some(&fetched.media_type))
            .map_err(|error| ImageError::manifest(&name, &error))?;
        let descriptor = Descriptor {
            media_type: manifest.media_type.as_str().to_owned(),
            digest: fetched.digest,
            size: fetched.bytes.len() as u64,
        };
        Ok((descriptor, fetched.bytes))
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        let reference = Reference::Digest(descriptor.digest);
        Ok(again(|| self.repository.manifest(&reference)).await?.bytes)
    }

    async fn content(&self, descriptor: &Descriptor) -> Result<Content> {
        let (repository, digest, size) =
            (self.repository.clone(), descriptor.digest, descriptor.size);
        Ok(Content::opened_by(size, move |range| {
            let reader = repository.blob_from(&digest, size, range.start).unchecked();
            reader.into_stream().map_err(io::Error::other).boxed()
        }))
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let found = again(|| self.repository.referrers(subject, None)).await?;
        Ok(found.into_iter().map(|referrer| referrer.descriptor).collect())
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }
}

/// A repository that an image is pushed to.
pub(crate) struct RegistryTarget {
    repository: Repository,
    reference: Reference,
    /// One list of referrers is changed at a time.
    fallback: Mutex<()>,
}

impl RegistryTarget {
    /// Takes a repository, and what the image is to be named by there.
    pub(crate) fn new(repository: Repository, reference: Reference) -> Self {
        Self { repository, reference, fallback: Mutex::new(()) }
    }

    async fn put(&self, reference: &Reference, planned: &PlannedManifest) -> Result<()> {
        let PlannedManifest { bytes, manifest, .. } = planned;
        let media_type = manifest.media_type.as_str();
        let put = || self.repository.store_manifest(reference, media_type, bytes.clone());
        let (_, is_listed) = again(put).await?;
        match &manifest.subject {
            Some(subject) if !is_listed => self.list_referrer(&subject.digest, planned).await,
            _ => Ok(()),
        }
    }

    /// Adds a referrer to the list that clients keep where the registry has none (distribution-spec, "Referrers Tag
    /// Schema").
    async fn list_referrer(&self, subject: &Digest, planned: &PlannedManifest) -> Result<()> {
        let reference = Reference::Tag(Tag::of_referrers(subject));
        let _one_at_a_time = self.fallback.lock().await;
        let mut index = match again(|| self.repository.manifest(&reference)).await {
            Ok(found) => serde_json::from_slice::<Value>(&found.bytes).unwrap_or_default(),
            Err(error) if error.kind == ClientErrorKind::NotFound => Value::Null,
            Err(error) => return Err(error.into()),
        };
        if !index["manifests"].is_array() {
            index = json!({
                "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": [],
            });
        }
        let PlannedManifest { descriptor, manifest, .. } = planned;
        let digest = descriptor.digest.to_string();
        let listed = index["manifests"].as_array_mut().into_iter().flatten();
        if listed.into_iter().any(|entry| entry["digest"] == digest) {
            return Ok(());
        }
        let annotations: &BTreeMap<String, String> = &manifest.annotations;
        let mut entry = json!({
            "mediaType": manifest.media_type.as_str(), "digest": digest, "size": descriptor.size,
        });
        if let Some(artifact_type) = &manifest.artifact_type {
            entry["artifactType"] = json!(artifact_type);
        }
        if !annotations.is_empty() {
            entry["annotations"] = json!(annotations);
        }
        if let Some(list) = index["manifests"].as_array_mut() {
            list.push(entry);
        }
        let bytes = index.to_string();
        let media_type = MediaType::OciIndex.as_str();
        again(|| self.repository.push_manifest(&reference, media_type, bytes.clone())).await?;
        Ok(())
    }
}

#[async_trait]
impl ImageTarget for RegistryTarget {
    async fn begin(&self, plan: &Plan) -> Result<()> {
        let Descriptor { digest, size, .. } = &plan.root.descriptor;
        if *size > LARGEST_MANIFEST {
            let text = format!("cannot push {digest}: a manifest of {size} bytes is too large");
            return Err(ImageError::Unsound(text));
        }
        match &self.reference {
            Reference::Digest(named) if named != digest => {
                let text = format!(
                    "cannot push to {}@{named}: the image is {digest}; name it by a tag",
                    self.repository
                );
                Err(ImageError::Choice(text))
            }
            _ => Ok(()),
        }
    }

    async fn has(&self, blob: &Descriptor) -> Result<bool> {
        let size = match again(|| self.repository.blob_size(&blob.digest)).await {
            Ok(size) => size,
            Err(error) if is_unreadable(&error) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(size) = size else { return Ok(false) };
        if size == blob.size {
            return Ok(true);
        }
        let Descriptor { digest, size: expected, .. } = blob;
        let text = format!(
            "cannot use {}@{digest}: the registry has {size} bytes of it, and the image says {expected}",
            self.repository
        );
        Err(ImageError::Unsound(text))
    }

    async fn put_blob(
        &self,
        blob: &Descriptor,
        content: &Content,
        from: Option<&Repository>,
    ) -> Result<Stored> {
        let from = from.filter(|from| from.is_at(&self.repository)).map(Repository::name);
        let pushed = self.repository.push_or_find_blob(&blob.digest, from, content).await;
        match pushed {
            Ok(true) => Ok(Stored::Mounted),
            Ok(false) => Ok(Stored::Sent),
            Err(error) => Err(cause(error)),
        }
    }

    async fn put_manifest(&self, manifest: &PlannedManifest) -> Result<()> {
        let reference = Reference::Digest(manifest.descriptor.digest);
        // A client that has just found it need not send it.
        if manifest.manifest.subject.is_none() {
            match again(|| self.repository.find_manifest(&reference)).await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {}
                Err(error) if is_unreadable(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.put(&reference, manifest).await
    }

    async fn finish(&self, plan: &Plan) -> Result<()> {
        self.put(&self.reference, &plan.root).await
    }
}

/// Tells whether somebody may not read there. Who may push may not read everywhere; a push says more.
fn is_unreadable(error: &ClientError) -> bool {
    matches!(error.kind, ClientErrorKind::Denied | ClientErrorKind::Unauthorized)
}

/// Returns why content could not be read, where that is what kept it from being sent.
fn cause(error: ClientError) -> ImageError {
    match error.into_content_error() {
        Ok((context, source)) => match source.downcast::<ClientError>() {
            Ok(read) => ImageError::Registry(read),
            Err(source) => ImageError::File { context, source },
        },
        Err(error) => ImageError::Registry(error),
    }
}
