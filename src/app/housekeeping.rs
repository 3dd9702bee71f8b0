//! What goes on beside requests, each task by itself and for a limited time: one that hangs delays no other.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::{accounts, signing_keys};
use crate::auth::Refusals;
use crate::config::Settings;
use crate::index::{Actor, Index, PrunedEvents};
use crate::registry::{DeletedByRules, Registry, RegistryError};

/// How often the server brings the root up to date by itself.
const FOLD_INTERVAL: Duration = Duration::from_secs(30);

/// How long a deletion waits for others before the root is computed without what was deleted.
const DELETION_PAUSE: Duration = Duration::from_millis(500);

/// How often old events are removed.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);

/// How often it is written what was pulled: a kill loses that much of it.
const PULLS_INTERVAL: Duration = Duration::from_secs(5);

/// The same after it could not be written.
const PULLS_PAUSE: Duration = Duration::from_secs(30);

/// How often it is written what was refused.
const REFUSALS_INTERVAL: Duration = Duration::from_mins(1);

/// How long each task may take; what it has not done by then the next run does.
const FOLD_LIMIT: Duration = Duration::from_mins(5);
const PRUNE_LIMIT: Duration = Duration::from_mins(5);
const REFUSALS_LIMIT: Duration = Duration::from_secs(30);
const PULLS_LIMIT: Duration = Duration::from_mins(1);
const PURGE_LIMIT: Duration = Duration::from_mins(5);
const CLEAN_LIMIT: Duration = Duration::from_mins(10);
const ACCOUNTS_LIMIT: Duration = Duration::from_mins(5);

/// How often it is looked whether signing keys are due, and access tokens.
const ACCOUNTS_INTERVAL: Duration = Duration::from_hours(1);

/// How long after its start a process looks whether a collection is due: also one that is often started anew gets to it.
const FIRST: Duration = Duration::from_mins(5);

/// How long each step of a stop may take after the last transfer, where the settings give transfers less or more.
const STEP_LIMITS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];

/// Begins all tasks; dropping what is returned ends them.
pub(super) fn begin(
    registry: &Registry,
    settings: &Settings,
    index: &Arc<Index>,
    refusals: &Arc<Refusals>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(fold(registry.clone()));
    tasks.spawn(look_for_lost_blobs(registry.clone()));
    tasks.spawn(purge(registry.clone(), settings.clone()));
    tasks.spawn(prune(registry.clone(), settings.audit.keep));
    tasks.spawn(write_pulls(registry.clone()));
    tasks.spawn(write_refusals(Arc::clone(index), Arc::clone(refusals)));
    tasks.spawn(clean(registry.clone(), settings.storage.kubo.clean_interval));
    if !settings.gc.interval.is_zero() {
        tasks.spawn(collect(registry.clone(), settings.gc.interval));
        tasks.spawn(retain(registry.clone(), settings.gc.interval));
    }
    if accounts::are_used(settings) {
        tasks.spawn(tidy_accounts(Arc::clone(index), settings.clone()));
    }
    tasks
}

/// Finds out once whether uploads have to look for lost blobs.
async fn look_for_lost_blobs(registry: Registry) {
    if let Err(error) = registry.look_for_lost_blobs().await {
        tracing::info!(%error, "failed to look for lost blobs; uploads look for them");
    }
}

/// Saves uploads, writes pulls and brings the root up to date when the server stops, with a limit for each step.
pub(super) async fn end(registry: &Registry, grace: Duration) {
    let [least, most] = STEP_LIMITS;
    let limit = grace.clamp(least, most);
    let saved = async {
        registry.save_uploads().await;
        Ok::<(), RegistryError>(())
    };
    within(limit, "save uploads before stopping", saved).await;
    within(limit, "write pulls before stopping", registry.write_pulls()).await;
    let parted = async {
        registry.leave_peers().await;
        Ok::<(), RegistryError>(())
    };
    within(limit, "disconnect from peers before stopping", parted).await;
    within(limit, "update the root before stopping", registry.fold_pending()).await;
}

/// Runs work for at most that long; returns what it came to. What fails is logged.
async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, impl Display>>,
) -> Option<T> {
    match timeout(limit, work).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            tracing::warn!(%error, "failed to {what}");
            None
        }
        Err(_) => {
            tracing::warn!(seconds = limit.as_secs(), "failed to {what} in time");
            None
        }
    }
}

