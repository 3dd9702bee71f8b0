//! What refers to a manifest: signatures, SBOMs (distribution-spec, "Listing referrers").

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::ClientErrorKind;
use super::pages::Pages;
use super::token::Scope;
use super::{Repository, Result};
use crate::oci::{Descriptor, Digest, Reference, Tag};

/// A manifest that refers to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// What it is.
    pub descriptor: Descriptor,
    /// What it is for, such as `application/vnd.dev.cosign.simplesigning.v1+json`.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: u64,
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Repository {
    /// Lists what refers to a manifest, of all types, or of one. A registry without this list is asked for the tag in
    /// which clients keep it there.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let image = repository.manifest(&"v1".parse()?).await?;
    /// for referrer in repository.referrers(&image.digest, None).await? {
    ///     println!("{}: {:?}", referrer.descriptor.digest, referrer.artifact_type);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the request; a manifest that the registry does not have has no referrers.
    pub async fn referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>> {
        let query: Vec<_> = artifact_type.map(|it| ("artifactType", it)).into_iter().collect();
        let url = self.url(&format!("referrers/{digest}"), &query);
        let context = format!("cannot list what refers to {self}@{digest}");
        let scope = Scope::pull(self.name());
        let pages = Pages::new(self.client.clone(), url, scope, context, parse);
        let mut found = match pages.all().await {
            Ok(found) => found,
            // Registries without the list say so in different ways.
            Err(error) if matches!(error.status, Some(400 | 404 | 405)) => {
                self.fallback_referrers(digest).await?
            }
            Err(error) => return Err(error),
        };
        // A registry need not filter.
        if let Some(artifact_type) = artifact_type {
            found.retain(|referrer| referrer.artifact_type.as_deref() == Some(artifact_type));
        }
        Ok(found)
    }

    /// Reads the index that clients maintain where the registry does not (distribution-spec, "Referrers Tag Schema").
    async fn fallback_referrers(&self, digest: &Digest) -> Result<Vec<Referrer>> {
        match self.manifest(&Reference::Tag(Tag::of_referrers(digest))).await {
            Ok(index) => parse(&index.bytes).map_err(|error| {
                let context = format!("cannot list what refers to {self}@{digest}");
                let reason = "the tag of its referrers is no index";
                super::ClientError::caused_by(ClientErrorKind::Protocol, context, reason, error)
            }),
            Err(error) if error.kind == ClientErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn parse(
    body: &[u8],
) -> std::result::Result<Vec<Referrer>, Box<dyn std::error::Error + Send + Sync>> {
    let entries = serde_json::from_slice::<Index>(body)?.manifests.unwrap_or_default();
    let referrer = |entry: Entry| {
        let Entry { media_type, digest, size, artifact_type, annotations } = entry;
        let descriptor = Descriptor { media_type, digest: digest.parse()?, size };
        Ok(Referrer { descriptor, artifact_type, annotations })
    };
    entries.into_iter().map(referrer).collect()
}
