//! The commands that a running server carries out for another process on the same data folder, since only the server
//! may write to the index and the storage.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cid::Cid;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::timeout;
use uuid::Uuid;

use super::AppError;
use super::command_socket::{self, Answer, send};
use crate::index::{Actor, Index};
use crate::oci::{Digest, RepositoryName};
use crate::registry::{
    Collected, DeletedByRules, Fault, Mended, Mender, Publication, Publisher, Purged, Registry,
    RegistryError, Trigger, peek_root, published,
};

/// How long a publication is waited for.
const PUBLICATION: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_millis(100);

/// The repairs under way, by fault: a second request for one waits for the first.
pub(super) type Mending = std::sync::Mutex<HashMap<Fault, Shared<BoxFuture<'static, Mend>>>>;

/// What mending one thing came to.
type Mend = Result<Mended, String>;

/// How long a collection is waited for until the client hears that it goes on; the same of mending.
const COLLECTION: Duration = Duration::from_mins(1);

/// What a server is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    /// To purge a manifest or a blob of a repository.
    Purge { repository: RepositoryName, digest: Digest },
    /// To publish the root at once; with `force` over what others have written.
    Publish { force: bool, wait: bool },
    /// To clear an upload.
    ClearUpload { id: String },
    /// To compute the public root, so that its gateway serves it from then on.
    Root,
    /// To collect garbage, or to tell what that would take.
    Collect { dry_run: bool },
    /// To apply the rules of retention.
    Retain,
    /// To mend what a check found wrong.
    Mend { fault: Fault },
}

/// A publication that a server was asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestedPublication {
    /// The public root.
    pub root: String,
    /// Whether it is published; else it is about to be.
    pub is_published: bool,
}

/// The server, as commands see it.
pub(super) struct Commands {
    pub(super) registry: Registry,
    pub(super) index: Arc<Index>,
    pub(super) publisher: Option<Arc<Publisher>>,
    /// Purges follow one another.
    pub(super) purging: Mutex<()>,
    /// What is being mended.
    pub(super) mending: Mending,
}

