//! Publishing: what is pushed to a server becomes a record in a real name server, whatever comes in between.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../api/content.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod content;
#[path = "../api/repository.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod repository;

mod commands;
mod faults;
mod nodes;
mod publisher;
mod pushes;
mod replicas;
mod servers;
