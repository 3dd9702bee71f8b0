//! Publishing: the public root, written where others look for it.
//!
//! [`Publisher::run`] (`scheduler`) does so after each push. One [`Publisher::publish`] goes: the root as it is →
//! retained (`hold`), so that it is served as long as a client may resolve it → pinned and announced, where the storage
//! is one that others read → written into the DNS by a [`Provider`] → waited for at the zone's own servers
//! (`propagation`) → noted (`record`). Each step may be repeated, so whatever was interrupted is begun again; of all
//! processes of an index one does it at a time, and no other waits for it.

mod answers;
mod config;
mod hold;
mod propagation;
mod record;
mod scheduler;
mod status;
#[cfg(test)]
mod tests;
mod watched;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use cid::Cid;
use tokio::sync::Notify;

pub use config::PublishConfig;
pub use record::{Failure, FormerDomain, Publication, published};
pub use status::PublishStatus;
pub(super) use watched::Watched;

use super::events::PUBLISH;
use super::root::fold_edits;
use super::{Registry, now};
use crate::dnslink::{
    Change, Provider, PublishError, PublishErrorKind, ServerAnswer, Zone, offer_peers,
};
use crate::index::{Lease, NewEvent};
use answers::{answers, conflict, missing};

type Result<T> = std::result::Result<T, PublishError>;

/// What caused the publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Trigger {
    /// No operator, so a registry into which nothing was ever pushed leaves the DNS alone.
    #[default]
    Routine,
    /// An operator.
    Now,
    /// An operator, also over foreign links.
    Force,
}

/// What a try to publish came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The root is in the DNS now.
    Published(Cid),
    /// It was there already, or there is nothing to publish yet.
    Unchanged,
    /// Another process is publishing.
    Busy,
    /// The record may be written, but is not seen yet, and there is a newer root to publish.
    Overtaken,
}

/// What publishing would write, and what is there.
#[derive(Debug)]
pub struct Plan {
    /// The name of the records.
    pub name: String,
    /// What they would say.
    pub expected: Vec<String>,
    /// What each server says now.
    pub responses: Vec<ServerAnswer>,
    /// Why it would not be written, if that is known.
    pub conflict: Option<PublishError>,
}

/// Which settings are those that the records were written with.
#[derive(Debug, Clone, Copy)]
struct Same {
    ttl: bool,
    provider: bool,
}

/// What operators have requested and have no answer to yet.
#[derive(Debug, Default)]
struct PendingRequests {
    trigger: Trigger,
    /// The tokens that mark the answers to these requests.
    tokens: Vec<String>,
}

/// Publishes the public root of a registry.
pub struct Publisher {
    registry: Registry,
    provider: Arc<dyn Provider>,
    zone: Zone,
    config: PublishConfig,
    watched: Arc<Watched>,
    /// What operators have requested meanwhile.
    pending_requests: Mutex<PendingRequests>,
    /// Receives each request.
    requested: Notify,
    /// Whether it was logged that there is no hint.
    is_hintless: Mutex<bool>,
    /// Whether the records were found, or written, by the provider as it is set here. From then on another one that has
    /// written them is another process's, whose settings differ: to write them again, and that process in turn, would
    /// go on for ever.
    is_provider_known: AtomicBool,
    /// How often the index was queried for events.
    #[cfg(test)]
    looks: std::sync::atomic::AtomicUsize,
}

impl Publisher {
    /// Makes a publisher; makes no request yet.
    #[must_use]
    pub fn new(
        registry: Registry,
        provider: Arc<dyn Provider>,
        zone: Zone,
        config: PublishConfig,
    ) -> Self {
        let watched = Arc::new(Watched::new(config.domain.to_string()));
        let (pending_requests, is_hintless) = (Mutex::default(), Mutex::default());
        let requested = Notify::new();
        let is_provider_known = AtomicBool::default();
        Self {
            registry,
            provider,
            zone,
            config,
            watched,
            pending_requests,
            requested,
            is_hintless,
            is_provider_known,
            #[cfg(test)]
            looks: std::sync::atomic::AtomicUsize::default(),
        }
    }

    /// Publishes the public root as it is now, unless that is so already.
    ///
    /// # Errors
    /// Why not; that is noted as well.
    pub async fn publish(&self, trigger: Trigger) -> Result<Outcome> {
        self.publish_for(&mut PendingRequests { trigger, tokens: Vec::new() }).await
    }

