//! Edges: what manifests reference, followed in both directions.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::columns::{damaged, parsed};
use super::connection::{Connection, on};
use super::statement::Statement;
use super::{EdgeKind, Index, ManifestEdge, ReferrerRow, Result, Writer};
use crate::oci::{CanonicalDigest, Digest, RepositoryName};

/// How many edges go into one statement; five parameters each.
const EDGES_AT_ONCE: usize = 1000;

fn text(kind: EdgeKind) -> &'static str {
    match kind {
        EdgeKind::Child => "child",
        EdgeKind::Blob => "blob",
        EdgeKind::Subject => "subject",
    }
}

fn kind(text: &str) -> Result<EdgeKind> {
    match text {
        "child" => Ok(EdgeKind::Child),
        "blob" => Ok(EdgeKind::Blob),
        "subject" => Ok(EdgeKind::Subject),
        _ => Err(damaged("reading the kind of an edge", text)),
    }
}

impl Index {
    /// Lists manifests of the repository whose subject is that digest, ordered by digest as text,
    /// after `last`, at most `limit`; only those of that artifact type, if one is given.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
        limit: u32,
    ) -> Result<Vec<ReferrerRow>> {
        let query = ReferrerQuery { repository, subject, artifact_type, last, limit };
        referrers(&mut self.read().await?, &query).await
    }
}

impl Writer {
    /// Lists manifests of the repository that have one of these names as a child or as a blob, ordered by
    /// digest as text, at most `limit`. A subject does not count, nor what a manifest says of itself.
    pub async fn referencing(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
        limit: u32,
    ) -> Result<Vec<CanonicalDigest>> {
        let connection = self.connection();
        let mut found = BTreeSet::new();
        for name in names {
            let rows: Vec<(String,)> = on!(connection, "finding what references something", db => sqlx::query_as(
                    "SELECT DISTINCT e.canonical FROM repositories r \
                     JOIN manifest_edges e ON e.repository = r.id AND e.target = $2 \
                     WHERE r.name = $1 AND e.kind IN ('child', 'blob') AND NOT EXISTS ( \
                     SELECT 1 FROM manifest_names n WHERE n.repository = r.id \
                     AND n.digest = e.target AND n.canonical = e.canonical) \
                     ORDER BY e.canonical LIMIT $3",
                )
                .bind(repository.as_str())
                .bind(name.to_string())
                .bind(i64::from(limit))
                .fetch_all(db)
                .await)?;
            found.extend(rows.into_iter().map(|(canonical,)| canonical));
        }
        found.iter().take(limit as usize).map(|canonical| parsed(canonical)).collect()
    }

    /// Lists the edges that lead out of a manifest of the repository, in the order they were given.
    pub async fn edges(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<ManifestEdge>> {
        let connection = self.connection();
        let rows: Vec<(String, String)> = on!(connection, "listing a manifest's edges", db => sqlx::query_as(
                "SELECT e.kind, e.target FROM repositories r \
                 JOIN manifest_edges e ON e.repository = r.id AND e.canonical = $2 \
                 WHERE r.name = $1 ORDER BY e.place",
            )
            .bind(repository.as_str())
            .bind(digest.to_string())
            .fetch_all(db)
            .await)?;
        let mut edges = Vec::with_capacity(rows.len());
        for (stored_kind, target) in rows {
            edges.push(ManifestEdge { kind: kind(&stored_kind)?, target: parsed(&target)? });
        }
        Ok(edges)
    }
}

/// Replaces the edges that lead out of a manifest. In a transaction.
pub(super) async fn replace(
    connection: &mut Connection,
    repository: i64,
    canonical: &str,
    edges: &[ManifestEdge],
) -> Result<()> {
    let remove = "DELETE FROM manifest_edges WHERE repository = $1 AND canonical = $2";
    let remove = Statement::new("removing edges", remove).bind(repository).bind(canonical);
    connection.run(remove).await?;
    for (start, chunk) in (0..).step_by(EDGES_AT_ONCE).zip(edges.chunks(EDGES_AT_ONCE)) {
        let mut insert = Statement::new(
            "storing edges",
            "INSERT INTO manifest_edges (repository, canonical, place, kind, target) VALUES ",
        );
        for (position, edge) in (start..).zip(chunk) {
            insert = insert.push(if position == start { "(" } else { ", (" });
            insert = insert.push_list([repository]).push(", ").push_list([canonical]).push(", ");
            insert = insert.push_list([position]).push(", ");
            insert = insert.push_list([text(edge.kind).to_owned(), edge.target.to_string()]);
            insert = insert.push(")");
        }
        connection.run(insert).await?;
    }
    Ok(())
}

/// Which referrers of what are requested.
struct ReferrerQuery<'a> {
    /// In which repository.
    pub(super) repository: &'a RepositoryName,
    /// Of what.
    pub(super) subject: &'a Digest,
    /// Of which type, if only one is requested.
    pub(super) artifact_type: Option<&'a str>,
    /// After which one.
    pub(super) last: Option<&'a Digest>,
    /// At most how many.
    pub(super) limit: u32,
}

/// Lists manifests whose subject is that digest, ordered by digest as text.
async fn referrers(
    connection: &mut Connection,
    query: &ReferrerQuery<'_>,
) -> Result<Vec<ReferrerRow>> {
    // Among a manifest's names, the one by sha512 is the greatest.
    let rows: Vec<(String, String, Vec<u8>)> = on!(connection, "listing referrers", db => sqlx::query_as(
            "SELECT f.digest, f.media_type, m.bytes FROM ( \
             SELECT e.canonical, rm.media_type, (SELECT MAX(n.digest) FROM manifest_names n \
             WHERE n.repository = r.id AND n.canonical = e.canonical) AS digest \
             FROM repositories r \
             JOIN manifest_edges e ON e.repository = r.id AND e.target = $2 AND e.kind = 'subject' \
             JOIN repository_manifests rm ON rm.repository = r.id AND rm.canonical = e.canonical \
             WHERE r.name = $1 AND (CAST($3 AS TEXT) IS NULL OR rm.artifact_type = $3) \
             ) f JOIN manifests m ON m.digest = f.canonical \
             WHERE f.digest > $4 ORDER BY f.digest LIMIT $5",
        )
        .bind(query.repository.as_str())
        .bind(query.subject.to_string())
        .bind(query.artifact_type)
        .bind(query.last.map(ToString::to_string).unwrap_or_default())
        .bind(i64::from(query.limit))
        .fetch_all(db)
        .await)?;
    let mut referrers = Vec::with_capacity(rows.len());
    for (digest, media_type, bytes) in rows {
        referrers.push(ReferrerRow {
            digest: parsed(&digest)?,
            media_type,
            bytes: Bytes::from(bytes),
        });
    }
    Ok(referrers)
}
