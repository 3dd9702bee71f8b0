//! Manifests: what is stored, and which repository has it under which names.

use bytes::Bytes;
use cid::Cid;

use super::cache::FoundManifest;
use super::columns::{cid, parsed, signed};
use super::connection::{Connection, on};
use super::statement::Statement;
use super::{
    Index, Lookup, ManifestRow, NewManifest, Result, StoredManifest, Writer, edges, repositories,
};
use crate::ipld::{RAW, digest_of};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag, TreeId};

type Row = (String, String, Vec<u8>, String, Vec<u8>);

fn row((digest, canonical, bytes_cid, media_type, bytes): Row) -> Result<ManifestRow> {
    Ok(ManifestRow {
        digest: parsed(&digest)?,
        canonical: parsed(&canonical)?,
        cid: cid(&bytes_cid)?,
        media_type,
        bytes: Bytes::from(bytes),
    })
}

impl Index {
    /// Finds a stored manifest, in whatever repository.
    pub async fn stored_manifest(
        &self,
        digest: &CanonicalDigest,
    ) -> Result<Option<StoredManifest>> {
        stored(&mut self.read().await?, digest).await
    }

    /// Lists every name of a manifest in the repository, in no order.
    pub async fn manifests(&self, repository: &RepositoryName) -> Result<Vec<Digest>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String,)> = on!(connection, "listing manifests", db => sqlx::query_as(
                "SELECT n.digest FROM repositories r \
                 JOIN manifest_names n ON n.repository = r.id WHERE r.name = $1",
            )
            .bind(repository.as_str())
            .fetch_all(db)
            .await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }

    /// Finds a manifest that the repository has under that very name.
    pub async fn manifest(
        &self,
        repository: impl Into<Lookup<'_>>,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>> {
        Ok(self.found_manifest(repository.into(), digest).await?.map(|found| found.row))
    }

    /// The same with whether a tag or an index names it.
    pub(super) async fn found_manifest(
        &self,
        lookup: Lookup<'_>,
        digest: &Digest,
    ) -> Result<Option<FoundManifest>> {
        let read_row = async || find(&mut self.read().await?, lookup.repository, digest).await;
        self.cache.manifests().find(&self.generation, lookup, digest, read_row).await
    }

    /// Finds the manifest that a tag points to; `ManifestRow::digest` is the name it was tagged by.
    pub async fn tagged_manifest(
        &self,
        repository: impl Into<Lookup<'_>>,
        tag: &Tag,
    ) -> Result<Option<ManifestRow>> {
        let lookup = repository.into();
        let read_row = async || find_tagged(&mut self.read().await?, lookup.repository, tag).await;
        self.cache.tagged().find(&self.generation, lookup, tag, read_row).await
    }
}

