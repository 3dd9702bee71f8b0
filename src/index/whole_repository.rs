//! All that a repository has in its tree, for its way to another one.

use super::columns::{cid, parsed, unsigned};
use super::connection::{Connection, on};
use super::{BlobRow, Result, TagRow, Writer, repositories};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag};

/// All that a repository has in its tree. Each list is in the order of digests or tags as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WholeRepository {
    /// The content of its manifests and linked blobs.
    pub contents: Vec<BlobRow>,
    /// The names of its linked blobs, and what they name.
    pub blobs: Vec<(Digest, CanonicalDigest)>,
    /// The names of its manifests, and what they name.
    pub manifests: Vec<(Digest, CanonicalDigest)>,
    /// Its manifests that refer to another, with that.
    pub subjects: Vec<(CanonicalDigest, Digest)>,
    /// Its tags.
    pub tags: Vec<(Tag, TagRow)>,
}

type Pair = (String, String);

impl Writer {
    /// Lists all that a repository has in its tree.
    pub async fn whole_repository(
        &mut self,
        repository: &RepositoryName,
    ) -> Result<WholeRepository> {
        let connection = self.connection();
        let tags: Vec<(String, String, String)> = on!(connection, "listing tags", db => sqlx::query_as(
            "SELECT t.name, t.digest, t.canonical FROM repositories r \
             JOIN tags t ON t.repository = r.id WHERE r.name = $1 ORDER BY t.name",
        )
        .bind(repository.as_str())
        .fetch_all(db)
        .await)?;
        let tag = |(name, digest, canonical): (String, String, String)| {
            let row = TagRow { digest: parsed(&digest)?, canonical: parsed(&canonical)? };
            Ok((parsed(&name)?, row))
        };
        let pair = |(one, other): Pair| Ok((parsed(&one)?, parsed(&other)?));
        let blobs = linked_blobs(connection, repository).await?;
        let manifests = manifest_names(connection, repository).await?;
        let subjects: Vec<Pair> = on!(connection, "listing referrers", db => sqlx::query_as(
            "SELECT e.canonical, e.target FROM repositories r \
             JOIN manifest_edges e ON e.repository = r.id \
             WHERE r.name = $1 AND e.kind = 'subject' ORDER BY e.canonical, e.target",
        )
        .bind(repository.as_str())
        .fetch_all(db)
        .await)?;
        Ok(WholeRepository {
            contents: contents(connection, repository).await?,
            blobs: blobs.into_iter().map(pair).collect::<Result<_>>()?,
            manifests: manifests.into_iter().map(pair).collect::<Result<_>>()?,
            subjects: (subjects.into_iter())
                .map(|(canonical, subject)| Ok((parsed(&canonical)?, parsed(&subject)?)))
                .collect::<Result<_>>()?,
            tags: tags.into_iter().map(tag).collect::<Result<_>>()?,
        })
    }
}

impl Writer {
    /// Ends the uploads into a repository that is about to be removed, and keeps others from giving it anything until the
    /// transaction ends. To be called in a transaction before all else: who ends an upload has its row, and goes on to the
    /// repository and to the ledger of its namespace.
    pub async fn begin_removal(&mut self, repository: &RepositoryName) -> Result<()> {
        begin_removal(self.connection(), repository).await
    }

    /// Removes a repository with all that it has, and the uploads into it; one that is absent is no error. Bytes stay
    /// stored.
    pub async fn remove_repository(&mut self, repository: &RepositoryName) -> Result<()> {
        self.write(async |connection| {
            connection.set_has_changed_records();
            begin_removal(connection, repository).await?;
            for statement in [
                "DELETE FROM tags WHERE repository = (SELECT id FROM repositories WHERE name = $1)",
                "DELETE FROM manifest_edges \
                 WHERE repository = (SELECT id FROM repositories WHERE name = $1)",
                "DELETE FROM manifest_names \
                 WHERE repository = (SELECT id FROM repositories WHERE name = $1)",
                "DELETE FROM repository_manifests \
                 WHERE repository = (SELECT id FROM repositories WHERE name = $1)",
                "DELETE FROM repository_blobs \
                 WHERE repository = (SELECT id FROM repositories WHERE name = $1)",
                "DELETE FROM repositories WHERE name = $1",
            ] {
                on!(connection, "removing a repository", db =>
                    sqlx::query(statement).bind(repository.as_str()).execute(db).await.map(drop))?;
            }
            Ok(())
        })
        .await
    }
}

async fn begin_removal(connection: &mut Connection, repository: &RepositoryName) -> Result<()> {
    // Once: an upload that comes later has its row while it waits for the end of this transaction.
    if !connection.begins_removal(repository) {
        return Ok(());
    }
    on!(connection, "ending uploads", db =>
        sqlx::query("DELETE FROM uploads WHERE repository = $1")
            .bind(repository.as_str())
            .execute(db)
            .await
            .map(drop))?;
    repositories::hold(connection, repository, true).await
}

/// Lists the names of the blobs to which the tree has links, or may have some.
async fn linked_blobs(
    connection: &mut Connection,
    repository: &RepositoryName,
) -> Result<Vec<Pair>> {
    on!(connection, "listing links", db => sqlx::query_as(
        "SELECT rb.digest, rb.canonical FROM repositories r \
         JOIN repository_blobs rb ON rb.repository = r.id \
         WHERE r.name = $1 AND rb.linked <> 0 ORDER BY rb.digest",
    )
    .bind(repository.as_str())
    .fetch_all(db)
    .await)
}

async fn manifest_names(
    connection: &mut Connection,
    repository: &RepositoryName,
) -> Result<Vec<Pair>> {
    on!(connection, "listing manifests", db => sqlx::query_as(
        "SELECT n.digest, n.canonical FROM repositories r \
         JOIN manifest_names n ON n.repository = r.id WHERE r.name = $1 ORDER BY n.digest",
    )
    .bind(repository.as_str())
    .fetch_all(db)
    .await)
}

/// Lists the content of manifests and linked blobs.
async fn contents(
    connection: &mut Connection,
    repository: &RepositoryName,
) -> Result<Vec<BlobRow>> {
    let rows: Vec<(String, Vec<u8>, i64)> = on!(connection, "listing content", db => sqlx::query_as(
        "SELECT b.digest, b.cid, b.size FROM repositories r \
         JOIN repository_blobs rb ON rb.repository = r.id JOIN blobs b ON b.digest = rb.canonical \
         WHERE r.name = $1 AND rb.linked <> 0 \
         UNION SELECT m.digest, m.cid, m.size FROM repositories r \
         JOIN repository_manifests rm ON rm.repository = r.id JOIN manifests m ON m.digest = rm.canonical \
         WHERE r.name = $1 ORDER BY 1",
    )
    .bind(repository.as_str())
    .fetch_all(db)
    .await)?;
    let content = |(canonical, bytes, size): (String, Vec<u8>, i64)| {
        Ok(BlobRow { canonical: parsed(&canonical)?, cid: cid(&bytes)?, size: unsigned(size)? })
    };
    rows.into_iter().map(content).collect()
}
