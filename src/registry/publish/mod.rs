//! Publishing: the public root, written where others look for it.
//!
//! [`Publisher::run`] (`keeping`) does so after each push. One [`Publisher::publish`] goes: the root as it is →
//! held (`hold`), so that it is served as long as anybody may resolve it → pinned and announced, where the storage
//! is one that others read → written into the DNS by a [`Provider`] → waited for at the zone's own servers
//! (`telling`) → noted (`record`). Each step may be repeated, so whatever was interrupted is begun again; of all
//! processes of an index one does it at a time, and nobody else waits for it.

mod hold;
mod propagation;
mod record;
mod scheduler;
mod status;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cid::Cid;

pub use record::{Failure, FormerDomain, Publication, published};
pub use status::PublishStatus;
pub(super) use status::Watched;

use super::root::fold_edits;
use super::{Registry, now};
use crate::dnslink::{
    Change, Domain, Guard, Provider, PublishError, PublishErrorKind, Told, Zone, offer_peers,
};
use crate::index::Lease;
use propagation::{answers, conflict, missing};

type Result<T> = std::result::Result<T, PublishError>;

/// What an operator has set.
#[derive(Debug, Clone)]
pub struct PublishConfig {
    /// The domain.
    pub domain: Domain,
    /// How long a push waits for others.
    pub debounce: Duration,
    /// Names the provider and where it writes. After a change of this the provider is asked to write, even if the
    /// records are as they should be.
    pub place: String,
    /// How long others may keep the record.
    pub ttl: Duration,
    /// How long a root is held after another one was published.
    pub keep: Duration,
    /// How long a written record may take until all servers of the zone tell it.
    pub timeouts: Duration,
    /// Where others reach this registry, as multiaddrs; none: it is found out.
    pub hints: Vec<String>,
    /// The multiaddr of this registry's own gateway, if others can reach it.
    pub gateway: Option<String>,
    /// Which addresses of the storage others can reach.
    pub guard: Guard,
}

/// Who wants the root to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Trigger {
    /// Nobody in person, so a registry into which nothing was ever pushed leaves the DNS alone.
    #[default]
    Routine,
    /// An operator.
    Now,
    /// An operator, also over links that somebody else has written.
    Force,
}

/// What a try to publish came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The root is in the DNS now.
    Published(Cid),
    /// It was there already, or there is nothing to publish yet.
    Unchanged,
    /// Somebody else is publishing.
    Busy,
    /// The record may be written, but is not seen yet, and there is a newer root to publish.
    Overtaken,
}

/// What publishing would write, and what stands there.
#[derive(Debug)]
pub struct Plan {
    /// The name of the records.
    pub name: String,
    /// What they would say.
    pub wanted: Vec<String>,
    /// What each server says now.
    pub told: Vec<Told>,
    /// Why it would not be written, if that can be told.
    pub conflict: Option<PublishError>,
}

/// Which settings are those by which the records were written.
#[derive(Debug, Clone, Copy)]
struct Same {
    ttl: bool,
    place: bool,
}

/// What operators have asked for and have no answer to yet.
#[derive(Debug, Default)]
struct PendingRequests {
    trigger: Trigger,
    /// By which those who asked know the answer.
    tokens: Vec<String>,
}

/// Publishes the public root of a registry.
pub struct Publisher {
    registry: Registry,
    provider: Arc<dyn Provider>,
    zone: Zone,
    config: PublishConfig,
    watched: Arc<Watched>,
    /// What operators have asked for meanwhile.
    asked: Mutex<PendingRequests>,
    /// Whether nobody was told yet that there is no hint.
    is_hintless: Mutex<bool>,
    /// Whether the records were found, or written, by the provider as it is set here. From then on another one that has
    /// written them is another process's, whose settings differ: to write them again, and that process in lease, would
    /// go on for ever.
    is_place_known: AtomicBool,
}

