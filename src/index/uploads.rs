//! Uploads under way, and which of several requests may continue one.

use super::columns::{damaged, signed, unsigned};
use super::connection::{Connection, on};
use super::new_repositories::first_component;
use super::{
    BlobRow, Claim, Destination, Index, NewBlob, Result, UploadKey, UploadRow, UploadState, blobs,
    usage,
};
use crate::oci::{RepositoryName, Visibility};

/// That the claim on an upload is valid, and that its repository is not another one than it has to be.
macro_rules! may_end {
    () => {
        "EXISTS (SELECT 1 FROM uploads WHERE id = $1 AND claim = $2 AND ($14 IS NULL OR EXISTS \
         (SELECT 1 FROM repositories WHERE name = $3 AND id = $14 AND created = $15)))"
    };
}

/// What [`Index::finish_upload`] does for a small blob, in one transaction; it returns a row if [`may_end`] holds, and
/// changes nothing if not.
const FINISH_SMALL: &str = concat!(
    "BEGIN IMMEDIATE; \
     INSERT INTO blobs (digest, cid, size, touched) SELECT $4, $5, $6, $7 WHERE ",
    may_end!(),
    " ON CONFLICT (digest) DO UPDATE SET cid = excluded.cid, size = excluded.size, \
     state = 'live', touched = excluded.touched; \
     INSERT INTO blob_blocks (cid, blob, start, length, node) SELECT $8, id, $9, $10, $11 FROM blobs \
     WHERE digest = $4 AND $8 IS NOT NULL AND ",
    may_end!(),
    " ON CONFLICT DO NOTHING; \
     INSERT INTO repositories (name, visibility, tree, created) \
     SELECT $3, visibility, CASE visibility WHEN 'public' THEN 'public' ELSE 'private' END, $7 FROM ( \
     SELECT COALESCE((SELECT default_visibility FROM namespaces WHERE name = $13), $12) AS visibility) WHERE ",
    may_end!(),
    " ON CONFLICT (name) DO NOTHING; \
     INSERT INTO repository_blobs (repository, digest, canonical, unreferenced_since) \
     SELECT id, $4, $4, CAST(unixepoch('subsec') * 1000 AS INTEGER) FROM repositories \
     WHERE name = $3 AND ",
    may_end!(),
    " ON CONFLICT (repository, digest) DO UPDATE SET unreferenced_since = excluded.unreferenced_since \
     WHERE repository_blobs.unreferenced_since IS NOT NULL; \
     DELETE FROM uploads WHERE id = $1 AND ",
    may_end!(),
    " RETURNING 1; \
     COMMIT"
);

fn row(key: &UploadKey<'_>, offset: u64, checkpoint: Vec<u8>) -> UploadRow {
    UploadRow {
        id: key.id.to_owned(),
        repository: key.repository.clone(),
        owner: key.owner.to_owned(),
        offset,
        checkpoint,
    }
}

/// The parameters of a claim on an upload.
struct ClaimRequest<'a> {
    /// Which upload, and its caller.
    pub(super) key: &'a UploadKey<'a>,
    /// Where the request believes it to stand.
    pub(super) offset: Option<u64>,
    /// A fresh token.
    pub(super) claim: &'a str,
    /// Claims older than this have lapsed.
    pub(super) stale_before: i64,
    /// The time.
    pub(super) now: i64,
}

impl Index {
    /// Records a new upload with nothing received, under an id that was never used. The repository
    /// need not exist, and does not come to be by it.
    pub async fn create_upload(
        &self,
        id: &str,
        repository: &RepositoryName,
        owner: &str,
        now: i64,
    ) -> Result<()> {
        let connection = &mut self.write_hastily().await?;
        on!(connection, "creating an upload", db => sqlx::query(
            "INSERT INTO uploads (id, repository, owner, received, checkpoint, created, touched) \
             VALUES ($1, $2, $3, 0, $4, $5, $5)",
        )
        .bind(id)
        .bind(repository.as_str())
        .bind(owner)
        .bind(Vec::<u8>::new())
        .bind(now)
        .execute(db)
        .await
        .map(drop))
    }

    /// Finds an upload of the repository that this user began.
    pub async fn upload(&self, key: &UploadKey<'_>) -> Result<Option<UploadRow>> {
        let connection = &mut self.read().await?;
        let found: Option<(i64, Vec<u8>)> = on!(connection, "finding an upload", db => sqlx::query_as(
                "SELECT received, checkpoint FROM uploads \
                 WHERE id = $1 AND repository = $2 AND owner = $3",
            )
            .bind(key.id)
            .bind(key.repository.as_str())
            .bind(key.owner)
            .fetch_optional(db)
            .await)?;
        let Some((received, checkpoint)) = found else { return Ok(None) };
        let offset = unsigned(received)?;
        Ok(Some(row(key, offset, checkpoint)))
    }

