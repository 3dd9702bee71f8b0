//! The schema, and whether this program and a database agree on it.

use std::borrow::Cow;

use sqlx::SqlStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use super::connection::{Connection, on};
use super::failure::kind;
use super::{IndexError, IndexErrorKind, Result};

/// What each migration is about, the first one first; each database has a file for each.
const MIGRATIONS: [(i64, &str); 13] = [
    (1, "init"),
    (2, "turns"),
    (3, "gateway"),
    (4, "publishing"),
    (5, "links"),
    (6, "withdrawn"),
    (7, "events"),
    (8, "trees"),
    (9, "accounts"),
    (10, "quotas"),
    (11, "audit"),
    (12, "unreferenced"),
    (13, "pulls"),
];

/// The newest schema that this program knows.
const VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Returns what brings a database to the newest schema. Each migration is one transaction.
pub(super) fn migrator(files: [&'static str; MIGRATIONS.len()]) -> Migrator {
    let migrations = MIGRATIONS.into_iter().zip(files).map(|((version, about), file)| {
        let file = SqlStr::from_static(file);
        Migration::new(version, Cow::Borrowed(about), MigrationType::Simple, file, false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Says what a caller can do about a migration that failed.
pub(super) fn refused(error: MigrateError) -> IndexError {
    let kind = match &error {
        MigrateError::VersionMissing(version) if *version > VERSION => return newer(*version),
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => kind(cause),
        _ => IndexErrorKind::Failed,
    };
    IndexError::new(kind, "migrating its schema", error)
}

/// Checks that a database that may not be migrated has the schema that this program knows.
pub(super) async fn check(connection: &mut Connection) -> Result<()> {
    let (version,): (Option<i64>,) = on!(connection, "reading the version of its schema", db =>
        sqlx::query_as("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(db).await)?;
    match version.unwrap_or(0) {
        version if version > VERSION => Err(newer(version)),
        VERSION => Ok(()),
        version => Err(IndexError::new(
            IndexErrorKind::Older,
            "reading the version of its schema",
            format!(
                "its schema is version {version}: start a server of this version to migrate it"
            ),
        )),
    }
}

fn newer(version: i64) -> IndexError {
    IndexError::new(
        IndexErrorKind::Newer,
        "reading the version of its schema",
        format!(
            "its schema is version {version}, this program knows up to {VERSION}; use a newer version"
        ),
    )
}
