//! The way from a name to a root, one record after the other.
//!
//! The records of a domain are at `_dnslink.<domain>`. Old trees have them at the domain itself, which
//! counts only if `_dnslink.` has no link at all: an invalid one is reported, never
//! replaced by an old one. Hints may be at either, and at `_dnsaddr.<domain>`. All three are queried
//! at once, so the usual name costs one round trip.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::{self, Either};
use tokio::time::timeout;

use super::dns::{Dns, Failure, Texts};
use super::domain::{DNSADDR, DNSLINK};
use super::key::ipns_name;
use super::record::{Records, read_all};
use super::step::{Seen, Step};
use super::{
    DnslinkError, DnslinkErrorKind, Domain, Hint, KeyResolver, Link, MAX_HINTS, Resolved, Result,
    Target,
};

/// How many records may lie between a name and its root, as in Kubo.
pub(super) const MAX_LINKS: usize = 32;

/// How long all DNS queries for one name may take together.
const DNS_TIME: Duration = Duration::from_secs(10);

/// How long fetching the record of one key may take. A node that searches the network takes long.
const KEY_TIME: Duration = Duration::from_secs(30);

/// How long hints are waited for once the root is known.
const HINT_TIME: Duration = Duration::from_secs(1);

/// The longest path that a chain of records may make.
const MAX_PATH: usize = 64;

/// The state of one walk.
pub(super) struct Walk<'a> {
    dns: &'a Dns,
    keys: Option<&'a dyn KeyResolver>,
    steps: Vec<Step>,
    hints: Vec<Hint>,
    ttl: Option<Duration>,
    dns_time: Duration,
}

impl<'a> Walk<'a> {
    pub(super) fn new(dns: &'a Dns, keys: Option<&'a dyn KeyResolver>) -> Self {
        Self { dns, keys, steps: Vec::new(), hints: Vec::new(), ttl: None, dns_time: DNS_TIME }
    }

    /// Goes from a name to its root. The `ttl` of the result is the least on the way, and zero if there
    /// was none.
    pub(super) async fn go(mut self, start: Target) -> (Vec<Step>, Result<Resolved>) {
        let outcome = self.follow(start).await;
        (self.steps, outcome)
    }

    async fn follow(&mut self, start: Target) -> Result<Resolved> {
        let mut seen = HashSet::new();
        let mut path = Vec::new();
        let mut current = start.clone();
        loop {
            let link = match &current {
                Target::Cid(root) => {
                    let ttl = self.ttl.unwrap_or_default();
                    let hints = std::mem::take(&mut self.hints);
                    return Ok(Resolved { root: *root, path, hints, ttl });
                }
                _ if !seen.insert(current.clone()) => {
                    return Err(error(
                        DnslinkErrorKind::Loop,
                        format!("{start} leads to {current} twice"),
                    ));
                }
                _ if seen.len() > MAX_LINKS => {
                    return Err(error(
                        DnslinkErrorKind::TooLong,
                        format!("{start} leads through more than {MAX_LINKS}"),
                    ));
                }
                Target::Domain(domain) => self.domain(domain).await?,
                Target::Key(key) => self.key(key).await?,
            };
            path.splice(0..0, link.path);
            if path.len() > MAX_PATH {
                let context = format!("the path below {start} has more than {MAX_PATH} components");
                return Err(error(DnslinkErrorKind::Invalid, context));
            }
            current = link.target;
        }
    }

    async fn domain(&mut self, domain: &Domain) -> Result<Link> {
        let begun = Instant::now();
        let outcome = match timeout(self.dns_time, self.records_of(domain)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(error(
                DnslinkErrorKind::Unavailable,
                format!("{domain}: no DNS server answered in time"),
            )),
        };
        self.dns_time = self.dns_time.saturating_sub(begun.elapsed());
        outcome
    }

