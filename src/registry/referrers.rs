//! Referrers: which manifests have a given subject.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Registry, Result};
use crate::auth::PullGrant;
use crate::index::ReferrerRow;
use crate::oci::{Digest, Manifest};

/// How many bytes of descriptors make a full page; one more descriptor always fits.
const PAGE_BYTES: usize = 2 << 20;

/// How many manifests are in memory at a time.
const BATCH: u32 = 16;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct ReferrersQuery {
    /// What they refer to.
    pub subject: Digest,
    /// Only those of this type.
    pub artifact_type: Option<String>,
    /// Only those after this one.
    pub last: Option<Digest>,
    /// At most so many.
    pub limit: u32,
}

/// A referrer as the API lists it (distribution-spec, "Listing Referrers").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferrerDescriptor {
    /// Of the referrer.
    pub media_type: String,
    /// Of the referrer.
    pub digest: Digest,
    /// In bytes.
    pub size: usize,
    /// Its own, else that of its config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// As in the referrer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// One page of referrers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferrersPage {
    /// Ordered by digest.
    pub referrers: Vec<ReferrerDescriptor>,
    /// After which one the next page begins, if there is one.
    pub next: Option<Digest>,
}

impl Registry {
    /// Lists manifests whose subject is that digest, whether it is there or not.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn referrers(
        &self,
        grant: &PullGrant,
        query: &ReferrersQuery,
    ) -> Result<ReferrersPage> {
        let (mut referrers, mut bytes, mut last) = (Vec::new(), 0, query.last);
        loop {
            let subject = &query.subject;
            let rows = if let Some((federation, name)) = self.foreign(grant) {
                federation.referrers(name, subject, last.as_ref(), BATCH).await?
            } else {
                let artifact_type = query.artifact_type.as_deref();
                let repository = grant.repository();
                self.index
                    .referrers(repository, subject, artifact_type, last.as_ref(), BATCH)
                    .await?
            };
            let is_end = rows.len() < BATCH as usize;
            for row in rows {
                if bytes > PAGE_BYTES || referrers.len() >= query.limit as usize {
                    return Ok(ReferrersPage { referrers, next: last });
                }
                last = Some(row.digest);
                let descriptor = describe(row)?;
                // Somebody else's come unfiltered.
                let wanted = query.artifact_type.as_ref();
                if wanted.is_some_and(|wanted| descriptor.artifact_type.as_ref() != Some(wanted)) {
                    continue;
                }
                bytes += descriptor.weight();
                referrers.push(descriptor);
            }
            if is_end {
                return Ok(ReferrersPage { referrers, next: None });
            }
        }
    }
}

impl ReferrerDescriptor {
    /// About how many bytes it takes in an answer.
    fn weight(&self) -> usize {
        let annotations: usize =
            self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        512 + annotations
    }
}

fn describe(row: ReferrerRow) -> Result<ReferrerDescriptor> {
    let manifest = Manifest::parse(&row.bytes, Some(&row.media_type))?;
    Ok(ReferrerDescriptor {
        media_type: row.media_type,
        digest: row.digest,
        size: row.bytes.len(),
        artifact_type: manifest.artifact_type,
        annotations: manifest.annotations,
    })
}
