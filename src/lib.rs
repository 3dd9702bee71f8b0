//! Roadstead: a container registry whose storage is IPFS.
//!
//! The rooms, from the inside out; each imports only what stands above it:
//!
//! - [`oci`]: the vocabulary of the distribution specification, as types
//! - [`ipld`]: content addressing: files, directories and shards as blocks
//! - [`reader`]: files of this machine, read for callers that send them on
//! - [`https`]: clients of HTTP, made also where the system trusts no authority
//! - [`client`]: a client of any registry
//! - [`kubo`]: a client of a Kubo node
//! - [`storage`]: where bytes and names live
//! - [`remote`]: reads under other people's roots
//! - [`index`]: look-ups and the writer's lock
//! - [`dnslink`]: names to roots
//! - [`auth`]: who may do what
//! - [`registry`]: the use cases
//! - `images`: images on their way between registries, folders and archives
//! - [`accounts`]: the administration of accounts
//! - [`http`]: the API
//! - [`app`]: settings made into a registry
//! - [`cli`]: the command line
//!
//! Beside them stand [`config`], the settings, [`telemetry`], the log, and [`heap`].

pub mod accounts;
pub mod app;
pub mod auth;
pub mod cli;
pub mod client;
pub mod config;
pub mod dnslink;
pub mod glob;
pub mod heap;
pub mod http;
pub mod https;
mod images;
pub mod index;
pub mod ipld;
pub mod kubo;
pub mod oci;
pub mod reader;
pub mod registry;
pub mod remote;
pub mod storage;
pub mod telemetry;
