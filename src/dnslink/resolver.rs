//! Names to roots, from memory or by asking.

use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::dns::Dns;
use super::name_cache::NameCache;
use super::questions::Questions;
use super::walk::Walk;
use super::{
    Answer, Dialer, DnslinkError, DnslinkErrorKind, Guard, KeyResolver, PersistentCache, Resolved,
    Result, SetupError, Target, Trace,
};
use crate::config::DnslinkSettings;
use crate::oci::RootName;

/// How many names are looked up at the same time. Whoever asks for random ones gets no more of us.
const LOOK_UPS: usize = 64;

/// How long a look-up waits until it may begin.
const QUEUE_TIME: Duration = Duration::from_secs(5);

/// Finds the roots of names. A clone shares everything with the original.
#[derive(Clone)]
pub struct Resolver {
    asking: Arc<Asking>,
    keys: Option<Arc<dyn KeyResolver>>,
    memory: Arc<NameCache>,
}

/// What a look-up needs.
struct Asking {
    dns: Arc<Dns>,
    turns: Semaphore,
    questions: Questions,
    ttl_floor: Duration,
    ttl_ceiling: Duration,
    guard: Guard,
}

impl Resolver {
    /// Makes a resolver of these settings. No server is asked yet. An IPNS key is
    /// [`Unavailable`](DnslinkErrorKind::Unavailable) to it.
    ///
    /// # Errors
    /// When a file that the settings name cannot be used.
    pub fn open(settings: &DnslinkSettings) -> std::result::Result<Self, SetupError> {
        let asking = Asking {
            dns: Arc::new(Dns::open(settings)?),
            turns: Semaphore::new(LOOK_UPS),
            questions: Questions::new(settings.max_new_names_per_client, settings.max_new_names),
            ttl_floor: settings.ttl_floor,
            ttl_ceiling: settings.ttl_ceiling,
            guard: Guard { allow_private: settings.allow_private_addresses },
        };
        let memory = Arc::new(NameCache::new(settings.stale_for));
        Ok(Self { asking: Arc::new(asking), keys: None, memory })
    }

    /// Has somebody fetch the records of IPNS keys.
    #[must_use]
    pub fn with_keys(self, keys: Arc<dyn KeyResolver>) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// Has what names lead to outlast the process. What was found so far is forgotten.
    #[must_use]
    pub fn with_persistent_cache(self, persistent: PersistentCache) -> Self {
        Self { memory: Arc::new(self.memory.with_persistent_cache(persistent)), ..self }
    }

    /// Finds the root of a name. All who ask for one name at the same time share a look-up, which goes on
    /// when they are gone; what it finds is kept for its TTL, and that there is nothing for five seconds.
    /// While no server answers, what was last found serves on for `dnslink.stale_for`. New names that are looked up
    /// [on behalf of a client](super::on_behalf_of) are limited.
    ///
    /// # Errors
    /// Why there is no root.
    pub async fn resolve(&self, name: &RootName) -> Result<Answer> {
        let target = target(name)?;
        if let Target::Cid(root) = target {
            return Ok(self.itself(root));
        }
        if self.memory.is_new(&target).await {
            self.asking.questions.admit(&target)?;
        }
        let look_up = || {
            let (resolver, target) = (self.clone(), target.clone());
            async move { resolver.look_up(target).await.outcome }
        };
        self.memory.answer(&target, look_up).await
    }

    /// Returns what a name was last found to lead to, if that may still serve; nothing is asked.
    pub async fn recall(&self, name: &RootName) -> Option<Answer> {
        match target(name).ok()? {
            Target::Cid(root) => Some(self.itself(root)),
            target => self.memory.recalled(&target).await,
        }
    }

    /// Tells since when what [`Self::recall`] returns is due to be looked up again, if it is.
    #[must_use]
    pub fn due_since(&self, name: &RootName) -> Option<Timestamp> {
        self.memory.last(&target(name).ok()?)?.stale_since
    }

    /// Tells whether a name was ever seen to lead to a root, as far as that is remembered. Nothing is asked.
    pub async fn was_found(&self, name: &RootName) -> bool {
        match target(name) {
            Ok(Target::Cid(_)) => true,
            Ok(target) => self.memory.was_found(&target).await,
            Err(_) => false,
        }
    }

    /// Looks a name up anew, and tells each step. Nothing is kept.
    pub async fn trace(&self, name: &RootName) -> Trace {
        match target(name) {
            Ok(target) => self.look_up(target).await,
            Err(error) => Trace { steps: Vec::new(), outcome: Err(error) },
        }
    }

    /// Returns what finds the addresses of hints by the same servers, and refuses those that must not be
    /// dialled.
    #[must_use]
    pub fn dialer(&self) -> Dialer {
        Dialer::new(self.asking.dns.clone(), self.asking.guard)
    }

    /// What a CID leads to.
    fn itself(&self, root: Cid) -> Answer {
        let ttl = self.asking.ttl_ceiling;
        let resolved = Resolved { root, path: Vec::new(), hints: Vec::new(), ttl };
        Answer { resolved: Arc::new(resolved), stale_since: None }
    }

    async fn look_up(&self, target: Target) -> Trace {
        let asking = &self.asking;
        let Ok(Ok(_turn)) = timeout(QUEUE_TIME, asking.turns.acquire()).await else {
            let context = format!("{target}: too many names are being looked up");
            let error = DnslinkError::new(DnslinkErrorKind::Unavailable, context);
            return Trace { steps: Vec::new(), outcome: Err(error) };
        };
        let (steps, mut outcome) = Walk::new(&asking.dns, self.keys.as_deref()).go(target).await;
        if let Ok(resolved) = &mut outcome {
            resolved.ttl = resolved.ttl.clamp(asking.ttl_floor, asking.ttl_ceiling);
        }
        Trace { steps, outcome }
    }
}

fn target(name: &RootName) -> Result<Target> {
    match name {
        RootName::Cid(root) => Ok(Target::Cid(*root)),
        RootName::Ipns(key) => Ok(Target::Key(*key)),
        RootName::Domain(domain) => domain
            .parse()
            .map(Target::Domain)
            .map_err(|error| DnslinkError::wrap(DnslinkErrorKind::Invalid, domain, error)),
    }
}
