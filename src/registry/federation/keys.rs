//! Records of IPNS keys: from the operator's node and from gateways, each verified here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cid::Cid;
use cid::multibase::Base;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use quick_cache::sync::Cache;
use reqwest::Client;
use tokio::time::{Instant, timeout, timeout_at};

use super::hints::HINTS;
use crate::dnslink::ipns::{self, IpnsRecord, MAX_RECORD};
use crate::dnslink::{Dialer, DnslinkError, DnslinkErrorKind, Hint, KeyResolver, Link, Result};
use crate::kubo::{Kubo, KuboErrorKind};
use crate::remote::GatewayAddress;

const RECORD: &str = "application/vnd.ipfs.ipns-record";

/// For how many keys the newest record is cached.
const KEYS: usize = 1000;

/// How long a gateway may take.
const GATEWAY: Duration = Duration::from_secs(15);

/// How long other sources may take that may have a newer record, once there is a good one.
const SECOND_OPINION: Duration = Duration::from_secs(1);

/// The sources of the records of keys.
pub(super) struct Keys {
    /// The gateways that the operator names, and what asks them.
    pub(super) gateways: Vec<String>,
    pub(super) own: Client,
    /// What asks those that a publisher names.
    pub(super) guarded: Client,
    pub(super) dialer: Dialer,
    pub(super) node: Option<Arc<Kubo>>,
    pub(super) newest: Newest,
}

/// A record as its owner has signed it, for clients that verify it themselves.
#[derive(Debug, Clone)]
pub struct SignedRecord {
    /// The record, of 10 KiB at most.
    pub bytes: Vec<u8>,
    /// Until when it is good.
    pub good_until: Timestamp,
    /// How long it may be cached before a newer one is looked for.
    pub ttl: Duration,
}

/// The newest record of each key that was seen: no older one counts any more.
pub(super) struct Newest(Cache<Cid, Arc<Seen>>);

/// A record that was verified.
struct Seen {
    record: IpnsRecord,
    bytes: Vec<u8>,
}

impl Default for Newest {
    fn default() -> Self {
        Self(Cache::new(KEYS))
    }
}

impl Newest {
    /// Returns the newest of this record and those that were seen.
    fn take(&self, key: &Cid, found: Seen) -> Arc<Seen> {
        match self.0.get(key) {
            Some(seen) if rank(&seen.record) > rank(&found.record) => seen,
            _ => {
                let found = Arc::new(found);
                self.0.insert(*key, Arc::clone(&found));
                found
            }
        }
    }
}

/// The order of two records, the newer one last.
fn rank(record: &IpnsRecord) -> (u64, Timestamp) {
    (record.sequence, record.good_until)
}

#[async_trait]
impl KeyResolver for Keys {
    async fn resolve(&self, key: &Cid, hints: &[Hint]) -> Result<(Link, Duration)> {
        let found = self.ask(key, hints).await;
        let now = Timestamp::now();
        let seen = match found {
            Ok(found) => self.newest.take(key, found),
            // A source that says that there is none, or something else, does not speak for the owner.
            Err(error) => match self.newest.0.get(key).filter(|it| it.record.good_until > now) {
                Some(seen) => return Ok((seen.record.value.clone(), Duration::ZERO)),
                None => return Err(error),
            },
        };
        let record = &seen.record;
        let left = Duration::try_from(record.good_until.duration_since(now)).unwrap_or_default();
        if left.is_zero() {
            let what = format!("{}: the newest record has expired", name(key));
            return Err(DnslinkError::new(DnslinkErrorKind::Invalid, what));
        }
        Ok((record.value.clone(), record.ttl.min(left)))
    }
}

impl Keys {
    /// Returns the newest record that was seen of a key, if it is still good; makes no request.
    pub(super) fn newest(&self, key: &Cid) -> Option<SignedRecord> {
        let seen = self.newest.0.get(key)?;
        let IpnsRecord { good_until, ttl, .. } = seen.record;
        let is_good = good_until > Timestamp::now();
        is_good.then(|| SignedRecord { bytes: seen.bytes.clone(), good_until, ttl })
    }

