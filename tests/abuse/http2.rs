//! One connection of HTTP/2 with thousands of requests, whose window lets no byte of an answer through.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::generate_simple_self_signed;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::abuse::{descriptors, memory, metric};
use crate::common::content::{MIB, noise};
use crate::common::repository::{Repository, wait};
use crate::common::{Server, embedded_only};

/// How many requests the connection has under way at once, as far as it is let.
const REQUESTS: usize = 1500;

/// How long any step may take.
const STEP: Duration = Duration::from_mins(1);

/// Takes every certificate.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub(super) fn start(folder: &Path) -> Server {
    let issued = generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("it is a name");
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    std::fs::write(&certificate, issued.cert.pem()).expect("the folder is ours");
    std::fs::write(&key, issued.signing_key.serialize_pem()).expect("the folder is ours");
    Server::start_encrypted(move |command| {
        command
            .env("ROADSTEAD_SERVER__TLS__CERTIFICATE", &certificate)
            .env("ROADSTEAD_SERVER__TLS__KEY", &key)
            .env("ROADSTEAD_SERVER__LIMITS__SEND_TIMEOUT", "3s");
    })
}

/// Opens a connection on which HTTP/2 is spoken.
pub(super) async fn encrypted(server: &Server) -> TlsStream<TcpStream> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has what they need")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(server.address()).await.expect("the server listens");
    let name = ServerName::try_from("127.0.0.1").expect("it is an address");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    stream.expect("any certificate will do")
}

/// Opens a connection whose window for answers is zero.
async fn connect(server: &Server) -> h2::client::SendRequest<bytes::Bytes> {
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .initial_max_send_streams(REQUESTS)
        .handshake::<_, bytes::Bytes>(encrypted(server).await)
        .await
        .expect("the server speaks HTTP/2");
    // It ends with the runtime.
    tokio::spawn(connection);
    client
}

#[test]
fn one_connection_that_takes_nothing_opens_no_more_than_its_share() {
    let Some(()) = embedded_only("it counts the files of the data folder") else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let server = start(folder.path());
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(&noise(4 * MIB, 1));
    let path = repository.path(&format!("blobs/{digest}"));
    let before = descriptors(&server);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime needs nothing from outside");
    let (connection, statuses) = runtime.block_on(async {
        let mut client = connect(&server).await;
        let mut pending = Vec::new();
        for _ in 0..REQUESTS {
            client = timeout(STEP, client.ready()).await.expect("in time").expect("it lasts");
            let request = ::http::Request::get(format!("https://127.0.0.1{path}")).body(());
            let (answer, _) =
                client.send_request(request.expect("it is one"), true).expect("it lasts");
            pending.push(answer);
        }
        let mut answers = Vec::new();
        let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
        for answer in pending {
            let answer = timeout(STEP, answer).await.expect("in time").expect("it is answered");
            *statuses.entry(answer.status().as_u16()).or_default() += 1;
            if answer.status() != 200 {
                assert!(answer.headers().contains_key("retry-after"));
            }
            answers.push(answer);
        }
        ((client, answers), statuses)
    });
    let opened = statuses.get(&200).copied().unwrap_or_default();
    assert!((1..=100).contains(&opened), "{statuses:?}");
    assert_eq!(opened + statuses[&429], REQUESTS, "{statuses:?}");
    assert!(descriptors(&server) <= before + 250, "{before} {}", descriptors(&server));
    assert_eq!(crate::common::http::get(&server.url("/healthz")).status, 200);
    let refused = "roadstead_limit_refusals_total{limit=\"requests_per_connection\"}";
    assert!(metric(&server, refused) > 0);
    // What was opened is given back, though the connection answers each PING.
    wait(|| descriptors(&server) <= before + 10, "files stay open for who takes nothing");
    wait(|| metric(&server, "roadstead_transfers") == 0, "it still counts");
    assert_eq!(repository.get(&format!("blobs/{digest}")).status, 200);
    drop(connection);
    runtime.shutdown_background();
}

#[test]
fn streams_that_are_opened_and_reset_again_and_again_cost_others_nothing() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let server = start(folder.path());
    let repository = Repository::of(&server, "team/app");
    let content = noise(MIB, 1);
    let digest = repository.push_blob(&content);
    let path = repository.path(&format!("blobs/{digest}"));
    let (files, bytes) = (descriptors(&server), memory(&server));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime needs nothing from outside");
    for _ in 0..10 {
        runtime.block_on(async {
            let mut client = connect(&server).await;
            for _ in 0..1000 {
                // The server may have had enough of this connection.
                let Ok(Ok(ready)) = timeout(STEP, client.ready()).await else { return };
                client = ready;
                let request = ::http::Request::get(format!("https://127.0.0.1{path}")).body(());
                let Ok((_, mut stream)) = client.send_request(request.expect("it is one"), false)
                else {
                    return;
                };
                stream.send_reset(h2::Reason::CANCEL);
            }
        });
        assert_eq!(crate::common::http::get(&server.url("/healthz")).status, 200);
        assert!(repository.get(&format!("blobs/{digest}")).body == content, "other bytes");
    }
    runtime.shutdown_background();
    assert!(memory(&server) < bytes + 64 * MIB, "{bytes} {}", memory(&server));
    wait(|| descriptors(&server) <= files + 20, "files or connections stay open");
    wait(|| metric(&server, "roadstead_transfers") == 0, "it still counts");
}
