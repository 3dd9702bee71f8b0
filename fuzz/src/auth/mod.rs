//! The part of the room `auth` that reads what strangers send as tokens.

#![allow(dead_code, unused_imports, reason = "the rest of the registry is not here")]

#[path = "../../../src/auth/act.rs"]
mod act;
#[path = "../../../src/auth/scope.rs"]
mod scope;
#[path = "../../../src/auth/methods/setup_error.rs"]
mod setup_error;
#[path = "../../../src/auth/signed/mod.rs"]
pub mod signed;
#[path = "../../../src/auth/stamp.rs"]
mod stamp;
#[path = "../../../src/auth/token.rs"]
mod token;
#[path = "../../../src/auth/watched_file.rs"]
mod watched_file;

mod methods {
    pub use super::setup_error::SetupError;
}

pub use act::{Act, Action};
pub use methods::SetupError;
pub use scope::{Access, Scopes};
use stamp::Stamp;
pub use token::{Token, TokenService};
