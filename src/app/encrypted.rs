//! The listener of a registry that encrypts. What a client sends unencrypted is answered by a sentence, where the
//! TLS library would send an alert that no client of HTTP understands.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_server::ServerBuilder;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_tls::accept::{TlsError, max_concurrent_tls_connect};
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::application::{DISCONNECT_TIMEOUT, KEEP_ALIVE, WRITE_BUFFER, application};
use super::tls::Certificate;
use crate::http::{Api, BoundedHeads};

type Encrypted = TlsStream<TcpStream>;

/// How long a client may take to agree on the encryption.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The answer to a request without encryption: the sentence of Go's server, which clients recognise.
const SENTENCE: &str = "Client sent an HTTP request to an HTTPS server.";

/// How much of an unencrypted request is read, so that the client reads the answer.
const DRAINED: usize = 64 * 1024;

/// Adds the listener to a server.
pub(super) fn listen(
    builder: ServerBuilder,
    listener: TcpListener,
    certificate: &Arc<Certificate>,
    api: Data<Api>,
) -> io::Result<ServerBuilder> {
    let config = certificate.config();
    let address = listener.local_addr()?;
    // They are counted as connections, which the limits bound; it must not be the library's few for all clients.
    max_concurrent_tls_connect(api.limits.most_connections());
    let stopping = builder.graceful_shutdown_signal();
    builder.listen("encrypted", listener, move || {
        let (accepting, connecting, stopping) = (api.clone(), api.clone(), stopping.clone());
        let application =
            application(api.clone()).into_factory().map_err(|error| error.error_response());
        let service = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .h1_write_buffer_size(WRITE_BUFFER)
            .local_addr(address)
            .on_connect_ext(move |stream: &BoundedHeads<Encrypted>, data| {
                connecting.limits.connect(&connecting.metrics, stream.stream(), data);
            })
            .finish(map_config(application, |()| AppConfig::default()))
            .map_err(TlsError::Service);
        let mut acceptor = Acceptor::new(config.clone());
        acceptor.set_handshake_timeout(HANDSHAKE);
        let acceptor = acceptor.map_err(TlsError::into_service_error).map(bound);
        let service = fn_service(accept).and_then(acceptor).and_then(service);
        apply_fn_factory(service, move |stream: TcpStream, service| {
            // Until the end of the connection, however early that is.
            let accepting = accepting.limits.accept(&accepting.metrics, &stream);
            let serving = accepting.map(|accepting| (accepting, service.call(stream)));
            async move {
                match serving {
                    Some((_accepting, serving)) => serving.await,
                    None => Err(TlsError::Tls(io::Error::other("too many connections"))),
                }
            }
        })
    })
}

/// Finds out what a connection speaks, and has the heads of its requests watched.
fn bound(stream: Encrypted) -> (BoundedHeads<Encrypted>, Protocol, Option<SocketAddr>) {
    let (tcp, tls) = stream.get_ref();
    let (peer, is_multiplexed) = (tcp.peer_addr().ok(), tls.alpn_protocol() == Some(b"h2"));
    let protocol = if is_multiplexed { Protocol::Http2 } else { Protocol::Http1 };
    (BoundedHeads::new(stream, is_multiplexed), protocol, peer)
}

/// Passes a connection on that begins as TLS does.
async fn accept(stream: TcpStream) -> Result<TcpStream, TlsError<io::Error, DispatchError>> {
    let mut begin = [0; 5];
    let count = match timeout(HANDSHAKE, stream.peek(&mut begin)).await {
        Ok(count) => count.map_err(TlsError::Tls)?,
        Err(_) => return Err(TlsError::Timeout),
    };
    // A record of TLS begins with its type, which is no letter.
    if count == 0 || !begin[0].is_ascii_alphabetic() {
        return Ok(stream);
    }
    let client_address = stream.peer_addr().map(|peer| peer.ip().to_canonical().to_string()).ok();
    tracing::info!(
        service = "roadstead",
        event = "plain_http_refused",
        client_address,
        "refused an HTTP request: this port takes HTTPS only"
    );
    let is_head = begin[..count].starts_with(b"HEAD");
    let _: Result<io::Result<()>, _> = timeout(HANDSHAKE, refuse(stream, is_head)).await;
    Err(TlsError::Tls(io::Error::other("not a TLS connection")))
}

/// Answers an unencrypted request, and takes what the client still sends: it would not read the answer otherwise.
async fn refuse(mut stream: TcpStream, is_head: bool) -> io::Result<()> {
    let error = serde_json::json!({ "code": "UNSUPPORTED", "message": SENTENCE });
    let body = serde_json::json!({ "errors": [error] }).to_string();
    let length = body.len();
    let body = if is_head { "" } else { &body };
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let (mut buffer, mut drained) = (vec![0; 4096], 0);
    while drained < DRAINED {
        match stream.read(&mut buffer).await? {
            0 => break,
            count => drained += count,
        }
    }
    Ok(())
}
