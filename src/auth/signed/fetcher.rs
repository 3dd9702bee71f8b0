//! How documents of issuers are fetched: the room that knows HTTP does that.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::super::methods::SetupError;

/// Why a document could not be fetched.
pub type FetchError = Box<dyn std::error::Error + Send + Sync>;

/// Fetches documents of one issuer.
#[async_trait]
pub trait KeyFetcher: Send + Sync {
    /// Fetches what is at a URL, of at most that many bytes; more is an error. It follows no redirects, and refuses
    /// addresses that the options do not allow. It may be dropped at any time.
    ///
    /// # Errors
    /// Why there is no document.
    async fn fetch(&self, url: &str, limit: usize) -> Result<Vec<u8>, FetchError>;
}

/// How the documents of one issuer are to be fetched.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// The setting that they are of, for messages.
    pub setting: &'static str,
    /// The authorities that its certificate may be of, in PEM; else those of the system.
    pub ca_file: Option<PathBuf>,
    /// A token that is sent with each request, over TLS only. It is read anew each time.
    pub token_file: Option<PathBuf>,
    /// Whether it may be at an address that is not of the internet at large, and without TLS.
    pub allow_private_addresses: bool,
}

/// Makes the fetcher of an issuer.
pub type OpenFetcher<'a> =
    &'a (dyn Fn(&FetchOptions) -> Result<Arc<dyn KeyFetcher>, SetupError> + Send + Sync);
