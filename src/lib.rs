//! Roadstead: a container registry whose storage is IPFS.
//!
//! The rooms, from the inside out; each imports only what stands above it:
//!
//! - [`oci`]: the vocabulary of the distribution specification, as types
//! - [`index`]: look-ups and the writer's lock

pub mod index;
pub mod oci;
