//! Other people's images: one registry publishes its root in a real DNS, another one serves what is below it,
//! knowing the domain alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../api/content.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod content;
#[path = "../api/repository.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod repository;

#[path = "../kubo/proxy.rs"]
#[allow(dead_code, reason = "the tests of Kubo use the rest")]
mod proxy;

mod answering;
mod cache;
mod faults;
mod hostile;
mod keys;
mod names;
mod nodes;
mod operators;
mod pulls;
mod repositories;
mod sources;
