//! What a collection takes, under the writer's lock.

use std::collections::HashSet;

use sqlx::QueryBuilder;

use super::collectable::{self, Collectable, DIGESTS_AT_ONCE, FreeContent, WithForeignLayers};
use super::columns::{parsed, unsigned};
use super::connection::on;
use super::statement::Statement;
use super::{Result, Writer};
use crate::oci::{CanonicalDigest, Digest, RepositoryName};

/// Withdrawn content whose bytes may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgettable {
    /// The content.
    pub canonical: CanonicalDigest,
    /// In bytes; 0 where the index has it no more.
    pub size: u64,
    /// Whether it is a manifest.
    pub is_manifest: bool,
}

impl Writer {
    /// Returns the time of the database.
    pub async fn now(&mut self) -> Result<i64> {
        collectable::now(self.connection()).await
    }

    /// Returns those of these blobs of repositories that may be taken: no manifest of the repository has named any of
    /// their names since before that time. In a transaction, until whose end nobody renews them.
    pub async fn collectable(
        &mut self,
        pairs: &[(RepositoryName, CanonicalDigest)],
        before: i64,
    ) -> Result<Vec<Collectable>> {
        let connection = self.connection();
        let is_locking = !connection.is_lite();
        if is_locking {
            collectable::lock_ledgers(connection, pairs).await?;
        }
        collectable::collectable(connection, pairs, before, is_locking).await
    }

    /// Lists manifests of a repository that may name layers which need not be in the registry: some of them after `last`,
    /// by digest; none at the end.
    pub async fn manifests_with_foreign_layers(
        &mut self,
        repository: &RepositoryName,
        last: Option<&CanonicalDigest>,
    ) -> Result<Vec<WithForeignLayers>> {
        collectable::with_foreign_layers(self.connection(), repository, last).await
    }

    /// Returns a manifest of a repository if it may name layers which need not be in the registry.
    pub async fn manifest_with_foreign_layers(
        &mut self,
        repository: &RepositoryName,
        manifest: &CanonicalDigest,
    ) -> Result<Option<WithForeignLayers>> {
        collectable::manifest_with_foreign_layers(self.connection(), repository, manifest).await
    }

    /// Moves the time to now of those blobs of a repository that no manifest names, of these names: one that went named them
    /// in a way that is not noted.
    pub async fn renew_unnamed(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
    ) -> Result<()> {
        self.write(async |connection| {
            if !connection.is_lite() {
                collectable::lock_ledger(connection, repository).await?;
            }
            for chunk in names.chunks(DIGESTS_AT_ONCE) {
                let update = "UPDATE repository_blobs SET unreferenced_since = ";
                let update = Statement::new("renewing blobs", update).push(connection.clock());
                let update = update.push(" WHERE unreferenced_since IS NOT NULL AND repository = ");
                let update = update.push("(SELECT id FROM repositories WHERE name = ");
                let update = update.push_bind(repository.as_str()).push(") AND digest IN (");
                let update = update.push_list(chunk.iter().map(ToString::to_string)).push(")");
                connection.run(update).await?;
            }
            Ok(())
        })
        .await
    }

    /// Takes blobs from a repository, under these names.
    pub async fn remove_names(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
    ) -> Result<()> {
        self.write(async |connection| {
            for chunk in names.chunks(DIGESTS_AT_ONCE) {
                let delete = Statement::new(
                    "removing blobs",
                    "DELETE FROM repository_blobs WHERE repository = (SELECT id FROM repositories WHERE name = ",
                );
                let delete = delete.push_bind(repository.as_str()).push(") AND digest IN (");
                let delete = delete.push_list(chunk.iter().map(ToString::to_string)).push(")");
                connection.run(delete).await?;
            }
            Ok(())
        })
        .await
    }

    /// Returns those of the digests that no repository has, as a blob or as a manifest, of manifests those that none has
    /// had since before that time, and of which no tree has a node, nor had one that is still served.
    pub async fn free_content(
        &mut self,
        digests: &[CanonicalDigest],
        before: i64,
    ) -> Result<Vec<FreeContent>> {
        // A blob that any repository has stays.
        collectable::free_content(self.connection(), digests, before, i64::MIN).await
    }

