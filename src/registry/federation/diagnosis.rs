//! Everything that is done to find a publisher's images, step by step: for `roadstead resolve`.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::super::layout;
use super::hints::HINTS;
use super::peers;
use super::roots::{Located, Roots};
use crate::dnslink::{self, DnslinkError, Hint, Peer, Resolved, Step};
use crate::oci::{RepositoryName, RootName};
use crate::remote::{Remote, Source};

/// How many repositories are listed.
const REPOSITORIES: usize = 100;

/// How many directories are listed to find them.
const DIRECTORIES: usize = 300;

/// How many components the name of a repository may have to be found.
const DEPTH: usize = 2;

/// How long finding them may take.
const LISTING: Duration = Duration::from_secs(30);

/// How many entries of a directory are read.
const ENTRIES: usize = 100_000;

/// What the directory of every repository has in it.
const MARK: &str = "_manifests";

/// What was done for a name, and what came of it. Nothing of it came from memory.
#[derive(Debug)]
pub struct Diagnosis {
    /// What was asked of the DNS, in order.
    pub steps: Vec<Step>,
    /// What came of it.
    pub outcome: Result<Found, DnslinkError>,
}

/// A root, and the sources of what is below it.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The root.
    pub root: String,
    /// Where the tree begins below it, without a slash at either end; mostly empty.
    pub path: String,
    /// How many seconds that is cached; none: a CID leads to its root for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// Why this registry does not serve it, if the settings say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied: Option<String>,
    /// Where the publisher can be reached, as the records say.
    pub hints: Vec<Hinted>,
    /// The sources that were tried for the root, in the order in which pulls try them.
    pub sources: Vec<SourceCheck>,
    /// The repositories below it; none if no source has the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Listed>,
}

/// Where a publisher says that it can be reached.
#[derive(Debug, Serialize)]
pub struct Hinted {
    /// The URL of a gateway, or the multiaddr of a node.
    #[serde(flatten)]
    pub endpoint: Endpoint,
    /// The addresses that may be dialled.
    pub addresses: Vec<String>,
    /// Why it is not tried, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether the operator's own node is connected to it, if it is a node and there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
}

/// What a hint leads to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A trustless gateway, by its URL.
    Gateway(String),
    /// An IPFS node, by its multiaddr.
    Node(String),
}

/// Where a source comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The publisher, in a hint.
    Hint,
    /// The operator, in the settings.
    Settings,
    /// It is the operator's own node.
    Node,
}

/// A source that was tried for the root.
#[derive(Debug, Serialize)]
pub struct SourceCheck {
    /// Its URL.
    pub source: String,
    /// Where it comes from.
    pub origin: Origin,
    /// How long it took.
    pub milliseconds: u128,
    /// Why it is of no use; none: it has the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The repositories below a root.
#[derive(Debug, Default, Serialize)]
pub struct Listed {
    /// Those that were found, by name.
    pub names: Vec<ListedRepository>,
    /// Whether these are all: the search goes neither deep nor on for long.
    pub is_whole: bool,
    /// What ended the search early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A repository below a root.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ListedRepository {
    /// Its name, as it is pulled below the root.
    pub name: String,
    /// Whether it is below the domain once more, as in trees of the earlier driver.
    pub repeats_domain: bool,
}

impl Roots {
    /// Looks a name up anew, asks each source for the root, and lists what is below it.
    pub async fn diagnose(&self, name: &RootName) -> Diagnosis {
        let trace = self.resolver.trace(name).await;
        let outcome = match trace.outcome {
            Ok(resolved) => Ok(self.look(name, resolved).await),
            Err(error) => Err(error),
        };
        Diagnosis { steps: trace.steps, outcome }
    }

    async fn look(&self, name: &RootName, resolved: Resolved) -> Found {
        let Resolved { root, path, hints, ttl } = resolved;
        let mut hinted = Vec::new();
        let mut sources = Vec::new();
        let mut met: Vec<&str> = Vec::new();
        for hint in &hints {
            let (shown, source) = match hint {
                Hint::Gateway(gateway) => self.gateway_hint(gateway, sources.len()).await,
                Hint::Peer(peer) => {
                    if !met.contains(&&*peer.peer_id) {
                        met.push(&peer.peer_id);
                    }
                    (self.peer_hint(peer, met.len() > HINTS).await, None)
                }
            };
            hinted.push(shown);
            sources.extend(source.map(|source| (source, Origin::Hint)));
        }
        sources.extend(self.gateways.iter().cloned().map(|source| (source, Origin::Settings)));
        sources.extend(self.node_source(&hints).map(|source| (source, Origin::Node)));
        let checks =
            join_all(sources.iter().map(|(source, origin)| ask(source, *origin, root))).await;
        let having = sources.into_iter().zip(&checks).filter(|(_, check)| check.failure.is_none());
        let having: Vec<_> = having.map(|((source, _), _)| source).collect();
        let shown_path = path.join("/");
        let repositories = if having.is_empty() {
            None
        } else {
            let located = Located { root, path, remote: Remote::new(having) };
            Some(list(&located, name).await)
        };
        self.leave_peers().await;
        Found {
            root: root.to_string(),
            path: shown_path,
            ttl: (!matches!(name, RootName::Cid(_))).then_some(ttl.as_secs()),
            denied: self.allow(name).err().map(|error| error.to_string()),
            hints: hinted,
            sources: checks,
            repositories,
        }
    }

