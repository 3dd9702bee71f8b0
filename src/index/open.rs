//! The table of databases that can hold an index, and the door to them.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::connection::misuse;
use super::{Access, Index, Result, postgres, sqlite};
use crate::config::PostgresSettings;

/// An index that is being opened.
pub type Opening<'a> = BoxFuture<'a, Result<Arc<Index>>>;

/// A database that can hold an index.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// As people call it.
    pub name: &'static str,
    /// What its URLs may begin with, before the colon.
    pub schemes: &'static [&'static str],
    /// Opens the index at a URL. A server of databases is used as the settings say.
    pub open: for<'a> fn(&'a str, Access, &'a PostgresSettings) -> Opening<'a>,
}

/// Every database that can hold an index.
pub const INDEXES: &[Kind] = &[
    Kind {
        name: "sqlite",
        schemes: &["sqlite"],
        open: |url, access, _| Box::pin(sqlite::open(url, access)),
    },
    Kind {
        name: "postgres",
        schemes: &["postgres", "postgresql"],
        open: |url, access, settings| Box::pin(postgres::open(url, access, settings)),
    },
];

/// Opens the index at `sqlite:PATH` or `postgres://…`, and brings its schema up to date.
///
/// A SQLite file is made if need be, with its folder. It has to belong to this process alone: claims
/// on uploads that an earlier one left behind lapse.
///
/// # Errors
/// [`Newer`](super::IndexErrorKind::Newer) if a newer version of this program made the schema,
/// `Damaged` if the file is no database or half of one, `Unavailable` if no server answers, `Full` if
/// there is no space.
pub async fn open(url: &str) -> Result<Arc<Index>> {
    open_with(url, Access::Full, &PostgresSettings::default()).await
}

/// Opens the index beside a server that is running: nothing is made or migrated, and everything but
/// the reads fails.
///
/// # Errors
/// As [`open`]; and `Failed` if there is no index, or one with an older schema.
pub async fn open_read_only(url: &str) -> Result<Arc<Index>> {
    open_with(url, Access::ReadOnly, &PostgresSettings::default()).await
}

/// Renames the file of an index that is damaged and that no process has open, so that another one can
/// replace it. Returns its new name, or none where the index is not a file.
///
/// # Errors
/// `Failed` when it cannot be renamed.
pub fn set_aside(url: &str) -> Result<Option<PathBuf>> {
    if url.starts_with("sqlite:") { sqlite::set_aside(url).map(Some) } else { Ok(None) }
}

/// Opens the index as [`open`] and [`open_read_only`] do; a server of databases is used as the
/// settings say.
///
/// # Errors
/// Theirs.
pub async fn open_with(
    url: &str,
    access: Access,
    settings: &PostgresSettings,
) -> Result<Arc<Index>> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let Some(kind) = INDEXES.iter().find(|kind| kind.schemes.contains(&scheme)) else {
        return Err(misuse(
            "opening an index",
            "`index.url` begins with neither sqlite nor postgres",
        ));
    };
    (kind.open)(url, access, settings).await
}
