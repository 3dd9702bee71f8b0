//! The Kubo driver: content and trees in the MFS of a node, which any number of processes may share.
//!
//! Nothing is ever written through MFS. Blocks are made here; a name is taken for them before they are
//! sent, since a collection, which may be requested at any moment, keeps what is below a name and
//! nothing else; and all names of a change are one `files/cp`. `mfs_paths` draws the names, `node` links under
//! leases, `commit` makes snapshots, `ingest` and `upload_window` send content, `pull` reads it, `cleaning` takes names away again.

mod blocks;
mod buffer_pool;
mod checkpoint;
mod chunk;
mod cleaning;
mod commit;
mod error;
mod ingest;
mod mending;
mod mfs_paths;
mod node;
mod pull;
mod pull_quota;
mod store;
mod tree;
mod upload_window;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::ready;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::edit::linked;
use super::{
    AddressedTree, Announcer, Applied, BlockCollector, BlockMender, ByteStream, Content,
    ContentStore, Edit, Finished, Ingest, Kind, NewContent, Permission, Result, SharedStorage,
    SourceFolder, Storage, StorageContext, StorageError, StorageErrorKind, Taken, TreeEdit,
    TreePath, TreeStore, UploadStore,
};
use crate::ipld::{Block, Cid, raw_cid};
use crate::kubo::{Kubo, KuboErrorKind};
use crate::oci::{Algorithm, CanonicalDigest, Hasher, TreeId};
use blocks::CALLS;
use checkpoint::Checkpoint;
use ingest::KuboIngest;
use mfs_paths::{MfsPaths, Owner, owner};
use node::Node;
use store::Store;
use tree::Tree;

/// How many bytes of a folder's file are read at a time.
const PIECE: usize = 1024 * 1024;

/// Opens the storage; nothing is requested from the node yet.
///
/// # Errors
/// When there can be no client.
pub(super) fn open(context: &StorageContext<'_>) -> Result<Arc<dyn Storage>> {
    let settings = &context.settings.kubo;
    let (api, gateway) = (settings.api.clone(), settings.gateway.clone());
    let kubo = Kubo::new(api, gateway, settings.token.clone())?;
    let node = Node::new(kubo, MfsPaths::new(&settings.mfs_root), Arc::clone(&context.locks));
    Ok(Arc::new(KuboStorage {
        store: Store::new(node),
        redirect: settings.redirect.clone(),
        collects: settings.collect,
    }))
}

struct KuboStorage {
    store: Arc<Store>,
    /// A gateway that clients can reach, if they are to be sent there.
    redirect: Option<String>,
    /// Whether a collection removes the node's blocks, too.
    collects: bool,
}

impl KuboStorage {
    async fn tree(&self, tree: TreeId) -> Result<Tree> {
        let store = &self.store;
        let root = store.snapshots.current().await?.tree(tree).cid;
        Ok(Tree { node: Arc::clone(&store.node), blocks: Arc::clone(&store.blocks), root })
    }

    /// Reads a tree; once more where that was replaced and collected meanwhile.
    async fn reading<T, Read: Future<Output = Result<T>>>(
        &self,
        tree: TreeId,
        read: impl Fn(Tree) -> Read,
    ) -> Result<T> {
        let known = self.tree(tree).await?;
        match read(known.clone()).await {
            Err(error) if error.kind == StorageErrorKind::NotFound => {
                let current = self.tree(tree).await?;
                if current.root == known.root {
                    let what = format!("a block of the tree {} is missing", known.root);
                    return Err(StorageError::wrap(StorageErrorKind::Damaged, what, error));
                }
                read(current).await
            }
            read => read,
        }
    }

    /// Returns the CID of stored content.
    async fn stored_cid(&self, canonical: &CanonicalDigest) -> Result<Option<Cid>> {
        let node = &self.store.node;
        let stat = node.kubo.stat(&node.paths.content(canonical)).await?;
        Ok(stat.map(|stat| stat.cid))
    }

