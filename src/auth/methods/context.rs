//! What the ways to sign in are made with.

use super::super::signed::OpenFetcher;

/// What a way to sign in is made with, beside its settings.
#[derive(Clone, Copy)]
pub struct AuthContext<'a> {
    /// A key that all processes of the registry have.
    pub key: &'a [u8; 32],
    /// Makes what fetches the keys of other issuers.
    pub open_fetcher: OpenFetcher<'a>,
}
