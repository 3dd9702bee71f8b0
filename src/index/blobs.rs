//! Blobs: what is stored, and which repository has it.

use std::collections::HashMap;

use cid::Cid;
use sqlx::QueryBuilder;

use super::cache::FoundBlob;
use super::columns::{cid, parsed, signed, unsigned};
use super::connection::{Connection, on};
use super::{
    BlobRow, Destination, Index, IndexError, IndexErrorKind, Lookup, NewBlob, Result, Writer,
    blocks, manifests, repositories, usage,
};
use crate::oci::{CanonicalDigest, Digest, RepositoryName};

/// How many names go into one statement.
const NAMES_AT_ONCE: usize = 1000;

type Row = (String, Vec<u8>, i64);

/// Reads a row of `blobs`.
fn row((canonical, bytes, size): Row) -> Result<BlobRow> {
    Ok(BlobRow { canonical: parsed(&canonical)?, cid: cid(&bytes)?, size: unsigned(size)? })
}

impl Index {
    /// Finds a blob that the repository has under that very name.
    pub async fn blob(
        &self,
        repository: impl Into<Lookup<'_>>,
        digest: &Digest,
    ) -> Result<Option<BlobRow>> {
        Ok(self.found_blob(repository.into(), digest).await?.map(|found| found.row))
    }

    /// The same with whether a manifest names it.
    pub(super) async fn found_blob(
        &self,
        lookup: Lookup<'_>,
        digest: &Digest,
    ) -> Result<Option<FoundBlob>> {
        let read_row = async || find(&mut self.read().await?, lookup.repository, digest).await;
        self.cache.blobs().find(&self.generation, lookup, digest, read_row).await
    }

    /// Finds a blob by its canonical digest, in whatever repository, also where its bytes are lost.
    pub async fn stored_blob(&self, digest: &CanonicalDigest) -> Result<Option<BlobRow>> {
        stored(&mut self.read().await?, digest).await
    }

    /// Lists the canonical digests of stored blobs and manifests of all repositories, ordered as text,
    /// after `last`, at most `limit`.
    pub async fn stored_content(
        &self,
        last: Option<&CanonicalDigest>,
        limit: u32,
    ) -> Result<Vec<CanonicalDigest>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String,)> = on!(connection, "listing what is stored", db => sqlx::query_as(
            "SELECT digest FROM blobs WHERE digest > $1 \
             UNION SELECT digest FROM manifests WHERE digest > $1 ORDER BY digest LIMIT $2",
        )
        .bind(last.map(ToString::to_string).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(digest,)| parsed(digest)).collect()
    }

    /// Lists repositories that have the blob under that name, at most `limit`: those that came first,
    /// so that it costs the same however many have it.
    pub async fn repositories_with_blob(
        &self,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<RepositoryName>> {
        repositories_with(&mut self.read().await?, digest, limit).await
    }

    /// Records a finished blob under each of its names for the repository. Repeating it succeeds. Fails where the
    /// namespace would have more than its quota allows, or where the repository was removed.
    pub async fn record_blob(
        &self,
        destination: impl Into<Destination<'_>>,
        blob: &NewBlob,
        now: i64,
    ) -> Result<()> {
        let destination = destination.into();
        let may_be_limited = self.may_have_quotas().await?;
        let mut connection = self.begin().await?;
        record_within_quota(&mut connection, destination, blob, may_be_limited, now).await?;
        connection.commit().await
    }

    /// Gives the repository a blob that another one has, under that name (and under its canonical
    /// one). Returns false, changing nothing, when the blob is not stored. Repeating it succeeds. Fails where the
    /// namespace would have more than its quota allows, or where the repository was removed.
    pub async fn mount_blob(
        &self,
        destination: impl Into<Destination<'_>>,
        digest: &Digest,
        now: i64,
    ) -> Result<bool> {
        let destination = destination.into();
        let may_be_limited = self.may_have_quotas().await?;
        let mut connection = self.begin().await?;
        let mounted = mount(&mut connection, destination, digest, may_be_limited, now).await?;
        connection.commit().await?;
        Ok(mounted)
    }
}

