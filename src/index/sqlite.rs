//! SQLite: one file, written to by one process, whose write transactions take turns.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::Mutex;

use super::accounts::TokenUses;
use super::cache::RowCache;
use super::connection::{Link, misuse};
use super::database::GATE_LIMIT;
use super::event_signal::EventSignal;
use super::failure::kind;
use super::generation::{self, Generation};
use super::known_quotas::KnownQuotas;
use super::locks::Locks;
use super::new_repositories::NewRepositories;
use super::pool::Pool;
use super::renewals::Renewals;
use super::{Access, Index, IndexError, IndexErrorKind, Result, schema, uploads};

const MIGRATIONS: [&str; 13] = [
    include_str!("migrations/sqlite/0001_init.sql"),
    include_str!("migrations/sqlite/0002_turns.sql"),
    include_str!("migrations/sqlite/0003_gateway.sql"),
    include_str!("migrations/sqlite/0004_publishing.sql"),
    include_str!("migrations/sqlite/0005_links.sql"),
    include_str!("migrations/sqlite/0006_withdrawn.sql"),
    include_str!("migrations/sqlite/0007_events.sql"),
    include_str!("migrations/sqlite/0008_trees.sql"),
    include_str!("migrations/sqlite/0009_accounts.sql"),
    include_str!("migrations/sqlite/0010_quotas.sql"),
    include_str!("migrations/sqlite/0011_audit.sql"),
    include_str!("migrations/sqlite/0012_unreferenced.sql"),
    include_str!("migrations/sqlite/0013_pulls.sql"),
];

/// Enough for reads beside the writer and one other write; each is a thread.
const CONNECTIONS: u32 = 6;
/// How much of the file each keeps in memory, negative in KiB: a quarter of the library's default. The system has the
/// rest, and all that pulls look up is in memory anyway.
const PAGE_CACHE: &str = "-512";
/// How long a statement waits for another process, or for a connection that is being closed.
const BUSY: Duration = Duration::from_secs(10);

/// Opens `sqlite:PATH`. With full access the file is made if need be, with its folder, and belongs
/// to this process alone: claims on uploads that another one left behind lapse.
pub(super) async fn open(url: &str, access: Access) -> Result<Arc<Index>> {
    let path = path(url)?;
    match access {
        Access::Full => open_file(path, SqliteConnectOptions::new()).await,
        Access::ReadOnly => open_read_only(path).await,
    }
}

/// Returns the file that a URL names; none where it names a server.
pub(super) fn file(url: &str) -> Option<&Path> {
    url.starts_with("sqlite:").then(|| path(url).ok()).flatten()
}

fn path(url: &str) -> Result<&Path> {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(":memory:") {
        return Err(misuse("opening a SQLite file", "the URL has to name a file"));
    }
    Ok(Path::new(path))
}

async fn open_file(path: &Path, options: SqliteConnectOptions) -> Result<Arc<Index>> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(|error| failed(sqlx::Error::Io(error)))?;
    }
    let options = options
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("cache_size", PAGE_CACHE)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY);
    let pool = match pools(CONNECTIONS).connect_with(options.clone()).await.map_err(failed) {
        Err(error) if error.kind == IndexErrorKind::Full && is_settled(path) => {
            tracing::warn!(%error, "opened the index read-only: free some disk space, and restart");
            return open_without_room(path).await;
        }
        pool => pool?,
    };
    let hasty = pools(1).connect_lazy_with(options.synchronous(SqliteSynchronous::Normal));
    let gate = Some(Arc::new(Mutex::new(())));
    let mut database = Index {
        pool: Pool::Lite(pool.clone()),
        locks: Locks::of_process(pool.clone(), gate.clone()),
        hasty: Some(Pool::Lite(hasty)),
        gate,
        lock: Arc::new(Mutex::new(())),
        generation: Arc::new(Generation::Row),
        records: Arc::new(Generation::Row),
        access: Access::Full,
        had_no_space: false,
        cache: RowCache::new(),
        renewals: Renewals::default(),
        token_uses: TokenUses::new(),
        quotas: KnownQuotas::default(),
        new_repositories: NewRepositories::default(),
        event_signal: Arc::new(EventSignal::of_process()),
        limit: GATE_LIMIT,
    };
    let prepared = async {
        schema::migrator(MIGRATIONS).run(&pool).await.map_err(schema::refused)?;
        let released = uploads::release_all(&mut database.write().await?).await;
        match released {
            // Claims lapse by themselves, and the disk may be full of uploads.
            Err(error) if error.kind == IndexErrorKind::Full => {
                tracing::warn!(%error, "failed to release the claims on uploads; they lapse in a minute");
            }
            released => released?,
        }
        own_generation(&database).await
    };
    match prepared.await {
        Ok(generation) => {
            let version = generation.known().unwrap_or_default();
            database.generation = Arc::new(generation);
            database.records = Arc::new(Generation::owned(version, 0));
        }
        Err(error) => {
            // A connection that is only dropped is closed later, and takes files away by their names
            // then, which may be those of another database.
            database.close().await;
            return Err(error);
        }
    }
    Ok(Arc::new(database))
}

