//! Queries to DNS servers: TXT records and addresses.
//!
//! The servers are queried in their order, the next one when the one before has failed or is slow. A reply
//! about a name, also that it does not exist, is an answer; SERVFAIL, a refusal, an answer
//! that fails validation and silence are none.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::time::timeout;

use super::servers::{Client, QUERY_TIME, Servers};
use super::{Domain, Host, SetupError, Validation};
use crate::config::DnslinkSettings;

/// How long a server may take before the next one is queried beside it.
const HEAD_START: Duration = Duration::from_millis(500);

/// How many TXT records of one name are read: a full answer has no more useful ones.
const MAX_TEXTS: usize = 256;

/// How many aliases are followed that the library does not follow by itself.
const MAX_ALIASES: usize = 8;

/// How many addresses of one name are used.
const MAX_ADDRESSES: usize = 16;

/// The error for an answer that is forged, or cannot be distinguished from a forged one.
const NOT_VALIDATED: &str = "the answer is not validated by DNSSEC";

/// A client of the DNS servers.
pub(super) struct Dns {
    servers: Servers,
}

/// The TXT records of a name.
#[derive(Debug)]
pub(super) struct Texts {
    /// Each record, its segments joined.
    pub(super) records: Vec<Vec<u8>>,
    /// The least TTL of the records and their aliases.
    pub(super) ttl: Duration,
    /// The names that the records were found through (CNAME), in order.
    pub(super) through: Vec<String>,
    /// The result of validation, where it is on.
    pub(super) validation: Option<Validation>,
}

/// Why there are no records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// A server answers that there are none.
    Absent,
    /// No server gives a credible answer.
    Down(String),
}

impl Dns {
    /// Reads the files of the settings. It queries no server.
    pub(super) fn open(settings: &DnslinkSettings) -> Result<Self, SetupError> {
        Ok(Self { servers: Servers::open(settings)? })
    }

    /// Queries the TXT records of a name.
    pub(super) async fn texts(&self, name: &str) -> Result<Texts, Failure> {
        let question = question(name)?;
        let answers = self.query(&question, RecordType::TXT).await?;
        let mut names = vec![question];
        let mut aliases: Vec<(&Name, &Name)> = answers.iter().filter_map(alias).collect();
        while let Some(index) = aliases.iter().position(|(from, _)| names.contains(from)) {
            names.push(aliases.swap_remove(index).1.clone());
        }
        let through = names[1..].iter().map(ToString::to_string).collect();
        let is_ours = |record: &&Record| names.contains(&record.name);
        let used = |record: &&Record| matches!(record.data, RData::TXT(_) | RData::CNAME(_));
        let used: Vec<&Record> = answers.iter().filter(is_ours).filter(used).collect();
        let texts: Vec<Vec<u8>> = used
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(text) => Some(text.txt_data.concat()),
                _ => None,
            })
            .take(MAX_TEXTS)
            .collect();
        if texts.is_empty() {
            return Err(Failure::Absent);
        }
        let ttl = used.iter().map(|record| record.ttl).min().unwrap_or_default();
        Ok(Texts {
            records: texts,
            ttl: Duration::from_secs(ttl.into()),
            through,
            validation: self.validation(&used)?,
        })
    }

    /// Queries the addresses of a host, at most a few. A literal address is its own.
    pub(super) async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, Failure> {
        let (name, v4, v6) = match host {
            Host::Ip(ip) => return Ok(vec![*ip]),
            Host::Name(name) => (name, true, true),
            Host::Name4(name) => (name, true, false),
            Host::Name6(name) => (name, false, true),
        };
        let (v4, v6) = tokio::join!(
            self.family(name, RecordType::A, v4),
            self.family(name, RecordType::AAAA, v6),
        );
        let mut found = v4.clone().unwrap_or_default();
        found.extend(v6.clone().unwrap_or_default());
        found.truncate(MAX_ADDRESSES);
        match (v4, v6) {
            _ if !found.is_empty() => Ok(found),
            (Err(Failure::Down(why)), _) | (_, Err(Failure::Down(why))) => Err(Failure::Down(why)),
            _ => Err(Failure::Absent),
        }
    }

    /// Finds the addresses of the servers of a zone: one of each. A name that is no zone has none.
    pub(super) async fn name_servers(&self, zone: &str) -> Result<Vec<IpAddr>, Failure> {
        let question = question(zone)?;
        let answers = self.query(&question, RecordType::NS).await?;
        let of_zone = answers.iter().filter(|record| record.name == question);
        let names: Vec<String> = of_zone
            .filter_map(|record| match &record.data {
                RData::NS(name) => Some(name.0.to_ascii()),
                _ => None,
            })
            .collect();
        if names.is_empty() {
            return Err(Failure::Absent);
        }
        let (mut found, mut last) = (Vec::new(), Failure::Absent);
        for name in names {
            let Ok(name) = name.parse() else { continue };
            match self.addresses(&Host::Name(name)).await {
                Ok(addresses) => found.extend(addresses.into_iter().next()),
                Err(failure) => last = failure,
            }
        }
        match last {
            _ if !found.is_empty() => Ok(found),
            Failure::Absent => {
                Err(Failure::Down(format!("the name servers of {zone} have no address")))
            }
            down @ Failure::Down(_) => Err(down),
        }
    }

    async fn family(
        &self,
        name: &Domain,
        kind: RecordType,
        is_requested: bool,
    ) -> Result<Vec<IpAddr>, Failure> {
        if !is_requested {
            return Err(Failure::Absent);
        }
        let answers = self.query(&question(name.as_str())?, kind).await?;
        let is_address = |record: &&Record| record.data.ip_addr().is_some();
        let used: Vec<&Record> = answers.iter().filter(is_address).collect();
        self.validation(&used)?;
        Ok(used.iter().filter_map(|record| record.data.ip_addr()).take(MAX_ADDRESSES).collect())
    }

    /// Returns the result of validating these records, which all have to be proven, or to be proven to
    /// be of a zone that is not signed.
    fn validation(&self, records: &[&Record]) -> Result<Option<Validation>, Failure> {
        if !self.servers.is_validating() {
            return Ok(None);
        }
        let mut shown = Validation::Secure;
        for record in records {
            match record.proof {
                Proof::Secure => {}
                Proof::Insecure => shown = Validation::Insecure,
                Proof::Bogus | Proof::Indeterminate => {
                    return Err(Failure::Down(NOT_VALIDATED.to_owned()));
                }
            }
        }
        Ok(Some(shown))
    }

    async fn query(&self, question: &Name, kind: RecordType) -> Result<Vec<Record>, Failure> {
        let clients = self.servers.clients().await.map_err(|error| {
            tracing::debug!(%error, "failed to query the DNS");
            Failure::Down(error.context)
        })?;
        let mut rest = clients.iter();
        let mut queries = FuturesUnordered::new();
        let mut last = Failure::Down("no DNS server is configured".to_owned());
        loop {
            if let Some(client) = rest.next() {
                queries.push(query_one(client.clone(), question.clone(), kind));
            } else if queries.is_empty() {
                self.servers.forget();
                return Err(last);
            }
            // After the last server there is no other to query: wait to the end.
            let limit = if rest.len() > 0 { HEAD_START } else { QUERY_TIME * 2 };
            match timeout(limit, queries.next()).await {
                Ok(Some(Err(failure @ Failure::Down(_)))) => last = failure,
                Ok(Some(answer)) => return answer,
                Ok(None) | Err(_) => {}
            }
        }
    }
}

