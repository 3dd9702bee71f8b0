//! Uploads: content on its way in. Of the requests that go on with one the newest does: within a process
//! `ongoing` has the older end, and between processes the claim in the index does.

mod admission;
mod allowance;
mod beside;
mod ongoing;
mod quota;
mod upload;

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

pub use beside::Beside;
pub use ongoing::Ending;
pub(super) use ongoing::Ongoing;
use ongoing::{Entry, Way};
pub(super) use quota::Quota;
pub use upload::Upload;

use super::{Registry, RegistryError, Result, now};
use crate::auth::PushGrant;
use crate::index::{Claim, UploadKey, UploadRow};
use crate::oci::RepositoryIdentity;
use crate::storage::StorageErrorKind;

/// How long a claim is good for; a process that died holds none for longer.
const CLAIM: Duration = Duration::from_mins(1);

/// How often it is renewed while its request lives.
const RENEWAL: Duration = Duration::from_secs(20);

/// How long a request waits for an older one to end.
const TAKEOVER: Duration = Duration::from_secs(30);

/// How often a request looks whether another process has finished an upload.
const LOOK: Duration = Duration::from_millis(250);

/// How long the end of a request is waited for whose upload is gone already.
const AFTERMATH: Duration = Duration::from_secs(5);

/// For how long nothing may come until a request is taken to receive no more.
const STILL: Duration = Duration::from_millis(200);

/// How long an answer waits for that.
const COMING: Duration = Duration::from_secs(2);

/// How old an upload has to be that no process has noted, to be taken for left behind.
const ORPHAN: Duration = Duration::from_hours(24);

impl Registry {
    /// Begins an upload and returns its name.
    ///
    /// # Errors
    /// [`RegistryError::UploadsFull`]; [`RegistryError::MustBePublic`]; [`RegistryError::OverQuota`]; those of the
    /// index.
    pub async fn begin_upload(&self, grant: &PushGrant) -> Result<String> {
        self.expect_storable(grant).await?;
        self.expect_allowed(grant).await?;
        self.check_quota(0, 1).await?;
        let id = new_id();
        self.index.create_upload(&id, grant.repository(), &owner(grant), now()).await?;
        Ok(id)
    }

    /// Returns how many bytes an upload has, with those that a request of this process has received. While
    /// more are coming it waits for a moment, so that a client whose connection broke learns the end.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`], also for an upload that another user began.
    pub async fn upload_offset(&self, grant: &PushGrant, id: &str) -> Result<u64> {
        let limit = Instant::now() + COMING;
        // One that is about to go on with it has begun by then.
        drop(timeout_at(limit, self.ongoing.enter(id)).await);
        let mut before = None;
        loop {
            let current = self.ongoing.current(id);
            let row = self.find_upload(grant, id).await?;
            let Some(request) = current else { return Ok(row.offset) };
            let received = request.received();
            // What one that has ended has received may have been saved or dropped since.
            let is_still = before == Some(received) || Instant::now() > limit;
            if is_still && !request.is_over() {
                return Ok(received);
            }
            before = Some(received);
            // It may end while this waits.
            let _ = timeout(STILL, request.over()).await;
        }
    }

    async fn find_upload(&self, grant: &PushGrant, id: &str) -> Result<UploadRow> {
        let key = UploadKey { repository: grant.repository(), owner: &owner(grant), id };
        let found = self.index.upload(&key).await?;
        found.ok_or_else(|| RegistryError::UploadUnknown(id.to_owned()))
    }

    /// Claims an upload to append to it; at that offset, if one is given. A request that appends to it
    /// already ends, if this one can go on: what it has received stays, unless this one begins where that
    /// one began.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`], also for an upload that another user began;
    /// [`RegistryError::UploadOffset`] when it is at another offset; [`RegistryError::UploadBusy`] when the
    /// older request does not come to its end.
    pub async fn claim_upload(
        &self,
        grant: &PushGrant,
        id: &str,
        offset: Option<u64>,
    ) -> Result<Upload> {
        let registry = self.clone();
        // With the repository and the owner, which the grant names.
        let row = UploadRow {
            id: id.to_owned(),
            repository: grant.repository().clone(),
            owner: owner(grant).into_owned(),
            offset: 0,
            checkpoint: Vec::new(),
        };
        let identity = grant.identity();
        let claiming = async move { registry.claim(&row, identity, offset).await };
        self.spawn_uncancellable(claiming).await
    }

