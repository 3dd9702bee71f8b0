//! The room `ipld` by itself: it imports no other, so that a fuzzed build takes seconds, not minutes.

#[path = "../../src/ipld/mod.rs"]
pub mod ipld;
