//! Users and robots with rights by repository: what clients are answered, and what real ones do.

mod catalog;
mod clients;
mod crashes;
mod expiry;
mod first_start;
mod graphql;
mod hidden;
mod kubo;
mod management;
mod matrix;
mod replicas;
mod rights;
mod signing_in;
mod team;
mod tokens;
