//! Publishing: the public root, written where others look for it.
//!
//! [`Publisher::run`] (`keeping`) does so after each push. One [`Publisher::publish`] goes: the root as it is →
//! held (`hold`), so that it is served as long as anybody may resolve it → pinned and announced, where the storage
//! is one that others read → written into the DNS by a [`Provider`] → waited for at the zone's own servers → noted
//! (`record`). Each step may be repeated, so whatever was interrupted is begun again; of all processes of an index
//! one does it at a time, and nobody else waits for it.

mod hold;
mod keeping;
mod record;
mod standing;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cid::Cid;

pub use record::{Failure, Publication, published};
pub use standing::Standing;
pub(super) use standing::Watched;

use super::root::fold_edits;
use super::{Registry, now};
use crate::dnslink::{
    Change, Domain, Guard, Provider, PublishError, PublishErrorKind, Told, Zone, is_link,
    offer_peers,
};

/// How long a written record is waited for at the servers of the zone.
const PATIENCE: Duration = Duration::from_mins(2);

/// For how long a root is waited for at least although another one is to be published already.
const HURRY: Duration = Duration::from_secs(10);

/// How often the servers are asked, at first and in the end.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LATER_LOOK: Duration = Duration::from_secs(2);

type Result<T> = std::result::Result<T, PublishError>;

/// What an operator has set.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The domain.
    pub domain: Domain,
    /// How long a push waits for others.
    pub debounce: Duration,
    /// How long others may keep the record.
    pub ttl: Duration,
    /// How long a root is held after another one was published.
    pub keep: Duration,
    /// Where others reach this registry, as multiaddrs; none: it is found out.
    pub hints: Vec<String>,
    /// The multiaddr of this registry's own gateway, if others can reach it.
    pub gateway: Option<String>,
    /// Which addresses of the storage others can reach.
    pub guard: Guard,
}

/// Who wants the root to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Nobody in person, so a registry into which nothing was ever pushed leaves the DNS alone.
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
    /// The record is written, but not seen yet, and there is a newer root to publish.
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
    /// Why it would not be written, if that can be told: what is there is somebody else's.
    pub conflict: Option<PublishError>,
}

/// What an operator has asked for.
#[derive(Debug, Clone)]
struct Asked {
    wish: Wish,
    /// By which whoever asked knows the answer.
    token: String,
}

/// Publishes the public root of a registry.
pub struct Publisher {
    registry: Registry,
    provider: Arc<dyn Provider>,
    zone: Zone,
    terms: Terms,
    watched: Arc<Watched>,
    /// What an operator has asked for meanwhile.
    asked: Mutex<Option<Asked>>,
    /// Whether nobody was told yet that there is no hint.
    is_hintless: Mutex<bool>,
}

impl Publisher {
    /// Puts a publisher together; nobody is asked for anything yet.
    #[must_use]
    pub fn new(registry: Registry, provider: Arc<dyn Provider>, zone: Zone, terms: Terms) -> Self {
        let watched = Arc::new(Watched::new(terms.domain.to_string()));
        let (asked, is_hintless) = (Mutex::default(), Mutex::default());
        Self { registry, provider, zone, terms, watched, asked, is_hintless }
    }

    /// Publishes the public root as it is now, unless that is so already.
    ///
    /// # Errors
    /// Why not; that is noted as well.
    pub async fn publish(&self, wish: Wish) -> Result<Outcome> {
        self.publish_for(wish, None).await
    }

    /// The same, and notes the token of whoever asked for it with what it came to.
    async fn publish_for(&self, wish: Wish, token: Option<&str>) -> Result<Outcome> {
        let index = &self.registry.index;
        let Some(turn) = index.begin_publishing().await.map_err(unable)? else {
            return Ok(Outcome::Busy);
        };
        let mut record = self.record().await?;
        let outcome = self.carry_out(&mut record, wish).await;
        let failed = record.failure.clone();
        match &outcome {
            Ok(outcome) => {
                record.failure = None;
                if let Outcome::Published(root) = outcome {
                    tracing::info!(%root, domain = %self.terms.domain, "published");
                } else if failed.is_some() {
                    tracing::info!(domain = %self.terms.domain, "publishing works again");
                }
            }
            Err(error) => {
                let failure = Failure::again(failed.as_ref(), error, now());
                if failed.as_ref().is_none_or(|before| before.kind != failure.kind) {
                    tracing::warn!(domain = %self.terms.domain, %error, "could not publish");
                }
                record.failure = Some(failure);
                self.watched.count_failure();
            }
        }
        if record.failure != failed || token.is_some() {
            record.answered = token.map_or(record.answered, |token| Some(token.to_owned()));
            self.save(&record).await?;
        }
        turn.end().await.map_err(unable)?;
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
        let conflict = conflict(&change, &told);
        Ok(Plan { name: change.name(), wanted: change.wanted, told, conflict })
    }

