//! The file of an index, changed by another hand.

use std::path::Path;

use sqlx::{Connection, Executor, SqliteConnection};

/// Runs a statement on the file, and leaves nothing beside it.
pub(crate) fn execute(file: &Path, statement: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done: sqlx::Result<()> = runtime.expect("a runtime can be made").block_on(async {
        let url = format!("sqlite:{}", file.display());
        let mut connection = SqliteConnection::connect(&url).await?;
        connection.execute(statement).await?;
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        connection.close().await
    });
    done.expect("no process has the file open");
}