    /// Judges a gateway, and returns its source, if pulls use it; `before` is how many are tried before it.
    async fn gateway_hint(
        &self,
        gateway: &dnslink::Gateway,
        before: usize,
    ) -> (Hinted, Option<Arc<dyn Source>>) {
        let endpoint = Endpoint::Gateway(gateway.url.clone());
        let refused = |why: String| Hinted {
            endpoint: Endpoint::Gateway(gateway.url.clone()),
            addresses: Vec::new(),
            refused: Some(why),
            connected: None,
        };
        let source = match self.source(gateway) {
            Ok(source) => source,
            Err(error) => return (refused(error.to_string()), None),
        };
        let addresses = match self.dialer.addresses(&gateway.host).await {
            Ok(addresses) => addresses.iter().map(ToString::to_string).collect(),
            Err(error) => return (refused(error.to_string()), None),
        };
        let is_late = before >= HINTS;
        let late = is_late.then(late);
        let hinted = Hinted { endpoint, addresses, refused: late, connected: None };
        (hinted, (!is_late).then_some(source))
    }

    /// Judges a node, and has the operator's own connect to it, as pulls do unless it comes too late.
    async fn peer_hint(&self, peer: &Peer, is_late: bool) -> Hinted {
        let endpoint = Endpoint::Node(peer.address.to_string());
        let found = self.dialer.peer_addresses(peer).await;
        let mut refused = found.as_ref().err().map(ToString::to_string);
        let addresses = found.unwrap_or_default().iter().map(ToString::to_string).collect();
        let mut connected = None;
        if is_late && refused.is_none() {
            refused = Some(late());
        }
        if let Some((_, peers)) = self.node.as_ref().filter(|_| refused.is_none()) {
            let met = peers.meet(&peers::KnownPeer::by(peer)).await;
            connected = Some(met.is_ok());
            refused = met.err();
        }
        Hinted { endpoint, addresses, refused, connected }
    }
}

/// Why a hint is not tried that comes after the others.
fn late() -> String {
    format!("only the first {HINTS} addresses are tried")
}

/// Asks a source for the block of a root.
async fn ask(source: &Arc<dyn Source>, origin: Origin, root: Cid) -> SourceCheck {
    let begun = Instant::now();
    let found = Remote::new(vec![source.clone()]).stat(root, Vec::new()).await;
    SourceCheck {
        source: source.name().to_owned(),
        origin,
        milliseconds: begun.elapsed().as_millis(),
        failure: found.err().map(|error| with_causes(&error)),
    }
}

/// Finds repositories, the shorter names first.
async fn list(located: &Located, root: &RootName) -> Listed {
    let domain = match root {
        RootName::Domain(domain) => Some(domain.as_str()),
        RootName::Cid(_) | RootName::Ipns(_) => None,
    };
    let deadline = Instant::now() + LISTING;
    let mut found = Listed { is_whole: true, ..Listed::default() };
    let mut waiting: VecDeque<Option<RepositoryName>> = VecDeque::from([None]);
    let mut listed = 0;
    while let Some(directory) = waiting.pop_front() {
        if listed == DIRECTORIES || found.names.len() == REPOSITORIES {
            found.is_whole = false;
            break;
        }
        listed += 1;
        let directory_path =
            directory.as_ref().map_or_else(layout::repositories, layout::repository);
        let entries = located.remote.list(located.root, located.below(&directory_path), ENTRIES);
        let entries = match timeout_at(deadline, entries).await {
            Ok(Ok(entries)) => entries.unwrap_or_default(),
            failed => {
                let failure = failed.map(|failed| failed.err().map(|error| with_causes(&error)));
                found.failure =
                    failure.unwrap_or_else(|_| Some("it did not end in time".to_owned()));
                found.is_whole = false;
                break;
            }
        };
        let depth = directory.as_ref().map_or(0, |name| components(name, domain));
        for entry in entries {
            if let Some(name) = directory.as_ref().filter(|_| entry.name == MARK) {
                found.names.push(list_entry(name, domain));
            }
            let below = directory
                .as_ref()
                .map_or(entry.name.clone(), |name| format!("{name}/{}", entry.name));
            // What no client can ask for is no repository.
            let Ok(below) = below.parse() else { continue };
            if depth >= DEPTH || waiting.len() >= DIRECTORIES {
                found.is_whole = false;
            } else {
                waiting.push_back(Some(below));
            }
        }
    }
    found.names.sort_unstable();
    found
}

/// Counts the components of a name, without the domain before it.
fn components(name: &RepositoryName, domain: Option<&str>) -> usize {
    let all = name.as_str().split('/').count();
    let is_repeated = domain.is_some_and(|domain| name.as_str().split('/').next() == Some(domain));
    all - usize::from(is_repeated)
}

fn list_entry(name: &RepositoryName, domain: Option<&str>) -> ListedRepository {
    let below = domain.and_then(|domain| name.below(domain));
    ListedRepository {
        repeats_domain: below.is_some(),
        name: below.unwrap_or_else(|| name.clone()).to_string(),
    }
}

/// Writes an error with what caused it.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}