impl Writer {
    /// Finds a blob that the repository has under that very name, also where its bytes are lost.
    pub async fn blob(
        &mut self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobRow>> {
        find_recorded(self.connection(), repository, digest).await
    }

    /// Finds those of these blobs that the repository has, each under that very name, and whose bytes are not lost.
    pub async fn blobs(
        &mut self,
        repository: &RepositoryName,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, BlobRow>> {
        self.find_blobs(repository, digests, "b.state <> 'lost' AND ").await
    }

    /// The same, also where bytes are lost.
    pub async fn recorded_blobs(
        &mut self,
        repository: &RepositoryName,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, BlobRow>> {
        self.find_blobs(repository, digests, "").await
    }

    async fn find_blobs(
        &mut self,
        repository: &RepositoryName,
        digests: &[Digest],
        condition: &str,
    ) -> Result<HashMap<Digest, BlobRow>> {
        let connection = self.connection();
        let mut found = HashMap::with_capacity(digests.len());
        for chunk in digests.chunks(NAMES_AT_ONCE) {
            let is_prepared = connection.prepares(chunk.len());
            let rows: Vec<(String, String, Vec<u8>, i64)> = on!(connection, "finding blobs", db => {
                let mut select = QueryBuilder::new(
                    "SELECT rb.digest, b.digest, b.cid, b.size FROM repositories r \
                     JOIN repository_blobs rb ON rb.repository = r.id \
                     JOIN blobs b ON b.digest = rb.canonical WHERE ",
                );
                select.push(condition).push("r.name = ");
                select.push_bind(repository.as_str()).push(" AND rb.digest IN (");
                let mut list = select.separated(", ");
                for digest in chunk {
                    list.push_bind(digest.to_string());
                }
                select.push(")");
                select.build_query_as().persistent(is_prepared).fetch_all(db).await
            })?;
            for (name, canonical, cid, size) in rows {
                found.insert(parsed(&name)?, row((canonical, cid, size))?);
            }
        }
        Ok(found)
    }

    /// Lists every name of that blob in the repository, ordered by digest as text.
    pub async fn blob_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>> {
        let connection = self.connection();
        let rows: Vec<(String,)> = on!(connection, "listing a blob's names", db => sqlx::query_as(
            "SELECT rb.digest FROM repositories r \
             JOIN repository_blobs rb ON rb.repository = r.id AND rb.canonical = $2 \
             WHERE r.name = $1 ORDER BY rb.digest",
        )
        .bind(repository.as_str())
        .bind(digest.to_string())
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }

    /// Returns the CID of stored content, of a blob or a manifest.
    pub async fn content_cid(&mut self, digest: &CanonicalDigest) -> Result<Option<Cid>> {
        if let Some(blob) = stored(self.connection(), digest).await? {
            return Ok(Some(blob.cid));
        }
        Ok(manifests::stored(self.connection(), digest).await?.map(|manifest| manifest.cid))
    }

    /// Lists repositories that have the blob, as
    /// [`Index::repositories_with_blob`](super::Index::repositories_with_blob) does.
    pub async fn repositories_with(
        &mut self,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<RepositoryName>> {
        repositories_with(self.connection(), digest, limit).await
    }

    /// Takes a blob from the repository, under every name.
    pub async fn remove_blob(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<()> {
        self.write(async |connection| {
            on!(connection, "removing a blob", db => sqlx::query(
                "DELETE FROM repository_blobs WHERE canonical = $2 \
                 AND repository = (SELECT id FROM repositories WHERE name = $1)",
            )
            .bind(repository.as_str())
            .bind(digest.to_string())
            .execute(db)
            .await
            .map(drop))
        })
        .await
    }

    /// Forgets a stored blob, its names and its blocks. Fails if a repository has it.
    pub async fn forget_blob(&mut self, digest: &CanonicalDigest) -> Result<()> {
        self.write(async |connection| {
            for statement in [
                "DELETE FROM blob_blocks WHERE blob = (SELECT id FROM blobs WHERE digest = $1)",
                "DELETE FROM blob_aliases WHERE canonical = $1",
                "DELETE FROM blobs WHERE digest = $1",
            ] {
                on!(connection, "forgetting a blob", db =>
                    sqlx::query(statement).bind(digest.to_string()).execute(db).await.map(drop))?;
            }
            Ok(())
        })
        .await
    }

    /// Records a blob for a repository as [`Index::record_blob`](super::Index::record_blob) does, inside the transaction.
    pub async fn put_blob(
        &mut self,
        repository: Option<&RepositoryName>,
        blob: &NewBlob,
        now: i64,
    ) -> Result<()> {
        let destination = repository.map(Into::into);
        self.write(async |connection| record(connection, destination, blob, now).await).await
    }
}

/// Finds a blob that the repository has under that very name, unless its bytes are lost.
pub(super) async fn find(
    connection: &mut Connection,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<FoundBlob>> {
    let found: Option<(String, Vec<u8>, i64, bool)> = on!(connection, "finding a blob", db => sqlx::query_as(
        "SELECT b.digest, b.cid, b.size, rb.unreferenced_since IS NOT NULL FROM repositories r \
         JOIN repository_blobs rb ON rb.repository = r.id AND rb.digest = $2 \
         JOIN blobs b ON b.digest = rb.canonical WHERE r.name = $1 AND b.state <> 'lost'",
    )
    .bind(repository.as_str())
    .bind(digest.to_string())
    .fetch_optional(db)
    .await)?;
    let found_blob = |(canonical, cid, size, is_unreferenced)| {
        Ok(FoundBlob { row: row((canonical, cid, size))?, is_unreferenced })
    };
    found.map(found_blob).transpose()
}

/// Finds a blob that the repository has under that very name, also where its bytes are lost.
pub(super) async fn find_recorded(
    connection: &mut Connection,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<BlobRow>> {
    let found: Option<Row> = on!(connection, "finding a recorded blob", db => sqlx::query_as(
        "SELECT b.digest, b.cid, b.size FROM repositories r \
         JOIN repository_blobs rb ON rb.repository = r.id AND rb.digest = $2 \
         JOIN blobs b ON b.digest = rb.canonical WHERE r.name = $1",
    )
    .bind(repository.as_str())
    .bind(digest.to_string())
    .fetch_optional(db)
    .await)?;
    found.map(row).transpose()
}

/// Finds a blob, in whatever repository, also where its bytes are lost.
async fn stored(connection: &mut Connection, digest: &CanonicalDigest) -> Result<Option<BlobRow>> {
    let found: Option<Row> = on!(connection, "finding a stored blob", db =>
        sqlx::query_as("SELECT digest, cid, size FROM blobs WHERE digest = $1")
            .bind(digest.to_string())
            .fetch_optional(db)
            .await)?;
    found.map(row).transpose()
}

/// Lists repositories that have the blob under that name, those that are here longest first.
async fn repositories_with(
    connection: &mut Connection,
    digest: &Digest,
    limit: u32,
) -> Result<Vec<RepositoryName>> {
    let rows: Vec<(String,)> = on!(connection, "listing who has a blob", db => sqlx::query_as(
        "SELECT r.name FROM repository_blobs rb JOIN repositories r ON r.id = rb.repository \
         WHERE rb.digest = $1 ORDER BY rb.repository LIMIT $2",
    )
    .bind(digest.to_string())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await)?;
    rows.iter().map(|(name,)| parsed(name)).collect()
}

/// Records a blob for the repository as [`record`] does; if the namespace has too many bytes then, it undoes the
/// transaction and fails. In a transaction.
pub(super) async fn record_within_quota(
    connection: &mut Connection,
    destination: Destination<'_>,
    new: &NewBlob,
    may_be_limited: bool,
    now: i64,
) -> Result<()> {
    let repository = destination.repository;
    repositories::hold(connection, repository, false).await?;
    let BlobRow { canonical, size, .. } = &new.blob;
    let is_limited = may_be_limited && usage::is_limited(connection, repository, canonical).await?;
    record(connection, Some(destination), new, now).await?;
    if is_limited { usage::check(connection, repository, *size).await } else { Ok(()) }
}

/// Records a blob, and gives it to the repository under each of its names. In a transaction.
pub(super) async fn record(
    connection: &mut Connection,
    destination: Option<Destination<'_>>,
    new: &NewBlob,
    now: i64,
) -> Result<()> {
    let BlobRow { canonical, cid, size } = new.blob;
    let size = signed(size)?;
    let (id,): (i64,) = on!(connection, "recording a blob", db => sqlx::query_as(
        "INSERT INTO blobs (digest, cid, size, touched) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (digest) DO UPDATE SET cid = excluded.cid, size = excluded.size, \
         state = 'live', touched = excluded.touched RETURNING id",
    )
    .bind(canonical.to_string())
    .bind(cid.to_bytes())
    .bind(size)
    .bind(now)
    .fetch_one(db)
    .await)?;
    for alias in new.aliases.iter().filter(|alias| alias.canonical().is_none()) {
        on!(connection, "recording a blob's name", db => sqlx::query(
            "INSERT INTO blob_aliases (alias, canonical) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(alias.to_string())
        .bind(canonical.to_string())
        .execute(db)
        .await
        .map(drop))?;
    }
    blocks::record(connection, id, &new.blocks).await?;
    match destination {
        Some(destination) => give(connection, destination, canonical, &new.aliases, now).await,
        None => Ok(()),
    }
}

/// Tells whether a blob is at most one block, and has no name but its canonical one.
pub(super) fn is_small(new: &NewBlob) -> bool {
    let own = Digest::from(new.blob.canonical);
    new.blocks.len() <= 1 && new.aliases.iter().all(|alias| *alias == own)
}

/// How often a blob is given anew that a collection takes meanwhile.
const ATTEMPTS: usize = 5;

/// Gives a stored blob to the repository under each of these names and its canonical one.
async fn give(
    connection: &mut Connection,
    destination: Destination<'_>,
    canonical: CanonicalDigest,
    aliases: &[Digest],
    now: i64,
) -> Result<()> {
    let repository = repositories::ensure(connection, destination, None, now).await?;
    let own = Digest::from(canonical);
    let aliases = aliases.iter().filter(|alias| **alias != own);
    let names: Vec<&Digest> = std::iter::once(&own).chain(aliases).collect();
    for _ in 0..ATTEMPTS {
        let mut was_there = false;
        for name in &names {
            was_there |= !add_name(connection, repository, name, canonical).await?;
        }
        if !was_there {
            return Ok(());
        }
        // After the rows that are counted: those who wait for each other take them in the same order.
        renew(connection, repository, &own).await?;
        // A collection of another process may have had the rows, and taken them once this did not wait for them any more.
        if names_of(connection, repository, canonical).await? >= names.len() {
            return Ok(());
        }
    }
    let why = "a collection takes it each time";
    Err(IndexError::new(IndexErrorKind::Unavailable, "giving a blob to a repository", why))
}

/// Gives a blob to a repository under a name; returns whether it had none of that name.
async fn add_name(
    connection: &mut Connection,
    repository: i64,
    name: &Digest,
    canonical: CanonicalDigest,
) -> Result<bool> {
    let insert = format!(
        "INSERT INTO repository_blobs (repository, digest, canonical, unreferenced_since) \
         VALUES ($1, $2, $3, {}) ON CONFLICT DO NOTHING",
        connection.clock(),
    );
    on!(connection, "giving a blob to a repository", db => {
        sqlx::query(sqlx::AssertSqlSafe(insert))
            .bind(repository)
            .bind(name.to_string())
            .bind(canonical.to_string())
            .execute(db)
            .await
            .map(|done| done.rows_affected() > 0)
    })
}

/// Counts the names by which a repository has a blob.
async fn names_of(
    connection: &mut Connection,
    repository: i64,
    canonical: CanonicalDigest,
) -> Result<usize> {
    let count: i64 = on!(connection, "counting the names of a blob", db => sqlx::query_scalar(
        "SELECT COUNT(*) FROM repository_blobs WHERE repository = $1 AND canonical = $2",
    )
    .bind(repository)
    .bind(canonical.to_string())
    .fetch_one(db)
    .await)?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// Moves the time of a blob to now, if it has one.
async fn renew(connection: &mut Connection, repository: i64, digest: &Digest) -> Result<()> {
    let update = format!(
        "UPDATE repository_blobs SET unreferenced_since = {} \
         WHERE repository = $1 AND digest = $2 AND unreferenced_since IS NOT NULL",
        connection.clock(),
    );
    on!(connection, "renewing a blob", db => sqlx::query(sqlx::AssertSqlSafe(update))
        .bind(repository)
        .bind(digest.to_string())
        .execute(db)
        .await
        .map(drop))
}

/// Gives a stored blob to the repository under that name and its canonical one. Returns false when
/// it is not stored. In a transaction.
async fn mount(
    connection: &mut Connection,
    destination: Destination<'_>,
    digest: &Digest,
    may_be_limited: bool,
    now: i64,
) -> Result<bool> {
    repositories::hold(connection, destination.repository, false).await?;
    let canonical: CanonicalDigest = if let Some(canonical) = digest.canonical() {
        canonical
    } else {
        let found: Option<(String,)> = on!(connection, "resolving a blob's name", db =>
            sqlx::query_as("SELECT canonical FROM blob_aliases WHERE alias = $1")
                .bind(digest.to_string())
                .fetch_optional(db)
                .await)?;
        let Some((canonical,)) = found else { return Ok(false) };
        parsed(&canonical)?
    };
    let size: Option<(i64,)> = on!(connection, "touching a blob", db =>
        sqlx::query_as("UPDATE blobs SET touched = $2 WHERE digest = $1 AND state <> 'lost' RETURNING size")
            .bind(canonical.to_string())
            .bind(now)
            .fetch_optional(db)
            .await)?;
    let Some((size,)) = size else { return Ok(false) };
    let repository = destination.repository;
    let is_limited =
        may_be_limited && usage::is_limited(connection, repository, &canonical).await?;
    give(connection, destination, canonical, &[*digest], now).await?;
    if is_limited {
        usage::check(connection, repository, unsigned(size)?).await?;
    }
    Ok(true)
}
