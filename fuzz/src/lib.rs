//! The room `ipld`, and the signed tokens of `auth` with what they need: not the whole registry, so that a fuzzed build
//! takes a minute or two and not ten.

pub mod auth;
#[path = "../../src/ipld/mod.rs"]
pub mod ipld;
#[allow(dead_code, reason = "the rest of the registry is not here")]
#[path = "../../src/oci/mod.rs"]
pub mod oci;
