//! Withdrawn content: what the gateway refuses under every root, and whose bytes are to go.

use std::collections::HashSet;

use cid::Cid;
use sqlx::QueryBuilder;

use super::columns::parsed;
use super::connection::on;
use super::statement::Statement;
use super::{Index, Result, Writer};
use crate::ipld::raw_cid;
use crate::oci::{CanonicalDigest, RepositoryName, TreeId};

/// How many digests go into one statement.
const DIGESTS_AT_ONCE: usize = 1000;

/// The codec (`identity`) of CIDs under which content is noted of which no file is refused: no tree has a node of it.
const NO_BLOCK: u64 = 0;

impl Index {
    /// Tells whether a file of a tree was withdrawn, by the CID of its root.
    pub async fn is_withdrawn(&self, file: &Cid) -> Result<bool> {
        let connection = &mut self.read().await?;
        let found: Option<(i64,)> = on!(connection, "finding withdrawn content", db =>
            sqlx::query_as("SELECT forgotten FROM withdrawn WHERE cid = $1")
                .bind(file.to_bytes())
                .fetch_optional(db)
                .await)?;
        Ok(found.is_some())
    }

    /// Tells whether the public tree has a node as it is now, and not only as it was.
    pub async fn is_in_public_tree(&self, node: &Cid) -> Result<bool> {
        let connection = &mut self.read().await?;
        let found: Option<(i64,)> = on!(connection, "finding a node", db =>
            sqlx::query_as("SELECT refs FROM nodes WHERE cid = $1 AND refs > 0")
                .bind(node.to_bytes())
                .fetch_optional(db)
                .await)?;
        Ok(found.is_some())
    }

    /// Tells whether content was withdrawn, by its digest.
    pub async fn is_content_withdrawn(&self, digest: &CanonicalDigest) -> Result<bool> {
        let connection = &mut self.read().await?;
        let found: Option<(i64,)> = on!(connection, "finding withdrawn content", db =>
            sqlx::query_as("SELECT forgotten FROM withdrawn WHERE digest = $1 LIMIT 1")
                .bind(digest.to_string())
                .fetch_optional(db)
                .await)?;
        Ok(found.is_some())
    }
}

impl Writer {
    /// Tells whether any repository of a tree has content as a manifest, or has a manifest that needs it as a blob.
    pub async fn is_needed(&mut self, tree: TreeId, digest: &CanonicalDigest) -> Result<bool> {
        let connection = self.connection();
        let found: Option<(i64,)> = on!(connection, "finding who needs content", db => sqlx::query_as(
            "SELECT r.id FROM repository_manifests rm JOIN repositories r ON r.id = rm.repository \
             WHERE rm.canonical = $1 AND r.tree = $2 \
             UNION ALL SELECT r.id FROM repository_blobs rb \
             JOIN repositories r ON r.id = rb.repository \
             JOIN manifest_edges e ON e.repository = rb.repository AND e.target = rb.digest \
             WHERE rb.canonical = $1 AND rb.linked <> 0 AND r.tree = $2 \
             AND e.kind IN ('blob', 'child') LIMIT 1",
        )
        .bind(digest.to_string())
        .bind(tree.as_str())
        .fetch_optional(db)
        .await)?;
        Ok(found.is_some())
    }

