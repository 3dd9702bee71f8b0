//! The commands, as a user types them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod accounts;
mod adopt;
mod browse;
mod check;
mod cid;
mod commands;
mod damage;
mod help;
mod interrupt;
mod local_settings;
mod manual;
mod progress;
mod purge;
mod push;
mod rebuild;
pub(crate) mod registries;
mod repair;
mod resolve;
mod restore;
mod root;
mod serve;
mod terminal;