/// Has the server that runs on a data folder purge a manifest or a blob of a repository.
///
/// # Errors
/// [`AppError::NoServer`], [`AppError::Refused`], [`AppError::Unanswered`]; [`AppError::Folder`]
pub async fn request_purge(
    data: &Path,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Purged, AppError> {
    send(data, &Command::Purge { repository: repository.clone(), digest: *digest }).await
}

/// Has the server that runs on a data folder publish at once; with `force` over what others have written. With `wait`
/// it answers when that is done.
///
/// # Errors
/// [`AppError::NoServer`], [`AppError::Refused`], [`AppError::Unanswered`]; [`AppError::Folder`]
pub async fn request_publication(
    data: &Path,
    force: bool,
    wait: bool,
) -> Result<RequestedPublication, AppError> {
    send(data, &Command::Publish { force, wait }).await
}

/// Has the server that runs on a data folder compute the public root, and returns it: its gateway serves that root, also
/// once there is a later one.
///
/// # Errors
/// [`AppError::NoServer`], [`AppError::Refused`], [`AppError::Unanswered`]; [`AppError::Folder`]
pub async fn request_root(data: &Path) -> Result<String, AppError> {
    send(data, &Command::Root).await
}

/// Has the server that runs on a data folder collect garbage, or tell what that would take; returns when it is done.
///
/// # Errors
/// [`AppError::NoServer`], [`AppError::Refused`], [`AppError::Unanswered`]; [`AppError::Folder`]
pub async fn request_collection(data: &Path, dry_run: bool) -> Result<Collected, AppError> {
    loop {
        // It answers that it is still at work, so that a server that hangs is noticed.
        if let Some(collected) = send(data, &Command::Collect { dry_run }).await? {
            return Ok(collected);
        }
    }
}

/// Has the server that runs on a data folder delete what goes by its retention rules; returns when that is done.
///
/// # Errors
/// [`AppError::NoServer`], [`AppError::Refused`], [`AppError::Unanswered`]; [`AppError::Folder`]
pub async fn request_retention(data: &Path) -> Result<DeletedByRules, AppError> {
    let mut all = DeletedByRules::default();
    loop {
        // It answers with a part from time to time, so that a server that hangs is noticed.
        let (part, is_done): (DeletedByRules, bool) = send(data, &Command::Retain).await?;
        all.tags += part.tags;
        all.manifests += part.manifests;
        if is_done {
            return Ok(all);
        }
    }
}

/// The server that runs on a data folder, as the one that mends.
pub struct ServerMender {
    data: PathBuf,
}

impl ServerMender {
    /// Has the server mend that runs on this folder.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }
}

#[async_trait]
impl Mender for ServerMender {
    async fn mend(&self, fault: &Fault) -> Result<Mended, RegistryError> {
        loop {
            // It answers that it is still at work, so that a server that hangs is noticed.
            let answer = send(&self.data, &Command::Mend { fault: fault.clone() }).await;
            if let Some(mended) = answer.map_err(|error| RegistryError::Mending(error.into()))? {
                return Ok(mended);
            }
        }
    }
}

/// Has the server that runs on a data folder clear an upload.
///
/// # Errors
/// [`AppError::NoServer`], [`AppError::Refused`], [`AppError::Unanswered`]; [`AppError::Folder`]
pub(super) async fn request_clearing(data: &Path, id: &str) -> Result<(), AppError> {
    send(data, &Command::ClearUpload { id: id.to_owned() }).await
}

/// Serves commands. Never returns.
pub(super) async fn serve(commands: Commands, data: PathBuf) {
    let commands = Arc::new(commands);
    let carry_out = move |command| {
        let commands = commands.clone();
        async move { commands.carry_out(command).await }
    };
    command_socket::serve(data, carry_out).await;
}

impl Commands {
    async fn carry_out(&self, command: Command) -> Answer {
        match command {
            Command::Purge { repository, digest } => {
                as_answer(self.purge(&repository, &digest).await)
            }
            Command::Publish { force, wait } => as_answer(self.publish(force, wait).await),
            Command::ClearUpload { id } => as_answer(self.clear(&id).await),
            Command::Retain => as_answer(self.retain().await),
            Command::Mend { fault } => as_answer(self.mend(fault).await),
            Command::Collect { dry_run } => as_answer(self.collect(dry_run).await),
            Command::Root => {
                let root = self.registry.root().await.map_err(explain);
                as_answer(root.map(|root| root.to_string()))
            }
        }
    }

    async fn purge(&self, repository: &RepositoryName, digest: &Digest) -> Result<Purged, String> {
        let _alone = self.purging.lock().await;
        let purged = self.registry.purge(repository, digest).await;
        match &purged {
            Ok(_) => tracing::info!(%repository, %digest, "purged"),
            Err(error) => tracing::warn!(%repository, %digest, %error, "failed to purge"),
        }
        if let (Ok(_), Some(publisher)) = (&purged, &self.publisher) {
            publisher.request(Trigger::Now, new_token());
        }
        purged.map_err(explain)
    }

    /// Collects garbage; none while that goes on: the same command finds out what it came to.
    async fn collect(&self, dry_run: bool) -> Result<Option<Collected>, String> {
        if dry_run {
            return self.registry.plan_collection().await.map(Some).map_err(explain);
        }
        let collecting = self.registry.collect(Actor::default());
        match timeout(COLLECTION, collecting).await {
            Ok(collected) => collected.map(Some).map_err(explain),
            Err(_) => Ok(None),
        }
    }

    /// Applies the rules of retention for a while; returns what that came to, and whether it is done.
    async fn retain(&self) -> Result<(DeletedByRules, bool), String> {
        let mut deleted = DeletedByRules::default();
        match timeout(COLLECTION, self.registry.retain(&mut deleted)).await {
            Ok(retained) => retained.map(|()| (deleted, true)).map_err(explain),
            Err(_) => Ok((deleted, false)),
        }
    }

    /// Mends one thing; none while that goes on: the same command finds out what it came to.
    async fn mend(&self, fault: Fault) -> Result<Option<Mended>, String> {
        let mend = {
            let mut mending = self.mending.lock().unwrap_or_else(PoisonError::into_inner);
            let begin = || {
                let (registry, fault) = (self.registry.clone(), fault.clone());
                let work = async move { registry.mend(&fault).await.map_err(explain) };
                let task = tokio::spawn(work);
                async move { task.await.map_err(|error| error.to_string())? }.boxed().shared()
            };
            // A client did not wait for a repair that has ended; since then the fault may have come again.
            match mending.get(&fault).filter(|known| known.peek().is_none()) {
                Some(under_way) => under_way.clone(),
                None => mending.entry(fault.clone()).insert_entry(begin()).get().clone(),
            }
        };
        let Ok(mended) = timeout(COLLECTION, mend).await else { return Ok(None) };
        let mut mending = self.mending.lock().unwrap_or_else(PoisonError::into_inner);
        if mending.get(&fault).is_some_and(|known| known.peek().is_some()) {
            mending.remove(&fault);
        }
        mended.map(Some)
    }

    async fn clear(&self, id: &str) -> Result<(), String> {
        let cleared = self.registry.clear_upload(id).await;
        match &cleared {
            Ok(()) => tracing::info!(upload = id, "cleared an upload"),
            Err(error) => tracing::warn!(upload = id, %error, "failed to clear an upload"),
        }
        cleared.map_err(explain)
    }

    async fn publish(&self, force: bool, wait: bool) -> Result<RequestedPublication, String> {
        let Some(publisher) = &self.publisher else {
            let why = "the server that runs on the data folder does not publish: set `publish.domain` in its \
                       settings, and restart it";
            return Err(why.to_owned());
        };
        let (trigger, token) = (if force { Trigger::Force } else { Trigger::Now }, new_token());
        publisher.request(trigger, token.clone());
        let root = peek_root(self.index.clone()).await.map_err(explain)?;
        let root = if wait { self.publication(&token, root).await? } else { root };
        Ok(RequestedPublication { root: root.to_string(), is_published: wait })
    }

    /// Waits until this root, or what is the root by then, is published by the attempt that answers a token or by a
    /// later one. Returns the root.
    async fn publication(&self, token: &String, root: Cid) -> Result<Cid, String> {
        let waiting = Instant::now();
        while waiting.elapsed() < PUBLICATION {
            let record = published(self.index.as_ref()).await.map_err(explain)?;
            match record.filter(|record| record.answers.contains(token)) {
                Some(Publication { failure: Some(failure), .. }) => return Err(failure.reason),
                // It may have been overtaken by a push.
                Some(Publication { failure: None, root: Some(known), .. })
                    if known == root
                        || known == peek_root(self.index.clone()).await.map_err(explain)? =>
                {
                    return Ok(known);
                }
                Some(_) | None => tokio::time::sleep(PAUSE).await,
            }
        }
        Err("the root is not published after five minutes: see `roadstead status`".to_owned())
    }
}

fn new_token() -> String {
    Uuid::new_v4().to_string()
}

fn as_answer(result: Result<impl Serialize, String>) -> Answer {
    result.and_then(|result| serde_json::to_value(result).map_err(|error| error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
fn explain(error: RegistryError) -> String {
    error.to_string()
}