    /// Lists the repositories of a tree to whose blob of that content it has a link, or may have one.
    pub async fn linking(
        &mut self,
        tree: TreeId,
        digest: &CanonicalDigest,
    ) -> Result<Vec<RepositoryName>> {
        let connection = self.connection();
        let rows: Vec<(String,)> = on!(connection, "listing who links content", db => sqlx::query_as(
            "SELECT DISTINCT r.name FROM repository_blobs rb JOIN repositories r ON r.id = rb.repository \
             WHERE rb.canonical = $1 AND rb.linked <> 0 AND r.tree = $2 ORDER BY r.name",
        )
        .bind(digest.to_string())
        .bind(tree.as_str())
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }

    /// Notes that these files of content are withdrawn: [`Index::public_block`](super::Index::public_block) finds
    /// none of their blocks any more, whichever root leads to them. A link that the public tree has now, whose text is that
    /// of such content, is found all the same.
    pub async fn withdraw(&mut self, digest: &CanonicalDigest, files: &[Cid]) -> Result<()> {
        self.write(async |connection| {
            for file in files {
                on!(connection, "withdrawing content", db => sqlx::query(
                    "INSERT INTO withdrawn (cid, digest) VALUES ($1, $2) \
                     ON CONFLICT (cid) DO UPDATE SET digest = excluded.digest, forgotten = 0",
                )
                .bind(file.to_bytes())
                .bind(digest.to_string())
                .execute(db)
                .await
                .map(drop))?;
            }
            Ok(())
        })
        .await
    }

    /// Notes that the bytes of content are to go which no tree has, nor any root that is still served, as
    /// [`Writer::withdrawn`] lists it. There is nothing to refuse, so no file is noted: a link of the same text, which
    /// another repository may come to have, would be refused with it.
    pub async fn discard(&mut self, digest: &CanonicalDigest) -> Result<()> {
        let hash = *raw_cid(digest.0).hash();
        self.withdraw(digest, &[Cid::new_v1(NO_BLOCK, hash)]).await
    }

    /// Notes the same of content whose bytes stay, since the private tree needs them.
    pub async fn withhold(&mut self, digest: &CanonicalDigest, files: &[Cid]) -> Result<()> {
        self.write(async |connection| {
            for file in files {
                on!(connection, "withholding content", db => sqlx::query(
                    "INSERT INTO withdrawn (cid, digest, forgotten) VALUES ($1, $2, 1) \
                     ON CONFLICT (cid) DO NOTHING",
                )
                .bind(file.to_bytes())
                .bind(digest.to_string())
                .execute(db)
                .await
                .map(drop))?;
            }
            Ok(())
        })
        .await
    }

    /// Returns those of the digests whose content is withdrawn: its bytes may be removed at any moment.
    pub async fn withdrawn_among(
        &mut self,
        digests: &[CanonicalDigest],
    ) -> Result<HashSet<CanonicalDigest>> {
        let connection = self.connection();
        let mut found = HashSet::new();
        for chunk in digests.chunks(DIGESTS_AT_ONCE) {
            let is_prepared = connection.prepares(chunk.len());
            let rows: Vec<(String,)> = on!(connection, "finding withdrawn content", db => {
                let mut select =
                    QueryBuilder::new("SELECT DISTINCT digest FROM withdrawn WHERE digest IN (");
                let mut list = select.separated(", ");
                for digest in chunk {
                    list.push_bind(digest.to_string());
                }
                select.push(")");
                select.build_query_as().persistent(is_prepared).fetch_all(db).await
            })?;
            for (digest,) in &rows {
                found.insert(parsed(digest)?);
            }
        }
        Ok(found)
    }

    /// Withdraws content no longer.
    pub async fn end_withdrawal(&mut self, digests: &[CanonicalDigest]) -> Result<()> {
        self.write(async |connection| {
            for chunk in digests.chunks(DIGESTS_AT_ONCE) {
                let delete = "DELETE FROM withdrawn WHERE digest IN (";
                let delete = Statement::new("publishing content again", delete);
                let delete = delete.push_list(chunk.iter().map(ToString::to_string)).push(")");
                connection.run(delete).await?;
            }
            Ok(())
        })
        .await
    }

    /// Lists manifests of a tree that need content, the manifest itself among them, with their repositories; at most
    /// `limit`.
    pub async fn needing(
        &mut self,
        tree: TreeId,
        digest: &CanonicalDigest,
        limit: u32,
    ) -> Result<Vec<(RepositoryName, CanonicalDigest)>> {
        let connection = self.connection();
        let rows: Vec<(String, String)> = on!(connection, "listing who needs content", db => sqlx::query_as(
            "SELECT r.name, rm.canonical FROM repository_manifests rm \
             JOIN repositories r ON r.id = rm.repository WHERE rm.canonical = $1 AND r.tree = $3 \
             UNION SELECT r.name, e.canonical FROM repository_blobs rb \
             JOIN manifest_edges e ON e.repository = rb.repository AND e.target = rb.digest \
             JOIN repositories r ON r.id = rb.repository \
             WHERE rb.canonical = $1 AND rb.linked <> 0 AND r.tree = $3 \
             AND e.kind IN ('blob', 'child') ORDER BY 1, 2 LIMIT $2",
        )
        .bind(digest.to_string())
        .bind(i64::from(limit))
        .bind(tree.as_str())
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(name, canonical)| Ok((parsed(name)?, parsed(canonical)?))).collect()
    }

    /// Lists withdrawn content whose bytes are still stored.
    pub async fn withdrawn(&mut self) -> Result<Vec<CanonicalDigest>> {
        let connection = self.connection();
        let rows: Vec<(String,)> = on!(connection, "listing withdrawn content", db =>
            sqlx::query_as("SELECT DISTINCT digest FROM withdrawn WHERE forgotten = 0 ORDER BY digest")
                .fetch_all(db)
                .await)?;
        rows.iter().map(|(digest,)| parsed(digest)).collect()
    }

    /// Notes that the bytes of withdrawn content are no longer stored.
    pub async fn set_forgotten(&mut self, digest: &CanonicalDigest) -> Result<()> {
        self.write(async |connection| {
            on!(connection, "noting what was withdrawn", db =>
                sqlx::query("UPDATE withdrawn SET forgotten = 1 WHERE digest = $1")
                    .bind(digest.to_string())
                    .execute(db)
                    .await
                    .map(drop))
        })
        .await
    }
}
