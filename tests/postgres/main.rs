//! The index in a Postgres of the test's own: one that is stopped, killed and started again, that
//! encrypts, or that stands behind a pooler; and what processes that share it have in common.

#[path = "../common/mod.rs"]
mod common;
#[path = "../api/connection.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod connection;
#[path = "../api/content.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod content;
#[path = "../api/repository.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod repository;

mod tokens;

use common::Postgres;
