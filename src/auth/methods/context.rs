//! What the ways to sign in are made with.

use std::sync::Arc;

use super::super::passwords::Checks;
use super::super::signed::OpenFetcher;
use super::accounts::Directory;

/// What a way to sign in is made with, beside its settings.
#[derive(Clone, Copy)]
pub struct AuthContext<'a> {
    /// A key that all processes of the registry have.
    pub key: &'a [u8; 32],
    /// Makes what fetches the keys of other issuers.
    pub open_fetcher: OpenFetcher<'a>,
    /// Checks passwords of accounts; new ones are hashed by it as well.
    pub checks: &'a Arc<Checks>,
    /// Where accounts are.
    pub directory: &'a Arc<dyn Directory>,
    /// Whether clients that have not signed in may pull from other registries, where the method does not say.
    pub anonymous_foreign: bool,
}
