//! The transfer itself: blobs beside each other, then the manifests from the leaves to the root.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::{ImageError, Result};
use super::plan::{Plan, PlanOptions, plan};
use super::progress::TransferProgress;
use super::source::ImageSource;
use super::target::{ImageTarget, Stored};
use super::verified::Check;
use crate::client::{self, Retries};
use crate::oci::Descriptor;

/// How much of an image is transferred, and how.
#[derive(Debug, Clone)]
pub(crate) struct TransferOptions {
    /// What of it.
    pub(crate) plan: PlanOptions,
    /// How many blobs at a time, at least one.
    pub(crate) jobs: usize,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Transferred {
    /// What was transferred.
    pub(crate) plan: Plan,
    /// How many blobs were sent.
    pub(crate) sent: usize,
    /// How many the registry had in another repository.
    pub(crate) mounted: usize,
    /// How many were there already.
    pub(crate) present: usize,
    /// How many bytes were read to be sent.
    pub(crate) bytes: u64,
}

/// What became of a blob.
enum Outcome {
    Present,
    Stored(Stored, u64),
}

/// Transfers an image. A transfer that failed, or was interrupted, can be repeated: it goes on with what is missing.
///
/// # Errors
/// Those of the source and the target; [`ImageError::Unsound`] if bytes do not have their digest, before any manifest
/// names them.
pub(crate) async fn transfer(
    source: &dyn ImageSource,
    target: &dyn ImageTarget,
    options: &TransferOptions,
    progress: &Arc<dyn TransferProgress>,
) -> Result<Transferred> {
    let plan = plan(source, &options.plan).await?;
    progress.begin(plan.size());
    target.begin(&plan).await?;
    let jobs = options.jobs.max(1);
    // The longest transfers begin first.
    let mut blobs: Vec<&Descriptor> = plan.blobs.iter().collect();
    blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
    let outcomes = stream::iter(blobs)
        .map(|blob| transfer_blob(source, target, blob, progress))
        .buffer_unordered(jobs)
        .try_collect::<Vec<_>>()
        .await?;
    let levels = plan.manifests.iter().map(|it| it.level).max();
    for level in 0..=levels.unwrap_or_default() {
        let manifests = plan.manifests.iter().filter(|it| it.level == level);
        stream::iter(manifests)
            .map(|manifest| target.put_manifest(manifest))
            .buffer_unordered(jobs)
            .try_collect::<Vec<()>>()
            .await?;
    }
    target.finish(&plan).await?;
    let mut done = Transferred { plan, sent: 0, mounted: 0, present: 0, bytes: 0 };
    for outcome in outcomes {
        match outcome {
            Outcome::Present => done.present += 1,
            Outcome::Stored(Stored::Mounted, _) => done.mounted += 1,
            Outcome::Stored(Stored::Sent, bytes) => {
                done.sent += 1;
                done.bytes += bytes;
            }
        }
    }
    Ok(done)
}

async fn transfer_blob(
    source: &dyn ImageSource,
    target: &dyn ImageTarget,
    blob: &Descriptor,
    progress: &Arc<dyn TransferProgress>,
) -> Result<Outcome> {
    if target.has(blob).await? {
        progress.advance(blob.size);
        return Ok(Outcome::Present);
    }
    let content = source.content(blob).await?;
    let is_of_registry = source.repository().is_some();
    // Bytes are hashed once: by a target that does, else here if they come from far away. A registry hashes what it
    // takes, and a file of this machine needs no second look unless that was refused.
    let (observed, check) =
        Check::of(blob, content.clone(), progress, is_of_registry && !target.hashes());
    let stored = target.put_blob(blob, &observed, source.repository()).await;
    let is_wrong = match &stored {
        Err(ImageError::WrongBytes(_)) => true,
        Err(ImageError::Registry(_)) if !is_of_registry && check.is_whole() => {
            let algorithm = blob.digest.algorithm();
            content.digest(algorithm).await.is_ok_and(|found| found != blob.digest)
        }
        _ => !check.is_sound(),
    };
    if is_wrong {
        return Err(ImageError::corrupt(&source.name(), blob));
    }
    let stored = stored?;
    let (read, known) = check.counts();
    progress.advance(blob.size.saturating_sub(known));
    Ok(Outcome::Stored(stored, read))
}

/// Repeats a request as long as that may help.
///
/// # Errors
/// The last failure.
pub(crate) async fn again<T, F: Future<Output = client::Result<T>>>(
    mut request: impl FnMut() -> F,
) -> client::Result<T> {
    let mut retries = Retries::default();
    loop {
        match request().await {
            Ok(done) => return Ok(done),
            Err(error) if error.may_succeed_later() => retries.pause(error, 0).await?,
            Err(error) => return Err(error),
        }
    }
}
