//! DNS over HTTPS (RFC 8484), by a server of the test's own whose authority the settings name.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use actix_web::dev::ServerHandle;
use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer, web};
use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, Record};
use roadstead::config::{DnsServer, DnslinkSettings};
use roadstead::dnslink::{DnslinkErrorKind, Resolver};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use super::{A, kind, root};
use crate::common::authority;

/// A running server that says that every domain's root is [`A`]. Dropping it ends it.
struct DnsOverHttps {
    port: u16,
    count: Arc<AtomicUsize>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl DnsOverHttps {
    fn start() -> Self {
        let (certificate, key) = authority::issue();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let shared = count.clone();
        let (started, waiting) = mpsc::channel();
        let thread = thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    let count = Data::from(shared.clone());
                    App::new().app_data(count).route("/dns-query", web::post().to(answer))
                };
                let server = HttpServer::new(app).workers(1).disable_signals();
                let server = server.bind_rustls_0_23("127.0.0.1:0", config).unwrap();
                let port = server.addrs()[0].port();
                let server = server.run();
                started.send((port, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (port, handle) = waiting.recv().unwrap();
        Self { port, count, handle, thread: Some(thread) }
    }

    fn settings(&self, folder: &TempDir) -> DnslinkSettings {
        let path = folder.path().join("authority.pem");
        fs::write(&path, authority::certificate()).unwrap();
        DnslinkSettings {
            servers: vec![DnsServer::Https {
                host: "127.0.0.1".to_owned(),
                port: self.port,
                path: "/dns-query".to_owned(),
            }],
            https_authority: Some(path),
            ..DnslinkSettings::default()
        }
    }
}

impl Drop for DnsOverHttps {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(question: Bytes, count: Data<AtomicUsize>) -> HttpResponse {
    count.fetch_add(1, Ordering::SeqCst);
    let question = Message::from_vec(&question).unwrap();
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.id, OpCode::Query);
    answer.add_query(query.clone());
    if query.name().to_string().starts_with("_dnslink.") {
        let data = RData::TXT(TXT::new(vec![format!("dnslink=/ipfs/{A}")]));
        answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
    } else {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    HttpResponse::Ok().content_type("application/dns-message").body(answer.to_vec().unwrap())
}

#[tokio::test]
async fn names_are_looked_up_over_https() {
    let server = DnsOverHttps::start();
    let folder = TempDir::new().unwrap();
    let resolver = Resolver::open(&server.settings(&folder)).unwrap();
    assert_eq!(root(&resolver, "names.test").await, A);
    assert_eq!(root(&resolver, "other.test").await, A);
    assert!(server.count.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn a_server_with_a_certificate_of_an_unknown_authority_is_not_queried() {
    let server = DnsOverHttps::start();
    let folder = TempDir::new().unwrap();
    let settings = DnslinkSettings { https_authority: None, ..server.settings(&folder) };
    let resolver = Resolver::open(&settings).unwrap();
    assert_eq!(kind(&resolver, "names.test").await, DnslinkErrorKind::Unavailable);
    assert_eq!(server.count.load(Ordering::SeqCst), 0);
}

#[test]
fn an_unreadable_authority_is_reported_at_start() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("authority.pem");
    fs::write(&path, "nonsense").unwrap();
    let settings = DnslinkSettings { https_authority: Some(path), ..DnslinkSettings::default() };
    let error = Resolver::open(&settings).err().unwrap();
    assert!(error.to_string().contains("`dnslink.https_authority`"), "{error}");
}
