//! Rate limits: how many manifests a user may pull and push in a time, and one address of clients that have not signed
//! in. Each process counts for itself. Sign-ins have limits of their own, where passwords are checked.
//!
//! A limit comes back little by little, and may be used at once when it is whole (GCRA, as the crate `governor` has it).
//! Handlers call it once they have a grant; it never looks at what a request reads or writes.

mod counting;
mod limit;
mod rates;
mod store;

pub(super) use counting::{expect_push, pull, push};
pub use limit::Rate;
pub use rates::{RateLimitSettings, RateLimits};
