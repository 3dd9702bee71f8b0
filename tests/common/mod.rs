//! What the test files share: a server of their own, tools from outside, commands with a time limit.
//!
//! Everything that is started here is ended by its own process id when its guard is dropped, also when
//! the test panics.

pub(crate) mod authority;
pub(crate) mod bind;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod content;
pub(crate) mod dice;
pub(crate) mod disk;
pub(crate) mod http;
pub(crate) mod ipfs;
pub(crate) mod kubo;
pub(crate) mod multipart;
pub(crate) mod pair;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod replicas;
pub(crate) mod repository;
pub(crate) mod server;
pub(crate) mod sqlite;
pub(crate) mod terminal;
pub(crate) mod tools;

pub(crate) use bind::Bind;
pub(crate) use disk::Disk;
pub(crate) use ipfs::Ipfs;
pub(crate) use kubo::KuboNode;
pub(crate) use pair::{Pair, embedded_only, is_over_kubo};
pub(crate) use ports::free_address;
pub(crate) use postgres::Postgres;
pub(crate) use process::{Finished, Process, run, succeed};
pub(crate) use replicas::{Balancer, Replicas};
pub(crate) use server::{Server, roadstead};
pub(crate) use terminal::{asked_on_terminal, on_terminal};
pub(crate) use tools::{require, require_root};
