//! Names to roots, from the cache or by look-ups.

use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::dns::Dns;
use super::name_cache::NameCache;
use super::rate_limit::NewNameLimits;
use super::walk::Walk;
use super::{
    Answer, Dialer, DnslinkError, DnslinkErrorKind, Guard, KeyResolver, PersistentCache, Resolved,
    Result, SetupError, Target, Trace,
};
use crate::config::DnslinkSettings;
use crate::oci::RootName;

/// How many names are looked up at the same time, which bounds the load of requests for random names.
const LOOK_UPS: usize = 64;

/// How long a look-up waits until it may begin.
const QUEUE_TIME: Duration = Duration::from_secs(5);

/// Finds the roots of names. A clone shares everything with the original.
#[derive(Clone)]
pub struct Resolver {
    look_ups: Arc<LookUps>,
    keys: Option<Arc<dyn KeyResolver>>,
    cache: Arc<NameCache>,
}

/// The parts of a look-up.
struct LookUps {
    dns: Arc<Dns>,
    permits: Semaphore,
    new_names: NewNameLimits,
    ttl_floor: Duration,
    ttl_ceiling: Duration,
    guard: Guard,
}

impl Resolver {
    /// Makes a resolver of these settings. It queries no server yet. An IPNS key is
    /// [`Unavailable`](DnslinkErrorKind::Unavailable) to it.
    ///
    /// ```
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::Resolver;
    ///
    /// assert!(Resolver::open(&DnslinkSettings::default()).is_ok());
    /// let https_authority = Some("no/such/file".into());
    /// let settings = DnslinkSettings { https_authority, ..DnslinkSettings::default() };
    /// let error = Resolver::open(&settings).err().expect("there is no such file");
    /// assert_eq!(error.setting, "dnslink.https_authority");
    /// ```
    ///
    /// # Errors
    /// When a file of the settings cannot be used.
    pub fn open(settings: &DnslinkSettings) -> std::result::Result<Self, SetupError> {
        let look_ups = LookUps {
            dns: Arc::new(Dns::open(settings)?),
            permits: Semaphore::new(LOOK_UPS),
            new_names: NewNameLimits::new(
                settings.max_new_names_per_client,
                settings.max_new_names,
            ),
            ttl_floor: settings.ttl_floor,
            ttl_ceiling: settings.ttl_ceiling,
            guard: Guard { allow_private: settings.allow_private_addresses },
        };
        let cache = Arc::new(NameCache::new(settings.stale_for));
        Ok(Self { look_ups: Arc::new(look_ups), keys: None, cache })
    }

