//! Roadstead

pub mod ipld;