/// Makes a name of a text, without a search domain of the system.
fn question(text: &str) -> Result<Name, Failure> {
    let mut name = Name::from_ascii(text).map_err(|_| Failure::Absent)?;
    name.set_fqdn(true);
    Ok(name)
}

/// Returns the name and the target of a record that is an alias.
fn alias(record: &Record) -> Option<(&Name, &Name)> {
    match &record.data {
        RData::CNAME(target) => Some((&record.name, &target.0)),
        _ => None,
    }
}

type Query = BoxFuture<'static, Result<Vec<Record>, Failure>>;

fn query_one(client: Client, question: Name, kind: RecordType) -> Query {
    async move {
        let answer = timeout(QUERY_TIME, look_up(&client, question, kind)).await;
        answer.unwrap_or_else(|_| Err(Failure::Down("no DNS server answered in time".to_owned())))
    }
    .boxed()
}

/// Queries one server, and follows a proven alias that the library refuses.
async fn look_up(
    client: &Client,
    question: Name,
    kind: RecordType,
) -> Result<Vec<Record>, Failure> {
    let (mut answers, mut name) = (Vec::new(), question);
    for _ in 0..MAX_ALIASES {
        let error = match client.resolver.lookup(name.clone(), kind).await {
            Ok(lookup) => {
                answers.extend_from_slice(lookup.answers());
                return Ok(answers);
            }
            Err(error) => error,
        };
        let is_refused = matches!(
            error,
            NetError::Dns(
                DnsError::DnssecBogus
                    | DnsError::Nsec { proof: Proof::Bogus | Proof::Indeterminate, .. }
            )
        );
        let Some(prover) = client.prover.as_ref().filter(|_| is_refused) else {
            return Err(failure(&error));
        };
        let Some(found) = prover.query(&name, kind).await else { return Err(failure(&error)) };
        let end = end_of(&name, &found);
        let is_whole = found.iter().any(|it| it.name == end && it.record_type() == kind);
        answers.extend(found);
        if is_whole || end == name {
            return Ok(answers);
        }
        name = end;
    }
    Err(Failure::Down("too many aliases in a row".to_owned()))
}

/// Follows the aliases of a name among these records.
fn end_of(name: &Name, records: &[Record]) -> Name {
    let mut aliases: Vec<(&Name, &Name)> = records.iter().filter_map(alias).collect();
    let mut end = name;
    while let Some(index) = aliases.iter().position(|(from, _)| *from == end) {
        end = aliases.swap_remove(index).1;
    }
    end.clone()
}

fn failure(error: &NetError) -> Failure {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) => Failure::Absent,
        NetError::Dns(DnsError::Nsec { proof: Proof::Secure | Proof::Insecure, .. }) => {
            Failure::Absent
        }
        NetError::Timeout => Failure::Down("no DNS server answered in time".to_owned()),
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Failure::Down(format!("the server answered {code}"))
        }
        NetError::Dns(DnsError::DnssecBogus | DnsError::Nsec { .. }) => {
            Failure::Down(NOT_VALIDATED.to_owned())
        }
        other => down(other),
    }
}

fn down(error: &dyn std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Failure::Down(text)
}
