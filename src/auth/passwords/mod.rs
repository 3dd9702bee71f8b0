//! Passwords: what a new one has to be, their hashes, and when one is checked. Each check costs much, so few go on at once,
//! the others wait in a bounded queue, and what was found out is remembered for a while.
//!
//! The sign-in methods with passwords use it. It stores nothing.

mod argon2id;
mod bounds;
mod checks;
mod hash;
mod rule;
mod sign_ins;
mod verified;

pub use bounds::Bounds;
pub use checks::{Checked, Checks, SignIn, Stored, TokenCheck};
pub use hash::{HashError, PasswordHash};
pub use rule::{NewPassword, PasswordRuleError};
pub use verified::Verified;
