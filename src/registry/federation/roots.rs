//! Finds the root of a name, and the sources of what is below it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use jiff::Timestamp;
use quick_cache::sync::Cache;
use reqwest::{Client, ClientBuilder, redirect};
use tokio::time::timeout;

use super::super::RegistryError;
use super::hints::HINTS;
use super::keys::{Keys, Newest, SignedRecord};
use super::peers::{Introduced, KnownPeer, Peers};
use super::stale::Stale;
use super::unpublished::Unpublished;
use crate::dnslink::{self, DialError, Dialer, DnslinkError, DnslinkErrorKind, Hint, Resolver};
use crate::https;
use crate::kubo::Kubo;
use crate::oci::RootName;
use crate::remote::{Gateway, Localhost, Node, Remote, Source};
use crate::storage::TreePath;

/// How long a connection to a peer may take.
const CONNECT: Duration = Duration::from_secs(5);

/// For how many roots the sources are cached.
const NAMES: usize = 1000;

/// Finds roots.
pub struct Roots {
    /// The domains that are served, if not all.
    domains: Vec<String>,
    pub(super) resolver: Resolver,
    pub(super) dialer: Dialer,
    /// The gateways that the operator names.
    pub(super) gateways: Vec<Arc<dyn Source>>,
    /// The client for publishers' gateways: it connects nowhere that the operator does not allow.
    guarded: Client,
    /// The operator's node, if there is one.
    pub(super) node: Option<(Node, Arc<Peers>)>,
    keys: Arc<Keys>,
    source_cache: SourceCache,
    stale: Stale,
    unpublished: Unpublished,
}

/// A Kubo node of the operator's, which fetches what its peers have.
pub struct OwnNode {
    /// The node.
    pub kubo: Arc<Kubo>,
    /// How long a publisher's node stays its peer after the last pull.
    pub keep_peers: Duration,
    /// A folder in which it is noted whose peer it became, for the time after a crash; it need not be there.
    pub notes: Option<PathBuf>,
}

/// The sources that were used of late, by the name of the root: each entry remembers which answered best.
struct SourceCache(Cache<RootName, Arc<Sources>>);

/// The sources that are used as long as the hints are these.
struct Sources {
    hints: Vec<Hint>,
    remote: Remote,
}

impl SourceCache {
    /// Returns the sources to use; `sources` makes new ones, which have not been used yet.
    fn remote(
        &self,
        name: &RootName,
        hints: &[Hint],
        sources: impl FnOnce() -> Vec<Arc<dyn Source>>,
    ) -> Remote {
        if let Some(known) = self.0.get(name).filter(|known| known.hints == hints) {
            return known.remote.clone();
        }
        let remote = Remote::new(sources());
        let known = Sources { hints: hints.to_vec(), remote: remote.clone() };
        self.0.insert(name.clone(), Arc::new(known));
        remote
    }
}

/// A root, and the sources of what is below it.
pub(super) struct Located {
    /// The root.
    pub(super) root: Cid,
    /// Where the tree begins below it.
    pub(super) path: Vec<String>,
    /// The sources.
    pub(super) remote: Remote,
}

impl Located {
    /// Returns a path below the root.
    pub(super) fn below(&self, path: &TreePath) -> Vec<String> {
        let below = path.components().map(str::to_owned);
        self.path.iter().cloned().chain(below).collect()
    }
}

impl Roots {
    /// Finds the roots of these domains, or of all where none is given. Beside the gateways that a publisher
    /// names, `gateways` are tried, the URLs of which have no slash at their end, and then `node`.
    ///
    /// # Errors
    /// When there can be no client.
    pub fn new(
        domains: Vec<String>,
        resolver: Resolver,
        gateways: &[String],
        node: Option<OwnNode>,
    ) -> reqwest::Result<Self> {
        let dialer = resolver.dialer();
        let guarded = https::build(|| client().dns_resolver(Arc::new(dialer.clone())))?;
        let own = own_client()?;
        let keys = Arc::new(Keys {
            gateways: gateways.to_vec(),
            own: own.clone(),
            guarded: guarded.clone(),
            dialer: dialer.clone(),
            node: node.as_ref().map(|node| Arc::clone(&node.kubo)),
            newest: Newest::default(),
        });
        let resolver = resolver.with_keys(Arc::<Keys>::clone(&keys));
        let gateways = gateways_by(&own, gateways);
        let node = node.map(|OwnNode { kubo, keep_peers, notes }| {
            let peers = Peers::new(Arc::clone(&kubo), dialer.clone(), keep_peers, notes);
            (Node::new(kubo), peers)
        });
        let (source_cache, stale) = (SourceCache(Cache::new(NAMES)), Stale::default());
        let unpublished = Unpublished::default();
        Ok(Self {
            domains,
            resolver,
            dialer,
            gateways,
            guarded,
            node,
            keys,
            source_cache,
            stale,
            unpublished,
        })
    }

    /// Returns the record of a key that was resolved, if it is still good.
    pub(super) fn ipns_record(&self, key: &Cid) -> Option<SignedRecord> {
        self.keys.newest(key)
    }

    /// Refuses a root that the operator does not want to be served.
    pub(super) fn allow(&self, name: &RootName) -> Result<(), RegistryError> {
        let is_listed = match name {
            RootName::Domain(domain) => self.domains.contains(domain),
            RootName::Cid(_) | RootName::Ipns(_) => false,
        };
        if self.domains.is_empty() || is_listed {
            return Ok(());
        }
        Err(RegistryError::FederationDenied(name.to_string()))
    }

    /// Returns whether a root of that name was ever seen, as far as that is remembered.
    pub(super) async fn was_found(&self, name: &RootName) -> bool {
        self.resolver.was_found(name).await
    }