impl Publisher {
    /// Puts a publisher together; nobody is asked for anything yet.
    #[must_use]
    pub fn new(
        registry: Registry,
        provider: Arc<dyn Provider>,
        zone: Zone,
        config: PublishConfig,
    ) -> Self {
        let watched = Arc::new(Watched::new(config.domain.to_string()));
        let (asked, is_hintless) = (Mutex::default(), Mutex::default());
        let is_place_known = AtomicBool::default();
        Self { registry, provider, zone, config, watched, asked, is_hintless, is_place_known }
    }

    /// Publishes the public root as it is now, unless that is so already.
    ///
    /// # Errors
    /// Why not; that is noted as well.
    pub async fn publish(&self, trigger: Trigger) -> Result<Outcome> {
        self.publish_for(&mut PendingRequests { trigger, tokens: Vec::new() }).await
    }

    /// The same, and notes the tokens of those who asked for it with what it came to. What is answered is taken
    /// out of what was asked for.
    async fn publish_for(&self, asked: &mut PendingRequests) -> Result<Outcome> {
        let index = &self.registry.index;
        let Some(mut lease) = index.begin_publishing().await.map_err(unable)? else {
            return Ok(Outcome::Busy);
        };
        let before = self.record().await?;
        let (mut record, failed) = (before.clone(), before.failure.as_ref());
        let outcome = self.carry_out(lease.as_mut(), &mut record, asked.trigger).await;
        match &outcome {
            // Nothing has come to its end: not what was asked for, nor what failed before.
            Ok(Outcome::Busy | Outcome::Overtaken) => {}
            Ok(outcome) => {
                record.failure = None;
                if record.root.is_some() {
                    self.is_place_known.store(true, Ordering::Relaxed);
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
                    tracing::warn!(domain = %self.config.domain, %error, "could not publish");
                }
                record.failure = Some(failure);
                self.watched.count_failure();
            }
        }
        let is_answer = !matches!(outcome, Ok(Outcome::Busy | Outcome::Overtaken));
        if is_answer {
            record.answer(&asked.tokens);
        }
        if record != before {
            self.save(lease.as_mut(), &record).await?;
        }
        if is_answer {
            *asked = PendingRequests::default();
        }
        lease.end().await.map_err(unable)?;
        outcome
    }

