//! `rfc2136`: dynamic updates, signed by a key that the server shares (TSIG, RFC 8945).
//!
//! Each update carries the records that were there as a prerequisite, so it fails if another writer has changed
//! them meanwhile, and otherwise replaces all in one step: no client sees the name without a link.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode, UpdateMessage};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::rdata::tsig::{TsigAlgorithm, TsigError};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};
use secrecy::ExposeSecret;

use super::super::publisher::segments;
use super::super::wire::{Text, absolute, address, exchange, malformed, texts, unavailable};
use super::super::{Change, Difference, Provider, PublishError, PublishErrorKind};
use crate::config::{NameServer, PublishSettings};

/// How far the clocks may be apart, in seconds (RFC 8945, 10).
const FUDGE: u16 = 300;

/// How often the records are read again when another writer changes others of the same name meanwhile.
const TRIES: usize = 5;

struct Rfc2136 {
    server: NameServer,
    zone: Name,
    signer: TSigner,
}

/// Makes the provider.
pub(super) fn open(settings: &PublishSettings) -> Result<Arc<dyn Provider>, PublishError> {
    let settings = &settings.rfc2136;
    let failed = |what: &str| PublishError::new(PublishErrorKind::Failed, what);
    let algorithm = match settings.key_algorithm {
        "hmac-sha256" => TsigAlgorithm::HmacSha256,
        "hmac-sha384" => TsigAlgorithm::HmacSha384,
        "hmac-sha512" => TsigAlgorithm::HmacSha512,
        _ => return Err(failed("unknown key algorithm")),
    };
    let secret = STANDARD.decode(settings.key_secret.expose_secret());
    let secret = secret.map_err(|_| failed("the key's secret is not base64"))?;
    let signer = TSigner::new(secret, algorithm, absolute(&settings.key_name)?, FUDGE);
    let signer = signer.map_err(|error| {
        PublishError::wrap(PublishErrorKind::Failed, "cannot use the key", error)
    })?;
    let (server, zone) = (settings.server.clone(), absolute(&settings.zone)?);
    Ok(Arc::new(Rfc2136 { server, zone, signer }))
}

/// The records that an update expects at the name.
#[derive(Clone, Copy)]
enum Basis<'a> {
    /// These TXT records, and no others.
    Texts(&'a [Text]),
    /// Neither TXT records nor an alias. So it is also where the server makes its answers out of a wildcard:
    /// prerequisites do not see those (RFC 2136, 3.2.4, and RFC 4592, 2.2.1), and the added records replace them.
    Nothing,
}

#[async_trait]
impl Provider for Rfc2136 {
    async fn write(&self, change: &Change) -> Result<(), PublishError> {
        let name = absolute(&change.name())?;
        let server = address(&self.server).await?;
        let ttl = u32::try_from(change.ttl.as_secs()).unwrap_or(u32::MAX);
        for _ in 0..TRIES {
            let current = texts(server, &name).await?;
            let mut difference = change.against(&current.joined())?;
            let is_own = |text: &&Text| change.expected.contains(&text.joined());
            if current.texts.iter().filter(is_own).any(|text| text.ttl != ttl) {
                // Not every server changes the TTL of an existing record.
                difference.remove.extend(current.texts.iter().filter(is_own).map(Text::joined));
                difference.add.clone_from(&change.expected);
            }
            if difference.is_empty() {
                return Ok(());
            }
            if current.alias.is_none() && !current.texts.is_empty() {
                let update = self.update(&name, Basis::Texts(&current.texts), &difference, ttl);
                if self.send(server, update).await? {
                    return Ok(());
                }
            }
            let whole = Difference { remove: Vec::new(), add: change.expected.clone() };
            let update = self.update(&name, Basis::Nothing, &whole, ttl);
            if self.send(server, update).await? {
                return Ok(());
            }
            self.expect_no_alias(server, &name).await?;
        }
        Err(unavailable(format!("the records of {name} keep changing")))
    }

