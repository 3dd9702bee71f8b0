//! Manifests over the management API: purging one, putting back what was deleted, and the root that has the public ones.

use std::time::Duration;

use async_graphql::{Error, Result, SimpleObject};
use tokio::time::timeout;

use super::super::Api;
use super::error::coded;
use super::visibility::{denied, read, refusal};
use crate::auth::{Caller, Meant};
use crate::oci::{Digest, Reference, RepositoryName, TreeId};
use crate::registry::RegistryError;

/// How long a request waits for a purge.
const WAIT: Duration = Duration::from_secs(20);

/// What a purge came to
#[derive(SimpleObject)]
pub(super) struct PurgedManifest {
    /// The public root without it
    root: String,
    /// The digests of what no root leads to any more; of a public repository alone, since others are in no public root
    withdrawn: Vec<String>,
    /// The digests of what other public manifests need, and so stays
    needed: Vec<String>,
}

/// What was put back
#[derive(SimpleObject)]
pub(super) struct UndeletedManifest {
    /// The digest of what was named
    digest: String,
    /// The tags that name it again
    tags: Vec<String>,
    /// The digests of all manifests that were put back: what it lists, and itself
    manifests: Vec<String>,
}

/// Deletes a manifest, and withdraws what only that needs from all public roots.
pub(super) async fn purge(
    api: &Api,
    caller: &Caller,
    name: &str,
    digest: &str,
) -> Result<PurgedManifest> {
    let repository = read("purge from", name)?;
    let digest = digest.parse::<Digest>();
    let digest = digest.map_err(|error| coded("INVALID", format!("cannot purge: {error}")))?;
    let meant = meant(api, caller, &repository).await?;
    let tree = meant.record.as_ref().map(|record| record.tree);
    let grant = api.authority.delete(caller, meant).await;
    let grant = grant.map_err(|error| denied(error, &repository))?;
    // The answer says what other repositories need or have only where this one is public.
    let is_public = tree == Some(TreeId::Public);
    match timeout(WAIT, api.registry.purge_for(&grant, &digest)).await {
        Ok(purged) => {
            let purged = purged.map_err(|error| failed(&error))?;
            let withdrawn = purged.withdrawn.into_iter().map(|it| it.digest);
            Ok(PurgedManifest {
                root: purged.root,
                withdrawn: withdrawn.filter(|_| is_public).collect(),
                needed: purged.needed.into_iter().filter(|_| is_public).collect(),
            })
        }
        Err(_) => Err(coded(
            "UNAVAILABLE",
            "the purge goes on: repeat it in a minute to see that it is done",
        )),
    }
}

/// Puts a manifest back that was deleted, by a tag or by its digest.
pub(super) async fn undelete(
    api: &Api,
    caller: &Caller,
    name: &str,
    reference: &str,
) -> Result<UndeletedManifest> {
    let repository = read("put back into", name)?;
    let reference = reference.parse::<Reference>();
    let reference =
        reference.map_err(|error| coded("INVALID", format!("cannot undelete: {error}")))?;
    let meant = meant(api, caller, &repository).await?;
    let delete = api.authority.delete(caller, meant.clone()).await;
    let delete = delete.map_err(|error| denied(error, &repository))?;
    let push = api.authority.push(caller, meant).await;
    let push = push.map_err(|error| denied(error, &repository))?;
    let undeleted = api.registry.undelete(&push, &delete, &reference).await;
    let undeleted = undeleted.map_err(|error| failed(&error))?;
    Ok(UndeletedManifest {
        digest: undeleted.digest.to_string(),
        tags: undeleted.tags.iter().map(ToString::to_string).collect(),
        manifests: undeleted.manifests.iter().map(ToString::to_string).collect(),
    })
}

/// Computes the public root.
pub(super) async fn root(api: &Api) -> Result<String> {
    match timeout(WAIT, api.registry.root()).await {
        Ok(root) => root.map(|root| root.to_string()).map_err(|error| refusal(&error)),
        Err(_) => Err(coded("UNAVAILABLE", "the root is being computed: try again in a minute")),
    }
}

async fn meant(api: &Api, caller: &Caller, repository: &RepositoryName) -> Result<Meant> {
    let record = api.registry.record_for(caller, repository).await;
    let record = record.map_err(|error| refusal(&error))?;
    Ok(Meant { record, ..repository.clone().into() })
}

fn failed(error: &RegistryError) -> Error {
    match error {
        RegistryError::ManifestUnknown(what, name) => coded(
            "NOT_FOUND",
            format!(
                "`{name}` had no {what} of late that could be put back or purged: push it again"
            ),
        ),
        RegistryError::NothingStored(digest) => {
            coded("NOT_FOUND", format!("nothing of {digest} is stored any more"))
        }
        RegistryError::MissingReferences { missing, .. } => {
            let first = missing.first().map(ToString::to_string).unwrap_or_default();
            let text = format!(
                "cannot put it back: {first} was collected since, or deleted; push it again"
            );
            coded("NOT_FOUND", text)
        }
        RegistryError::ConditionFailed { .. } => coded(
            "CONFLICT",
            "cannot put it back: the tag names something by now; undelete it by digest",
        ),
        RegistryError::Referenced { .. } => coded("CONFLICT", error.to_string()),
        RegistryError::PurgeTooLarge(_)
        | RegistryError::TagProtected(..)
        | RegistryError::TagFixed(..)
        | RegistryError::OverQuota(_) => coded("DENIED", error.to_string()),
        error => refusal(error),
    }
}
