//! The bytes of withdrawn content: they go when nothing needs them, beside pushes of the same content through this
//! process and others.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cid::Cid;
use tokio::sync::RwLockWriteGuard;
use tokio::time::{sleep, timeout};

use super::commit::next_unfolded;
use super::intent::Intent;
use super::step::Step;
use super::{Registry, RegistryError, Result};
use crate::index::{Forgettable, Writer};
use crate::ipld::file::CHUNK_SIZE;
use crate::oci::{CanonicalDigest, RepositoryName, TreeId};
use crate::storage::{Content, Edit, Permission};

/// How many entries of the queue are looked at.
const QUEUED: u32 = 10_000;

/// For how long it is tried to remove bytes, how long each attempt waits for what is being stored, and for how long
/// it rests.
const LONGEST: Duration = Duration::from_mins(1);
const WAIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// The same of a collection, which is in no hurry: pushes do not notice a moment. Where that was in vain so many times, it
/// waits and rests for longer.
const LONGEST_COLLECTION: Duration = Duration::from_mins(10);
const MOMENT: Duration = Duration::from_millis(50);
const IN_VAIN: u32 = 20;

/// For how long it is sure to be noted that content was withdrawn, by half.
const NOTED: Duration = Duration::from_mins(30);

/// How much content is removed at a time, and how many blocks it may have: others wait meanwhile.
const SLICE: u32 = 200;
const BLOCKS: u32 = 10_000;

impl Registry {
    /// Removes the bytes of that withdrawn content, as far as no repository has it. Returns the public root.
    ///
    /// Changes that link such content are folded before, so none of them is applied again. A crash leaves notes by
    /// which the next start goes on. Other withdrawn content is left alone: there may be much of it, which a collection
    /// removes a slice at a time.
    pub(super) async fn forget_withdrawn(&self, contents: &[CanonicalDigest]) -> Result<Cid> {
        let began = Instant::now();
        loop {
            let root = self.fold_all().await?;
            let mut is_done = true;
            for part in contents.chunks(SLICE as usize) {
                is_done &= self.forget_all(part).await?;
            }
            if is_done {
                return Ok(root);
            }
            if began.elapsed() > LONGEST {
                return Err(RegistryError::Waiting);
            }
            sleep(PAUSE).await;
        }
    }

    /// Removes the bytes of content that was stored for a repository which must not have it, unless something else has
    /// it, in the background. What is left where that fails is content that belongs to no repository.
    pub(super) fn forget_refused(&self, content: &Content) {
        let (registry, content) = (self.clone(), *content);
        self.runtime.spawn(async move {
            if let Err(error) = registry.withdraw_refused(&content).await {
                let digest = content.canonical;
                tracing::warn!(%digest, %error, "failed to remove the bytes of a refused blob");
            }
        });
    }

    pub(super) async fn withdraw_refused(
        &self,
        Content { canonical, cid, .. }: &Content,
    ) -> Result<()> {
        let mut writer = self.index.lock().await?;
        writer.begin().await?;
        if !writer.repositories_with(&(*canonical).into(), 1).await?.is_empty()
            || writer.stored_manifest(canonical).await?.is_some()
            || is_named(&mut writer, canonical).await?
            // An earlier root that is still served may have it: then a collection takes it.
            || writer.is_in_roots(cid).await?
        {
            return Ok(writer.rollback().await?);
        }
        writer.discard(canonical).await?;
        writer.commit().await?;
        drop(writer);
        self.forget_withdrawn(&[*canonical]).await?;
        Ok(self.storage.clean().await?)
    }

    /// Does it once; returns false where a change has to be folded before, or others record what they store for too long.
    async fn forget_all(&self, contents: &[CanonicalDigest]) -> Result<bool> {
        let (mut last, mut is_done) = (None, true);
        loop {
            let Ok(_alone) = timeout(WAIT, self.storing.write()).await else { return Ok(false) };
            let mut writer = self.index.lock().await?;
            let slice = self.forget_slice(&mut writer, Some(contents), last.as_ref()).await?;
            let Some(slice) = slice else { return Ok(false) };
            is_done &= slice.is_done;
            if slice.is_last {
                return Ok(is_done);
            }
            last = slice.last;
        }
    }

