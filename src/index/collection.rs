//! What a collection may take: blobs that no manifest of their repository names, and content that no repository has.
//!
//! Candidates are listed beside everything else. A [`Writer`] looks again, under its lock, before anything goes. Times
//! are those of the database, in milliseconds since the Unix epoch.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use cid::Cid;
use sqlx::QueryBuilder;

use super::columns::{cid, parsed, unsigned};
use super::connection::{Connection, on};
use super::statement::Statement;
use super::{Index, Result, Writer};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, TreeId};

/// How many digests go into one statement.
const DIGESTS_AT_ONCE: usize = 1000;

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

/// A blob that may be taken from a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collectable {
    /// The repository.
    pub repository: RepositoryName,
    /// In which tree it is.
    pub tree: TreeId,
    /// The blob.
    pub canonical: CanonicalDigest,
    /// All names that the repository has it by.
    pub names: Vec<Digest>,
    /// Whether the tree has links to it, or may have some.
    pub is_linked: bool,
}

/// Content that no repository has, and no root that is still served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeContent {
    /// The content.
    pub canonical: CanonicalDigest,
    /// Its file.
    pub cid: Cid,
    /// In bytes.
    pub size: u64,
    /// Whether it is a manifest.
    pub is_manifest: bool,
}

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
        now(&mut self.read().await?).await
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

    /// Returns those of these blobs of repositories that a collection would take, as [`Writer::collectable`] does.
    pub async fn collectable(
        &self,
        pairs: &[(RepositoryName, CanonicalDigest)],
        before: i64,
    ) -> Result<Vec<Collectable>> {
        collectable(&mut self.read().await?, pairs, before, false).await
    }

    /// Lists the manifests of a repository that may name layers which need not be in the registry, as
    /// [`Writer::manifests_with_foreign_layers`] does.
    pub async fn manifests_with_foreign_layers(
        &self,
        repository: &RepositoryName,
    ) -> Result<Vec<(String, Bytes)>> {
        with_foreign_layers(&mut self.read().await?, repository).await
    }

    /// Returns those of the digests that no repository would have once those blobs are taken that no manifest has named
    /// since before that time, as [`Writer::free_content`] does.
    pub async fn content_freed_by(
        &self,
        digests: &[CanonicalDigest],
        before: i64,
    ) -> Result<Vec<FreeContent>> {
        free_content(&mut self.read().await?, digests, before, before).await
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
        known_among(&mut self.read().await?, digests).await
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

impl Writer {
    /// Returns the time of the database.
    pub async fn now(&mut self) -> Result<i64> {
        now(self.connection()).await
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
        collectable(connection, pairs, before, is_locking).await
    }

    /// Lists the manifests of a repository that may name layers which need not be in the registry: media types and
    /// bytes.
    pub async fn manifests_with_foreign_layers(
        &mut self,
        repository: &RepositoryName,
    ) -> Result<Vec<(String, Bytes)>> {
        with_foreign_layers(self.connection(), repository).await
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
        free_content(self.connection(), digests, before, i64::MIN).await
    }

    /// Lists withdrawn content whose bytes are stored, and that no repository has as a blob or a manifest, nor any tree
    /// a link to, in the order of its digests as text, after `last`, at most `limit`.
    pub async fn forgettable(
        &mut self,
        last: Option<&CanonicalDigest>,
        limit: u32,
    ) -> Result<Vec<Forgettable>> {
        let connection = self.connection();
        let rows: Vec<(String, i64, bool)> = on!(connection, "listing content to forget", db => sqlx::query_as(
            "SELECT w.digest, COALESCE((SELECT b.size FROM blobs b WHERE b.digest = w.digest), \
             (SELECT m.size FROM manifests m WHERE m.digest = w.digest), 0), \
             EXISTS (SELECT 1 FROM manifests m WHERE m.digest = w.digest) FROM ( \
             SELECT DISTINCT digest FROM withdrawn WHERE forgotten = 0 AND digest > $1) w \
             WHERE NOT EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.canonical = w.digest) \
             AND NOT EXISTS (SELECT 1 FROM repository_manifests rm WHERE rm.canonical = w.digest) \
             ORDER BY w.digest LIMIT $2",
        )
        .bind(last.map(ToString::to_string).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        let forgettable = |(digest, size, is_manifest): &(String, i64, bool)| {
            Ok(Forgettable {
                canonical: parsed(digest)?,
                size: unsigned(*size)?,
                is_manifest: *is_manifest,
            })
        };
        rows.iter().map(forgettable).collect()
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
        known_among(self.connection(), digests).await
    }
}

async fn now(connection: &mut Connection) -> Result<i64> {
    let select = format!("SELECT {}", connection.clock());
    let (now,): (i64,) = on!(connection, "reading the time of the database", db =>
        sqlx::query_as(sqlx::AssertSqlSafe(select)).fetch_one(db).await)?;
    Ok(now)
}

async fn known_among(
    connection: &mut Connection,
    digests: &[CanonicalDigest],
) -> Result<HashSet<CanonicalDigest>> {
    let mut known = HashSet::new();
    for chunk in digests.chunks(DIGESTS_AT_ONCE) {
        for table in ["blobs", "manifests"] {
            let rows: Vec<(String,)> = on!(connection, "looking for stored content", db => {
                let select = format!("SELECT digest FROM {table} WHERE digest IN (");
                let mut select = QueryBuilder::new(select);
                let mut list = select.separated(", ");
                for digest in chunk {
                    list.push_bind(digest.to_string());
                }
                select.push(")");
                select.build_query_as().persistent(false).fetch_all(db).await
            })?;
            for (digest,) in &rows {
                known.insert(parsed(digest)?);
            }
        }
    }
    Ok(known)
}

async fn collectable(
    connection: &mut Connection,
    pairs: &[(RepositoryName, CanonicalDigest)],
    before: i64,
    is_locking: bool,
) -> Result<Vec<Collectable>> {
    type Row = (String, String, String, String, bool, i64, bool);

    let requested: HashSet<(&str, String)> =
        pairs.iter().map(|(name, canonical)| (name.as_str(), canonical.to_string())).collect();
    let digests: HashSet<String> =
        pairs.iter().map(|(_, canonical)| canonical.to_string()).collect();
    let digests: Vec<String> = digests.into_iter().collect();
    let mut found: HashMap<(String, String), (Collectable, i64)> = HashMap::new();
    for chunk in digests.chunks(DIGESTS_AT_ONCE) {
        let rows: Vec<Row> = on!(connection, "looking at unreferenced blobs again", db => {
            let mut select = QueryBuilder::new(
                "SELECT r.name, r.tree, rb.canonical, rb.digest, rb.linked <> 0, \
                 (SELECT COUNT(*) FROM repository_blobs o \
                 WHERE o.canonical = rb.canonical AND o.repository = rb.repository), \
                 EXISTS (SELECT 1 FROM manifest_edges e WHERE e.repository = rb.repository \
                 AND e.target = rb.digest AND e.kind <> 'subject') \
                 FROM repository_blobs rb JOIN repositories r ON r.id = rb.repository \
                 WHERE rb.unreferenced_since < ",
            );
            select.push_bind(before).push(" AND rb.canonical IN (");
            let mut list = select.separated(", ");
            for digest in chunk {
                list.push_bind(digest);
            }
            select.push(") ORDER BY rb.repository, rb.digest");
            if is_locking {
                select.push(" FOR UPDATE OF rb");
            }
            select.build_query_as().persistent(false).fetch_all(db).await
        })?;
        for (repository, tree, canonical, name, is_linked, names, is_named) in rows {
            if is_named || !requested.contains(&(repository.as_str(), canonical.clone())) {
                continue;
            }
            let row = Collectable {
                repository: parsed(&repository)?,
                tree: parsed(&tree)?,
                canonical: parsed(&canonical)?,
                names: Vec::new(),
                is_linked: false,
            };
            let entry = found.entry((repository, canonical)).or_insert((row, names));
            entry.0.names.push(parsed(&name)?);
            entry.0.is_linked |= is_linked;
        }
    }
    let mut collectable: Vec<Collectable> = found
        .into_values()
        // One of whose names was renewed, or is named, is none.
        .filter(|(row, names)| i64::try_from(row.names.len()) == Ok(*names))
        .map(|(row, _)| row)
        .collect();
    collectable.sort_by(|one, other| {
        (&one.repository, &one.canonical.0).cmp(&(&other.repository, &other.canonical.0))
    });
    Ok(collectable)
}

async fn with_foreign_layers(
    connection: &mut Connection,
    repository: &RepositoryName,
) -> Result<Vec<(String, Bytes)>> {
    let rows: Vec<(String, Vec<u8>)> = on!(connection, "listing manifests with foreign layers", db =>
        sqlx::query_as(
            "SELECT rm.media_type, m.bytes FROM repositories r \
             JOIN repository_manifests rm ON rm.repository = r.id AND rm.has_foreign_layers <> 0 \
             JOIN manifests m ON m.digest = rm.canonical WHERE r.name = $1",
        )
        .bind(repository.as_str())
        .fetch_all(db)
        .await)?;
    Ok(rows.into_iter().map(|(media_type, bytes)| (media_type, bytes.into())).collect())
}

/// Finds content that no repository has, but for blobs that no manifest has named since before `named_since`.
async fn free_content(
    connection: &mut Connection,
    digests: &[CanonicalDigest],
    before: i64,
    named_since: i64,
) -> Result<Vec<FreeContent>> {
    let mut free = Vec::new();
    let mut seen = HashSet::new();
    for chunk in digests.chunks(DIGESTS_AT_ONCE) {
        let rows: Vec<(String, Vec<u8>, i64, bool)> = on!(connection, "looking for content of no repository", db => {
            let mut select = QueryBuilder::new("SELECT c.digest, c.cid, c.size, \
                     EXISTS (SELECT 1 FROM manifests m WHERE m.digest = c.digest) FROM ( ");
            for (table, between) in [("blobs", " UNION "), ("manifests", ") c ")] {
                select.push(format!("SELECT digest, cid, size FROM {table} WHERE digest IN ("));
                let mut list = select.separated(", ");
                for digest in chunk {
                    list.push_bind(digest.to_string());
                }
                select.push(")").push(between);
            }
            select.push(
                "WHERE NOT EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.canonical = c.digest \
                 AND (rb.unreferenced_since IS NULL OR rb.unreferenced_since >= ",
            );
            select.push_bind(named_since).push(
                ")) \
                 AND NOT EXISTS (SELECT 1 FROM repository_manifests rm WHERE rm.canonical = c.digest) \
                 AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = c.digest \
                 AND (m.unowned_since IS NULL OR m.unowned_since >= ",
            );
            select.push_bind(before).push(
                ")) AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.cid = c.cid) ORDER BY c.digest",
            );
            select.build_query_as().persistent(false).fetch_all(db).await
        })?;
        for (digest, bytes, size, is_manifest) in rows {
            let canonical = parsed(&digest)?;
            if seen.insert(canonical) {
                free.push(FreeContent {
                    canonical,
                    cid: cid(&bytes)?,
                    size: unsigned(size)?,
                    is_manifest,
                });
            }
        }
    }
    Ok(free)
}