    /// The same, and notes the tokens of the requests with the outcome. What is answered is taken
    /// out of the requests.
    async fn publish_for(&self, requests: &mut PendingRequests) -> Result<Outcome> {
        let index = &self.registry.index;
        let Some(mut lease) = index.begin_publishing().await.map_err(unable)? else {
            return Ok(Outcome::Busy);
        };
        let before = self.record().await?;
        let (mut record, failed) = (before.clone(), before.failure.as_ref());
        let outcome = self.carry_out(lease.as_mut(), &mut record, requests.trigger).await;
        match &outcome {
            // Nothing has come to its end: not what was requested, nor what failed before.
            Ok(Outcome::Busy | Outcome::Overtaken) => {}
            Ok(outcome) => {
                record.failure = None;
                if record.root.is_some() {
                    self.is_provider_known.store(true, Ordering::Relaxed);
                }
                if let Outcome::Published(root) = outcome {
                    tracing::info!(%root, domain = %self.config.domain, "published");
                    self.tell_of_former(&before);
                } else if failed.is_some() {
                    tracing::info!(domain = %self.config.domain, "publishing works again");
                }
            }
            Err(error) => {
                let failure = Failure::again(failed, error, now());
                if failed.is_none_or(|before| before.kind != failure.kind) {
                    tracing::warn!(domain = %self.config.domain, %error, "failed to publish");
                }
                record.failure = Some(failure);
                self.watched.count_failure();
            }
        }
        let is_answer = !matches!(outcome, Ok(Outcome::Busy | Outcome::Overtaken));
        if is_answer {
            record.answer(&requests.tokens);
        }
        if record != before {
            self.save(lease.as_mut(), &record, outcome.as_ref().ok()).await?;
        }
        if is_answer {
            *requests = PendingRequests::default();
        }
        lease.end().await.map_err(unable)?;
        outcome
    }

    /// Returns what would be written for a root, and what is there, without changing anything.
    ///
    /// # Errors
    /// When that cannot be known.
    pub async fn plan(&self, root: &Cid, force: bool) -> Result<Plan> {
        let record = self.record().await?;
        let change = self.change(root, &record, force).await?;
        let responses = self.zone.query(&change.domain).await?;
        let mut conflict = conflict(&change, &responses);
        if conflict.is_none() {
            conflict = self.provider.check(&change).await.err();
        }
        Ok(Plan { name: change.name(), expected: change.expected, responses, conflict })
    }

    async fn carry_out(
        &self,
        lease: &mut dyn Lease,
        record: &mut Publication,
        trigger: Trigger,
    ) -> Result<Outcome> {
        let root = self.registry.root().await.map_err(unable)?;
        let is_first = record.root.is_none() && record.ours.is_empty();
        if is_first && trigger == Trigger::Routine && self.is_empty(&root).await? {
            return Ok(Outcome::Unchanged);
        }
        if !self.hold(&root).await? {
            return Ok(Outcome::Overtaken);
        }
        // Holding it was a change as well.
        let version = self.registry.index.version().await.map_err(unable)?;
        let change = self.change(&root, record, trigger == Trigger::Force).await?;
        let same = Same {
            ttl: record.ttl == Some(change.ttl.as_secs()),
            provider: record.provider_id.as_ref() == Some(&self.config.provider_id)
                || trigger == Trigger::Routine
                    && record.root.is_some()
                    && self.is_provider_known.load(Ordering::Relaxed),
        };
        let is_known = record.root.as_ref() == Some(&root) && record.ours == change.expected;
        if is_known && same.ttl && same.provider {
            let is_propagated = match self.is_propagated(&change).await {
                // No server answers, and no operator waits for a result.
                Err(_) if trigger == Trigger::Routine && record.failure.is_none() => true,
                is_propagated => is_propagated?,
            };
            if is_propagated {
                self.release(&root).await?;
                return Ok(Outcome::Unchanged);
            }
        }
        self.pin(&root, record.root.as_ref()).await?;
        // Noted before it is written: whatever happens from here, what is there is known to be ours.
        record.claim(&change.expected);
        self.save(lease, record, None).await?;
        let is_propagated = match self.write(&change, same).await {
            Ok(()) => {
                let since = *record.untold.get_or_insert_with(now);
                self.wait_until_propagated(&change, version, since).await
            }
            Err(error) => Err(error),
        };
        if matches!(is_propagated, Ok(true)) {
            self.note(&[root]).await?;
            record.seen(root, change, &self.config.provider_id, now());
        } else {
            self.note_answered(&change).await?;
        }
        self.release(&root).await?;
        Ok(if is_propagated? { Outcome::Published(root) } else { Outcome::Overtaken })
    }