    /// Removes the bytes of all that is withdrawn and that no repository has, some of it at a time: pushes go on in
    /// between. What a change links that is not folded yet is left for later. Returns what went.
    pub(super) async fn forget_in_slices(&self) -> Result<Vec<Forgettable>> {
        let (mut last, mut gone) = (None, Vec::new());
        let mut attempts = Attempts::new();
        loop {
            let slice = match self.alone(&attempts).await {
                Some(_alone) => {
                    let mut writer = self.index.lock().await?;
                    self.forget_slice(&mut writer, None, last.as_ref()).await?
                }
                None => None,
            };
            let Some(slice) = slice else {
                attempts.fail().await?;
                continue;
            };
            gone.extend(slice.gone);
            if slice.is_last {
                return Ok(gone);
            }
            (last, attempts) = (slice.last, Attempts::new());
        }
    }

    /// Waits for a moment until nothing is being stored, and keeps anything from being stored then.
    async fn alone(&self, attempts: &Attempts) -> Option<RwLockWriteGuard<'_, ()>> {
        timeout(attempts.wait(), self.storing.write()).await.ok()
    }

    /// Removes content that is in no index, while nothing else is stored. For a storage that no other process uses.
    pub(super) async fn forget_unknown(&self, suspects: &[CanonicalDigest]) -> Result<u64> {
        let mut attempts = Attempts::new();
        loop {
            let Some(_alone) = self.alone(&attempts).await else {
                attempts.fail().await?;
                continue;
            };
            let mut writer = self.index.lock().await?;
            self.drain(&mut writer).await?;
            let mut needed = unfolded(&mut writer).await?;
            needed.extend(queued(&mut writer).await?);
            needed.extend(writer.known_among(suspects).await?);
            let unknown = suspects.iter().filter(|digest| !needed.contains(digest));
            let unknown: Vec<CanonicalDigest> = unknown.copied().collect();
            self.storage.forget(&unknown).await?;
            return Ok(unknown.len() as u64);
        }
    }

    /// Removes the bytes of withdrawn content after `last`, of all or of these, a slice of it, under the lock; none where
    /// others record what they store for too long.
    async fn forget_slice(
        &self,
        writer: &mut Writer,
        among: Option<&[CanonicalDigest]>,
        last: Option<&CanonicalDigest>,
    ) -> Result<Option<Slice>> {
        self.drain(writer).await?;
        let mut needed = unfolded(writer).await?;
        writer.begin().await?;
        // Whatever another process has acknowledged has its row from here on, and what comes later finds the note that
        // it was withdrawn.
        if !writer.hold_stores().await? {
            writer.rollback().await?;
            return Ok(None);
        }
        needed.extend(queued(writer).await?);
        let mut found = writer.forgettable(among, last, SLICE).await?;
        let is_last = found.len() < SLICE as usize;
        let is_whole = shorten(&mut found);
        if let [only] = &found[..]
            && blocks(only) > BLOCKS
            && !needed.contains(&only.canonical)
            && writer.forget_blocks(&only.canonical, BLOCKS).await? == u64::from(BLOCKS)
        {
            // The rest of it comes next.
            writer.commit().await?;
            return Ok(Some(Slice { last: last.copied(), ..Slice::default() }));
        }
        let last = found.last().map(|content| content.canonical);
        let count = found.len();
        let gone: Vec<Forgettable> =
            found.into_iter().filter(|content| !needed.contains(&content.canonical)).collect();
        let is_done = gone.len() == count;
        let digests: Vec<CanonicalDigest> = gone.iter().map(|content| content.canonical).collect();
        writer.forget_contents(&digests).await?;
        writer.commit().await?;
        self.failpoint(Step::Forgotten)?;
        self.storage.forget_if(&digests, &mut Locked(writer)).await?;
        self.failpoint(Step::SetAside)?;
        writer.set_contents_forgotten(&digests).await?;
        Ok(Some(Slice { gone, last, is_last: is_last && is_whole, is_done }))
    }

    /// Makes sure that content is stored which was recorded a moment ago as a blob of a repository: another process may
    /// have removed its bytes between the two steps, since `begun`. This process does not, since it waits for stores under
    /// way.
    ///
    /// # Errors
    /// [`RegistryError::Purged`], after which nothing is recorded.
    pub(super) async fn expect_stored(
        &self,
        repository: &RepositoryName,
        content: &Content,
        begun: Instant,
    ) -> Result<()> {
        let Content { canonical, .. } = content;
        if self.storage.shared().is_none() {
            return Ok(());
        }
        // The note that it was withdrawn is not there for ever: a process may have stood still.
        if begun.elapsed() < NOTED && !self.index.is_content_withdrawn(canonical).await? {
            return Ok(());
        }
        // The process that removes bytes has the lock meanwhile, and removes none that a row is there for.
        let mut writer = self.index.lock().await?;
        if self.storage.contains(content).await? {
            return Ok(());
        }
        begin_holding_stores(&mut writer).await?;
        let holders = writer.repositories_with(&(*canonical).into(), 2).await?;
        writer.remove_blob(repository, canonical).await?;
        if holders.iter().all(|holder| holder == repository) {
            writer.forget_blob(canonical).await?;
        }
        writer.commit().await?;
        Err(RegistryError::Purged((*canonical).into()))
    }
}

