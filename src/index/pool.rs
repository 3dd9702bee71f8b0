//! Connections that requests share.

use sqlx::{PgPool, SqlitePool};

use super::connection::Link;
use super::failure::kind;
use super::{IndexError, Result};

/// Connections to either database.
pub(super) enum Pool {
    /// To a SQLite file.
    Lite(SqlitePool),
    /// To a Postgres server.
    Postgres(PgPool),
}

impl Pool {
    pub(super) async fn link(&self) -> Result<Link> {
        let link = match self {
            Self::Lite(pool) => pool.acquire().await.map(Link::Lite),
            Self::Postgres(pool) => pool.acquire().await.map(Link::Postgres),
        };
        link.map_err(|error| IndexError::new(kind(&error), "connecting", error))
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Lite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}
