//! What a collection may take: blobs that no manifest of their repository names, and content that no repository has.
//!
//! Candidates are listed beside everything else. A [`Writer`](super::Writer) looks again, under its lock, before anything goes. Times
//! are those of the database, in milliseconds since the Unix epoch.

use std::collections::HashSet;

use sqlx::QueryBuilder;

use super::collectable::{self, Collectable, DIGESTS_AT_ONCE, FreeContent, WithForeignLayers};
use super::columns::{parsed, unsigned};
use super::connection::on;
use super::{Index, Result};
use crate::oci::{CanonicalDigest, RepositoryName};

/// A blob that no manifest of its repository named when it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreferenced {
    /// The repository.
    pub repository: RepositoryName,
    /// The blob.
    pub canonical: CanonicalDigest,
    /// In bytes.
    pub size: u64,
    /// Since when.
    pub since: i64,
}

/// A page of these, in the order of their times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnreferencedPage {
    /// The blobs; one with several names is listed once for each.
    pub blobs: Vec<Unreferenced>,
    /// Where the next page begins; none after the last one.
    pub next: Option<(i64, i64, String)>,
}

/// What is unreferenced, and stays for a while longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WithinGrace {
    /// How many blobs of repositories.
    pub blobs: u64,
    /// How many bytes these have, each blob once.
    pub bytes: u64,
}

/// How the last collection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCollection {
    /// When.
    pub ended: i64,
    /// What it came to, as its caller has written it.
    pub record: Vec<u8>,
}

impl Index {
    /// Returns the time of the database.
    pub async fn now(&self) -> Result<i64> {
        collectable::now(&mut self.read().await?).await
    }