    /// Looks a name up that may well have no root, for at most so long. A failure counts for a while.
    pub(super) async fn look_up(
        &self,
        name: &RootName,
        limit: Option<Duration>,
    ) -> Result<(), DnslinkError> {
        if let Some(error) = self.unpublished.get(name) {
            return Err(error);
        }
        // It goes on beyond the limit, and what it finds counts for the next request.
        let looking = self.resolver.resolve(name);
        let answer = match limit {
            Some(limit) => timeout(limit, looking).await.unwrap_or_else(|_| {
                let context = format!("{name}: no answer within {} ms", limit.as_millis());
                Err(DnslinkError::new(DnslinkErrorKind::Unavailable, context))
            }),
            None => looking.await,
        };
        let Err(error) = answer else { return Ok(()) };
        // Too many questions of one client say nothing to others.
        if error.kind != DnslinkErrorKind::TooMany {
            self.unpublished.note(name, &error);
        }
        Err(error)
    }

    /// Finds a root, and the sources that may have what is below it.
    pub(super) async fn find(&self, name: &RootName) -> Result<Located, RegistryError> {
        let answer = self.resolver.resolve(name).await;
        self.stale.note(name, answer.as_ref().ok().and_then(|answer| answer.stale_since));
        let answer = answer?;
        let resolved = &answer.resolved;
        let remote = self.remote(name, &resolved.hints);
        Ok(Located { root: resolved.root, path: resolved.path.clone(), remote })
    }

    /// Finds a root that is known, without a request for it or for what is below it.
    pub(super) async fn recall(&self, name: &RootName) -> Option<Located> {
        let resolved = self.resolver.last_known(name).await?.resolved;
        let remote = Remote::new(Vec::new());
        Some(Located { root: resolved.root, path: resolved.path.clone(), remote })
    }

    /// Returns since when a root that is known is due to be looked up again, if it is.
    pub(super) fn due_since(&self, name: &RootName) -> Option<Timestamp> {
        self.resolver.due_since(name)
    }

    /// Returns the sources of what is below a root.
    fn remote(&self, name: &RootName, hints: &[Hint]) -> Remote {
        self.source_cache.remote(name, hints, || {
            let hinted = hints.iter().filter_map(|hint| self.hinted(hint)).take(HINTS);
            hinted.chain(self.gateways.iter().cloned()).chain(self.node_source(hints)).collect()
        })
    }

    /// Returns the operator's node, which learns of the first few nodes that the publisher names.
    pub(super) fn node_source(&self, hints: &[Hint]) -> Option<Arc<dyn Source>> {
        let (node, peers) = self.node.as_ref()?;
        let mut known_peers = KnownPeer::all(hints.iter().filter_map(|hint| match hint {
            Hint::Peer(peer) => Some(peer),
            Hint::Gateway(_) => None,
        }));
        known_peers.truncate(HINTS);
        Some(Arc::new(Introduced { node: node.clone(), peers: Arc::clone(peers), known_peers }))
    }

    /// Ends the connections of the operator's node that pulls alone needed.
    pub async fn leave_peers(&self) {
        if let Some((_, peers)) = &self.node {
            peers.leave_all().await;
        }
    }

    /// Returns since when the root of a name could not be looked up again, although that is due.
    pub(super) fn stale_since(&self, name: &RootName) -> Option<Timestamp> {
        self.stale.since(name)
    }

    /// Counts the names that are still served from the last root, because they cannot be looked up again.
    pub(super) fn stale_count(&self) -> usize {
        self.stale.count()
    }

    fn hinted(&self, hint: &Hint) -> Option<Arc<dyn Source>> {
        let Hint::Gateway(gateway) = hint else { return None };
        self.source(gateway)
            .inspect_err(|error| tracing::info!(url = gateway.url, %error, "skipped a gateway"))
            .ok()
    }

    /// Returns what asks a gateway that a publisher names, if it may be dialled.
    pub(super) fn source(&self, gateway: &dnslink::Gateway) -> Result<Arc<dyn Source>, DialError> {
        self.dialer.check_gateway(gateway)?;
        Ok(Arc::new(Gateway::new(self.guarded.clone(), &gateway.url)))
    }
}

/// A client that goes nowhere by itself: a proxy would dial any address, and a redirect lead anywhere.
fn client() -> ClientBuilder {
    Client::builder().connect_timeout(CONNECT).no_proxy().redirect(redirect::Policy::none())
}

/// The client for gateways that the operator names.
fn own_client() -> reqwest::Result<Client> {
    https::build(|| client().dns_resolver(Arc::new(Localhost)))
}

fn gateways_by(client: &Client, urls: &[String]) -> Vec<Arc<dyn Source>> {
    let source =
        |url: &String| Arc::new(Gateway::of_operator(client.clone(), url)) as Arc<dyn Source>;
    urls.iter().map(source).collect()
}

/// Makes the sources of gateways that the operator names, by their URLs.
pub(in super::super) fn gateways(urls: &[String]) -> reqwest::Result<Vec<Arc<dyn Source>>> {
    Ok(gateways_by(&own_client()?, urls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answered_best_is_remembered_as_long_as_the_hints_are_the_same() {
        let source_cache = SourceCache(Cache::new(NAMES));
        let name = RootName::Domain("example.com".to_owned());
        let hints: [Hint; 1] = ["/ip4/192.0.2.1/tcp/443/https".parse().unwrap()];
        let is_known = |hints: &[Hint]| {
            let mut is_known = true;
            source_cache.remote(&name, hints, || {
                is_known = false;
                Vec::new()
            });
            is_known
        };
        assert!(!is_known(&[]) && is_known(&[]));
        assert!(!is_known(&hints) && is_known(&hints));
        assert!(!is_known(&[]));
    }
}
