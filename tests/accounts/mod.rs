//! Users and robots with rights by repository: what clients are answered, and what real ones do.

mod auditing;
mod catalog;
mod clients;
mod first_start;
mod management;
mod removal;
mod replicas;
mod rights;
mod setup;
mod signing_in;
mod team;
mod tokens;