    /// Claims an upload that this user began for one request, if no claim on it is younger than
    /// `stale_before`, and if its offset is `offset` (where given). `claim` is a fresh token. An
    /// upload with such a claim is [`Claim::Busy`], wherever it stands.
    pub async fn claim_upload(
        &self,
        key: &UploadKey<'_>,
        offset: Option<u64>,
        claim: &str,
        stale_before: i64,
        now: i64,
    ) -> Result<Claim> {
        let request = ClaimRequest { key, offset, claim, stale_before, now };
        let mut connection = self.write_hastily().await?;
        if let Some(granted) = claim_at_once(&mut connection, &request).await? {
            return Ok(Claim::Granted(granted));
        }
        connection.begin().await?;
        let claimed = claim_by(&mut connection, &request).await?;
        match claimed {
            Claim::Granted(_) => connection.commit().await?,
            Claim::Busy(_) | Claim::Offset(_) | Claim::Unknown => connection.rollback().await?,
        }
        Ok(claimed)
    }

    /// Stores a checkpoint and gives the claim back. Returns false, changing nothing, when the claim
    /// is no longer valid.
    pub async fn save_upload(
        &self,
        id: &str,
        claim: &str,
        offset: u64,
        checkpoint: &[u8],
        now: i64,
    ) -> Result<bool> {
        let connection = &mut self.write_hastily().await?;
        save(connection, (id, claim), offset, checkpoint, now).await
    }

    /// The same for an upload to a repository whose namespace may have a quota. Fails, changing nothing, where the blob
    /// would be more than that allows, with what other uploads to the namespace have saved: of several that are saved at
    /// once, each counts those before it.
    pub async fn save_upload_within_quota(
        &self,
        row: &UploadRow,
        claim: &str,
        offset: u64,
        checkpoint: &[u8],
        now: i64,
    ) -> Result<bool> {
        let mut connection = self.begin().await?;
        if !save(&mut connection, (&row.id, claim), offset, checkpoint, now).await? {
            connection.rollback().await?;
            return Ok(false);
        }
        usage::check_upload(&mut connection, &row.repository, &row.id, offset).await?;
        connection.commit().await?;
        Ok(true)
    }