    async fn claim(
        &self,
        requested: &UploadRow,
        identity: Option<RepositoryIdentity>,
        offset: Option<u64>,
    ) -> Result<Upload> {
        let limit = Instant::now() + TAKEOVER;
        let busy = |_| RegistryError::UploadBusy;
        let entry = timeout_at(limit, self.ongoing.enter(&requested.id)).await.map_err(busy)?;
        if let Some(older) = entry.older() {
            // Only its owner may end it.
            let found = self.index.upload(&key(requested)).await?;
            found.ok_or_else(|| RegistryError::UploadUnknown(requested.id.clone()))?;
            match older.way(offset) {
                Way::Ends(ending) => older.end(ending),
                Way::Misplaced(offset) => return Err(RegistryError::UploadOffset { offset }),
            }
            timeout_at(limit, older.over()).await.map_err(busy)?;
        }
        let claim = Uuid::new_v4().to_string();
        let row = loop {
            let claimed = self
                .index
                .claim_upload(&key(requested), offset, &claim, finishing_since(), now())
                .await?;
            match claimed {
                Claim::Granted(row) => break row,
                Claim::Busy(_) if Instant::now() < limit => sleep(LOOK).await,
                Claim::Busy(_) => return Err(RegistryError::UploadBusy),
                Claim::Offset(offset) => return Err(RegistryError::UploadOffset { offset }),
                Claim::Unknown => return Err(RegistryError::UploadUnknown(requested.id.clone())),
            }
        };
        self.resume(&entry, row, identity, claim).await
    }

    async fn resume(
        &self,
        entry: &Entry,
        row: UploadRow,
        identity: Option<RepositoryIdentity>,
        claim: String,
    ) -> Result<Upload> {
        let allowance = match self.allowance(&row.repository, &row.id, None).await {
            Ok(allowance) => allowance,
            Err(error) => {
                self.release(&row.id, &claim).await;
                return Err(error);
            }
        };
        match self.storage.resume(&row.id, row.offset, &row.checkpoint).await {
            Ok(ingest) => {
                let going = entry.begin(row.offset);
                Ok(Upload::new(self, (row, identity), claim, going, ingest, allowance))
            }
            Err(error) if error.kind == StorageErrorKind::NotFound => {
                tracing::warn!(upload = row.id, %error, "removed an upload whose bytes are missing");
                self.forget_upload(&row.id).await?;
                Err(RegistryError::UploadUnknown(row.id))
            }
            Err(error) => {
                self.release(&row.id, &claim).await;
                Err(error.into())
            }
        }
    }

    /// Waits until no request of this process goes on with the upload, or is about to, at most so long
    /// as a newer request waits for an older one.
    pub async fn upload_over(&self, id: &str) {
        let over = async {
            while let Some(request) = self.ongoing.enter(id).await.older() {
                request.over().await;
            }
        };
        // What it has come to by then counts.
        let _ = timeout(TAKEOVER, over).await;
    }

    /// Saves what the requests have received that go on with uploads, when the server stops.
    pub async fn save_uploads(&self) {
        if !self.ongoing.end_all(TAKEOVER).await {
            tracing::warn!("failed to save all uploads before stopping");
        }
    }

    /// Gives a claim back. It lapses anyway if that fails.
    async fn release(&self, id: &str, claim: &str) {
        if let Err(error) = self.index.release_upload(id, claim).await {
            tracing::warn!(upload = id, %error, "failed to release the claim on an upload");
        }
    }

    async fn forget_upload(&self, id: &str) -> Result<()> {
        self.index.remove_upload(id).await?;
        self.discard_upload(id).await
    }

    /// Removes the bytes of an upload that is forgotten. If that fails, the next purge tries it again.
    pub(super) async fn discard_upload(&self, id: &str) -> Result<()> {
        self.quota.leftovers().insert(id.to_owned());
        self.storage.discard(id).await?;
        self.quota.leftovers().remove(id);
        Ok(())
    }