    async fn check(&self, change: &Change) -> Result<(), PublishError> {
        let name = absolute(&change.name())?;
        let server = address(&self.server).await?;
        let current = texts(server, &name).await?;
        change.against(&current.joined())?;
        // An update of prerequisites alone: the server checks these and the key, and changes nothing.
        let nothing = Difference { remove: Vec::new(), add: Vec::new() };
        let is_free = self.send(server, self.update(&name, Basis::Nothing, &nothing, 0)).await?;
        if is_free || current.alias.is_none() {
            return Ok(());
        }
        self.expect_no_alias(server, &name).await
    }
}

impl Rfc2136 {
    /// Refuses a name that is still an alias, although the server says that it has records.
    async fn expect_no_alias(&self, server: SocketAddr, name: &Name) -> Result<(), PublishError> {
        let Some(target) = texts(server, name).await?.alias else { return Ok(()) };
        let context = format!(
            "{name} is an alias of {target}, and so can have no records of its own: remove the CNAME record"
        );
        Err(PublishError::new(PublishErrorKind::Failed, context))
    }

    /// Makes an update that applies only if the expected records are at the name (RFC 2136, 2.4.2 and 2.4.3).
    fn update(&self, name: &Name, basis: Basis<'_>, difference: &Difference, ttl: u32) -> Message {
        let mut zone = Query::new();
        zone.set_name(self.zone.clone())
            .set_query_class(DNSClass::IN)
            .set_query_type(RecordType::SOA);
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.metadata.recursion_desired = false;
        message.add_zone(zone);
        let record =
            |text: &TXT, ttl| Record::from_rdata(name.clone(), ttl, RData::TXT(text.clone()));
        match basis {
            Basis::Texts(texts) => {
                for text in texts {
                    message.add_pre_requisite(record(&text.data, 0));
                }
                for text in texts.iter().filter(|it| difference.remove.contains(&it.joined())) {
                    let mut gone = record(&text.data, 0);
                    gone.dns_class = DNSClass::NONE;
                    message.add_update(gone);
                }
            }
            Basis::Nothing => {
                for kind in [RecordType::TXT, RecordType::CNAME] {
                    let mut absent = Record::update0(name.clone(), 0, kind);
                    absent.dns_class = DNSClass::NONE;
                    message.add_pre_requisite(absent);
                }
            }
        }
        for text in &difference.add {
            message.add_update(record(&TXT::from_bytes(segments(text)), ttl));
        }
        message
    }

    /// Sends an update. Returns whether it was applied; it was not if other records were there.
    async fn send(&self, server: SocketAddr, mut message: Message) -> Result<bool, PublishError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let verifier =
            message.finalize(&self.signer, now).map_err(|error| malformed(server, error))?;
        let request = message.to_vec().map_err(|error| malformed(server, error))?;
        let answered = exchange(server, &request).await?;
        let answer = Message::from_vec(&answered).map_err(|error| malformed(server, error))?;
        let signed = answer.signature().and_then(|record| record.data.error);
        let refused = |why: String| PublishError::new(PublishErrorKind::Refused, why);
        let (key, zone) = (self.signer.signer_name(), &self.zone);
        match signed {
            None => {}
            Some(TsigError::BadKey) => {
                return Err(refused(format!(
                    "the name server {server} does not know the key {key}"
                )));
            }
            Some(TsigError::BadSig) => {
                let why = format!("the name server {server} has another secret for the key {key}");
                return Err(refused(why));
            }
            Some(TsigError::BadTime) => {
                let why =
                    format!("the clocks of this machine and of the name server {server} differ");
                return Err(refused(why));
            }
            Some(other) => {
                return Err(refused(format!(
                    "the name server {server} answered TSIG error {other:?}"
                )));
            }
        }
        let code = answer.metadata.response_code;
        if matches!(code, ResponseCode::Refused | ResponseCode::NotAuth | ResponseCode::NotZone) {
            let why = format!(
                "the name server {server} does not let the key {key} change the zone {zone} ({code})"
            );
            return Err(refused(why));
        }
        // Any other answer is not signed, so anyone may have sent it.
        if let Some(mut verifier) = verifier {
            verifier.verify(&answered).map_err(|error| malformed(server, error))?;
        }
        match code {
            ResponseCode::NoError => Ok(true),
            ResponseCode::NXRRSet | ResponseCode::YXRRSet | ResponseCode::NXDomain => Ok(false),
            code => {
                Err(unavailable(format!("the name server {server} answered {code} to the update")))
            }
        }
    }
}