/// The writer's lock, as leave to remove what no row is there for.
struct Locked<'a>(&'a mut Writer);

#[async_trait]
impl Permission for Locked<'_> {
    async fn is_given(&mut self) -> bool {
        match self.0.has_lock().await {
            Ok(has_lock) => has_lock,
            Err(error) => {
                tracing::warn!(%error, "lost the writer's lock before withdrawn content was removed");
                false
            }
        }
    }
}

/// How often a collection has tried the same in vain.
struct Attempts {
    began: Instant,
    count: u32,
}

impl Attempts {
    fn new() -> Self {
        Self { began: Instant::now(), count: 0 }
    }

    /// For how long the next one waits: uploads that end all the time cannot have it wait for ever.
    fn wait(&self) -> Duration {
        (MOMENT * (self.count / IN_VAIN + 1)).min(WAIT)
    }

    /// Notes that one was in vain, and rests.
    async fn fail(&mut self) -> Result<()> {
        if self.began.elapsed() > LONGEST_COLLECTION {
            return Err(RegistryError::Waiting);
        }
        sleep(self.wait().max(PAUSE)).await;
        self.count += 1;
        Ok(())
    }
}

/// What a slice of withdrawn content came to.
struct Slice {
    gone: Vec<Forgettable>,
    /// After what the next slice begins.
    last: Option<CanonicalDigest>,
    /// Whether there is no next one.
    is_last: bool,
    /// Whether all that was found went.
    is_done: bool,
}

impl Default for Slice {
    /// One in which nothing was left to do.
    fn default() -> Self {
        Self { gone: Vec::new(), last: None, is_last: false, is_done: true }
    }
}

/// Leaves out what comes after the first blob with which there are too many blocks; returns whether that was nothing.
fn shorten(found: &mut Vec<Forgettable>) -> bool {
    let (mut count, mut sum) = (0, 0);
    for content in &*found {
        sum += u64::from(blocks(content));
        if sum > u64::from(BLOCKS) && count > 0 {
            break;
        }
        count += 1;
    }
    let is_whole = count == found.len();
    found.truncate(count);
    is_whole
}

/// How many blocks content has at the most.
fn blocks(content: &Forgettable) -> u32 {
    u32::try_from(content.size / CHUNK_SIZE as u64 + 1).unwrap_or(u32::MAX)
}

/// Returns the content that changes link which are not folded yet: a start applies them again.
async fn unfolded(writer: &mut Writer) -> Result<HashSet<CanonicalDigest>> {
    let mut unfolded = HashSet::new();
    for tree in TreeId::ALL {
        let mut after = 0;
        while let Some(edits) = next_unfolded(writer, tree, &mut after).await? {
            let contents = edits.iter().filter_map(Edit::content);
            unfolded.extend(contents.map(|content| content.canonical));
        }
    }
    Ok(unfolded)
}

/// Returns the manifests that waiting changes put.
async fn queued(writer: &mut Writer) -> Result<HashSet<CanonicalDigest>> {
    let mut queued = HashSet::new();
    for entry in writer.open_entries(QUEUED).await? {
        let intent: Intent = serde_json::from_slice(&entry.intent)?;
        queued.extend(intent.manifest().copied());
    }
    Ok(queued)
}

/// Tells whether any tree names content.
async fn is_named(writer: &mut Writer, canonical: &CanonicalDigest) -> Result<bool> {
    for tree in TreeId::ALL {
        if writer.is_named(tree, canonical).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Begins a transaction in which no other process records what it stores; tries it again where they take long.
async fn begin_holding_stores(writer: &mut Writer) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < LONGEST {
        writer.begin().await?;
        if writer.hold_stores().await? {
            return Ok(());
        }
        writer.rollback().await?;
        sleep(PAUSE).await;
    }
    Err(RegistryError::Waiting)
}
