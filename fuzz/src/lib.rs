//! The room `ipld`, and what of `auth` and `http` reads what strangers send to sign in, with what that needs: not the whole
//! registry, so that a fuzzed build takes a minute or two and not ten.

pub mod auth;
pub mod http;
#[path = "../../src/ipld/mod.rs"]
pub mod ipld;
#[allow(dead_code, reason = "the rest of the registry is not here")]
#[path = "../../src/oci/mod.rs"]
pub mod oci;
