//! A caller at the token service.

use super::Caller;
use super::signed::Subject;

/// A caller that has shown credentials at the token service.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who it is.
    pub caller: Caller,
    /// Whom tokens for it are of, where they say more than a name.
    pub subject: Subject,
    /// Whether it may get a refresh token: not by another one.
    pub may_refresh: bool,
}
