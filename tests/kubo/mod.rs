//! The registry over a Kubo node of the test's own, which is killed, stopped, filled and collected. Nothing acknowledged may be lost,
//! nothing removed may come back, and whoever asks is told.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod apart;
mod away;
mod collection;
mod commits;
mod kills;
mod locks;
mod meanwhile;
pub(crate) mod proxy;
mod purge;
mod rebuild;
mod redirect;
mod registry;
mod repair;
mod restore;
mod room;
mod same;
mod storage;
mod texts;
mod unfit;
mod uploads;