    /// Ends an upload without a result, and the request that goes on with it.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`], also for an upload that another user began.
    pub async fn cancel_upload(&self, grant: &PushGrant, id: &str) -> Result<()> {
        self.find_upload(grant, id).await?;
        let (registry, id) = (self.clone(), id.to_owned());
        let cancelled = self.spawn_uncancellable(async move {
            registry.index.remove_upload(&id).await?;
            registry.end_upload(&id).await;
            registry.discard_upload(&id).await
        });
        cancelled.await
    }

    /// Ends the request of this process that goes on with an upload, and waits for that.
    pub(super) async fn end_upload(&self, id: &str) {
        if let Some(request) = self.ongoing.current(id) {
            request.end(Ending::Dropped);
            let _ = timeout(AFTERMATH, request.over()).await;
        }
    }

    /// Forgets uploads that no client has touched for that long, and bytes in the storage that belong
    /// to none. Returns how many went; bytes that could not be removed are tried again the next time. The
    /// first time it must not run beside requests of this process, since a manifest on its way in has no
    /// upload; of other processes that share the storage only what was begun a day ago is taken for left
    /// behind.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn purge_uploads(&self, older_than: Duration, orphans: bool) -> Result<usize> {
        let age = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        let before = now().saturating_sub(age);
        let mut purged = self.index.purge_uploads(before, claimed_since()).await?;
        if orphans {
            let known: HashSet<String> = self.index.upload_ids().await?.into_iter().collect();
            let is_alone = self.storage.shared().is_none();
            let is_orphan = |id: &String| !known.contains(id) && (is_alone || is_old(id));
            purged.extend(self.storage.ingests().await?.into_iter().filter(is_orphan));
        }
        // Whether or not this comes to its end, their bytes are not forgotten.
        self.quota.leftovers().extend(purged);
        let leftovers = self.quota.leftovers().clone();
        let mut count = 0;
        for id in &leftovers {
            match self.discard_upload(id).await {
                Ok(()) => count += 1,
                Err(error) => {
                    tracing::warn!(upload = id, %error, "failed to remove the bytes of an upload");
                }
            }
        }
        self.measure_excess().await?;
        Ok(count)
    }
}

/// Makes a name for an upload, which includes the time.
pub(super) fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// Returns whether an upload was begun so long ago that any process at work on it has noted it.
fn is_old(id: &str) -> bool {
    let begun = Uuid::try_parse(id).ok().and_then(|id| id.get_timestamp());
    begun.is_some_and(|begun| {
        let (seconds, _) = begun.to_unix();
        Duration::from_millis(now().unsigned_abs()) > Duration::from_secs(seconds) + ORPHAN
    })
}

/// The caller, as an upload's owner.
fn owner(grant: &PushGrant) -> Cow<'_, str> {
    grant.caller().owner_key()
}

fn key(row: &UploadRow) -> UploadKey<'_> {
    UploadKey { repository: &row.repository, owner: &row.owner, id: &row.id }
}

/// Returns the time since when a claim must have been renewed to be good.
pub(super) fn claimed_since() -> i64 {
    now().saturating_sub(millis(CLAIM))
}

/// Returns the time since when a claim must have been made for the upload to be one that is being
/// finished: of these a claim is renewed ahead of time, by more than clocks differ. Any other is taken
/// over at once.
fn finishing_since() -> i64 {
    now().saturating_add(millis(CLAIM / 2))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::pin;

    use super::super::crashes::{Client, open};
    use super::*;

    #[tokio::test]
    async fn how_far_an_upload_has_come_is_answered_once_no_request_is_about_to_go_on() {
        let folder = TempDir::new().unwrap();
        let registry = open(folder.path()).await;
        let grant = Client::new().push().await;
        let id = registry.begin_upload(&grant).await.unwrap();
        let entry = registry.ongoing.enter(&id).await;
        let asking = registry.upload_offset(&grant, &id);
        pin!(asking);
        let early = timeout(Duration::from_millis(300), &mut asking).await;
        assert!(early.is_err(), "it does not wait");
        drop(entry);
        assert_eq!(asking.await.unwrap(), 0);
    }
}
