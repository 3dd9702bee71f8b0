//! The part of the room `auth` that reads what strangers send to sign in.

#![allow(dead_code, unused_imports, reason = "the rest of the registry is not here")]

#[path = "../../../src/auth/accounts/mod.rs"]
pub mod accounts;
#[path = "../../../src/auth/act.rs"]
mod act;
#[path = "../../../src/auth/credentials.rs"]
mod credentials;
#[path = "../../../src/auth/decision.rs"]
mod decision;
#[path = "../../../src/auth/names.rs"]
mod names;
#[path = "../../../src/auth/properties.rs"]
pub mod properties;
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
pub use credentials::Credentials;
pub use decision::Decision;
pub use methods::SetupError;
pub use names::{Meant, Names};
pub use scope::{Access, Scopes};
use stamp::Stamp;
pub use token::{Token, TokenService};
