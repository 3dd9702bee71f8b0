//! Referrers: which manifests have a given subject.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Instant;

use futures_util::StreamExt;
use serde::Serialize;

use super::federation::TIMEOUT;
use super::{Federation, Result};
use crate::index::{Index, ReferrerRow};
use crate::oci::{Digest, ForeignName, Manifest, RepositoryName};

/// How long the descriptors of a page are as JSON, at most: with what is around them no answer is longer than the
/// 4 MiB that clients read.
const PAGE_BYTES: usize = (4 << 20) - 1024;

/// The longest artifact type that is listed beside annotations that are too long.
const ARTIFACT_TYPE: usize = 1024;

/// How many manifests are in memory at a time.
const BATCH: u32 = 16;

/// How many foreign manifests are fetched for a page.
const FETCHED: usize = 1000;

/// What is requested.
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

/// Lists what the index has.
pub(super) async fn own_referrers(
    index: &Index,
    repository: &RepositoryName,
    query: &ReferrersQuery,
) -> Result<ReferrersPage> {
    let mut page = Draft::new(query);
    let (subject, artifact_type) = (&query.subject, query.artifact_type.as_deref());
    loop {
        let last = page.last.as_ref();
        let rows = index.referrers(repository, subject, artifact_type, last, BATCH).await?;
        let is_end = rows.len() < BATCH as usize;
        for row in rows {
            if page.is_full() || !page.add(row)? {
                return Ok(page.unfinished());
            }
        }
        if is_end {
            return Ok(page.ended());
        }
    }
}

/// Lists what foreign links lead to, each of which has to be fetched: so a page also ends after a while.
pub(super) async fn foreign_referrers(
    federation: &Federation,
    name: &ForeignName,
    query: &ReferrersQuery,
) -> Result<ReferrersPage> {
    let begun = Instant::now();
    let (mut page, mut looked_at) = (Draft::new(query), 0);
    let rows = federation.referrers(name, &query.subject, query.last.as_ref()).await?;
    let mut rows = pin!(rows);
    while let Some(row) = rows.next().await {
        let (digest, row) = row?;
        let is_late = looked_at > 0 && begun.elapsed() >= TIMEOUT;
        if page.is_full() || looked_at >= FETCHED || is_late {
            return Ok(page.unfinished());
        }
        looked_at += 1;
        if let Some(row) = row
            && !page.add(row)?
        {
            return Ok(page.unfinished());
        }
        page.last = Some(digest);
    }
    Ok(page.ended())
}

/// A page that is being filled.
struct Draft<'a> {
    query: &'a ReferrersQuery,
    referrers: Vec<ReferrerDescriptor>,
    /// How many bytes they make as JSON, with a comma each.
    bytes: usize,
    /// The last one that was looked at.
    last: Option<Digest>,
}

impl<'a> Draft<'a> {
    fn new(query: &'a ReferrersQuery) -> Self {
        Self { query, referrers: Vec::new(), bytes: 0, last: query.last }
    }

    fn is_full(&self) -> bool {
        self.referrers.len() >= self.query.limit as usize
    }

    /// Adds one, if it is of the requested type; returns whether it fits.
    fn add(&mut self, row: ReferrerRow) -> Result<bool> {
        let digest = row.digest;
        let mut descriptor = describe(row)?;
        let requested = self.query.artifact_type.as_ref();
        if requested.is_none_or(|requested| descriptor.artifact_type.as_ref() == Some(requested)) {
            let mut weight = descriptor.weight()?;
            if weight > PAGE_BYTES {
                // No page has space for it. A client that needs its annotations reads the manifest.
                descriptor.annotations.clear();
                descriptor.artifact_type.take_if(|text| text.len() > ARTIFACT_TYPE);
                weight = descriptor.weight()?;
            }
            if self.bytes + weight > PAGE_BYTES {
                return Ok(false);
            }
            self.bytes += weight;
            self.referrers.push(descriptor);
        }
        self.last = Some(digest);
        Ok(true)
    }

    fn unfinished(self) -> ReferrersPage {
        ReferrersPage { referrers: self.referrers, next: self.last }
    }

    fn ended(self) -> ReferrersPage {
        ReferrersPage { referrers: self.referrers, next: None }
    }
}

impl ReferrerDescriptor {
    /// How many bytes it takes in an answer, with the comma behind it.
    fn weight(&self) -> Result<usize> {
        Ok(serde_json::to_vec(self)?.len() + 1)
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
