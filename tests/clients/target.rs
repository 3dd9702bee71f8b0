//! What a client has to be told of a registry.

use crate::common::Server;

/// Somebody whom a registry knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) password: &'static str,
}

/// Where a registry is, how it speaks, and as whom the client signs in.
///
/// Each client gets it when it is found, and says there what it means in the client's own words.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    scheme: &'static str,
    address: String,
    authority: Option<String>,
    user: Option<User>,
}

impl Target {
    /// A registry that speaks plain HTTP and serves everybody.
    pub(crate) fn of(server: &Server) -> Self {
        Self::open(server.address())
    }

    /// The same, also if it is another's program.
    pub(crate) fn open(address: &str) -> Self {
        Self { scheme: "http", address: address.to_owned(), authority: None, user: None }
    }

    /// The same where it encrypts, with a certificate that this authority has signed.
    pub(crate) fn encrypted(self, authority: String) -> Self {
        Self { scheme: "https", authority: Some(authority), ..self }
    }

    /// The same for a client that is that user, or a stranger.
    pub(crate) fn of_user(self, user: Option<User>) -> Self {
        Self { user, ..self }
    }

    /// The same registry under another host, which is followed by its port.
    pub(crate) fn at(&self, host: &str) -> Self {
        let (_, port) = self.address.rsplit_once(':').expect("an address has a port");
        Self { address: format!("{host}:{port}"), ..self.clone() }
    }

    /// The host and port that references begin with.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether it speaks HTTP without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.scheme == "http"
    }

    /// The certificate, as PEM, of who has signed the registry's.
    pub(crate) fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// As whom the client signs in.
    pub(crate) fn user(&self) -> Option<User> {
        self.user
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