    /// Tells what would be written for a root, and what is there, without changing anything.
    ///
    /// # Errors
    /// When that cannot be told.
    pub async fn plan(&self, root: &Cid, force: bool) -> Result<Plan> {
        let record = self.record().await?;
        let change = self.change(root, &record, force).await?;
        let told = self.zone.ask(&change.domain).await?;
        let mut conflict = conflict(&change, &told);
        if conflict.is_none() {
            conflict = self.provider.check(&change).await.err();
        }
        Ok(Plan { name: change.name(), wanted: change.wanted, told, conflict })
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
            place: record.place.as_ref() == Some(&self.config.place)
                || trigger == Trigger::Routine
                    && record.root.is_some()
                    && self.is_place_known.load(Ordering::Relaxed),
        };
        let is_known = record.root.as_ref() == Some(&root) && record.ours == change.wanted;
        if is_known && same.ttl && same.place {
            let is_told = match self.is_told(&change).await {
                // Nobody says that anything is wrong, and nobody wants to know.
                Err(_) if trigger == Trigger::Routine && record.failure.is_none() => true,
                is_told => is_told?,
            };
            if is_told {
                self.release(&root).await?;
                return Ok(Outcome::Unchanged);
            }
        }
        self.pin(&root, record.root.as_ref()).await?;
        // Noted before it is written: whatever happens from here, what stands there is known to be ours.
        record.claim(&change.wanted);
        self.save(lease, record).await?;
        let is_told = match self.write(&change, same).await {
            Ok(()) => {
                let since = *record.untold.get_or_insert_with(now);
                self.wait_until_told(&change, version, since).await
            }
            Err(error) => Err(error),
        };
        if matches!(is_told, Ok(true)) {
            self.note(&[root]).await?;
            record.seen(root, change, &self.config.place, now());
        } else {
            self.note_told(&change).await?;
        }
        self.release(&root).await?;
        Ok(if is_told? { Outcome::Published(root) } else { Outcome::Overtaken })
    }

    /// Says what is to be written for a root.
    async fn change(&self, root: &Cid, record: &Publication, force: bool) -> Result<Change> {
        let mut wanted = vec![link(root)];
        for hint in self.hints().await? {
            let text = format!("ipfsnode={hint}");
            if !wanted.contains(&text) {
                wanted.push(text);
            }
        }
        // A server that was away may tell any of those that are held still.
        let mut held = self.registry.index.published_roots().await.map_err(unable)?;
        held.sort_by_key(|held| held.held);
        let mut ours: Vec<String> = held.iter().map(|held| link(&held.root)).collect();
        ours.retain(|link| !record.ours.contains(link));
        ours.extend_from_slice(&record.ours);
        let PublishConfig { domain, ttl, .. } = &self.config;
        Ok(Change { domain: domain.clone(), wanted, ours, ttl: *ttl, force })
    }

    /// Tells where others reach this registry.
    async fn hints(&self) -> Result<Vec<String>> {
        if !self.config.hints.is_empty() {
            return Ok(self.config.hints.clone());
        }
        let addresses = self.registry.storage.addresses().await.map_err(unable)?;
        let peers = offer_peers(&addresses, self.config.guard);
        let hints: Vec<String> = self.config.gateway.iter().cloned().chain(peers).collect();
        let mut is_hintless =
            self.is_hintless.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if hints.is_empty() && !std::mem::replace(&mut *is_hintless, true) {
            tracing::warn!(
                "others have to find this registry by themselves: set `publish.hint` or \
                 `server.external_url` to have it published where it is"
            );
        }
        Ok(hints)
    }

    /// Has the storage keep and announce what is below a root.
    async fn pin(&self, root: &Cid, known: Option<&Cid>) -> Result<()> {
        self.registry.storage.publish(root, known).await.map_err(unable)
    }

    /// Has the provider write a change, unless that was done already, with these settings, and only its answer was
    /// lost.
    async fn write(&self, change: &Change, same: Same) -> Result<()> {
        if !self.provider.compares() {
            let told = self.zone.ask(&change.domain).await?;
            // What nobody tells may be somebody else's.
            if !change.force {
                answers(&told)?;
            }
            if let Some(conflict) = conflict(change, &told) {
                return Err(conflict);
            }
            if same.ttl && same.place && missing(change, &told).is_none() {
                return Ok(());
            }
        }
        if !same.place {
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
            "the records of the former domain were left as they are: remove them, or they lead to an old root"
        );
    }

    async fn is_empty(&self, root: &Cid) -> Result<bool> {
        let empty = fold_edits(self.registry.index.clone(), None, Vec::new()).await;
        Ok(empty.map_err(unable)?.root == *root)
    }

    /// Reads how publishing stands under this domain.
    async fn record(&self) -> Result<Publication> {
        let domain = self.config.domain.as_str();
        let record = published(self.registry.index.as_ref()).await.map_err(unable)?;
        Ok(record.map_or_else(|| Publication::new(domain), |record| record.under(domain)))
    }

    /// Writes down how publishing stands, unless somebody else does so by now.
    async fn save(&self, lease: &mut dyn Lease, record: &Publication) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(unable)?;
        lease.check().await.map_err(unable)?;
        self.registry.index.set_publication(&text).await.map_err(unable)
    }
}

/// The record that leads to a root.
fn link(root: &Cid) -> String {
    format!("dnslink=/ipfs/{root}")
}

/// The error of whatever else is needed to publish, all of which may work later.
fn unable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PublishError {
    let context = "the registry itself cannot do it";
    PublishError::wrap(PublishErrorKind::Unavailable, context, error)
}