    /// Queries all records of a domain, and waits for no more of them than it needs.
    async fn records_of(&mut self, domain: &Domain) -> Result<Link> {
        let dns = self.dns;
        let names =
            [format!("{DNSLINK}{domain}"), domain.to_string(), format!("{DNSADDR}{domain}")];
        let [main, apex, dnsaddr] = &names;
        let query = Box::pin(dns.texts(main));
        let others = Box::pin(future::join(dns.texts(apex), dns.texts(dnsaddr)));
        let (main_answer, others) = match future::select(query, others).await {
            Either::Left((answer, others)) => (answer, Either::Left(others)),
            Either::Right((others, query)) => (query.await, Either::Right(others)),
        };
        let found = self.note(main, &main_answer);
        if let Err(Failure::Down(why)) = main_answer {
            return Err(error(DnslinkErrorKind::Unavailable, format!("{main}: {why}")));
        }
        let needs_link = !found.has_link;
        if found.link.is_none() && !needs_link {
            return Err(error(DnslinkErrorKind::Invalid, main.clone()));
        }
        if !needs_link && !found.hints.is_empty() {
            return self.take(main, found);
        }
        let others = match others {
            Either::Right(others) => Some(others),
            Either::Left(others) if needs_link => Some(others.await),
            Either::Left(others) => timeout(HINT_TIME, others).await.ok(),
        };
        let Some((apex_answer, dnsaddr_answer)) = others else {
            return self.take(main, found);
        };
        let at_apex = self.note(apex, &apex_answer);
        let at_dnsaddr = self.note(dnsaddr, &dnsaddr_answer);
        let link = if needs_link {
            if let Err(Failure::Down(why)) = apex_answer {
                return Err(error(DnslinkErrorKind::Unavailable, format!("{apex}: {why}")));
            }
            self.take(apex, at_apex)
        } else {
            self.take(main, found).inspect(|_| self.add_hints(at_apex.hints))
        }?;
        self.add_hints(at_dnsaddr.hints);
        Ok(link)
    }

    /// Reports the records of a name, and applies their TTL to the result.
    fn note(&mut self, name: &str, answer: &std::result::Result<Texts, Failure>) -> Records {
        let found = answer.as_ref().map(|texts| read_all(&texts.records)).unwrap_or_default();
        let answered = answer.as_ref().ok();
        self.steps.push(Step::Query {
            name: name.to_owned(),
            through: answered.map(|texts| texts.through.clone()).unwrap_or_default(),
            ttl: answered.map(|texts| texts.ttl.as_secs()),
            validation: answered.and_then(|texts| texts.validation),
            records: answered
                .map(|texts| Seen::all(&texts.records, &found.verdicts))
                .unwrap_or_default(),
            failure: match answer {
                Ok(_) => None,
                Err(Failure::Absent) => Some("no TXT record".to_owned()),
                Err(Failure::Down(why)) => Some(why.clone()),
            },
        });
        if let Some(texts) = answered.filter(|_| found.link.is_some() || !found.hints.is_empty()) {
            self.limit(texts.ttl);
        }
        found
    }

    /// Takes the link of a name and its hints.
    fn take(&mut self, name: &str, found: Records) -> Result<Link> {
        let Some(link) = found.link else {
            if found.has_link {
                return Err(error(DnslinkErrorKind::Invalid, name));
            }
            let domain = name.strip_prefix(DNSLINK).unwrap_or(name);
            let why = format!(
                "`{domain}` publishes nothing: no `dnslink=` record at `{DNSLINK}{domain}`"
            );
            return Err(error(DnslinkErrorKind::NotFound, why));
        };
        self.add_hints(found.hints);
        Ok(link)
    }

    fn add_hints(&mut self, hints: Vec<Hint>) {
        for hint in hints {
            if self.hints.len() < MAX_HINTS && !self.hints.contains(&hint) {
                self.hints.push(hint);
            }
        }
    }

    fn limit(&mut self, ttl: Duration) {
        self.ttl = Some(self.ttl.map_or(ttl, |least| least.min(ttl)));
    }

    async fn key(&mut self, key: &cid::Cid) -> Result<Link> {
        let name = ipns_name(key);
        let outcome = match self.keys {
            None => Err(error(
                DnslinkErrorKind::Unavailable,
                format!(
                    "{name}: no source for IPNS records; set `federation.gateways` or `federation.kubo.api`"
                ),
            )),
            Some(keys) => match timeout(KEY_TIME, keys.resolve(key, &self.hints)).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    Err(error(DnslinkErrorKind::Unavailable, format!("{name}: no answer in time")))
                }
            },
        };
        let answered = outcome.as_ref().ok();
        self.steps.push(Step::Key {
            name,
            value: answered.map(|(link, _)| link.to_string()),
            ttl: answered.map(|(_, ttl)| ttl.as_secs()),
            failure: outcome.as_ref().err().map(ToString::to_string),
        });
        let (link, ttl) = outcome?;
        self.limit(ttl);
        Ok(link)
    }
}

fn error(kind: DnslinkErrorKind, context: impl Into<String>) -> DnslinkError {
    DnslinkError::new(kind, context)
}
