//! Garbage collection over the management API.

use std::time::Duration;

use async_graphql::{Result, SimpleObject};
use tokio::time::timeout;

use super::super::Api;
use super::count::Count;
use super::error::coded;
use super::moment::Moment;
use crate::index::Actor;
use crate::registry::{Collected, RegistryError, Retained};

/// How long a request waits for a collection.
const WAIT: Duration = Duration::from_secs(20);

/// What a collection of garbage came to
#[derive(SimpleObject)]
pub(super) struct Collection {
    /// Whether it is done; if not, the same request finds out what it comes to
    is_done: bool,
    /// Whether nothing was taken: what is here would have been
    is_dry_run: bool,
    began: Option<Moment>,
    milliseconds: Count,
    /// Blobs of repositories that were old enough to be looked at again
    candidates: Count,
    /// Uploads that had expired
    uploads: Count,
    /// Blobs that were taken from repositories
    links: Count,
    /// Content that no repository had any more
    blobs: Count,
    /// How many bytes this had
    blob_bytes: Count,
    /// Manifests that were deleted or refused
    manifests: Count,
    /// How many bytes these had
    manifest_bytes: Count,
    /// Content that was stored and in no index
    leaks: Count,
    /// What stays although nothing names it
    retained: Vec<RetainedContent>,
}

/// What stays although nothing names it
#[derive(SimpleObject)]
pub(super) struct RetainedContent {
    /// Why: `grace`, `roots`, `uploads`
    reason: String,
    count: Count,
    bytes: Count,
}

/// Collects garbage, or tells what that would take.
pub(super) async fn collect(api: &Api, actor: Actor, dry_run: bool) -> Result<Collection> {
    if dry_run {
        let planned = api.registry.plan_collection().await;
        return planned.map(|planned| shown(planned, true)).map_err(|error| refusal(&error));
    }
    match timeout(WAIT, api.registry.collect(actor)).await {
        Ok(collected) => {
            collected.map(|collected| shown(collected, true)).map_err(|error| refusal(&error))
        }
        Err(_) => Ok(shown(Collected::default(), false)),
    }
}

fn shown(collected: Collected, is_done: bool) -> Collection {
    let retained = |Retained { reason, amount }| RetainedContent {
        reason,
        count: Count::of(amount.count),
        bytes: Count::of(amount.bytes),
    };
    Collection {
        is_done,
        is_dry_run: collected.dry_run,
        began: is_done.then(|| Moment::of(collected.began)),
        milliseconds: Count::of(collected.milliseconds),
        candidates: Count::of(collected.candidates),
        uploads: Count::of(collected.uploads),
        links: Count::of(collected.links),
        blobs: Count::of(collected.blobs.count),
        blob_bytes: Count::of(collected.blobs.bytes),
        manifests: Count::of(collected.manifests.count),
        manifest_bytes: Count::of(collected.manifests.bytes),
        leaks: Count::of(collected.leaks),
        retained: collected.retained.into_iter().map(retained).collect(),
    }
}

fn refusal(error: &RegistryError) -> async_graphql::Error {
    tracing::error!(%error, "failed to collect garbage");
    coded("UNAVAILABLE", "cannot collect garbage: see the server's log")
}