    /// Fails if content is not stored that edits are to link, that which is `present` aside.
    async fn expect_linked(
        &self,
        edits: &[TreeEdit],
        present: &HashSet<CanonicalDigest>,
    ) -> Result<()> {
        let mut contents = Vec::new();
        for TreeEdit { edit, .. } in edits {
            if let Edit::Link { digest, cid, size, .. } = edit {
                let content = linked(digest, cid, *size)?;
                if !present.contains(&content.canonical) {
                    contents.push(content);
                }
            }
        }
        stream::iter(contents)
            .map(|content| async move {
                if self.contains(&content).await? {
                    return Ok(());
                }
                let what = format!("content {} is missing", content.canonical);
                Err(StorageError::new(StorageErrorKind::NotFound, what))
            })
            .buffer_unordered(CALLS)
            .try_collect()
            .await
    }
}

#[async_trait]
impl Storage for KuboStorage {
    async fn repair(&self) -> Result<()> {
        self.store.node.prepare().await
    }

    async fn clean(&self) -> Result<()> {
        self.store.clean().await
    }

    async fn release_reserve(&self) -> Result<bool> {
        // The node's disk is the operator's.
        Ok(false)
    }

    async fn ping(&self) -> Result<()> {
        let node = &self.store.node;
        // The node writes what it has not written yet, so one without space says so.
        if node.kubo.stat(node.paths.root()).await?.is_none() {
            let what = format!("{} is missing on the node", node.paths.root());
            return Err(StorageError::new(StorageErrorKind::Unusable, what));
        }
        Ok(())
    }

    fn location(&self, content: &Content) -> Option<String> {
        let gateway = self.redirect.as_ref()?;
        Some(format!("{gateway}/ipfs/{}", content.cid))
    }

    fn shared(&self) -> Option<&dyn SharedStorage> {
        Some(self)
    }

    fn block_collector(&self) -> Option<&dyn BlockCollector> {
        self.collects.then_some(self as &dyn BlockCollector)
    }

    fn block_mender(&self) -> Option<&dyn BlockMender> {
        Some(self)
    }

    fn announcer(&self) -> Option<&dyn Announcer> {
        Some(self)
    }
}

#[async_trait]
impl UploadStore for KuboStorage {
    async fn begin(&self, id: &str) -> Result<Box<dyn Ingest>> {
        self.store.released().remove(id);
        Ok(Box::new(KuboIngest::new(&self.store, id, Checkpoint::beginning())))
    }

    async fn resume(&self, id: &str, offset: u64, checkpoint: &[u8]) -> Result<Box<dyn Ingest>> {
        if offset == 0 {
            return self.begin(id).await;
        }
        let gone = |why: &str| {
            StorageError::new(StorageErrorKind::NotFound, format!("resuming upload {id}: {why}"))
        };
        let Some(checkpoint) = Checkpoint::from_bytes(checkpoint, offset) else {
            return Err(gone("cannot read its checkpoint"));
        };
        let node = &self.store.node;
        let is_staged = !self.store.released().contains(id)
            && owner(&checkpoint.staged) == Some(Owner::Upload(id))
            && node.kubo.stat(&node.paths.staged(&checkpoint.staged)).await?.is_some();
        if !is_staged {
            return Err(gone("the received content is missing on the node"));
        }
        Ok(Box::new(KuboIngest::new(&self.store, id, checkpoint)))
    }

    async fn discard(&self, id: &str) -> Result<()> {
        self.store.release(id);
        Ok(())
    }

    async fn ingests(&self) -> Result<Vec<String>> {
        let names = self.store.names(&self.store.node.paths.all_staged()).await?;
        let released = self.store.released();
        let ids: BTreeSet<&str> = names
            .iter()
            .filter_map(|name| match owner(name) {
                Some(Owner::Upload(id)) if !released.contains(id) => Some(id),
                _ => None,
            })
            .collect();
        Ok(ids.into_iter().map(str::to_owned).collect())
    }

    async fn ingest_sizes(&self) -> Result<HashMap<String, u64>> {
        // All that is known is what their checkpoints say.
        Ok(HashMap::new())
    }
}

