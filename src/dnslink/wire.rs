//! One message to one server and its answer, over TCP: for callers that need the answer of that very server.
//!
//! The features of a resolver (caches, other servers, aliases) would be in the way here. Every server takes TCP
//! (RFC 7766, 5), and over it no answer is cut short or spoofed.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{DNSClass, Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::publisher::{PublishError, PublishErrorKind};
use crate::config::NameServer;

/// How long one exchange may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Finds where a server listens: at one address, of version 4 if it has one.
pub(super) async fn address(server: &NameServer) -> Result<SocketAddr, PublishError> {
    let NameServer { host, port } = server;
    let found = timeout(LIMIT, tokio::net::lookup_host((host.as_str(), *port))).await;
    let unknown = || format!("cannot find an address of the name server {host}");
    match found {
        Ok(Ok(found)) => {
            found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| unavailable(unknown()))
        }
        Ok(Err(error)) => Err(PublishError::wrap(PublishErrorKind::Unavailable, unknown(), error)),
        Err(_) => Err(unavailable(unknown())),
    }
}

/// Sends a message, and returns the answer to it as it came.
pub(super) async fn exchange(server: SocketAddr, request: &[u8]) -> Result<Vec<u8>, PublishError> {
    let exchanging = async {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(request.len()).map_err(std::io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), request].concat()).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let context = || format!("the name server {server} does not answer");
    let answer = match timeout(LIMIT, exchanging).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            return Err(PublishError::wrap(PublishErrorKind::Unavailable, context(), error));
        }
        Err(_) => return Err(unavailable(context())),
    };
    if answer.get(..2) != request.get(..2) {
        return Err(unavailable(format!(
            "the name server {server} sent an answer to another question"
        )));
    }
    Ok(answer)
}

/// The answer of an authoritative server about the TXT records of a name.
///
/// Both may be made from a wildcard of the zone (RFC 4592), while the name itself has no records: an answer does
/// not show that.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// The records.
    pub(super) texts: Vec<Text>,
    /// The target of the name, if it is an alias.
    pub(super) alias: Option<Name>,
}

/// A TXT record.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) data: TXT,
    /// How long others may cache it, in seconds.
    pub(super) ttl: u32,
}

impl Text {
    /// Joins the segments of the record.
    pub(super) fn joined(&self) -> String {
        String::from_utf8_lossy(&self.data.txt_data.concat()).into_owned()
    }
}

impl Answered {
    /// Returns the texts of the records.
    pub(super) fn joined(&self) -> Vec<String> {
        self.texts.iter().map(Text::joined).collect()
    }
}

/// Queries an authoritative server for the TXT records of a name; none if it has none.
pub(super) async fn texts(server: SocketAddr, name: &Name) -> Result<Answered, PublishError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    let mut query = Query::new();
    query.set_name(name.clone()).set_query_type(RecordType::TXT).set_query_class(DNSClass::IN);
    message.add_query(query);
    let request = message.to_vec().map_err(|error| malformed(server, error))?;
    let answer = exchange(server, &request).await?;
    let answer = Message::from_vec(&answer).map_err(|error| malformed(server, error))?;
    let code = answer.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Err(unavailable(format!("the name server {server} answered {code} for {name}")));
    }
    if !answer.metadata.authoritative {
        return Err(unavailable(format!("the name server {server} does not answer for {name}")));
    }
    let mut found = Answered::default();
    for record in answer.answers.into_iter().filter(|record| record.name == *name) {
        match record.data {
            RData::TXT(data) => found.texts.push(Text { data, ttl: record.ttl }),
            RData::CNAME(target) => found.alias = Some(target.0),
            _ => {}
        }
    }
    Ok(found)
}

/// Makes a name of a text, without a search domain.
pub(super) fn absolute(text: &str) -> Result<Name, PublishError> {
    let mut name = Name::from_ascii(text).map_err(|error| {
        let context = format!("`{text}` is not a DNS name");
        PublishError::wrap(PublishErrorKind::Failed, context, error)
    })?;
    name.set_fqdn(true);
    Ok(name)
}

pub(super) fn unavailable(context: String) -> PublishError {
    PublishError::new(PublishErrorKind::Unavailable, context)
}

pub(super) fn malformed(
    server: SocketAddr,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> PublishError {
    let context = format!("cannot read the answer of the name server {server}");
    PublishError::wrap(PublishErrorKind::Unavailable, context, error)
}
