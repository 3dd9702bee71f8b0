//! The room `ipld`, and the signed tokens of `auth` with what they need: not the whole registry, so that a fuzzed build
//! takes a minute or two and not ten.

#[path = "../../src/ipld/mod.rs"]
pub mod ipld;
#[allow(dead_code, reason = "the rest of the registry is not here")]
#[path = "../../src/oci/mod.rs"]
pub mod oci;

/// The part of the room `auth` that reads what strangers send as tokens.
#[allow(dead_code, unused_imports, reason = "the rest of the registry is not here")]
pub mod auth {
    #[path = "../../../src/auth/act.rs"]
    mod act;
    #[path = "../../../src/auth/scope.rs"]
    mod scope;
    #[path = "../../../src/auth/signed/mod.rs"]
    pub mod signed;
    #[path = "../../../src/auth/stamp.rs"]
    mod stamp;
    #[path = "../../../src/auth/token.rs"]
    mod token;

    mod methods {
        #[path = "../../../../src/auth/methods/setup_error.rs"]
        mod setup_error;

        pub use setup_error::SetupError;
    }

    pub use act::{Act, Action};
    pub use methods::SetupError;
    pub use scope::{Access, Scopes};
    use stamp::Stamp;
    pub use token::{Token, TokenService};
}