#[async_trait]
impl ContentStore for KuboStorage {
    async fn import(
        &self,
        source: &SourceFolder,
        path: &TreePath,
        expected: &CanonicalDigest,
    ) -> Result<Taken> {
        let mut file = source.open(path).await?;
        let id = Uuid::now_v7().to_string();
        let mut ingest = self.begin(&id).await?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        while let Some(bytes) = file.next(PIECE).await? {
            hasher.update(&bytes);
            ingest.append(bytes).await?;
        }
        let found = hasher.finish();
        if found != (*expected).into() {
            self.store.release(&id);
            return Err(StorageError::new(StorageErrorKind::DigestMismatch, found.to_string()));
        }
        let finished = ingest.finish(&found).await?;
        Ok(Taken { finished, is_linked: false })
    }

    async fn open(&self, content: &Content, range: Range<u64>) -> Result<ByteStream> {
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        self.store.pull(content, range).await
    }

    async fn leaf(&self, _content: &Content, range: Range<u64>, cid: &Cid) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.store.leaf(range, cid).await
    }

    async fn contains(&self, content: &Content) -> Result<bool> {
        let stored = self.stored_cid(&content.canonical).await?;
        Ok(stored == Some(content.cid))
    }

    async fn forget_if(
        &self,
        canonicals: &[CanonicalDigest],
        permission: &mut dyn Permission,
    ) -> Result<()> {
        let node = &self.store.node;
        for canonical in canonicals {
            node.forget(canonical);
        }
        let found: Vec<Option<String>> = stream::iter(canonicals.to_vec())
            .map(|canonical| async move {
                let stored = self.stored_cid(&canonical).await?;
                Ok::<_, StorageError>(stored.map(|_| node.paths.content(&canonical)))
            })
            .buffered(CALLS)
            .try_collect()
            .await?;
        let paths: Vec<String> = found.into_iter().flatten().collect();
        if paths.is_empty() {
            return Ok(());
        }
        // Each removal has all others wait for half a second.
        self.store.remove(&paths, permission).await
    }

    async fn contents(&self) -> Result<Vec<CanonicalDigest>> {
        let paths = &self.store.node.paths;
        let shards = self.store.names(&paths.all_content()).await?;
        let listed: Vec<Vec<String>> = stream::iter(shards)
            .map(|shard| async move { self.store.names(&paths.shard(&shard)).await })
            .buffer_unordered(CALLS)
            .try_collect()
            .await?;
        let digests = listed.iter().flatten().map(|hex| format!("sha256:{hex}").parse());
        Ok(digests.filter_map(std::result::Result::ok).collect())
    }

    async fn verify(&self, canonical: &CanonicalDigest) -> Result<Content> {
        let Some(cid) = self.stored_cid(canonical).await? else {
            return Err(StorageError::new(StorageErrorKind::NotFound, canonical.to_string()));
        };
        let size = self.store.size(&cid).await?;
        Ok(self.store.identify(&cid, size).await?.content)
    }
}

#[async_trait]
impl TreeStore for KuboStorage {
    async fn apply(&self, edits: &[TreeEdit]) -> Result<()> {
        let permit = Box::pin(ready(true));
        self.apply_and_fold(edits, &HashSet::new(), &[], permit).await.map(drop)
    }

    async fn sync(&self) -> Result<()> {
        // Whatever was applied outlasts the node.
        Ok(())
    }

    async fn read(&self, tree: TreeId, path: &TreePath, limit: u64) -> Result<Option<Bytes>> {
        self.reading(tree, |tree| async move { tree.read(path, limit).await }).await
    }

    async fn list(&self, tree: TreeId, path: &TreePath) -> Result<Option<Vec<(String, Kind)>>> {
        self.reading(tree, |tree| async move { tree.list(path).await }).await
    }

    async fn identify(&self, tree: TreeId, path: &TreePath) -> Result<Finished> {
        let found = self.reading(tree, |tree| async move { tree.find(path).await }).await?;
        let Some((entry, Kind::File(size))) = found else {
            return Err(StorageError::new(StorageErrorKind::NotFound, path.to_string()));
        };
        self.store.identify(&entry.cid, size).await
    }

    async fn adopt(&self, tree: TreeId, path: &TreePath, content: &Content) -> Result<()> {
        if !self.is_linked(tree, path, content).await? {
            let what = format!("{path} has changed from {}", content.cid);
            return Err(StorageError::new(StorageErrorKind::NotFound, what));
        }
        // Where thousands are adopted, each is named already.
        self.store.node.settle().await?;
        match self.stored_cid(&content.canonical).await? {
            Some(cid) if cid == content.cid => return Ok(()),
            Some(_) => self.forget(&[content.canonical]).await?,
            None => {}
        }
        self.store.node.keep(&content.canonical, content.cid, None).await
    }

