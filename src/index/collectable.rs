//! The queries of a collection: what may be taken, looked at beside everything else, and again under the lock.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use sqlx::QueryBuilder;

use super::Result;
use super::columns::{parsed, unsigned};
use super::connection::{Connection, on};
use super::new_repositories::first_component;
use crate::oci::{CanonicalDigest, Digest, RepositoryName, TreeId};

/// How many digests go into one statement.
pub(super) const DIGESTS_AT_ONCE: usize = 1000;

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
    /// In bytes.
    pub size: u64,
    /// Whether it is a manifest.
    pub is_manifest: bool,
}

/// Returns the time of the database.
pub(super) async fn now(connection: &mut Connection) -> Result<i64> {
    let select = format!("SELECT {}", connection.clock());
    let (now,): (i64,) = on!(connection, "reading the time of the database", db =>
        sqlx::query_as(sqlx::AssertSqlSafe(select)).fetch_one(db).await)?;
    Ok(now)
}

pub(super) async fn known_among(
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

/// Takes the ledgers of namespaces, which come before all other rows of these: an upload has its ledger when it waits for
/// a blob.
pub(super) async fn lock_ledgers(
    connection: &mut Connection,
    pairs: &[(RepositoryName, CanonicalDigest)],
) -> Result<()> {
    lock_ledgers_of(connection, pairs.iter().map(|(repository, _)| repository)).await
}

/// The same of one repository.
pub(super) async fn lock_ledger(
    connection: &mut Connection,
    repository: &RepositoryName,
) -> Result<()> {
    lock_ledgers_of(connection, [repository]).await
}

async fn lock_ledgers_of(
    connection: &mut Connection,
    repositories: impl IntoIterator<Item = &RepositoryName>,
) -> Result<()> {
    let namespaces: BTreeSet<&str> = repositories.into_iter().map(first_component).collect();
    if namespaces.is_empty() {
        return Ok(());
    }
    on!(connection, "taking the ledgers of namespaces", db => {
        let mut select = QueryBuilder::new("SELECT namespace FROM namespace_usage WHERE namespace IN (");
        let mut list = select.separated(", ");
        for namespace in &namespaces {
            list.push_bind(*namespace);
        }
        select.push(") ORDER BY namespace FOR UPDATE");
        select.build().persistent(false).execute(db).await.map(drop)
    })
}

pub(super) async fn collectable(
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

/// How many manifests with foreign layers are read at a time: each may have some megabytes.
const MANIFESTS_AT_ONCE: i64 = 8;

/// A manifest that may name layers which need not be in the registry: its digest, its media type and its bytes.
pub type WithForeignLayers = (CanonicalDigest, String, Bytes);

pub(super) async fn with_foreign_layers(
    connection: &mut Connection,
    repository: &RepositoryName,
    last: Option<&CanonicalDigest>,
) -> Result<Vec<WithForeignLayers>> {
    let rows: Vec<(String, String, Vec<u8>)> = on!(connection, "listing manifests with foreign layers", db =>
        sqlx::query_as(
            "SELECT rm.canonical, rm.media_type, m.bytes FROM repositories r \
             JOIN repository_manifests rm ON rm.repository = r.id AND rm.has_foreign_layers <> 0 \
             JOIN manifests m ON m.digest = rm.canonical WHERE r.name = $1 AND rm.canonical > $2 \
             ORDER BY rm.canonical LIMIT $3",
        )
        .bind(repository.as_str())
        .bind(last.map(ToString::to_string).unwrap_or_default())
        .bind(MANIFESTS_AT_ONCE)
        .fetch_all(db)
        .await)?;
    rows.into_iter().map(read_manifest).collect()
}

pub(super) async fn manifest_with_foreign_layers(
    connection: &mut Connection,
    repository: &RepositoryName,
    manifest: &CanonicalDigest,
) -> Result<Option<WithForeignLayers>> {
    let row: Option<(String, String, Vec<u8>)> = on!(connection, "reading a manifest with foreign layers", db =>
        sqlx::query_as(
            "SELECT rm.canonical, rm.media_type, m.bytes FROM repositories r \
             JOIN repository_manifests rm ON rm.repository = r.id AND rm.has_foreign_layers <> 0 \
             JOIN manifests m ON m.digest = rm.canonical WHERE r.name = $1 AND rm.canonical = $2",
        )
        .bind(repository.as_str())
        .bind(manifest.to_string())
        .fetch_optional(db)
        .await)?;
    row.map(read_manifest).transpose()
}

fn read_manifest(
    (digest, media_type, bytes): (String, String, Vec<u8>),
) -> Result<WithForeignLayers> {
    Ok((parsed(&digest)?, media_type, bytes.into()))
}

/// Finds content that no repository has, but for blobs that no manifest has named since before `named_since`.
pub(super) async fn free_content(
    connection: &mut Connection,
    digests: &[CanonicalDigest],
    before: i64,
    named_since: i64,
) -> Result<Vec<FreeContent>> {
    let mut free = Vec::new();
    let mut seen = HashSet::new();
    for chunk in digests.chunks(DIGESTS_AT_ONCE) {
        let rows: Vec<(String, i64, bool)> = on!(connection, "looking for content of no repository", db => {
            let mut select = QueryBuilder::new("SELECT c.digest, c.size, \
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
        for (digest, size, is_manifest) in rows {
            let canonical = parsed(&digest)?;
            if seen.insert(canonical) {
                free.push(FreeContent { canonical, size: unsigned(size)?, is_manifest });
            }
        }
    }
    Ok(free)
}