    async fn carry_out(&self, record: &mut Publication, wish: Wish) -> Result<Outcome> {
        let root = self.registry.root().await.map_err(unable)?;
        let is_first = record.root.is_none() && record.ours.is_empty();
        if is_first && wish == Wish::Routine && self.is_empty(&root).await? {
            return Ok(Outcome::Unchanged);
        }
        if !self.hold(&root).await? {
            return Ok(Outcome::Overtaken);
        }
        // Holding it was a change as well.
        let version = self.registry.index.version().await.map_err(unable)?;
        let change = self.change(&root, record, wish == Wish::Force).await?;
        let is_known = record.root.as_ref() == Some(&root) && record.ours == change.wanted;
        if is_known && self.is_told(&change).await {
            self.release(record.root.as_ref()).await?;
            return Ok(Outcome::Unchanged);
        }
        self.pin(&root, record.root.as_ref()).await?;
        // Noted before it is written: whatever happens from here, what stands there is known to be ours.
        record.claim(&change.wanted);
        self.save(record).await?;
        self.write(&change).await?;
        if !self.wait_until_told(&change, version).await? {
            return Ok(Outcome::Overtaken);
        }
        self.note(&root).await?;
        record.seen(root, change.wanted, now());
        record.failure = None;
        self.save(record).await?;
        self.release(Some(&root)).await?;
        Ok(Outcome::Published(root))
    }

    /// Says what is to be written for a root.
    async fn change(&self, root: &Cid, record: &Publication, force: bool) -> Result<Change> {
        let mut wanted = vec![format!("dnslink=/ipfs/{root}")];
        wanted.extend(self.hints().await?.into_iter().map(|hint| format!("ipfsnode={hint}")));
        let Terms { domain, ttl, .. } = &self.terms;
        let (domain, ours) = (domain.clone(), record.ours.clone());
        Ok(Change { domain, wanted, ours, ttl: *ttl, force })
    }

    /// Tells where others reach this registry.
    async fn hints(&self) -> Result<Vec<String>> {
        if !self.terms.hints.is_empty() {
            return Ok(self.terms.hints.clone());
        }
        let addresses = self.registry.storage.addresses().await.map_err(unable)?;
        let peers = offer_peers(&addresses, self.terms.guard);
        let hints: Vec<String> = self.terms.gateway.iter().cloned().chain(peers).collect();
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

    /// Has the provider write a change, unless that was done already and only its answer was lost.
    async fn write(&self, change: &Change) -> Result<()> {
        if !self.provider.compares() {
            let told = self.zone.ask(&change.domain).await?;
            if let Some(conflict) = conflict(change, &told) {
                return Err(conflict);
            }
            if missing(change, &told).is_none() {
                return Ok(());
            }
        }
        self.provider.write(change).await
    }

    /// Tells whether the servers still say what was published, as far as they answer.
    async fn is_told(&self, change: &Change) -> bool {
        let Ok(told) = self.zone.ask(&change.domain).await else { return true };
        let texts = told.iter().filter_map(|told| told.texts.as_ref().ok());
        texts.into_iter().all(|texts| change.against(texts).is_ok_and(|it| it.is_empty()))
    }

    /// Waits until all servers that answer say what was written. Returns whether they do; they may not when
    /// another root is to be published already.
    async fn wait_until_told(&self, change: &Change, version: u64) -> Result<bool> {
        let begun = Instant::now();
        let mut pause = FIRST_LOOK;
        loop {
            let told = self.zone.ask(&change.domain).await;
            let missing = match &told {
                Ok(told) => missing(change, told),
                Err(error) => Some(error.to_string()),
            };
            let Some(missing) = missing else { return Ok(true) };
            if begun.elapsed() >= PATIENCE {
                let context = format!("it is written, but not told yet: {missing}");
                return Err(PublishError::new(PublishErrorKind::Unavailable, context));
            }
            let current = self.registry.index.version().await.map_err(unable)?;
            if current != version && begun.elapsed() >= HURRY {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LATER_LOOK);
        }
    }

    async fn is_empty(&self, root: &Cid) -> Result<bool> {
        let empty = fold_edits(self.registry.index.clone(), None, Vec::new()).await;
        Ok(empty.map_err(unable)?.root == *root)
    }

    /// Reads how publishing stands; what was published under another domain is none of this one's.
    async fn record(&self) -> Result<Publication> {
        let domain = self.terms.domain.as_str();
        let record = published(self.registry.index.as_ref()).await.map_err(unable)?;
        let record = record.filter(|record| record.domain == domain);
        Ok(record.unwrap_or_else(|| Publication::new(domain)))
    }

    async fn save(&self, record: &Publication) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(unable)?;
        self.registry.index.set_publication(&text).await.map_err(unable)
    }
}

/// Finds a link of somebody else in what the servers say.
fn conflict(change: &Change, told: &[Told]) -> Option<PublishError> {
    let texts = told.iter().filter_map(|told| told.texts.as_ref().ok());
    texts.into_iter().find_map(|texts| change.against(texts).err())
}

/// Says who does not tell the change, if anybody, or if nobody can be asked.
fn missing(change: &Change, told: &[Told]) -> Option<String> {
    let mut last = "no server answers".to_owned();
    let mut is_anybody = false;
    for Told { server, texts } in told {
        match texts {
            Ok(texts) => {
                let is_whole = change.wanted.iter().all(|wanted| texts.contains(wanted));
                let links = texts.iter().filter(|text| is_link(text)).count();
                if !is_whole || links != 1 {
                    return Some(format!("{server} says {}", texts.join(", ")));
                }
                is_anybody = true;
            }
            Err(error) => last = error.to_string(),
        }
    }
    (!is_anybody).then_some(last)
}

/// The error of whatever else is needed to publish, all of which may work later.
fn unable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PublishError {
    let context = "the registry itself cannot do it";
    PublishError::wrap(PublishErrorKind::Unavailable, context, error)
}
