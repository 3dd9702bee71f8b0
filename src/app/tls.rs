//! TLS: the certificate that clients are shown, read again when its files change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, ServerConfig};
use thiserror::Error;

use crate::config::TlsSettings;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Why connections cannot be encrypted.
#[derive(Debug, Error)]
#[error("cannot use the file {} of `{setting}`: {reason}", .file.display())]
pub struct TlsError {
    /// The setting that names the file.
    pub setting: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// A certificate with its key, and the files that both came from.
#[derive(Debug)]
pub(super) struct Certificate {
    files: TlsSettings,
    shown: RwLock<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

/// What the files held when they were looked at last.
#[derive(Default)]
struct Seen {
    pair: Option<Pair>,
    complaint: Option<String>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key is in it.
        formatter.debug_struct("Seen").finish_non_exhaustive()
    }
}

/// The bytes of both files.
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// Reads the files; they have to be good now.
    ///
    /// # Errors
    /// Which one is not, and why.
    pub(super) fn open(files: &TlsSettings) -> Result<Arc<Self>, TlsError> {
        let pair = Pair::read(files)?;
        let certified = pair.certified(files)?;
        Ok(Arc::new(Self {
            files: files.clone(),
            shown: RwLock::new(Arc::new(certified)),
            seen: Mutex::new(Seen { pair: Some(pair), complaint: None }),
        }))
    }

    /// Makes what a listener needs: TLS 1.2 and 1.3, and below them HTTP/2 or 1.1.
    pub(super) fn config(self: &Arc<Self>) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has what both versions need")
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// Shows new connections what the files hold, as long as that is good.
    pub(super) async fn keep_current(self: Arc<Self>) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let this = Arc::clone(&self);
            // One that panicked has changed nothing, and the next one looks again.
            let _ = tokio::task::spawn_blocking(move || this.look()).await;
        }
    }

    fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let certified = match Pair::read(&self.files) {
            Ok(pair) if seen.pair.as_ref() == Some(&pair) => return,
            Ok(pair) => {
                let certified = pair.certified(&self.files);
                seen.pair = Some(pair);
                certified
            }
            Err(error) => {
                seen.pair = None;
                Err(error)
            }
        };
        match certified {
            Ok(certified) => {
                *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                seen.complaint = None;
                let file = self.files.certificate.display();
                tracing::info!(%file, "reloaded the certificate");
            }
            Err(error) => {
                let complaint = error.to_string();
                if seen.complaint.as_ref() != Some(&complaint) {
                    tracing::error!(%error, "failed to reload the certificate; the previous one is still in use");
                    seen.complaint = Some(complaint);
                }
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Pair {
    fn read(files: &TlsSettings) -> Result<Self, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|error| error.to_string());
        Ok(Self {
            certificate: read(&files.certificate).map_err(|it| of_certificate(files, it))?,
            key: read(&files.key).map_err(|it| of_key(files, it))?,
        })
    }

    /// Makes of it what connections are shown.
    fn certified(&self, files: &TlsSettings) -> Result<CertifiedKey, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|error| of_certificate(files, said(&error, "certificate")))?;
        if chain.is_empty() {
            let reason = said(&pem::Error::NoItemsFound, "certificate");
            return Err(of_certificate(files, reason));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|error| of_key(files, said(&error, "key")))?;
        CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let certificate = files.certificate.display();
                of_key(files, format!("not the key of the certificate in {certificate}"))
            }
            Error::InvalidCertificate(_) => of_certificate(files, error.to_string()),
            _ => of_key(files, error.to_string()),
        })
    }
}

/// Says what is wrong with a file in PEM; the library would show a part of it.
fn said(error: &pem::Error, thing: &str) -> String {
    match error {
        pem::Error::NoItemsFound => format!("no {thing} in it"),
        _ => "not valid PEM".to_owned(),
    }
}

fn of_certificate(files: &TlsSettings, reason: String) -> TlsError {
    TlsError { setting: "server.tls.certificate", file: files.certificate.clone(), reason }
}

fn of_key(files: &TlsSettings, reason: String) -> TlsError {
    TlsError { setting: "server.tls.key", file: files.key.clone(), reason }
}