impl Writer {
    /// Finds a manifest that the repository has under that very name.
    pub async fn manifest(
        &mut self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>> {
        Ok(find(self.connection(), repository, digest).await?.map(|found| found.row))
    }

    /// Finds a stored manifest, in whatever repository.
    pub async fn stored_manifest(
        &mut self,
        digest: &CanonicalDigest,
    ) -> Result<Option<StoredManifest>> {
        stored(self.connection(), digest).await
    }

    /// Lists every name of that manifest in the repository, ordered by digest as text.
    pub async fn manifest_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>> {
        let connection = self.connection();
        let rows: Vec<(String,)> = on!(connection, "listing a manifest's names", db => sqlx::query_as(
                "SELECT n.digest FROM repositories r \
                 JOIN manifest_names n ON n.repository = r.id AND n.canonical = $2 \
                 WHERE r.name = $1 ORDER BY n.digest",
            )
            .bind(repository.as_str())
            .bind(digest.to_string())
            .fetch_all(db)
            .await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }

    /// Forgets a stored manifest, unless a repository has it.
    pub async fn forget_manifest(&mut self, digest: &CanonicalDigest) -> Result<()> {
        self.write(async |connection| {
            on!(connection, "forgetting a manifest", db => sqlx::query(
                "DELETE FROM manifests WHERE digest = $1 \
                 AND NOT EXISTS (SELECT 1 FROM repository_manifests WHERE canonical = $1)",
            )
            .bind(digest.to_string())
            .execute(db)
            .await
            .map(drop))
        })
        .await
    }

    /// Gives a stored manifest to the repository under each of its names, with its edges.
    /// Repeating it replaces media type and edges, and adds names. Fails if it is not stored.
    pub async fn put_manifest(
        &mut self,
        repository: &RepositoryName,
        new: &NewManifest,
        now: i64,
    ) -> Result<()> {
        self.put_manifest_in(None, repository, new, now).await
    }

    /// The same, of a repository that is made in that tree, if need be.
    pub async fn put_manifest_in(
        &mut self,
        tree: Option<TreeId>,
        repository: &RepositoryName,
        new: &NewManifest,
        now: i64,
    ) -> Result<()> {
        self.write(async |connection| {
            let repository = repositories::ensure(connection, repository, tree, now).await?;
            let canonical = new.canonical.to_string();
            let text = format!(
                "INSERT INTO repository_manifests \
                 (repository, canonical, media_type, artifact_type, created, has_foreign_layers, untagged_since) \
                 VALUES ($1, $2, $3, $4, $5, $6, {}) ON CONFLICT (repository, canonical) DO UPDATE SET \
                 media_type = excluded.media_type, artifact_type = excluded.artifact_type, \
                 has_foreign_layers = excluded.has_foreign_layers, \
                 untagged_since = CASE WHEN repository_manifests.untagged_since IS NULL THEN NULL \
                 ELSE excluded.untagged_since END",
                connection.clock(),
            );
            let give = Statement::new("giving a manifest to a repository", &text)
            .bind(repository)
            .bind(canonical.as_str())
            .bind(new.media_type.as_str())
            .bind(new.artifact_type.as_deref())
            .bind(now)
            .bind(i64::from(new.has_foreign_layers));
            connection.run(give).await?;
            let own = Digest::from(new.canonical);
            let aliases = new.aliases.iter().filter(|alias| **alias != own);
            for name in std::iter::once(&own).chain(aliases) {
                let name = Statement::new(
                    "naming a manifest",
                    "INSERT INTO manifest_names (repository, digest, canonical) VALUES ($1, $2, $3) \
                     ON CONFLICT DO NOTHING",
                )
                .bind(repository)
                .bind(name.to_string())
                .bind(canonical.as_str());
                connection.run(name).await?;
            }
            edges::replace(connection, repository, &canonical, &new.edges).await
        })
        .await
    }

    /// Takes a manifest from the repository: every name, edge and tag of it. Its bytes stay stored.
    pub async fn remove_manifest(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<()> {
        self.write(async |connection| {
            for statement in [
                "DELETE FROM tags WHERE canonical = $2 \
                 AND repository = (SELECT id FROM repositories WHERE name = $1)",
                "DELETE FROM manifest_edges WHERE canonical = $2 \
                 AND repository = (SELECT id FROM repositories WHERE name = $1)",
                "DELETE FROM manifest_names WHERE canonical = $2 \
                 AND repository = (SELECT id FROM repositories WHERE name = $1)",
                "DELETE FROM repository_manifests WHERE canonical = $2 \
                 AND repository = (SELECT id FROM repositories WHERE name = $1)",
            ] {
                on!(connection, "removing a manifest", db => sqlx::query(statement)
                    .bind(repository.as_str())
                    .bind(digest.to_string())
                    .execute(db)
                    .await
                    .map(drop))?;
            }
            Ok(())
        })
        .await
    }

    /// Stores a manifest's bytes as [`Index::enqueue`](super::Index::enqueue) does, inside the transaction.
    pub async fn put_stored_manifest(&mut self, manifest: &StoredManifest) -> Result<()> {
        self.write(async |connection| store(connection, manifest).await).await
    }
}

/// Finds a manifest that the repository has under that very name.
pub(super) async fn find(
    connection: &mut Connection,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<FoundManifest>> {
    type Found = (String, String, Vec<u8>, String, Vec<u8>, bool);

    let found: Option<Found> = on!(connection, "finding a manifest", db => sqlx::query_as(
        "SELECT n.digest, m.digest, m.cid, rm.media_type, m.bytes, rm.untagged_since IS NOT NULL \
         FROM repositories r JOIN manifest_names n ON n.repository = r.id AND n.digest = $2 \
         JOIN repository_manifests rm ON rm.repository = r.id AND rm.canonical = n.canonical \
         JOIN manifests m ON m.digest = n.canonical WHERE r.name = $1",
    )
    .bind(repository.as_str())
    .bind(digest.to_string())
    .fetch_optional(db)
    .await)?;
    let found_manifest = |(digest, canonical, cid, media_type, bytes, is_untagged)| {
        let row = row((digest, canonical, cid, media_type, bytes))?;
        Ok(FoundManifest { row, is_untagged })
    };
    found.map(found_manifest).transpose()
}

/// Finds the manifest that a tag points to, by the name that it was tagged by.
async fn find_tagged(
    connection: &mut Connection,
    repository: &RepositoryName,
    tag: &Tag,
) -> Result<Option<ManifestRow>> {
    let found: Option<Row> = on!(connection, "finding a tagged manifest", db => sqlx::query_as(
        "SELECT t.digest, m.digest, m.cid, rm.media_type, m.bytes FROM repositories r \
         JOIN tags t ON t.repository = r.id AND t.name = $2 \
         JOIN repository_manifests rm ON rm.repository = r.id AND rm.canonical = t.canonical \
         JOIN manifests m ON m.digest = t.canonical WHERE r.name = $1",
    )
    .bind(repository.as_str())
    .bind(tag.as_str())
    .fetch_optional(db)
    .await)?;
    found.map(row).transpose()
}

/// Finds a stored manifest, in whatever repository.
pub(super) async fn stored(
    connection: &mut Connection,
    digest: &CanonicalDigest,
) -> Result<Option<StoredManifest>> {
    let found: Option<(Vec<u8>, Vec<u8>)> = on!(connection, "finding a stored manifest", db =>
            sqlx::query_as("SELECT cid, bytes FROM manifests WHERE digest = $1")
                .bind(digest.to_string())
                .fetch_optional(db)
                .await)?;
    let Some((bytes_cid, bytes)) = found else { return Ok(None) };
    let (cid, bytes) = (cid(&bytes_cid)?, Bytes::from(bytes));
    Ok(Some(StoredManifest { canonical: *digest, cid, bytes }))
}

/// Finds the bytes of a stored manifest by the CID of its file.
pub(super) async fn bytes_by_cid(
    connection: &mut Connection,
    manifest: &Cid,
) -> Result<Option<Bytes>> {
    // One that is a single leaf has its digest in its CID.
    let Some(digest) = digest_of(manifest).filter(|_| manifest.codec() == RAW) else {
        return Ok(None);
    };
    let found = stored(connection, &CanonicalDigest(digest)).await?;
    Ok(found.map(|manifest| manifest.bytes))
}

/// Stores a manifest's bytes, which no repository has by that yet.
pub(super) async fn store(connection: &mut Connection, manifest: &StoredManifest) -> Result<()> {
    let size = signed(manifest.bytes.len() as u64)?;
    let insert = format!(
        "INSERT INTO manifests (digest, cid, size, bytes, unowned_since) VALUES ($1, $2, $3, $4, {}) \
         ON CONFLICT (digest) DO NOTHING",
        connection.clock(),
    );
    on!(connection, "storing a manifest", db => sqlx::query(sqlx::AssertSqlSafe(insert))
    .bind(manifest.canonical.to_string())
    .bind(manifest.cid.to_bytes())
    .bind(size)
    .bind(&manifest.bytes[..])
    .execute(db)
    .await
    .map(drop))
}