    async fn is_linked(&self, tree: TreeId, path: &TreePath, content: &Content) -> Result<bool> {
        let found = self.reading(tree, |tree| async move { tree.find(path).await }).await?;
        Ok(found.is_some_and(|(entry, _)| entry.cid == content.cid))
    }

    fn addressed(&self) -> Option<&dyn AddressedTree> {
        Some(self)
    }
}

#[async_trait]
impl AddressedTree for KuboStorage {
    async fn apply_and_fold(
        &self,
        edits: &[TreeEdit],
        present: &HashSet<CanonicalDigest>,
        new: &[NewContent],
        permit: BoxFuture<'_, bool>,
    ) -> Result<Vec<Applied>> {
        let stored = new.iter().map(|new| new.content().canonical);
        let present: HashSet<CanonicalDigest> = present.iter().copied().chain(stored).collect();
        let permitted = async {
            let refused = || StorageError::new(StorageErrorKind::Unavailable, "the caller gave up");
            if permit.await { Ok(()) } else { Err(refused()) }
        };
        let linked = self.expect_linked(edits, &present);
        let check = async { tokio::try_join!(linked, permitted).map(drop) };
        let new: Vec<Block> = new.iter().map(NewContent::block).collect();
        self.store.snapshots.apply(edits, &new, check).await
    }

    async fn removed_leaf(&self, canonical: &CanonicalDigest) -> Result<Option<Content>> {
        let cid = raw_cid(canonical.0);
        match self.store.node.kubo.block(&cid).await {
            Ok(bytes) => Ok(Some(Content { canonical: *canonical, cid, size: bytes.len() as u64 })),
            Err(error) if error.kind == KuboErrorKind::MissingBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn directory_cid(&self, tree: TreeId, path: &TreePath) -> Result<Option<Cid>> {
        let found = self.reading(tree, |tree| async move { tree.find(path).await }).await?;
        Ok(found.filter(|(_, kind)| *kind == Kind::Directory).map(|(entry, _)| entry.cid))
    }
}

#[async_trait]
impl BlockCollector for KuboStorage {
    async fn collect_blocks(&self) -> Result<()> {
        Ok(self.store.node.kubo.collect_garbage().await?)
    }
}

#[async_trait]
impl BlockMender for KuboStorage {
    async fn drop_damaged(&self, file: &Cid) -> Result<u64> {
        self.store.drop_damaged(file).await
    }
}

impl SharedStorage for KuboStorage {
    fn recall(&self, canonical: &CanonicalDigest) {
        self.store.node.remember(*canonical);
    }

    fn has_just_stored(&self, content: &Content) -> bool {
        self.store.node.has_just_linked(content)
    }
}

#[async_trait]
impl Announcer for KuboStorage {
    async fn publish(&self, root: &Cid, known: Option<&Cid>) -> Result<()> {
        let Node { kubo, paths, .. } = &*self.store.node;
        let name = paths.published_pin();
        let pinned = kubo.pinned_trees(&name).await?;
        if !pinned.contains(root) {
            let known = known.filter(|known| pinned.contains(known)).or(pinned.first());
            kubo.pin_tree(root, known, &name).await?;
        }
        match kubo.provide(root).await {
            // Then it is announced with all that is pinned, or nothing is to be announced.
            Err(error) if error.kind != KuboErrorKind::Disabled => {
                tracing::warn!(%root, %error, "failed to announce the published root");
            }
            _ => {}
        }
        Ok(())
    }

    async fn release_published(&self, retained: &[Cid]) -> Result<()> {
        let Node { kubo, paths, .. } = &*self.store.node;
        let mut pinned = kubo.pinned_trees(&paths.published_pin()).await?;
        pinned.retain(|root| !retained.contains(root));
        Ok(kubo.unpin_trees(&pinned).await?)
    }

    async fn addresses(&self) -> Result<Vec<String>> {
        Ok(self.store.node.kubo.addresses().await?)
    }
}
