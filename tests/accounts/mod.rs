//! Users and robots with rights by repository: what clients are answered, and what real ones do.

mod auditing;
mod catalog;
mod clients;
mod first_start;
pub(crate) mod issuer;
mod management;
mod quotas;
mod rate_limits;
mod removal;
mod replicas;
mod rights;
mod setup;
mod signing_in;
mod signing_keys;
mod team;
mod token_services;
mod tokens;
mod workloads;
