//! A storage whose calls fail when a test says so: one more driver of the suite, around another one.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use roadstead::ipld::Cid;
use roadstead::oci::{CanonicalDigest, Digest, TreeId};
use roadstead::storage::{
    AddressedTree, Announcer, Applied, BlockCollector, BlockMender, ByteStream, Content,
    ContentStore, Edit, Finished, Ingest, Kind, NewContent, Permission, Result, SharedStorage,
    SourceFolder, Storage, StorageError, StorageErrorKind, Taken, TreeEdit, TreePath, TreeStore,
    UploadStore,
};

use super::{EditOneTree, Subject, noise, sha256};

/// When a call fails: before anything was done, or after all of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// Counts calls, and says which of them fails.
#[derive(Default)]
pub(crate) struct Faults {
    calls: AtomicU64,
    next: Mutex<Option<(u64, When)>>,
}

impl Faults {
    /// Has the call with that number from now on fail, where 0 is the next one.
    fn arm(&self, after: u64, when: When) {
        let call = self.calls.load(Ordering::Relaxed) + after;
        *self.next.lock().unwrap() = Some((call, when));
    }

    /// Lets every call through again; returns whether the fault never came.
    fn disarm(&self) -> bool {
        self.next.lock().unwrap().take().is_some()
    }

    /// Makes a call, which fails if its time has come.
    async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let due = self.next.lock().unwrap().take_if(|(at, _)| *at == number);
        let error = || StorageError::new(StorageErrorKind::Failed, "a fault of the test");
        match due {
            None => call.await,
            Some((_, When::Before)) => Err(error()),
            Some((_, When::After)) => call.await.and_then(|_| Err(error())),
        }
    }
}

/// A storage around another one.
pub(crate) struct FaultInjecting {
    pub(crate) inner: Arc<dyn Storage>,
    pub(crate) faults: Arc<Faults>,
}

#[async_trait]
impl Storage for FaultInjecting {
    async fn repair(&self) -> Result<()> {
        self.faults.call(self.inner.repair()).await
    }

    async fn clean(&self) -> Result<()> {
        self.faults.call(self.inner.clean()).await
    }

    async fn ping(&self) -> Result<()> {
        self.faults.call(self.inner.ping()).await
    }

    fn location(&self, content: &Content) -> Option<String> {
        self.inner.location(content)
    }

    fn shared(&self) -> Option<&dyn SharedStorage> {
        self.inner.shared()
    }

    async fn release_reserve(&self) -> Result<bool> {
        self.faults.call(self.inner.release_reserve()).await
    }

    fn block_collector(&self) -> Option<&dyn BlockCollector> {
        self.inner.block_collector()
    }

    fn block_mender(&self) -> Option<&dyn BlockMender> {
        self.inner.block_mender()
    }

    fn announcer(&self) -> Option<&dyn Announcer> {
        self.inner.announcer()
    }
}

#[async_trait]
impl UploadStore for FaultInjecting {
    async fn begin(&self, id: &str) -> Result<Box<dyn Ingest>> {
        let inner = self.faults.call(self.inner.begin(id)).await?;
        Ok(Box::new(FaultInjectingIngest { inner, faults: Arc::clone(&self.faults) }))
    }

    async fn resume(&self, id: &str, offset: u64, checkpoint: &[u8]) -> Result<Box<dyn Ingest>> {
        let inner = self.faults.call(self.inner.resume(id, offset, checkpoint)).await?;
        Ok(Box::new(FaultInjectingIngest { inner, faults: Arc::clone(&self.faults) }))
    }

    async fn discard(&self, id: &str) -> Result<()> {
        self.faults.call(self.inner.discard(id)).await
    }

    async fn ingests(&self) -> Result<Vec<String>> {
        self.faults.call(self.inner.ingests()).await
    }

    async fn ingest_sizes(&self) -> Result<HashMap<String, u64>> {
        self.faults.call(self.inner.ingest_sizes()).await
    }
}