    /// Asks all at once, and returns the newest record that comes soon after the first one.
    async fn ask(&self, key: &Cid, hints: &[Hint]) -> Result<Seen> {
        let mut asking: FuturesUnordered<BoxFuture<'_, Result<Vec<u8>>>> = FuturesUnordered::new();
        for url in &self.gateways {
            asking.push(fetch(&self.own, url, GatewayAddress::of_operator(url), key).boxed());
        }
        for hint in hints.iter().filter_map(|hint| self.gateway(hint)).take(HINTS) {
            let address = GatewayAddress::of_publisher(hint);
            asking.push(fetch(&self.guarded, hint, address, key).boxed());
        }
        asking.extend(self.node.iter().map(|kubo| search(kubo, key).boxed()));
        let context = format!(
            "{}: no source for IPNS records; set `federation.gateways` or `federation.kubo.api`",
            name(key)
        );
        let mut worst = DnslinkError::new(DnslinkErrorKind::Unavailable, context);
        let mut is_first = true;
        let (mut best, mut until): (Option<Seen>, Option<Instant>) = (None, None);
        loop {
            let next = match until {
                Some(until) => timeout_at(until, asking.next()).await.unwrap_or_default(),
                None => asking.next().await,
            };
            let Some(answer) = next else { break };
            match answer.and_then(|bytes| verified(key, bytes)) {
                Ok(found) => {
                    until.get_or_insert(Instant::now() + SECOND_OPINION);
                    if best.as_ref().is_none_or(|best| rank(&best.record) < rank(&found.record)) {
                        best = Some(found);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "no valid IPNS record");
                    if is_first || weight(error.kind) > weight(worst.kind) {
                        (worst, is_first) = (error, false);
                    }
                }
            }
        }
        best.ok_or(worst)
    }

    /// Returns the URL of a gateway that a publisher names, if it may be dialled.
    fn gateway<'a>(&self, hint: &'a Hint) -> Option<&'a str> {
        let Hint::Gateway(gateway) = hint else { return None };
        self.dialer.check_gateway(gateway).is_ok().then_some(gateway.url.as_str())
    }
}

/// How much a failure says: a source that cannot be reached might have a record.
fn weight(kind: DnslinkErrorKind) -> u8 {
    match kind {
        DnslinkErrorKind::NotFound => 0,
        DnslinkErrorKind::Invalid | DnslinkErrorKind::Loop | DnslinkErrorKind::TooLong => 1,
        DnslinkErrorKind::Unavailable | DnslinkErrorKind::TooMany => 2,
    }
}

fn verified(key: &Cid, bytes: Vec<u8>) -> Result<Seen> {
    let record = ipns::verify(key, &bytes, Timestamp::now())
        .map_err(|error| DnslinkError::wrap(DnslinkErrorKind::Invalid, name(key), error))?;
    Ok(Seen { record, bytes })
}

/// Asks a gateway (trustless gateway specification, "IPNS Record").
async fn fetch(client: &Client, base: &str, address: GatewayAddress, key: &Cid) -> Result<Vec<u8>> {
    let key = name(key);
    let unavailable = |what: &str| {
        DnslinkError::new(DnslinkErrorKind::Unavailable, format!("{key}: {base} {what}"))
    };
    let answer = async {
        let target = format!("/ipns/{key}?format=ipns-record");
        let response = address.get(client, &target, RECORD).await;
        let response = response.map_err(|_| unavailable("cannot be reached"))?;
        match response.status().as_u16() {
            200 => {}
            404 | 410 => {
                return Err(DnslinkError::new(DnslinkErrorKind::NotFound, no_record(&key)));
            }
            status => return Err(unavailable(&format!("answered {status}"))),
        }
        let (mut body, mut record) = (response.bytes_stream(), Vec::new());
        while let Some(piece) = body.next().await {
            record.extend_from_slice(&piece.map_err(|_| unavailable("ended its answer early"))?);
            if record.len() > MAX_RECORD {
                break;
            }
        }
        Ok(record)
    };
    timeout(GATEWAY, answer).await.unwrap_or_else(|_| Err(unavailable("does not answer")))
}

/// What is said of a key that has no record at one source.
fn no_record(key: &str) -> String {
    format!("`{key}` publishes nothing: no record of the key")
}

/// Asks the operator's node.
async fn search(kubo: &Kubo, key: &Cid) -> Result<Vec<u8>> {
    let answer = kubo.ipns_record(key).await;
    answer.map(Into::into).map_err(|error| {
        let kind = match error.kind {
            KuboErrorKind::NotFound => DnslinkErrorKind::NotFound,
            KuboErrorKind::Exists
            | KuboErrorKind::MissingBlock
            | KuboErrorKind::Full
            | KuboErrorKind::Denied
            | KuboErrorKind::Disabled
            | KuboErrorKind::Displaced
            | KuboErrorKind::Unavailable
            | KuboErrorKind::Failed => DnslinkErrorKind::Unavailable,
        };
        let name = name(key);
        let context = if kind == DnslinkErrorKind::NotFound { no_record(&name) } else { name };
        DnslinkError::wrap(kind, context, error)
    })
}

/// Writes a key as names do.
fn name(key: &Cid) -> String {
    key.to_string_of_base(Base::Base36Lower).unwrap_or_else(|_| key.to_string())
}
