//! Roadstead: a container registry whose storage is IPFS.
//!
//! The rooms, from the inside out; each imports only what stands above it:
//!
//! - [`oci`]: the vocabulary of the distribution specification, as types
//! - [`ipld`]: content addressing: files, directories and shards as blocks
//! - [`storage`]: where bytes and names live
//! - [`index`]: look-ups and the writer's lock
//! - [`auth`]: who may do what
//! - [`registry`]: the use cases
//! - [`http`]: the API

pub mod auth;
pub mod http;
pub mod index;
pub mod ipld;
pub mod oci;
pub mod registry;
pub mod storage;