async fn open_read_only(path: &Path) -> Result<Arc<Index>> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
    let pool = match pools(CONNECTIONS).connect_with(options).await.map_err(failed) {
        Err(error) if error.kind == IndexErrorKind::Full && is_settled(path) => {
            return open_without_room(path).await;
        }
        pool => pool?,
    };
    let database = only_read(pool, Access::ReadOnly);
    schema::check(&mut database.read().await?).await?;
    Ok(Arc::new(database))
}

/// Opens a file that cannot be written to for lack of space, not even what SQLite needs beside it: no process writes
/// to it then, so it is read as it stands.
async fn open_without_room(path: &Path) -> Result<Arc<Index>> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(true);
    let pool = pools(CONNECTIONS).connect_with(options).await.map_err(failed)?;
    let mut database = Index { had_no_space: true, ..only_read(pool, Access::Full) };
    schema::check(&mut database.read().await?).await?;
    database.generation = Arc::new(own_generation(&database).await?);
    Ok(Arc::new(database))
}

/// Reads where the clock of a database stands to which no other process writes.
async fn own_generation(database: &Index) -> Result<Generation> {
    let connection = &mut database.read().await?;
    let version = generation::version(connection).await?;
    Ok(Generation::owned(version, generation::accounts(connection).await?))
}

/// A database whose file is not written to.
fn only_read(pool: SqlitePool, access: Access) -> Index {
    Index {
        locks: Locks::of_process(pool.clone(), None),
        pool: Pool::Lite(pool),
        hasty: None,
        gate: None,
        lock: Arc::new(Mutex::new(())),
        generation: Arc::new(Generation::Row),
        records: Arc::new(Generation::Row),
        access,
        had_no_space: false,
        cache: RowCache::new(),
        renewals: Renewals::default(),
        token_uses: TokenUses::new(),
        quotas: KnownQuotas::default(),
        new_repositories: NewRepositories::default(),
        event_signal: Arc::new(EventSignal::of_process()),
        limit: GATE_LIMIT,
    }
}

/// Tells whether the file is all there is: whatever was committed is in it.
fn is_settled(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).map_or(true, |log| log.len() == 0)
}