#[async_trait]
impl ContentStore for FaultInjecting {
    async fn import(
        &self,
        source: &SourceFolder,
        path: &TreePath,
        expected: &CanonicalDigest,
    ) -> Result<Taken> {
        self.faults.call(self.inner.import(source, path, expected)).await
    }

    async fn open(&self, content: &Content, range: Range<u64>) -> Result<ByteStream> {
        self.faults.call(self.inner.open(content, range)).await
    }

    async fn leaf(&self, content: &Content, range: Range<u64>, cid: &Cid) -> Result<Bytes> {
        self.faults.call(self.inner.leaf(content, range, cid)).await
    }

    async fn contains(&self, content: &Content) -> Result<bool> {
        self.faults.call(self.inner.contains(content)).await
    }

    async fn forget_if(
        &self,
        canonicals: &[CanonicalDigest],
        permission: &mut dyn Permission,
    ) -> Result<()> {
        self.faults.call(self.inner.forget_if(canonicals, permission)).await
    }

    async fn contents(&self) -> Result<Vec<CanonicalDigest>> {
        self.faults.call(self.inner.contents()).await
    }

    async fn verify(&self, canonical: &CanonicalDigest) -> Result<Content> {
        self.faults.call(self.inner.verify(canonical)).await
    }
}

#[async_trait]
impl TreeStore for FaultInjecting {
    async fn apply(&self, edits: &[TreeEdit]) -> Result<()> {
        self.faults.call(self.inner.apply(edits)).await
    }

    async fn sync(&self) -> Result<()> {
        self.faults.call(self.inner.sync()).await
    }

    async fn read(&self, tree: TreeId, path: &TreePath, limit: u64) -> Result<Option<Bytes>> {
        self.faults.call(self.inner.read(tree, path, limit)).await
    }

    async fn list(&self, tree: TreeId, path: &TreePath) -> Result<Option<Vec<(String, Kind)>>> {
        self.faults.call(self.inner.list(tree, path)).await
    }

    async fn identify(&self, tree: TreeId, path: &TreePath) -> Result<Finished> {
        self.faults.call(self.inner.identify(tree, path)).await
    }

    async fn adopt(&self, tree: TreeId, path: &TreePath, content: &Content) -> Result<()> {
        self.faults.call(self.inner.adopt(tree, path, content)).await
    }

    async fn is_linked(&self, tree: TreeId, path: &TreePath, content: &Content) -> Result<bool> {
        self.faults.call(self.inner.is_linked(tree, path, content)).await
    }

    fn addressed(&self) -> Option<&dyn AddressedTree> {
        self.inner.addressed().map(|_| self as &dyn AddressedTree)
    }
}

#[async_trait]
impl AddressedTree for FaultInjecting {
    async fn apply_and_fold(
        &self,
        edits: &[TreeEdit],
        present: &HashSet<CanonicalDigest>,
        new: &[NewContent],
        permit: BoxFuture<'_, bool>,
    ) -> Result<Vec<Applied>> {
        let addressed = self.inner.addressed().expect("it was asked for");
        self.faults.call(addressed.apply_and_fold(edits, present, new, permit)).await
    }

    async fn removed_leaf(&self, canonical: &CanonicalDigest) -> Result<Option<Content>> {
        let addressed = self.inner.addressed().expect("it was asked for");
        self.faults.call(addressed.removed_leaf(canonical)).await
    }

    async fn directory_cid(&self, tree: TreeId, path: &TreePath) -> Result<Option<Cid>> {
        let addressed = self.inner.addressed().expect("it was asked for");
        self.faults.call(addressed.directory_cid(tree, path)).await
    }
}

/// The same for an upload.
struct FaultInjectingIngest {
    inner: Box<dyn Ingest>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Ingest for FaultInjectingIngest {
    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.faults.call(self.inner.append(bytes)).await
    }

    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    async fn checkpoint(&mut self) -> Result<Vec<u8>> {
        self.faults.call(self.inner.checkpoint()).await
    }