    /// Fetches the records of IPNS keys by that resolver.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::{sync::Arc, time::Duration};
    /// # use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::{Hint, KeyResolver, Link, Resolver, Result, key_of_seed};
    /// use roadstead::oci::RootName;
    ///
    /// struct Fixed(Link);
    ///
    /// #[async_trait::async_trait]
    /// impl KeyResolver for Fixed {
    ///     async fn resolve(&self, _: &cid::Cid, _: &[Hint]) -> Result<(Link, Duration)> {
    ///         Ok((self.0.clone(), Duration::from_mins(1)))
    ///     }
    /// }
    ///
    /// let keys = Fixed("/ipfs/bafkqaaa".parse()?);
    /// let resolver = Resolver::open(&DnslinkSettings::default())?.with_keys(Arc::new(keys));
    /// let answer = resolver.resolve(&RootName::Ipns(key_of_seed(&[7; 32]))).await?;
    /// assert_eq!(answer.resolved.root, "bafkqaaa".parse()?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_keys(self, keys: Arc<dyn KeyResolver>) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// Stores results beyond the life of the process. Results so far are forgotten.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::{PersistentCache, Resolver};
    ///
    /// let data = tempfile::TempDir::new()?;
    /// let cache = PersistentCache::open(data.path())?;
    /// let resolver = Resolver::open(&DnslinkSettings::default())?.with_persistent_cache(cache);
    /// assert!(resolver.last_known(&"example.com".parse()?).await.is_none(), "it is empty");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_persistent_cache(self, persistent: PersistentCache) -> Self {
        Self { cache: Arc::new(self.cache.with_persistent_cache(persistent)), ..self }
    }

    /// Finds the root of a name. All callers for one name at the same time share a look-up, which goes on
    /// when they are gone; its result is cached for its TTL, and a failure for five seconds.
    /// While no server answers, the last good answer serves on for `dnslink.stale_for`. New names that are looked up
    /// [on behalf of a client](super::on_behalf_of) are limited.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::Resolver;
    ///
    /// let resolver = Resolver::open(&DnslinkSettings::default())?;
    /// let cid = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";
    /// let answer = resolver.resolve(&cid.parse()?).await?;
    /// assert_eq!(answer.resolved.root, cid.parse()?, "a CID is its own root");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why there is no root.
    pub async fn resolve(&self, name: &RootName) -> Result<Answer> {
        let target = target(name)?;
        if let Target::Cid(root) = target {
            return Ok(self.itself(root));
        }
        if self.cache.is_new(&target).await {
            self.look_ups.new_names.admit(&target)?;
        }
        let look_up = || {
            let (resolver, target) = (self.clone(), target.clone());
            async move { resolver.look_up(target).await.outcome }
        };
        self.cache.answer(&target, look_up).await
    }

    /// Returns the last good answer for a name, if that may still serve; it sends no query.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::Resolver;
    ///
    /// let resolver = Resolver::open(&DnslinkSettings::default())?;
    /// assert!(resolver.last_known(&"example.com".parse()?).await.is_none());
    /// assert!(resolver.last_known(&"bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354".parse()?).await.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn last_known(&self, name: &RootName) -> Option<Answer> {
        match target(name).ok()? {
            Target::Cid(root) => Some(self.itself(root)),
            target => self.cache.last_known(&target).await,
        }
    }

    /// Returns since when the answer of [`Self::last_known`] is due to be looked up again, if it is.
    ///
    /// ```
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::Resolver;
    ///
    /// let resolver = Resolver::open(&DnslinkSettings::default())?;
    /// assert_eq!(resolver.due_since(&"example.com".parse()?), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn due_since(&self, name: &RootName) -> Option<Timestamp> {
        self.cache.last(&target(name).ok()?)?.stale_since
    }

    /// Returns whether a name was ever seen to lead to a root, as far as that is remembered. It sends no query.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::Resolver;
    ///
    /// let resolver = Resolver::open(&DnslinkSettings::default())?;
    /// assert!(!resolver.was_found(&"example.com".parse()?).await);
    /// assert!(resolver.was_found(&"bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354".parse()?).await);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn was_found(&self, name: &RootName) -> bool {
        match target(name) {
            Ok(Target::Cid(_)) => true,
            Ok(target) => self.cache.was_found(&target).await,
            Err(_) => false,
        }
    }

    /// Looks a name up anew, and reports each step. Nothing is cached.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::Resolver;
    ///
    /// let resolver = Resolver::open(&DnslinkSettings::default())?;
    /// let trace = resolver.trace(&"bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354".parse()?).await;
    /// assert!(trace.steps.is_empty() && trace.outcome.is_ok(), "a CID takes no step");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn trace(&self, name: &RootName) -> Trace {
        match target(name) {
            Ok(target) => self.look_up(target).await,
            Err(error) => Trace { steps: Vec::new(), outcome: Err(error) },
        }
    }

    /// Returns the dialer, which finds the addresses of hints by the same servers, and refuses those that must
    /// not be dialled.
    ///
    /// ```
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::Resolver;
    ///
    /// let settings = DnslinkSettings { allow_private_addresses: true, ..DnslinkSettings::default() };
    /// assert!(Resolver::open(&settings)?.dialer().guard().allow_private);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn dialer(&self) -> Dialer {
        Dialer::new(self.look_ups.dns.clone(), self.look_ups.guard)
    }

    /// What a CID leads to.
    fn itself(&self, root: Cid) -> Answer {
        let ttl = self.look_ups.ttl_ceiling;
        let resolved = Resolved { root, path: Vec::new(), hints: Vec::new(), ttl };
        Answer { resolved: Arc::new(resolved), stale_since: None }
    }

    async fn look_up(&self, target: Target) -> Trace {
        let look_ups = &self.look_ups;
        let Ok(Ok(_permit)) = timeout(QUEUE_TIME, look_ups.permits.acquire()).await else {
            let context = format!("{target}: too many names are being resolved");
            let error = DnslinkError::new(DnslinkErrorKind::Unavailable, context);
            return Trace { steps: Vec::new(), outcome: Err(error) };
        };
        let (steps, mut outcome) = Walk::new(&look_ups.dns, self.keys.as_deref()).go(target).await;
        if let Ok(resolved) = &mut outcome {
            resolved.ttl = resolved.ttl.clamp(look_ups.ttl_floor, look_ups.ttl_ceiling);
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
