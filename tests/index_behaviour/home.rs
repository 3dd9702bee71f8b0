//! A place for one case: a file or a schema of its own, gone afterwards.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use roadstead::index::{self, Index};
use sqlx::{Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

const POSTGRES: &str = "TEST_POSTGRES_URL";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An index that was just made, and where it lies.
#[derive(Clone)]
pub(crate) struct Home {
    pub(crate) index: Arc<Index>,
    pub(crate) url: String,
    folder: Option<Arc<TempDir>>,
    schema: Option<String>,
}

/// Tells whether cases can run on that database.
pub(crate) fn is_configured(kind: &str) -> bool {
    kind != "postgres" || std::env::var_os(POSTGRES).is_some()
}

impl Home {
    pub(crate) async fn make(kind: &str) -> Result<Self> {
        let (url, folder, schema) = match kind {
            "sqlite" => {
                let folder = Arc::new(TempDir::new()?);
                let url = format!("sqlite:{}/data/index.sqlite", folder.path().display());
                (url, Some(folder), None)
            }
            "postgres" => {
                let (schema, url) = make_schema().await?;
                (url, None, Some(schema))
            }
            _ => return Err(format!("the suite does not know how to make a {kind}").into()),
        };
        let index = index::open(&url).await?;
        Ok(Self { index, url, folder, schema })
    }

    pub(crate) async fn unmake(self) -> Result<()> {
        if let Some(schema) = self.schema {
            let drop = format!("DROP SCHEMA {schema} CASCADE");
            let mut admin = admin().await?;
            sqlx::query("SET client_min_messages = 'warning'").execute(&mut admin).await?;
            sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&mut admin).await?;
        }
        Ok(())
    }

    /// Opens the same index once more.
    pub(crate) async fn open_again(&self) -> index::Result<Arc<Index>> {
        index::open(&self.url).await
    }

    /// Returns the file, where there is one.
    pub(crate) fn file(&self) -> &str {
        self.url.trim_start_matches("sqlite:")
    }

    /// Runs a statement behind the index's back.
    pub(crate) async fn execute(&self, statement: &'static str) -> Result<()> {
        if self.folder.is_some() {
            let mut connection = SqliteConnection::connect(&self.url).await?;
            sqlx::query(statement).execute(&mut connection).await?;
            connection.close().await?;
        } else {
            let mut connection = PgConnection::connect(&self.url).await?;
            sqlx::query(statement).execute(&mut connection).await?;
            connection.close().await?;
        }
        Ok(())
    }

    /// Asks for a number behind the index's back.
    pub(crate) async fn number(&self, query: &'static str) -> Result<i64> {
        let (number,): (i64,) = if self.folder.is_some() {
            let mut connection = SqliteConnection::connect(&self.url).await?;
            sqlx::query_as(query).fetch_one(&mut connection).await?
        } else {
            let mut connection = PgConnection::connect(&self.url).await?;
            sqlx::query_as(query).fetch_one(&mut connection).await?
        };
        Ok(number)
    }

    /// Returns how the database would carry out a query, as it says it.
    pub(crate) async fn plan(&self, query: &str) -> Result<String> {
        let lines: Vec<String> = if self.folder.is_some() {
            let mut connection = SqliteConnection::connect(&self.url).await?;
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
            let rows: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(explain).fetch_all(&mut connection).await?;
            rows.into_iter().map(|row| row.3).collect()
        } else {
            let mut connection = PgConnection::connect(&self.url).await?;
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {query}"));
            let rows: Vec<(String,)> = sqlx::query_as(explain).fetch_all(&mut connection).await?;
            rows.into_iter().map(|row| row.0).collect()
        };
        Ok(lines.join("\n"))
    }
}

/// Makes a schema, and returns its name and a URL that leads to it.
async fn make_schema() -> Result<(String, String)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);

    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let schema = format!("roadstead_test_{}_{number}", std::process::id());
    let create = format!("CREATE SCHEMA {schema}");
    let mut admin = admin().await?;
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut admin).await?;
    let url = std::env::var(POSTGRES)?;
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}options=-c%20search_path%3D{schema}");
    Ok((schema, url))
}

async fn admin() -> Result<PgConnection> {
    let url = std::env::var(POSTGRES).map_err(|_| format!("{POSTGRES} is not set"))?;
    Ok(PgConnection::connect(&url).await?)
}
