//! Users and robots with rights by repository: what clients are answered, and what real ones do.

mod catalog;
mod clients;
mod first_start;
mod management;
mod quotas;
mod rate_limits;
mod replicas;
mod rights;
mod signing_in;
mod team;
mod tokens;
