//! Users and robots with rights by repository: what clients are answered, and what real ones do.

mod auditing;
mod catalog;
mod clients;
mod crashes;
mod expiry;
mod first_start;
mod graphql;
mod hidden;
pub(crate) mod issuer;
mod kubo;
mod management;
mod matrix;
mod oracle;
mod quotas;
mod rate_limits;
mod removal;
mod removal_races;
mod replicas;
mod rights;
mod setup;
mod signing_in;
mod signing_keys;
mod team;
mod token_rules;
mod token_services;
mod tokens;
mod workloads;