    /// Makes a claim as young as `now`. Returns false, changing nothing, when it is no longer valid.
    pub async fn renew_upload(&self, id: &str, claim: &str, now: i64) -> Result<bool> {
        let connection = &mut self.write_hastily().await?;
        let renewed = on!(connection, "renewing a claim on an upload", db => sqlx::query(
            "UPDATE uploads SET claimed = $3, touched = $3 WHERE id = $1 AND claim = $2",
        )
        .bind(id)
        .bind(claim)
        .bind(now)
        .execute(db)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(renewed > 0)
    }

    /// Gives a claim back, leaving offset and checkpoint as they are. Succeeds when it is not valid.
    pub async fn release_upload(&self, id: &str, claim: &str) -> Result<()> {
        let connection = &mut self.write_hastily().await?;
        on!(connection, "releasing an upload", db => sqlx::query(
            "UPDATE uploads SET claim = NULL, claimed = NULL WHERE id = $1 AND claim = $2",
        )
        .bind(id)
        .bind(claim)
        .execute(db)
        .await
        .map(drop))
    }

    /// Forgets an upload and records the blob that it came to, in one step, if the claim is valid.
    /// Returns false, changing nothing, when it is not. Fails where the namespace would have more than its quota allows, or
    /// where the repository was removed.
    pub async fn finish_upload(
        &self,
        id: &str,
        claim: &str,
        destination: impl Into<Destination<'_>>,
        blob: &NewBlob,
        now: i64,
    ) -> Result<bool> {
        let destination = destination.into();
        let may_be_limited = self.may_have_quotas().await?;
        let mut connection = self.write().await?;
        if connection.is_lite() && blobs::is_small(blob) && !may_be_limited {
            return finish_small(&mut connection, (id, claim), destination, blob, now).await;
        }
        connection.begin().await?;
        if !remove_claimed(&mut connection, id, claim).await? {
            connection.rollback().await?;
            return Ok(false);
        }
        blobs::record_within_quota(&mut connection, destination, blob, may_be_limited, now).await?;
        connection.commit().await?;
        Ok(true)
    }

    /// Forgets an upload. Returns whether it was there.
    pub async fn remove_upload(&self, id: &str) -> Result<bool> {
        let connection = &mut self.write_hastily().await?;
        let removed = on!(connection, "removing an upload", db =>
            sqlx::query("DELETE FROM uploads WHERE id = $1")
                .bind(id)
                .execute(db)
                .await
                .map(|done| done.rows_affected()))?;
        Ok(removed > 0)
    }

    /// Forgets uploads untouched since before `before` without a claim younger than
    /// `stale_before`, of whatever repository. Returns which they were.
    pub async fn purge_uploads(&self, before: i64, stale_before: i64) -> Result<Vec<String>> {
        let connection = &mut self.write_hastily().await?;
        let rows: Vec<(String,)> = on!(connection, "purging uploads", db => sqlx::query_as(
            "DELETE FROM uploads WHERE touched < $1 AND (claim IS NULL OR claimed < $2) RETURNING id",
        )
        .bind(before)
        .bind(stale_before)
        .fetch_all(db)
        .await)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Returns how many uploads there are.
    pub async fn upload_count(&self) -> Result<u64> {
        count(&mut self.read().await?).await
    }

    /// Returns how many bytes all uploads have saved.
    pub async fn upload_bytes(&self) -> Result<u64> {
        let connection = &mut self.read().await?;
        let (bytes,): (i64,) = on!(connection, "measuring uploads", db => sqlx::query_as(
            "SELECT CAST(COALESCE(SUM(received), 0) AS BIGINT) FROM uploads",
        )
        .fetch_one(db)
        .await)?;
        unsigned(bytes)
    }

    /// Returns how many bytes uploads to the namespace of a repository have saved, but for that one.
    pub async fn upload_bytes_beside(&self, repository: &RepositoryName, id: &str) -> Result<u64> {
        usage::bytes_beside(&mut self.read().await?, repository, id).await
    }

    /// Lists uploads with what an operator wants to know of them, those that were continued longest ago first;
    /// claims older than `stale_before` have lapsed.
    pub async fn uploads(&self, stale_before: i64) -> Result<Vec<UploadState>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String, String, i64, i64, bool)> = on!(connection, "listing uploads", db => sqlx::query_as(
            "SELECT id, repository, received, touched, claim IS NOT NULL AND claimed >= $1 FROM uploads \
             ORDER BY touched, id",
        )
        .bind(stale_before)
        .fetch_all(db)
        .await)?;
        let state = |(id, name, received, touched, is_claimed): (_, String, _, _, _)| {
            let repository =
                name.parse().map_err(|_| damaged("listing uploads", "a name is none"))?;
            Ok(UploadState { id, repository, received: unsigned(received)?, touched, is_claimed })
        };
        rows.into_iter().map(state).collect()
    }

    /// Lists the uploads into a repository.
    pub async fn upload_ids_of(&self, repository: &RepositoryName) -> Result<Vec<String>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String,)> = on!(connection, "listing uploads", db =>
            sqlx::query_as("SELECT id FROM uploads WHERE repository = $1 ORDER BY id")
                .bind(repository.as_str())
                .fetch_all(db)
                .await)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Lists every upload.
    pub async fn upload_ids(&self) -> Result<Vec<String>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String,)> = on!(connection, "listing uploads", db =>
            sqlx::query_as("SELECT id FROM uploads ORDER BY id").fetch_all(db).await)?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }
}

/// Claims an upload by one statement if all its conditions hold; none says only that one of them does not.
async fn claim_at_once(
    connection: &mut Connection,
    request: &ClaimRequest<'_>,
) -> Result<Option<UploadRow>> {
    let offset = request.offset.map(signed).transpose()?;
    // To its end: SQLite commits after the last row, and may fail there.
    let mut found: Vec<(i64, Vec<u8>)> = on!(connection, "claiming an upload", db => sqlx::query_as(
        "UPDATE uploads SET claim = $4, claimed = $5, touched = $5 \
         WHERE id = $1 AND repository = $2 AND owner = $3 AND (claim IS NULL OR claimed < $6) \
         AND received = COALESCE($7, received) RETURNING received, checkpoint",
    )
    .bind(request.key.id)
    .bind(request.key.repository.as_str())
    .bind(request.key.owner)
    .bind(request.claim)
    .bind(request.now)
    .bind(request.stale_before)
    .bind(offset)
    .fetch_all(db)
    .await)?;
    let Some((received, checkpoint)) = found.pop() else { return Ok(None) };
    Ok(Some(row(request.key, unsigned(received)?, checkpoint)))
}

