//! Roadstead: a container registry whose storage is IPFS.
//!
//! The rooms, from the inside out; each imports only what stands above it:
//!
//! - [`oci`]: the vocabulary of the distribution specification, as types
//! - [`index`]: look-ups and the writer's lock
//! - [`cli`]: the command line
//!
//! Beside them stand [`config`], the settings, and [`telemetry`], the log.

pub mod cli;
pub mod config;
pub mod index;
pub mod oci;
pub mod telemetry;
