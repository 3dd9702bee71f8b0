//! Clients of HTTP. The registry serves its own images on a machine that trusts no authority, as one without Debian's
//! `ca-certificates`, so what asks other servers is made there too, and fails when it connects by TLS.

use std::sync::Once;

use reqwest::{Client, ClientBuilder};

/// Builds a client by the certificates of the system; where it has none, one that trusts no server.
///
/// # Errors
/// When there can be no client for another reason.
pub fn build(builder: impl Fn() -> ClientBuilder) -> reqwest::Result<Client> {
    static WARNED: Once = Once::new();

    builder().build().or_else(|error| {
        let trusting_none = builder().tls_certs_only([]).build();
        let client = trusting_none.map_err(|_| error)?;
        WARNED.call_once(|| {
            tracing::warn!(
                "the system has no CA certificates: nothing can be fetched over HTTPS; install them (Debian: \
                 ca-certificates) and restart"
            );
        });
        Ok(client)
    })
}