/// Claims an upload, or says why not. In a transaction.
async fn claim_by(connection: &mut Connection, request: &ClaimRequest<'_>) -> Result<Claim> {
    // An update that changes nothing keeps all others off the row until the transaction ends.
    let found: Option<(i64, Option<i64>)> = on!(connection, "looking at an upload", db => sqlx::query_as(
            "UPDATE uploads SET touched = touched WHERE id = $1 AND repository = $2 AND owner = $3 \
             RETURNING received, CASE WHEN claim IS NULL THEN NULL ELSE claimed END",
        )
        .bind(request.key.id)
        .bind(request.key.repository.as_str())
        .bind(request.key.owner)
        .fetch_optional(db)
        .await)?;
    let Some((received, claimed)) = found else { return Ok(Claim::Unknown) };
    let stands_at = unsigned(received)?;
    if claimed.is_some_and(|claimed| claimed >= request.stale_before) {
        return Ok(Claim::Busy(stands_at));
    }
    if request.offset.is_some_and(|offset| offset != stands_at) {
        return Ok(Claim::Offset(stands_at));
    }
    let (checkpoint,): (Vec<u8>,) = on!(connection, "claiming an upload", db => sqlx::query_as(
            "UPDATE uploads SET claim = $2, claimed = $3, touched = $3 WHERE id = $1 \
             RETURNING checkpoint",
        )
        .bind(request.key.id)
        .bind(request.claim)
        .bind(request.now)
        .fetch_one(db)
        .await)?;
    Ok(Claim::Granted(row(request.key, stands_at, checkpoint)))
}

/// Lets all claims lapse: for a database that has one process at a time, when it starts.
pub(super) async fn release_all(connection: &mut Connection) -> Result<()> {
    on!(connection, "releasing all uploads", db => sqlx::query(
        "UPDATE uploads SET claim = NULL, claimed = NULL WHERE claim IS NOT NULL",
    )
    .execute(db)
    .await
    .map(drop))
}

/// Stores a checkpoint and gives the claim back, if it is valid; returns whether it is.
async fn save(
    connection: &mut Connection,
    (id, claim): (&str, &str),
    offset: u64,
    checkpoint: &[u8],
    now: i64,
) -> Result<bool> {
    let offset = signed(offset)?;
    let saved = on!(connection, "saving an upload", db => sqlx::query(
        "UPDATE uploads SET received = $3, checkpoint = $4, touched = $5, claim = NULL, \
         claimed = NULL WHERE id = $1 AND claim = $2",
    )
    .bind(id)
    .bind(claim)
    .bind(offset)
    .bind(checkpoint)
    .bind(now)
    .execute(db)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(saved > 0)
}

/// Forgets an upload, if the claim on it is valid; returns whether it is.
async fn remove_claimed(connection: &mut Connection, id: &str, claim: &str) -> Result<bool> {
    let removed = on!(connection, "ending an upload", db =>
        sqlx::query("DELETE FROM uploads WHERE id = $1 AND claim = $2")
            .bind(id)
            .bind(claim)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
    Ok(removed > 0)
}

/// Ends the upload of a [small](blobs::is_small) blob on SQLite.
async fn finish_small(
    connection: &mut Connection,
    (id, claim): (&str, &str),
    Destination { repository, identity }: Destination<'_>,
    blob: &NewBlob,
    now: i64,
) -> Result<bool> {
    let BlobRow { canonical, cid, size } = &blob.blob;
    let size = signed(*size)?;
    let block = blob.blocks.first();
    let new_visibility = connection.new_visibility();
    let namespace = new_visibility.map(|_| first_component(repository));
    let start = block.map(|block| signed(block.start)).transpose()?;
    let length = block.map(|block| signed(block.length)).transpose()?;
    let ended = connection.script("ending an upload", async |db| {
        sqlx::query_as::<_, (i64,)>(FINISH_SMALL)
            .bind(id)
            .bind(claim)
            .bind(repository.as_str())
            .bind(canonical.to_string())
            .bind(cid.to_bytes())
            .bind(size)
            .bind(now)
            .bind(block.map(|block| block.cid.to_bytes()))
            .bind(start)
            .bind(length)
            .bind(block.and_then(|block| block.node.as_deref()))
            .bind(new_visibility.unwrap_or(Visibility::Public).as_str())
            .bind(namespace)
            .bind(identity.map(|identity| identity.id))
            .bind(identity.map(|identity| identity.created))
            .fetch_all(db)
            .await
    });
    Ok(!ended.await?.is_empty())
}

/// Counts the uploads.
async fn count(connection: &mut Connection) -> Result<u64> {
    let (count,): (i64,) = on!(connection, "counting uploads", db =>
        sqlx::query_as("SELECT count(*) FROM uploads").fetch_one(db).await)?;
    unsigned(count)
}
