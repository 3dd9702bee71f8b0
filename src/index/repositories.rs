//! Repositories: rows that come into being when something is written for them.

use super::columns::{parsed, unsigned};
use super::connection::{Connection, on};
use super::{
    Destination, Index, IndexError, IndexErrorKind, Lookup, Result, Writer, new_repositories,
};
use crate::oci::{
    IndexState, RepositoryIdentity, RepositoryName, RepositoryRecord, TreeId, Visibility,
};

impl Index {
    /// Says who may see repositories that this process makes from now on, where their namespace does not say it. None,
    /// as it is until this is called: everybody, whatever their namespaces say.
    pub fn set_new_visibility(&self, default: Option<Visibility>) {
        self.new_repositories.set(default);
    }

    /// Returns who may see a repository when it is made now.
    pub async fn new_visibility(&self, repository: &RepositoryName) -> Result<Visibility> {
        if self.new_repositories.get().is_none() {
            return Ok(Visibility::Public);
        }
        new_repositories::visibility(&mut self.read().await?, repository).await
    }

    /// Tells whether the repository has a blob or a manifest.
    pub async fn repository_exists(&self, repository: &RepositoryName) -> Result<bool> {
        let connection = &mut self.read().await?;
        let found: Option<(i64,)> = on!(connection, "finding a repository", db => sqlx::query_as(
            "SELECT id FROM repositories r WHERE name = $1 AND ( \
             EXISTS (SELECT 1 FROM repository_manifests m WHERE m.repository = r.id) \
             OR EXISTS (SELECT 1 FROM repository_blobs b WHERE b.repository = r.id))",
        )
        .bind(repository.as_str())
        .fetch_optional(db)
        .await)?;
        Ok(found.is_some())
    }

    /// Lists repositories that have a manifest, of all trees or of one, bytewise after `last`, at most `limit`.
    pub async fn repositories(
        &self,
        tree: Option<TreeId>,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RepositoryName>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String,)> = on!(connection, "listing repositories", db => sqlx::query_as(
            "SELECT name FROM repositories r \
             WHERE (CAST($1 AS TEXT) IS NULL OR tree = $1) AND name > $2 AND \
             EXISTS (SELECT 1 FROM repository_manifests m WHERE m.repository = r.id) \
             ORDER BY name LIMIT $3",
        )
        .bind(tree.map(TreeId::as_str))
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }

    /// Lists repositories that these may see, with or without a manifest, bytewise after `last`, at most `limit`.
    pub async fn repositories_seen_by(
        &self,
        visibility: Visibility,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RepositoryName>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String,)> = on!(connection, "listing repositories", db => sqlx::query_as(
            "SELECT name FROM repositories WHERE visibility = $1 AND name > $2 ORDER BY name LIMIT $3",
        )
        .bind(visibility.as_str())
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }

    /// Counts the repositories that not everybody may see, with or without a manifest.
    pub async fn non_public_count(&self) -> Result<u64> {
        let connection = &mut self.read().await?;
        let (count,): (i64,) = on!(connection, "counting repositories", db => sqlx::query_as(
            "SELECT count(*) FROM repositories WHERE visibility <> 'public' OR tree <> 'public'",
        )
        .fetch_one(db)
        .await)?;
        unsigned(count)
    }

    /// Returns what is known of a repository, and under which state of the index; none before something was written
    /// for it.
    pub async fn repository(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<RepositoryRecord>> {
        self.repository_shown(repository, |_| true).await
    }

    /// The same for a caller who may learn only of repositories with a visibility that `is_shown` allows. That there is
    /// another one takes the same queries as that there is none, whatever the cache has.
    pub async fn repository_shown(
        &self,
        repository: &RepositoryName,
        is_shown: impl Fn(Visibility) -> bool,
    ) -> Result<Option<RepositoryRecord>> {
        let as_of = self.generation.seen().await?;
        self.shown_as_of(repository, as_of, is_shown).await
    }

    /// The same as [`Index::repository`] under a state that was seen in the same request ([`Index::states`]), which saves
    /// a query of it; none where the index did not say.
    pub async fn repository_as_of(
        &self,
        repository: &RepositoryName,
        as_of: Option<IndexState>,
    ) -> Result<Option<RepositoryRecord>> {
        self.shown_as_of(repository, as_of, |_| true).await
    }

    async fn shown_as_of(
        &self,
        repository: &RepositoryName,
        as_of: Option<IndexState>,
        is_shown: impl Fn(Visibility) -> bool,
    ) -> Result<Option<RepositoryRecord>> {
        let read_row = async || find(&mut self.read().await?, repository).await;
        let found = if as_of.is_some() {
            // Of a database that others write to, it is known only whether anything has changed.
            let lookup = Lookup { repository, as_of: as_of.filter(|_| self.is_shared()) };
            let is_shown = |record: &RepositoryRecord| is_shown(record.visibility);
            let cached = self.cache.repositories();
            cached.find_shown(&self.records, lookup, &(), is_shown, read_row).await?
        } else {
            read_row().await?
        };
        Ok(found.map(|record| RepositoryRecord { as_of, ..record }))
    }
}

impl Writer {
    /// Returns who may see a repository when it is made now.
    pub async fn new_visibility(&mut self, repository: &RepositoryName) -> Result<Visibility> {
        new_repositories::visibility(self.connection(), repository).await
    }