    async fn prepare(&mut self, expected: &Digest) -> Result<()> {
        self.faults.call(self.inner.prepare(expected)).await
    }

    async fn finish(self: Box<Self>, expected: &Digest) -> Result<Finished> {
        self.faults.call(self.inner.finish(expected)).await
    }
}

/// Repeats a call until it succeeds, once more at most: there is one fault.
async fn repeated<T>(mut call: impl AsyncFnMut() -> Result<T>) -> T {
    match call().await {
        Ok(done) => done,
        Err(error) => {
            assert_eq!(error.kind, StorageErrorKind::Failed, "{error}");
            call().await.unwrap()
        }
    }
}

/// Takes content in, links to it, reads it, takes the link away and forgets it; what fails is repeated.
async fn store_and_forget(storage: &dyn Storage, id: &str, bytes: &[u8]) {
    let path = TreePath::parse(&format!("folder/{id}")).unwrap();
    let content = repeated(async || {
        // A client whose upload failed begins another one under the same name here.
        storage.discard(id).await?;
        let mut ingest = storage.begin(id).await?;
        ingest.append(Bytes::copy_from_slice(bytes)).await?;
        let checkpoint = ingest.checkpoint().await?;
        let offset = ingest.offset();
        drop(ingest);
        let ingest = storage.resume(id, offset, &checkpoint).await?;
        ingest.finish(&sha256(bytes)).await
    })
    .await
    .content;
    let link = [Edit::link(path.clone(), &content)];
    repeated(async || storage.edit(TreeId::Public, &link).await).await;
    assert!(repeated(async || storage.is_linked(TreeId::Public, &path, &content).await).await);
    let found = repeated(async || storage.identify(TreeId::Public, &path).await).await;
    assert_eq!(found.content, content);
    assert_eq!(repeated(async || storage.verify(&content.canonical).await).await, content);
    let remove = [Edit::remove(path.clone())];
    repeated(async || storage.edit(TreeId::Public, &remove).await).await;
    assert!(!repeated(async || storage.is_linked(TreeId::Public, &path, &content).await).await);
    repeated(async || storage.forget(&[content.canonical]).await).await;
    assert!(!repeated(async || storage.contains(&content).await).await);
    repeated(async || storage.discard(id).await).await;
}

/// Whichever call fails, before or after its work was done, the same calls once more do all of it.
pub(crate) async fn a_call_that_failed_can_be_repeated(subject: &mut Subject) {
    let faults = subject.faults.clone().expect("the case runs on a storage that can fail");
    for when in [When::Before, When::After] {
        let mut call = 0;
        loop {
            faults.arm(call, when);
            let id = format!("{when:?}-{call}");
            store_and_forget(subject.storage.as_ref(), &id, &noise(call, 300_000)).await;
            if faults.disarm() {
                break;
            }
            call += 1;
        }
        assert!(call > 10, "only {call} calls failed");
    }
    assert_eq!(subject.storage.contents().await.unwrap(), []);
}

/// A change of two trees whose call failed, before or after it was made, is made by the same call once more.
pub(crate) async fn a_change_of_two_trees_that_failed_can_be_repeated(subject: &mut Subject) {
    let faults = subject.faults.clone().expect("the case runs on a storage that can fail");
    for when in [When::Before, When::After] {
        let path = TreePath::parse(&format!("folder/{when:?}")).unwrap();
        let edits = TreeId::ALL.map(|tree| {
            let edit = Edit::put(path.clone(), tree.as_str());
            TreeEdit { tree, edit }
        });
        faults.arm(0, when);
        repeated(async || subject.storage.apply(&edits).await).await;
        assert!(!faults.disarm(), "no call failed");
        for tree in TreeId::ALL {
            let read = subject.storage.read(tree, &path, 100).await.unwrap();
            assert_eq!(read.unwrap(), tree.as_str());
        }
    }
}
