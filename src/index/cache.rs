//! What pulls look up, cached in memory, and never stale: an entry counts only as long as the version
//! under which it was read.

use std::hash::Hash;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};

use super::generation::Generation;
use super::generation_reader::Seen;
use super::{BlobRow, Lookup, ManifestRow, Result};
use crate::oci::{Digest, RepositoryName, RepositoryRecord, Tag};

/// How many bytes of manifests are cached.
const MANIFEST_BYTES: u64 = 8 * 1024 * 1024;

/// How many bytes the rows of blobs may take.
const BLOB_BYTES: u64 = 2 * 1024 * 1024;

/// How many bytes the records of repositories may take.
const REPOSITORY_BYTES: u64 = 1024 * 1024;

/// Into how many parts each kind is divided; a part has its share of the bytes, and one lock.
const SHARDS: usize = 4;

/// What an entry takes beside its text, about.
const ENTRY_BYTES: u64 = 512;

/// What was found of late, by a repository and a name in it. What is absent is never cached.
pub(super) struct RowCache {
    blobs: Found<Digest, FoundBlob>,
    manifests: Found<Digest, FoundManifest>,
    tagged: Found<Tag, ManifestRow>,
    repositories: Found<(), RepositoryRecord>,
}

/// A blob of a repository.
#[derive(Clone)]
pub(super) struct FoundBlob {
    pub(super) row: BlobRow,
    /// Whether no manifest of the repository names it: then what a client learns of it is noted in the index.
    pub(super) is_unreferenced: bool,
}

/// A manifest of a repository, by a digest.
#[derive(Clone)]
pub(super) struct FoundManifest {
    pub(super) row: ManifestRow,
    /// Whether no tag and no index of the repository names it.
    pub(super) is_untagged: bool,
}

impl RowCache {
    pub(super) fn new() -> Self {
        Self {
            blobs: Found::new(BLOB_BYTES),
            manifests: Found::new(MANIFEST_BYTES / 2),
            tagged: Found::new(MANIFEST_BYTES / 2),
            repositories: Found::new(REPOSITORY_BYTES),
        }
    }

    pub(super) fn blobs(&self) -> &Found<Digest, FoundBlob> {
        &self.blobs
    }

    pub(super) fn manifests(&self) -> &Found<Digest, FoundManifest> {
        &self.manifests
    }

    pub(super) fn tagged(&self) -> &Found<Tag, ManifestRow> {
        &self.tagged
    }

    pub(super) fn repositories(&self) -> &Found<(), RepositoryRecord> {
        &self.repositories
    }
}

/// Rows of one kind.
pub(super) struct Found<Name, Row>(Cache<(RepositoryName, Name), (Seen, Row), Weights>);

impl<Name: Clone + Eq + Hash, Row: Clone + Size> Found<Name, Row> {
    fn new(bytes: u64) -> Self {
        let rows = usize::try_from(bytes / ENTRY_BYTES).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(rows)
            .weight_capacity(bytes)
            .build()
            .expect("all that is needed was given");
        Self(Cache::with_options(
            options,
            Weights,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ))
    }

    /// Returns the cached row, or looks it up. Valid is a row of the state that the look-up names, or without one,
    /// of the current state. A row is cached only if the index did not change while it was looked up.
    pub(super) async fn find(
        &self,
        generation: &Generation,
        target: Lookup<'_>,
        name: &Name,
        look_up: impl AsyncFnOnce() -> Result<Option<Row>>,
    ) -> Result<Option<Row>> {
        self.find_shown(generation, target, name, |_| true, look_up).await
    }

    /// The same for a caller to whom only such rows are shown. For others the cache does nothing, as for a row that is
    /// absent: so the caller cannot tell one from the other by the time that it takes.
    pub(super) async fn find_shown(
        &self,
        generation: &Generation,
        Lookup { repository, as_of }: Lookup<'_>,
        name: &Name,
        is_shown: impl Fn(&Row) -> bool,
        look_up: impl AsyncFnOnce() -> Result<Option<Row>>,
    ) -> Result<Option<Row>> {
        let now = match as_of {
            Some(_) => as_of,
            None => generation.seen().await?,
        };
        let Some(now) = now else { return look_up().await };
        if let Some((seen, row)) = self.0.get(&KeyRef(repository, name))
            && seen == now
            && is_shown(&row)
        {
            return Ok(Some(row));
        }
        let found = look_up().await?;
        if let Some(row) = &found
            && is_shown(row)
            && generation.seen().await.is_ok_and(|later| later == Some(now))
        {
            self.0.insert((repository.clone(), name.clone()), (now, row.clone()));
        }
        Ok(found)
    }
}

/// A key that is only looked for.
#[derive(Hash)]
struct KeyRef<'key, Name>(&'key RepositoryName, &'key Name);

impl<Name: Eq> Equivalent<(RepositoryName, Name)> for KeyRef<'_, Name>
where
    Name: Hash,
{
    fn equivalent(&self, (repository, name): &(RepositoryName, Name)) -> bool {
        self.0 == repository && self.1 == name
    }
}

/// How much memory a row takes.
pub(super) trait Size {
    /// Bytes beside [`ENTRY_BYTES`].
    fn size(&self) -> u64;
}

impl Size for FoundBlob {
    fn size(&self) -> u64 {
        0
    }
}

impl Size for RepositoryRecord {
    fn size(&self) -> u64 {
        0
    }
}

impl Size for FoundManifest {
    fn size(&self) -> u64 {
        self.row.size()
    }
}

impl Size for ManifestRow {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

#[derive(Clone)]
struct Weights;

impl<Name, Row: Size> Weighter<(RepositoryName, Name), (Seen, Row)> for Weights {
    fn weight(&self, _: &(RepositoryName, Name), (_, row): &(Seen, Row)) -> u64 {
        ENTRY_BYTES + row.size()
    }
}
