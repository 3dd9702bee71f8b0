//! Real clients, nodes and registries against a real server: what they push comes back byte for byte,
//! and the public folder is what IPFS and the stock registry take it for.
//!
//! `scripts/test` installs what these tests need. Each of them has a server of its own.

mod accounts;
mod accounts_page;
mod buildah;
pub(crate) mod chaos;
mod containerd;
mod cosign;
mod crane;
mod docker;
mod example;
mod face;
mod federation;
mod helm;
mod home;
pub(crate) mod image;
mod layout;
pub(crate) mod link;
mod oras;
mod partial;
mod podman;
mod proxy;
mod regctl;
mod registry;
mod release;
mod replicas;
mod roadstead;
mod root;
pub(crate) mod skopeo;
pub(crate) mod stock_registry;
pub(crate) mod target;
mod workloads;