    /// Lists blobs that no manifest of their repository has named since before that time, at most `limit` of their
    /// names, from where the page before has ended.
    pub async fn unreferenced_blobs(
        &self,
        before: i64,
        after: Option<&(i64, i64, String)>,
        limit: u32,
    ) -> Result<UnreferencedPage> {
        type Row = (String, i64, String, String, i64, i64);

        let (since, repository, name) = after.cloned().unwrap_or((i64::MIN, 0, String::new()));
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing unreferenced blobs", db => sqlx::query_as(
            "SELECT r.name, rb.repository, rb.digest, rb.canonical, b.size, rb.unreferenced_since \
             FROM repository_blobs rb JOIN repositories r ON r.id = rb.repository \
             JOIN blobs b ON b.digest = rb.canonical \
             WHERE rb.unreferenced_since >= $1 AND rb.unreferenced_since < $2 \
             AND (rb.unreferenced_since, rb.repository, rb.digest) > ($1, $3, $4) \
             ORDER BY rb.unreferenced_since, rb.repository, rb.digest LIMIT $5",
        )
        .bind(since)
        .bind(before)
        .bind(repository)
        .bind(&name)
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        let is_last = rows.len() < limit as usize;
        let mut page = UnreferencedPage::default();
        for (repository, id, digest, canonical, size, since) in rows {
            page.blobs.push(Unreferenced {
                repository: parsed(&repository)?,
                canonical: parsed(&canonical)?,
                size: unsigned(size)?,
                since,
            });
            page.next = Some((since, id, digest));
        }
        if is_last {
            page.next = None;
        }
        Ok(page)
    }

    /// Sums up the blobs that no manifest of their repository has named since that time or later.
    pub async fn within_grace(&self, since: i64) -> Result<WithinGrace> {
        let connection = &mut self.read().await?;
        let (blobs, bytes): (i64, i64) = on!(connection, "counting unreferenced blobs", db => sqlx::query_as(
            "SELECT COUNT(*), CAST(COALESCE(SUM(b.size), 0) AS BIGINT) FROM ( \
             SELECT DISTINCT canonical FROM repository_blobs WHERE unreferenced_since >= $1) rb \
             JOIN blobs b ON b.digest = rb.canonical",
        )
        .bind(since)
        .fetch_one(db)
        .await)?;
        Ok(WithinGrace { blobs: unsigned(blobs)?, bytes: unsigned(bytes)? })
    }

    /// Lists the digests of blobs that no repository has, and of manifests that none has had since before that time, in
    /// their order as text, after `last`, at most `limit`.
    pub async fn unowned_content(
        &self,
        before: i64,
        last: Option<&CanonicalDigest>,
        limit: u32,
    ) -> Result<Vec<CanonicalDigest>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String,)> = on!(connection, "listing content of no repository", db => sqlx::query_as(
            "SELECT digest FROM blobs b WHERE digest > $1 \
             AND NOT EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.canonical = b.digest) \
             AND NOT EXISTS (SELECT 1 FROM repository_manifests rm WHERE rm.canonical = b.digest) \
             UNION SELECT digest FROM manifests m WHERE digest > $1 AND unowned_since < $2 \
             AND NOT EXISTS (SELECT 1 FROM repository_manifests rm WHERE rm.canonical = m.digest) \
             AND NOT EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.canonical = m.digest) \
             ORDER BY digest LIMIT $3",
        )
        .bind(last.map(ToString::to_string).unwrap_or_default())
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(digest,)| parsed(digest)).collect()
    }

    /// Counts those of these blobs of repositories that are there still, and that no manifest names.
    pub async fn unreferenced_among(
        &self,
        pairs: &[(RepositoryName, CanonicalDigest)],
    ) -> Result<u64> {
        let requested: HashSet<(&str, String)> =
            pairs.iter().map(|(name, canonical)| (name.as_str(), canonical.to_string())).collect();
        let digests: HashSet<&String> = requested.iter().map(|(_, canonical)| canonical).collect();
        let digests: Vec<&String> = digests.into_iter().collect();
        let connection = &mut self.read().await?;
        let mut count = 0;
        for chunk in digests.chunks(DIGESTS_AT_ONCE) {
            let rows: Vec<(String, String)> = on!(connection, "counting unreferenced blobs", db => {
                let mut select = QueryBuilder::new(
                    "SELECT DISTINCT r.name, rb.canonical FROM repository_blobs rb \
                     JOIN repositories r ON r.id = rb.repository \
                     WHERE rb.unreferenced_since IS NOT NULL AND rb.canonical IN (",
                );
                let mut list = select.separated(", ");
                for digest in chunk {
                    list.push_bind(digest.as_str());
                }
                select.push(")");
                select.build_query_as().persistent(false).fetch_all(db).await
            })?;
            let is_requested = |(name, canonical): &&(String, String)| {
                requested.contains(&(name.as_str(), canonical.clone()))
            };
            count += rows.iter().filter(is_requested).count() as u64;
        }
        Ok(count)
    }

    /// Returns those of these blobs of repositories that a collection would take, as
    /// [`Writer::collectable`](super::Writer::collectable) does.
    pub async fn collectable(
        &self,
        pairs: &[(RepositoryName, CanonicalDigest)],
        before: i64,
    ) -> Result<Vec<Collectable>> {
        collectable::collectable(&mut self.read().await?, pairs, before, false).await
    }

    /// Lists the manifests of a repository that may name layers which need not be in the registry, as
    /// [`Writer::manifests_with_foreign_layers`](super::Writer::manifests_with_foreign_layers) does.
    pub async fn manifests_with_foreign_layers(
        &self,
        repository: &RepositoryName,
        last: Option<&CanonicalDigest>,
    ) -> Result<Vec<WithForeignLayers>> {
        collectable::with_foreign_layers(&mut self.read().await?, repository, last).await
    }

    /// Returns those of the digests that no repository would have once those blobs are taken that no manifest has named
    /// since before that time, as
    /// [`Writer::free_content`](super::Writer::free_content) does.
    pub async fn content_freed_by(
        &self,
        digests: &[CanonicalDigest],
        before: i64,
    ) -> Result<Vec<FreeContent>> {
        collectable::free_content(&mut self.read().await?, digests, before, before).await
    }

    /// Sums up the content that no repository has and a tree has, or had in a root that is still served.
    pub async fn unowned_in_roots(&self) -> Result<WithinGrace> {
        let connection = &mut self.read().await?;
        let (blobs, bytes): (i64, i64) = on!(connection, "counting content of no repository", db => sqlx::query_as(
            "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM ( \
             SELECT digest, cid, size FROM blobs UNION SELECT digest, cid, size FROM manifests) c \
             WHERE NOT EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.canonical = c.digest) \
             AND NOT EXISTS (SELECT 1 FROM repository_manifests rm WHERE rm.canonical = c.digest) \
             AND EXISTS (SELECT 1 FROM nodes n WHERE n.cid = c.cid)",
        )
        .fetch_one(db)
        .await)?;
        Ok(WithinGrace { blobs: unsigned(blobs)?, bytes: unsigned(bytes)? })
    }

    /// Returns those of the digests of which the index has a blob or a manifest.
    pub async fn known_among(
        &self,
        digests: &[CanonicalDigest],
    ) -> Result<HashSet<CanonicalDigest>> {
        collectable::known_among(&mut self.read().await?, digests).await
    }

    /// Returns how the last collection ended, by whatever process.
    pub async fn last_collection(&self) -> Result<Option<LastCollection>> {
        let connection = &mut self.read().await?;
        let found: Option<(i64, Vec<u8>)> = on!(connection, "reading how the last collection ended", db =>
            sqlx::query_as("SELECT ended, record FROM collection WHERE id = 1").fetch_optional(db).await)?;
        Ok(found.map(|(ended, record)| LastCollection { ended, record }))
    }

    /// Writes down how a collection ended.
    pub async fn set_last_collection(&self, record: &[u8]) -> Result<()> {
        let connection = &mut self.write().await?;
        let insert = format!(
            "INSERT INTO collection (id, ended, record) VALUES (1, {}, $1) \
             ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, record = excluded.record",
            connection.clock(),
        );
        on!(connection, "writing down how a collection ended", db =>
            sqlx::query(sqlx::AssertSqlSafe(insert)).bind(record).execute(db).await.map(drop))
    }
}
