//! What a client has to be told of a registry.

use crate::common::Server;

/// Where a registry is, and how it speaks.
///
/// Each client gets it when it is found, and says there what it means in the client's own words. Today every
/// registry speaks plain HTTP and knows everybody: a certificate and credentials would be told here.
pub(crate) struct Target {
    scheme: &'static str,
    address: String,
}

impl Target {
    pub(crate) fn of(server: &Server) -> Self {
        Self { scheme: "http", address: server.address().to_owned() }
    }

    /// A registry of somebody else's, without TLS.
    pub(crate) fn at(address: &str) -> Self {
        Self { scheme: "http", address: address.to_owned() }
    }

    /// The host and port that references begin with.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether it speaks HTTP without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.scheme == "http"
    }

    /// `target.reference("team/app:v1")` is `127.0.0.1:<port>/team/app:v1`.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// `target.url("/v2/")` is `http://127.0.0.1:<port>/v2/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }
}
