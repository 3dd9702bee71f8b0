//! Links: which names of a repository's blobs its tree has (`repository_blobs.linked`).

use super::columns::parsed;
use super::connection::on;
use super::statement::Statement;
use super::{Result, Writer};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, TreeId};

/// How many names go into one statement.
const NAMES_AT_ONCE: usize = 1000;

impl Writer {
    /// Notes whether its tree has the links to the repository's blobs by these names. Names without a blob
    /// in it are passed over.
    pub async fn set_linked(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
        linked: bool,
    ) -> Result<()> {
        self.write(async |connection| {
            let value = if linked { "1" } else { "0" };
            for chunk in names.chunks(NAMES_AT_ONCE) {
                let update =
                    Statement::new("noting links", "UPDATE repository_blobs SET linked = ")
                        .push(value)
                        .push(" WHERE linked <> ")
                        .push(value)
                        .push(" AND repository = (SELECT id FROM repositories WHERE name = ")
                        .push_bind(repository.as_str())
                        .push(") AND digest IN (")
                        .push_list(chunk.iter().map(ToString::to_string))
                        .push(")");
                connection.run(update).await?;
            }
            Ok(())
        })
        .await
    }

    /// Lists the names of the repository's blob that have a link in its tree, or may have one, ordered by
    /// digest as text.
    pub async fn linked_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>> {
        let connection = self.connection();
        let rows: Vec<(String,)> = on!(connection, "listing links to a blob", db => sqlx::query_as(
            "SELECT rb.digest FROM repositories r \
             JOIN repository_blobs rb ON rb.repository = r.id AND rb.canonical = $2 \
             WHERE r.name = $1 AND rb.linked <> 0 ORDER BY rb.digest",
        )
        .bind(repository.as_str())
        .bind(digest.to_string())
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }

    /// Lists those of these names that a manifest of the repository needs a link to a blob for: it names it as
    /// a blob, or as a child that the repository does not have as a manifest.
    pub async fn needed_names(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
    ) -> Result<Vec<Digest>> {
        let connection = self.connection();
        let mut needed = Vec::new();
        for name in names {
            let found: Option<(i64,)> = on!(connection, "finding what needs a link", db => sqlx::query_as(
                "SELECT r.id FROM repositories r \
                 JOIN manifest_edges e ON e.repository = r.id AND e.target = $2 \
                 WHERE r.name = $1 AND (e.kind = 'blob' OR (e.kind = 'child' AND NOT EXISTS ( \
                 SELECT 1 FROM manifest_names n WHERE n.repository = r.id AND n.digest = e.target))) \
                 LIMIT 1",
            )
            .bind(repository.as_str())
            .bind(name.to_string())
            .fetch_optional(db)
            .await)?;
            if found.is_some() {
                needed.push(*name);
            }
        }
        Ok(needed)
    }

    /// Tells whether any repository of a tree has content as a manifest, or the tree has a link to it as a blob, or
    /// may have one.
    pub async fn is_named(&mut self, tree: TreeId, digest: &CanonicalDigest) -> Result<bool> {
        let connection = self.connection();
        let found: Option<(i64,)> = on!(connection, "finding who names content", db => sqlx::query_as(
            "SELECT r.id FROM repository_manifests rm JOIN repositories r ON r.id = rm.repository \
             WHERE rm.canonical = $1 AND r.tree = $2 \
             UNION ALL SELECT r.id FROM repository_blobs rb JOIN repositories r ON r.id = rb.repository \
             WHERE rb.canonical = $1 AND rb.linked <> 0 AND r.tree = $2 LIMIT 1",
        )
        .bind(digest.to_string())
        .bind(tree.as_str())
        .fetch_optional(db)
        .await)?;
        Ok(found.is_some())
    }

    /// Lists links of which it is not known whether the tree has them, since an earlier version did not
    /// note it; at most `limit`.
    pub async fn unsettled_links(&mut self, limit: u32) -> Result<Vec<(RepositoryName, Digest)>> {
        let connection = self.connection();
        let rows: Vec<(String, String)> = on!(connection, "listing links", db => sqlx::query_as(
            "SELECT r.name, rb.digest FROM repository_blobs rb \
             JOIN repositories r ON r.id = rb.repository \
             WHERE rb.linked = 2 ORDER BY rb.repository, rb.digest LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(name, digest)| Ok((parsed(name)?, parsed(digest)?))).collect()
    }

    /// Takes the blobs from the repository under those names to which its tree has no link.
    pub async fn forget_unlinked(&mut self, repository: &RepositoryName) -> Result<()> {
        self.write(async |connection| {
            on!(connection, "forgetting blobs without links", db => sqlx::query(
                "DELETE FROM repository_blobs WHERE linked = 0 \
                 AND repository = (SELECT id FROM repositories WHERE name = $1)",
            )
            .bind(repository.as_str())
            .execute(db)
            .await
            .map(drop))
        })
        .await
    }
}
