//! The index in a Postgres of the test's own: one that is stopped, killed and started again, that
//! encrypts, or that stands behind a pooler; and what processes that share it have in common.

mod faults;
mod page;
mod pooler;
mod tls;
mod tokens;

use crate::common::Server;

/// Starts a server with that index.
fn serve_with(index: &str) -> Server {
    let index = index.to_owned();
    Server::start_with(move |command| {
        command.env("ROADSTEAD_INDEX__URL", &index);
    })
}

/// Opens an index, and closes it again.
fn open(url: &str) -> roadstead::index::Result<()> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        roadstead::index::open(url).await?.close().await;
        Ok(())
    })
}
