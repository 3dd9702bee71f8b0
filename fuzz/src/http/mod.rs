//! The part of the room `http` that reads credentials.

#![allow(dead_code, reason = "the rest of the registry is not here")]

#[path = "../../../src/http/authorization.rs"]
mod authorization;
#[path = "../../../src/http/form.rs"]
mod form;
#[path = "../../../src/http/properties.rs"]
pub mod properties;
