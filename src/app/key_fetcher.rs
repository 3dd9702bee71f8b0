//! Fetches the keys of token issuers over HTTP: without redirects and proxies, and never from an address that the
//! operator has not allowed.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::ACCEPT;
use reqwest::{Certificate, Client, Url, redirect};
use thiserror::Error;

use crate::auth::SetupError;
use crate::auth::signed::{FetchError, FetchOptions, KeyFetcher};
use crate::config::DnslinkSettings;
use crate::dnslink::{Dialer, Guard, Resolver};
use crate::https;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a document may take, from the request to its last byte.
const WHOLE: Duration = Duration::from_secs(8);

/// The longest token that is sent.
const TOKEN_BYTES: usize = 16 * 1024;

/// Makes the fetcher of one issuer.
pub(super) fn open(
    dnslink: &DnslinkSettings,
    options: &FetchOptions,
) -> Result<Arc<dyn KeyFetcher>, SetupError> {
    let guard = Guard { allow_private: options.allow_private_addresses };
    let resolver = Resolver::open(dnslink).map_err(|error| SetupError {
        setting: error.setting,
        file: error.path,
        reason: error.source.to_string(),
    })?;
    let dialer = resolver.dialer().guarded_by(guard);
    let unusable = |reason: String| SetupError {
        setting: options.setting,
        file: options.ca_file.clone().unwrap_or_default(),
        reason,
    };
    let builder = || {
        let builder = Client::builder().connect_timeout(CONNECT).timeout(WHOLE).no_proxy();
        let builder = builder.redirect(redirect::Policy::none());
        // Where every address is allowed, so are names that only this system knows.
        if guard.allow_private { builder } else { builder.dns_resolver(Arc::new(dialer.clone())) }
    };
    let client = match &options.ca_file {
        None => https::build(builder),
        Some(path) => {
            let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or_else(|| unusable("it has no certificate in PEM".to_owned()))?;
            builder().tls_certs_only(authorities).build()
        }
    };
    let client = client.map_err(|error| unusable(error.to_string()))?;
    Ok(Arc::new(HttpFetcher { client, dialer, token_file: options.token_file.clone() }))
}

struct HttpFetcher {
    client: Client,
    dialer: Dialer,
    token_file: Option<PathBuf>,
}

/// Why a document is not fetched, or not taken.
#[derive(Debug, Error)]
enum Refusal {
    #[error(
        "the URL has to begin with https://, or with http:// where private addresses are allowed"
    )]
    Scheme,
    #[error("the URL has a user or a password")]
    Userinfo,
    #[error("the token of `token_file` is only sent over TLS")]
    TokenInTheClear,
    #[error("the token of `token_file` is longer than {TOKEN_BYTES} bytes")]
    LongToken,
    #[error("the answer has the status {0}")]
    Status(u16),
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
}

#[async_trait]
impl KeyFetcher for HttpFetcher {
    async fn fetch(&self, url: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        let url: Url = url.parse()?;
        let is_encrypted = url.scheme() == "https";
        let is_allowed =
            is_encrypted || (url.scheme() == "http" && self.dialer.guard().allow_private);
        if !is_allowed {
            return Err(Refusal::Scheme.into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Userinfo.into());
        }
        // The client does not ask the resolver about a literal address.
        self.dialer.check_url(&url)?;
        let mut request = self.client.get(url).header(ACCEPT, "application/json");
        if let Some(path) = &self.token_file {
            if !is_encrypted {
                return Err(Refusal::TokenInTheClear.into());
            }
            let token = tokio::fs::read_to_string(path).await?;
            if token.len() > TOKEN_BYTES {
                return Err(Refusal::LongToken.into());
            }
            request = request.bearer_auth(token.trim());
        }
        let mut response = request.send().await?;
        if response.status() != 200 {
            return Err(Refusal::Status(response.status().as_u16()).into());
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await? {
            if bytes.len() + piece.len() > limit {
                return Err(Refusal::TooLong(limit).into());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each request with these bytes.
    async fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    async fn fetched(answer: &'static str, is_allowed: bool) -> Result<Vec<u8>, String> {
        let address = server(answer).await;
        let options =
            FetchOptions { allow_private_addresses: is_allowed, ..FetchOptions::default() };
        let fetcher = open(&DnslinkSettings::default(), &options).unwrap();
        let document = fetcher.fetch(&format!("http://{address}/keys"), 10).await;
        document.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_document_is_fetched_within_its_bounds() {
        let good = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789";
        assert_eq!(fetched(good, true).await, Ok(b"0123456789".to_vec()));
        for bad in [
            "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n0123456789a",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert!(fetched(bad, true).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn private_addresses_and_plain_http_have_to_be_allowed() {
        let good = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(fetched(good, false).await, Err(Refusal::Scheme.to_string()));
        let fetcher = open(&DnslinkSettings::default(), &FetchOptions::default()).unwrap();
        for url in [
            "https://127.0.0.1/keys",
            "https://[::1]/keys",
            "https://169.254.169.254/latest",
            "https://10.0.0.1/keys",
            "https://user:secret@example.com/keys",
            "file:///etc/passwd",
            "ftp://example.com/keys",
            "keys",
            "",
        ] {
            assert!(fetcher.fetch(url, 10).await.is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_bearer_is_sent_over_tls_only() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "secret\n").unwrap();
        let address = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        let (token_file, allow_private_addresses) = (Some(path.clone()), true);
        let options =
            FetchOptions { token_file, allow_private_addresses, ..FetchOptions::default() };
        let fetcher = open(&DnslinkSettings::default(), &options).unwrap();
        let refused = fetcher.fetch(&format!("http://{address}/"), 10).await.unwrap_err();
        assert_eq!(refused.to_string(), Refusal::TokenInTheClear.to_string());

        let options = FetchOptions { ca_file: Some(path), ..FetchOptions::default() };
        assert!(open(&DnslinkSettings::default(), &options).is_err(), "no certificate");
    }
}
