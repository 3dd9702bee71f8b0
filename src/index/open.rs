//! The table of databases that can hold an index, and the door to them.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::connection::misuse;
use super::{Index, Result, postgres, sqlite};

/// What an index is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To serve: the schema is migrated, everything works.
    Full,
    /// To look beside a running server: nothing is made or migrated, and only the reads work.
    ReadOnly,
}

/// A database that can hold an index.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// As people call it.
    pub name: &'static str,
    /// What its URLs may begin with, before the colon.
    pub schemes: &'static [&'static str],
    /// Opens the index at a URL.
    pub open: fn(&str, Access) -> BoxFuture<'_, Result<Arc<dyn Index>>>,
}

/// Every database that can hold an index.
pub const INDEXES: &[Kind] = &[
    Kind {
        name: "sqlite",
        schemes: &["sqlite"],
        open: |url, access| Box::pin(sqlite::open(url, access)),
    },
    Kind {
        name: "postgres",
        schemes: &["postgres", "postgresql"],
        open: |url, access| Box::pin(postgres::open(url, access)),
    },
];

/// Opens the index at `sqlite:PATH` or `postgres://…`, and brings its schema up to date. A schema
/// that is newer than this program is refused as [`Newer`](super::IndexErrorKind::Newer).
///
/// A SQLite file is made if need be, with its folder. It has to belong to this process alone: claims
/// on uploads that an earlier one left behind lapse.
pub async fn open(url: &str) -> Result<Arc<dyn Index>> {
    open_with(url, Access::Full).await
}

/// Opens the index beside a server that is running: nothing is made or migrated, and everything but
/// the reads fails. A schema other than this program's is refused.
pub async fn open_read_only(url: &str) -> Result<Arc<dyn Index>> {
    open_with(url, Access::ReadOnly).await
}

async fn open_with(url: &str, access: Access) -> Result<Arc<dyn Index>> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let Some(kind) = INDEXES.iter().find(|kind| kind.schemes.contains(&scheme)) else {
        return Err(misuse("opening an index", "its URL begins with neither sqlite nor postgres"));
    };
    (kind.open)(url, access).await
}