    /// Returns what is known of a repository; none before something was written for it.
    pub async fn repository(
        &mut self,
        repository: &RepositoryName,
    ) -> Result<Option<RepositoryRecord>> {
        find(self.connection(), repository).await
    }

    /// Returns in which tree a repository is, or would be if it were made now.
    pub async fn tree_of(&mut self, repository: &RepositoryName) -> Result<TreeId> {
        match self.repository(repository).await? {
            Some(record) => Ok(record.tree),
            None => Ok(self.new_visibility(repository).await?.tree()),
        }
    }

    /// Says who may see a repository, and so in which tree it is. It is made if need be; what a tree has of it is
    /// another matter.
    pub async fn set_visibility(
        &mut self,
        repository: &RepositoryName,
        visibility: Visibility,
        now: i64,
    ) -> Result<()> {
        self.write(async |connection| {
            connection.set_has_changed_records();
            let id = ensure(connection, repository, Some(visibility.tree()), now).await?;
            on!(connection, "setting who may see a repository", db =>
                sqlx::query("UPDATE repositories SET visibility = $2, tree = $3 WHERE id = $1")
                    .bind(id)
                    .bind(visibility.as_str())
                    .bind(visibility.tree().as_str())
                    .execute(db)
                    .await
                    .map(drop))
        })
        .await
    }
}

/// Finds a repository.
async fn find(
    connection: &mut Connection,
    repository: &RepositoryName,
) -> Result<Option<RepositoryRecord>> {
    let found: Option<(i64, String, String, i64)> = on!(connection, "finding a repository", db =>
        sqlx::query_as("SELECT id, visibility, tree, created FROM repositories WHERE name = $1")
            .bind(repository.as_str())
            .fetch_optional(db)
            .await)?;
    let Some((id, visibility, tree, created)) = found else { return Ok(None) };
    Ok(Some(RepositoryRecord {
        id,
        name: repository.clone(),
        visibility: parsed(&visibility)?,
        tree: parsed(&tree)?,
        created,
        as_of: None,
    }))
}

/// Returns the number of a repository, which is made if need be: in that tree, if one is given. Fails, and undoes the
/// transaction, where it has to be one that was removed.
pub(super) async fn ensure(
    connection: &mut Connection,
    destination: impl Into<Destination<'_>>,
    tree: Option<TreeId>,
    now: i64,
) -> Result<i64> {
    let Destination { repository, identity } = destination.into();
    let name = repository.as_str();
    let found: Option<(i64, i64)> = on!(connection, "finding a repository", db =>
        sqlx::query_as("SELECT id, created FROM repositories WHERE name = $1")
            .bind(name)
            .fetch_optional(db)
            .await)?;
    let found = found.map(|(id, created)| RepositoryIdentity { id, created });
    match (found, identity) {
        (Some(found), Some(identity)) if found == identity => return Ok(found.id),
        (Some(found), None) => return Ok(found.id),
        (None, None) => {}
        (_, Some(_)) => {
            connection.rollback().await?;
            let why = format!("`{repository}` is another one, or absent");
            return Err(IndexError::new(IndexErrorKind::Removed, "finding a repository", why));
        }
    }
    let visibility = match tree {
        Some(tree) => new_repositories::visibility_in(connection, repository, tree).await?,
        None => new_repositories::visibility(connection, repository).await?,
    };
    let (id,): (i64,) = on!(connection, "creating a repository", db => sqlx::query_as(
        "INSERT INTO repositories (name, visibility, tree, created) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
    )
    .bind(name)
    .bind(visibility.as_str())
    .bind(visibility.tree().as_str())
    .bind(now)
    .fetch_one(db)
    .await)?;
    Ok(id)
}

/// Keeps a repository from being removed by another process until the transaction ends, before something is given to it;
/// or, where it is to be removed, waits until what others give it is given. On SQLite no other one writes meanwhile.
///
/// A lock on its row would not do: one that several share is shared with further ones, however long another waits for it.
pub(super) async fn hold(
    connection: &mut Connection,
    repository: &RepositoryName,
    is_removal: bool,
) -> Result<()> {
    if connection.is_lite() {
        return Ok(());
    }
    let lock = if is_removal {
        "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || $1, 0))"
    } else {
        "SELECT pg_advisory_xact_lock_shared(hashtextextended(current_schema() || '/' || $1, 0))"
    };
    on!(connection, "holding a repository", db =>
        sqlx::query(lock).bind(repository.as_str()).execute(db).await.map(drop))
}