/// Renames the file and what SQLite keeps beside it; an earlier one that was set aside stays.
pub(super) fn set_aside(url: &str) -> Result<PathBuf> {
    let path = path(url)?;
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let names = (1..).map(|number| format!(".damaged-{number}"));
    let aside = names.into_iter().find(|name| !with(name).exists()).unwrap_or_default();
    // The file itself first: what is beside a file that is not there counts for nothing.
    for file in ["", "-wal", "-shm"] {
        match std::fs::rename(with(file), with(&format!("{aside}{file}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(sqlx::Error::Io(error)));
            }
            _ => {}
        }
    }
    Ok(with(&aside))
}

impl Index {
    /// Reads all of the database's file, where it is one. A server of databases looks after its own.
    ///
    /// # Errors
    /// [`Damaged`](IndexErrorKind::Damaged) when the file is not whole.
    pub async fn verify(&self) -> Result<()> {
        const DOING: &str = "examining its file";

        let mut connection = self.read().await?;
        let Link::Lite(link) = connection.link() else { return Ok(()) };
        let query = sqlx::query_as("PRAGMA quick_check(1)").fetch_one(&mut **link).await;
        let (found,): (String,) = query.map_err(|error| connection.failed(DOING, error))?;
        if found == "ok" {
            return Ok(());
        }
        Err(IndexError::new(IndexErrorKind::Damaged, DOING, found))
    }
}

fn pools(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
}

fn failed(error: sqlx::Error) -> IndexError {
    IndexError::new(kind(&error), "opening a SQLite file", error)
}

#[cfg(test)]
mod tests {
    use cid::Cid;

    use super::*;
    use crate::index::{Actor, BlobBlock, BlobRow, NewBlob, UploadKey};
    use crate::oci::{CanonicalDigest, RepositoryName};

    #[test]
    fn a_url_names_its_file_as_it_is_opened() {
        assert_eq!(
            file("sqlite:/data/a?b/index.sqlite"),
            Some(Path::new("/data/a?b/index.sqlite"))
        );
        assert_eq!(file("sqlite://index.sqlite"), Some(Path::new("index.sqlite")));
        assert_eq!(file("postgres://localhost/roadstead"), None);
    }

    #[tokio::test]
    async fn a_full_file_says_so_and_goes_on_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.sqlite");
        let options = SqliteConnectOptions::new().pragma("max_page_count", "120");
        let index = open_file(&path, options).await.unwrap();
        let name: RepositoryName = "app".parse().unwrap();
        index.create_upload("1", &name, "", 0).await.unwrap();
        let key = UploadKey { repository: &name, owner: "", id: "1" };
        index.claim_upload(&key, None, "a", 0, 0).await.unwrap();
        let saved = index.save_upload("1", "a", 1, &vec![7; 1 << 20], 0).await;
        assert_eq!(saved.map_err(|error| error.kind), Err(IndexErrorKind::Full));

        let cid: Cid =
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku".parse().unwrap();
        let mut writer = index.lock().await.unwrap();
        writer.begin().await.unwrap();
        let put = writer.put_nodes(&[(cid, Some(vec![7; 1 << 20].into()))]).await;
        assert_eq!(put.map_err(|error| error.kind), Err(IndexErrorKind::Full));
        assert!(writer.commit().await.is_err());
        writer.rollback().await.unwrap();
        writer.put_nodes(&[(cid, None)]).await.unwrap();
        assert_eq!(index.upload(&key).await.unwrap().unwrap().checkpoint, b"");
        assert!(index.save_upload("1", "a", 1, b"small", 1).await.unwrap());

        // What is a transaction in one call leaves nothing open, whichever of its statements fails.
        drop(writer);
        let queued = index.enqueue(&Actor::default(), &vec![7; 1 << 20], None, 2).await;
        assert_eq!(queued.map_err(|error| error.kind), Err(IndexErrorKind::Full));
        assert_eq!(index.enqueue(&Actor::default(), b"small", None, 2).await.unwrap(), 1);
        index.claim_upload(&key, None, "b", 3, 3).await.unwrap();
        let blob = |node: &[u8]| NewBlob {
            blob: BlobRow { canonical: CanonicalDigest([1; 32]), cid, size: 5 },
            aliases: Vec::new(),
            blocks: vec![BlobBlock { cid, start: 0, length: 5, node: Some(node.to_vec().into()) }],
        };
        let finished = index.finish_upload("1", "b", &name, &blob(&vec![7; 1 << 20]), 3).await;
        assert_eq!(finished.map_err(|error| error.kind), Err(IndexErrorKind::Full));
        assert!(!index.finish_upload("1", "other", &name, &blob(b"small"), 3).await.unwrap());
        assert!(index.blob(&name, &CanonicalDigest([1; 32]).into()).await.unwrap().is_none());
        assert!(index.finish_upload("1", "b", &name, &blob(b"small"), 3).await.unwrap());
        assert!(index.blob(&name, &CanonicalDigest([1; 32]).into()).await.unwrap().is_some());
    }
}