    /// Says what is to be written for a root.
    async fn change(&self, root: &Cid, record: &Publication, force: bool) -> Result<Change> {
        let mut expected = vec![link(root)];
        for hint in self.hints().await? {
            let text = format!("ipfsnode={hint}");
            if !expected.contains(&text) {
                expected.push(text);
            }
        }
        // A server that was away may return any of those that are still held.
        let mut published = self.registry.index.published_roots().await.map_err(unable)?;
        published.sort_by_key(|root| root.retained_since);
        let mut ours: Vec<String> = published.iter().map(|retained| link(&retained.root)).collect();
        ours.retain(|link| !record.ours.contains(link));
        ours.extend_from_slice(&record.ours);
        let PublishConfig { domain, ttl, .. } = &self.config;
        Ok(Change { domain: domain.clone(), expected, ours, ttl: *ttl, force })
    }

    /// Returns where other registries reach this one.
    async fn hints(&self) -> Result<Vec<String>> {
        if !self.config.hints.is_empty() {
            return Ok(self.config.hints.clone());
        }
        let addresses = match self.registry.storage.announcer() {
            Some(announcer) => announcer.addresses().await.map_err(unable)?,
            None => Vec::new(),
        };
        let peers = offer_peers(&addresses, self.config.guard);
        let hints: Vec<String> = self.config.gateway.iter().cloned().chain(peers).collect();
        let mut is_hintless =
            self.is_hintless.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if hints.is_empty() && !std::mem::replace(&mut *is_hintless, true) {
            tracing::warn!(
                "no address of this registry is published: set `publish.hint` or `server.external_url`"
            );
        }
        Ok(hints)
    }

    /// Has the storage keep and announce what is below a root.
    async fn pin(&self, root: &Cid, known: Option<&Cid>) -> Result<()> {
        match self.registry.storage.announcer() {
            Some(announcer) => announcer.publish(root, known).await.map_err(unable),
            None => Ok(()),
        }
    }

    /// Has the provider write a change, unless that was done already, with these settings, and only its answer was
    /// lost.
    async fn write(&self, change: &Change, same: Same) -> Result<()> {
        if !self.provider.compares() {
            let responses = self.zone.query(&change.domain).await?;
            // What no server returns may be a foreign link.
            if !change.force {
                answers(&responses)?;
            }
            if let Some(conflict) = conflict(change, &responses) {
                return Err(conflict);
            }
            if same.ttl && same.provider && missing(change, &responses).is_none() {
                return Ok(());
            }
        }
        if !same.provider {
            // Also where nothing is to be changed, a key that is refused is found out.
            self.provider.check(change).await?;
        }
        self.provider.write(change).await
    }

    /// Logs where records are left, when another domain was published for the first time.
    fn tell_of_former(&self, before: &Publication) {
        let Some(former) = before.former.last().filter(|_| before.root.is_none()) else { return };
        tracing::warn!(
            domain = %self.config.domain,
            former = former.domain,
            "the records of the former domain still name an old root: remove them"
        );
    }

    async fn is_empty(&self, root: &Cid) -> Result<bool> {
        let empty = fold_edits(self.registry.index.clone(), None, Vec::new()).await;
        Ok(empty.map_err(unable)?.root == *root)
    }

    /// Reads the state of publishing under this domain.
    async fn record(&self) -> Result<Publication> {
        let domain = self.config.domain.as_str();
        let record = published(self.registry.index.as_ref()).await.map_err(unable)?;
        Ok(record.map_or_else(|| Publication::new(domain), |record| record.under(domain)))
    }

    /// Stores the state of publishing, unless another process does so by now; with an event, if a root was published.
    async fn save(
        &self,
        lease: &mut dyn Lease,
        record: &Publication,
        outcome: Option<&Outcome>,
    ) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(unable)?;
        let event = match outcome {
            Some(Outcome::Published(root)) => Some(published_event(root)),
            _ => None,
        };
        lease.check().await.map_err(unable)?;
        let index = &self.registry.index;
        index.set_publication(&text, event.as_ref(), now()).await.map_err(unable)
    }
}

/// The event of a root that was published.
fn published_event(root: &Cid) -> NewEvent {
    NewEvent { kind: PUBLISH.into(), detail: Some(root.to_string()), ..NewEvent::default() }
}

/// The record that leads to a root.
fn link(root: &Cid) -> String {
    format!("dnslink=/ipfs/{root}")
}

/// The error of whatever else is needed to publish, all of which may work later.
fn unable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PublishError {
    let context = "internal failure of the registry";
    PublishError::wrap(PublishErrorKind::Unavailable, context, error)
}