async fn fold(registry: Registry) {
    let mut fold = interval(FOLD_INTERVAL);
    loop {
        tokio::select! {
            () = registry.deletion() => {
                // Several in a row cost one root.
                tokio::time::sleep(DELETION_PAUSE).await;
                fold.reset_immediately();
            }
            _ = fold.tick() => {
                within(FOLD_LIMIT, "update the root", registry.fold_pending()).await;
            }
        }
    }
}

async fn purge(registry: Registry, settings: Settings) {
    let mut purge = interval(settings.uploads.purge_interval);
    loop {
        purge.tick().await;
        let purged = registry.purge_uploads(settings.uploads.expire_after, false);
        match within(PURGE_LIMIT, "remove expired uploads", purged).await {
            None | Some(0) => {}
            Some(count) => tracing::info!(count, "removed expired uploads"),
        }
    }
}

async fn prune(registry: Registry, keep: Duration) {
    let mut prune = interval(PRUNE_INTERVAL);
    loop {
        prune.tick().await;
        let pruned = registry.prune_events(keep);
        if let Some(PrunedEvents { removed: 1.., unhandled }) =
            within(PRUNE_LIMIT, "remove old events", pruned).await
        {
            tracing::info!(unhandled, "removed old events");
        }
    }
}

/// Writes the pulls that were noted, every few seconds.
async fn write_pulls(registry: Registry) {
    let mut write = interval(PULLS_INTERVAL);
    loop {
        tokio::select! {
            () = registry.many_pulls() => write.reset(),
            _ = write.tick() => {}
        }
        if within(PULLS_LIMIT, "write pulls", registry.write_pulls()).await.is_none() {
            // They wait in memory meanwhile.
            tokio::time::sleep(PULLS_PAUSE).await;
        }
    }
}

/// Writes the events of what is refused, each minute.
async fn write_refusals(index: Arc<Index>, refusals: Arc<Refusals>) {
    let mut write = interval(REFUSALS_INTERVAL);
    loop {
        write.tick().await;
        write_some(&index, &refusals, REFUSALS_LIMIT).await;
    }
}

/// Writes those that are left when the server stops.
pub(super) async fn write_last_refusals(index: &Index, refusals: &Refusals) {
    write_some(index, refusals, STEP_LIMITS[0]).await;
}

async fn write_some(index: &Index, refusals: &Refusals, limit: Duration) {
    let written = crate::accounts::write_refusals(index, refusals);
    within(limit, "write what was refused", written).await;
}

async fn clean(registry: Registry, every: Duration) {
    let mut clean = interval(every);
    loop {
        clean.tick().await;
        within(CLEAN_LIMIT, "clean the storage", registry.clean_storage()).await;
    }
}

/// Applies the retention rules at times of its own: a collection by a command or by another process does not put them off.
async fn retain(registry: Registry, every: Duration) {
    let mut due = FIRST.min(every);
    loop {
        tokio::time::sleep(due).await;
        due = every;
        let mut deleted = DeletedByRules::default();
        // What fails is logged where it fails.
        let outcome = registry.retain(&mut deleted).await;
        let DeletedByRules { tags, manifests } = deleted;
        if outcome.is_err() || tags + manifests > 0 {
            tracing::info!(
                tags,
                manifests,
                is_whole = outcome.is_ok(),
                "applied the retention rules"
            );
        }
    }
}

/// Collects garbage when no process has done so for that long.
async fn collect(registry: Registry, every: Duration) {
    let mut due = FIRST.min(every);
    loop {
        tokio::time::sleep(due).await;
        due = match registry.last_collection().await {
            Ok(Some((age, _))) if age < every => every.saturating_sub(age),
            Ok(_) => {
                // However long it takes: it goes on beside everything else.
                if let Err(error) = registry.collect(Actor::default()).await {
                    tracing::warn!(%error, "failed to collect garbage");
                }
                every
            }
            Err(error) => {
                tracing::warn!(%error, "failed to find out when garbage was collected");
                every
            }
        };
    }
}

/// Each process does this. What one has done another one finds done, since each step is a transaction that looks first.
async fn tidy_accounts(index: Arc<Index>, settings: Settings) {
    let mut due = interval(ACCOUNTS_INTERVAL);
    loop {
        due.tick().await;
        let rotated = signing_keys::rotate(&settings, &index, accounts::now());
        within(ACCOUNTS_LIMIT, "rotate signing keys", rotated).await;
        let pruned = accounts::prune_access_tokens(&index, accounts::now());
        match within(ACCOUNTS_LIMIT, "remove expired access tokens", pruned).await {
            None | Some(0) => {}
            Some(count) => tracing::info!(count, "removed expired access tokens"),
        }
    }
}
