//! Other people's images: one registry publishes its root in a real DNS, another one serves what is below it,
//! knowing the domain alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod ahead;
mod anonymous;
pub(crate) mod answering;
mod cache;
mod conditions;
mod faults;
mod gateways;
pub(crate) mod hostile;
mod keys;
mod limits;
mod mirror;
mod names;
mod nodes;
pub(crate) mod operators;
pub(crate) mod publisher;
mod pulls;
mod ranges;
mod repositories;
mod sources;