    /// Lists withdrawn content whose bytes are stored, and that no repository has as a blob or a manifest, nor any tree
    /// a link to, in the order of its digests as text, after `last`, at most `limit`; of all, or of these digests.
    pub async fn forgettable(
        &mut self,
        among: Option<&[CanonicalDigest]>,
        last: Option<&CanonicalDigest>,
        limit: u32,
    ) -> Result<Vec<Forgettable>> {
        let connection = self.connection();
        let rows: Vec<(String, i64, bool)> = on!(connection, "listing content to forget", db => {
            let mut select = QueryBuilder::new(
                "SELECT w.digest, COALESCE((SELECT b.size FROM blobs b WHERE b.digest = w.digest), \
                 (SELECT m.size FROM manifests m WHERE m.digest = w.digest), 0), \
                 EXISTS (SELECT 1 FROM manifests m WHERE m.digest = w.digest) FROM ( \
                 SELECT DISTINCT digest FROM withdrawn WHERE forgotten = 0 AND digest > ",
            );
            select.push_bind(last.map(ToString::to_string).unwrap_or_default());
            if let Some(among) = among {
                select.push(" AND digest IN (");
                let mut digests = select.separated(", ");
                for digest in among {
                    digests.push_bind(digest.to_string());
                }
                select.push(")");
            }
            select.push(
                ") w WHERE NOT EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.canonical = w.digest) \
                 AND NOT EXISTS (SELECT 1 FROM repository_manifests rm WHERE rm.canonical = w.digest) \
                 ORDER BY w.digest LIMIT ",
            );
            select.push_bind(i64::from(limit));
            select.build_query_as().persistent(among.is_none()).fetch_all(db).await
        })?;
        let forgettable = |(digest, size, is_manifest): &(String, i64, bool)| {
            Ok(Forgettable {
                canonical: parsed(digest)?,
                size: unsigned(*size)?,
                is_manifest: *is_manifest,
            })
        };
        rows.iter().map(forgettable).collect()
    }

    /// Forgets where the blocks of a blob lie in it, at most so many; returns how many that was. For a blob that no
    /// repository has: a client that uploads it again sends all of them.
    pub async fn forget_blocks(&mut self, digest: &CanonicalDigest, limit: u32) -> Result<u64> {
        self.write(async |connection| {
            on!(connection, "forgetting blocks", db => sqlx::query(
                "DELETE FROM blob_blocks WHERE blob = (SELECT id FROM blobs WHERE digest = $1) \
                 AND cid IN (SELECT bb.cid FROM blob_blocks bb JOIN blobs b ON b.id = bb.blob \
                 WHERE b.digest = $1 LIMIT $2)",
            )
            .bind(digest.to_string())
            .bind(i64::from(limit))
            .execute(db)
            .await
            .map(|done| done.rows_affected()))
        })
        .await
    }

    /// Forgets stored content: blobs with their names and blocks, and manifests. Fails if a repository has some of it.
    pub async fn forget_contents(&mut self, digests: &[CanonicalDigest]) -> Result<()> {
        self.write(async |connection| {
            for chunk in digests.chunks(DIGESTS_AT_ONCE) {
                for (text, end) in [
                    (
                        "DELETE FROM blob_blocks WHERE blob IN (SELECT id FROM blobs WHERE digest IN (",
                        "))",
                    ),
                    ("DELETE FROM blob_aliases WHERE canonical IN (", ")"),
                    ("DELETE FROM blobs WHERE digest IN (", ")"),
                    ("DELETE FROM manifests WHERE digest IN (", ")"),
                ] {
                    let delete = Statement::new("forgetting content", text);
                    let delete = delete.push_list(chunk.iter().map(ToString::to_string)).push(end);
                    connection.run(delete).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Notes that the bytes of withdrawn content are no longer stored, and when that was.
    pub async fn set_contents_forgotten(&mut self, digests: &[CanonicalDigest]) -> Result<()> {
        self.write(async |connection| {
            for chunk in digests.chunks(DIGESTS_AT_ONCE) {
                let update = "UPDATE withdrawn SET forgotten = 1, forgotten_at = ";
                let update = Statement::new("noting what was forgotten", update);
                let update = update.push(connection.clock()).push(" WHERE digest IN (");
                let update = update.push_list(chunk.iter().map(ToString::to_string)).push(")");
                connection.run(update).await?;
            }
            Ok(())
        })
        .await
    }

    /// Returns those of the digests of which the index has a blob or a manifest.
    pub async fn known_among(
        &mut self,
        digests: &[CanonicalDigest],
    ) -> Result<HashSet<CanonicalDigest>> {
        collectable::known_among(self.connection(), digests).await
    }
}
