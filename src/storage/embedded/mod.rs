//! The embedded driver: plain files in the data folder, no other process.
//!
//! `content/sha256/ab/<hex>` holds each blob once; `public/` and `private/` are trees in the stock
//! layout whose `data` files are hard links to it, so that the folder can be served by a stock
//! registry and read at the speed of the file system. What is not finished stands in `tmp/`.

mod aside;
mod content;
mod folder;
mod hash_worker;
mod import;
mod ingest;
mod layout;
mod leaves;
mod progress;
mod reserve;
pub(super) mod uploads;
mod writers;

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use super::blocking::blocking;
use super::{
    AddressedTree, Announcer, BlockCollector, BlockMender, ByteStream, Content, ContentStore,
    Finished, Ingest, Kind, Permission, Result, SharedStorage, SourceFolder, Storage, StorageError,
    StorageErrorKind, Taken, TreeEdit, TreePath, TreeStore, UploadStore, files, permission,
};
use crate::oci::{CanonicalDigest, TreeId};
use crate::reader;
use ingest::FileIngest;
use layout::{Layout, unusable};

/// Opens the storage in a data folder, creating what is missing.
///
/// # Errors
/// When the folder cannot be made.
pub(super) fn open(data: &Path) -> Result<Arc<dyn Storage>> {
    let layout = Arc::new(Layout::new(data));
    let shards = (0..=255_u8).map(|byte| format!("content/sha256/{byte:02x}"));
    let folders = TreeId::ALL.map(TreeId::as_str).into_iter().chain([
        "tmp/uploads",
        "tmp/files",
        aside::FOLDER,
    ]);
    for folder in folders.map(str::to_owned).chain(shards) {
        let path = data.join(folder);
        fs::create_dir_all(&path).map_err(|error| unusable(&path, &error))?;
    }
    Ok(Arc::new(Embedded { layout }))
}

struct Embedded {
    layout: Arc<Layout>,
}

impl Embedded {
    /// Runs file work where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Layout) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let layout = Arc::clone(&self.layout);
        blocking(move || work(&layout)).await
    }
}

#[async_trait]
impl Storage for Embedded {
    async fn repair(&self) -> Result<()> {
        self.blocking(|layout| {
            let folder = layout.data.join("tmp/files");
            for name in files::names(&folder)? {
                files::remove_all(&folder.join(name))?;
            }
            aside::remove(&layout.data)?;
            reserve::take(&layout.data);
            layout.probe_links()
        })
        .await
    }

    async fn clean(&self) -> Result<()> {
        self.blocking(|layout| {
            aside::remove(&layout.data)?;
            reserve::take(&layout.data);
            Ok(())
        })
        .await
    }

    async fn release_reserve(&self) -> Result<bool> {
        self.blocking(|layout| reserve::release(&layout.data)).await
    }

    async fn ping(&self) -> Result<()> {
        self.blocking(|layout| {
            layout
                .probe()
                .map_err(|error| StorageError::io(layout.data.display().to_string(), error))
        })
        .await
    }

    fn location(&self, _content: &Content) -> Option<String> {
        None
    }

    fn shared(&self) -> Option<&dyn SharedStorage> {
        None
    }

    fn block_collector(&self) -> Option<&dyn BlockCollector> {
        None
    }

    fn block_mender(&self) -> Option<&dyn BlockMender> {
        None
    }

    fn announcer(&self) -> Option<&dyn Announcer> {
        None
    }
}

#[async_trait]
impl UploadStore for Embedded {
    async fn begin(&self, id: &str) -> Result<Box<dyn Ingest>> {
        let (layout, id) = (Arc::clone(&self.layout), id.to_owned());
        let ingest = self.blocking(move |_| FileIngest::begin(layout, id)).await?;
        Ok(Box::new(ingest))
    }

    async fn resume(&self, id: &str, offset: u64, checkpoint: &[u8]) -> Result<Box<dyn Ingest>> {
        let (layout, id, checkpoint) =
            (Arc::clone(&self.layout), id.to_owned(), checkpoint.to_vec());
        let ingest =
            self.blocking(move |_| FileIngest::resume(layout, id, offset, &checkpoint)).await?;
        Ok(Box::new(ingest))
    }

    async fn discard(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.blocking(move |layout| {
            files::remove_file(&layout.leaves(&id))?;
            files::remove_file(&layout.upload(&id))
        })
        .await
    }

    async fn ingests(&self) -> Result<Vec<String>> {
        self.blocking(|layout| {
            let names = files::names(&layout.data.join(uploads::FOLDER))?;
            Ok(names.into_iter().filter(|name| !name.ends_with(uploads::LEAVES)).collect())
        })
        .await
    }

    async fn ingest_sizes(&self) -> Result<HashMap<String, u64>> {
        self.blocking(|layout| {
            let names = files::names(&layout.data.join(uploads::FOLDER))?;
            let sizes = names.into_iter().filter_map(|name| {
                // One may have ended meanwhile.
                let size = fs::metadata(layout.upload(&name)).ok()?.len();
                (!name.ends_with(uploads::LEAVES)).then_some((name, size))
            });
            Ok(sizes.collect())
        })
        .await
    }
}

#[async_trait]
impl ContentStore for Embedded {
    async fn import(
        &self,
        source: &SourceFolder,
        path: &TreePath,
        expected: &CanonicalDigest,
    ) -> Result<Taken> {
        let (source, path, expected) = (source.clone(), path.clone(), *expected);
        self.blocking(move |layout| import::import(layout, &source, &path, &expected)).await
    }

    async fn open(&self, content: &Content, range: Range<u64>) -> Result<ByteStream> {
        let content = *content;
        let file = self
            .blocking(move |layout| {
                let path = layout.content(&content.canonical);
                let (file, length) = fs::File::open(&path)
                    .and_then(|file| {
                        let length = file.metadata()?.len();
                        Ok((file, length))
                    })
                    .map_err(|error| {
                        StorageError::io(format!("opening {}", content.canonical), error)
                    })?;
                if length != content.size {
                    let what =
                        format!("{} has {length} bytes, not {}", content.canonical, content.size);
                    return Err(StorageError::new(StorageErrorKind::Damaged, what));
                }
                Ok(file)
            })
            .await?;
        let bytes = reader::stream(Arc::new(file), range);
        Ok(bytes.map_err(|error| StorageError::io("reading content".to_owned(), error)).boxed())
    }

    async fn contains(&self, content: &Content) -> Result<bool> {
        let content = *content;
        self.blocking(move |layout| contains(layout, &content)).await
    }

    async fn contain(&self, contents: Vec<Content>) -> Result<Vec<Result<bool>>> {
        self.blocking(move |layout| Ok(contents.iter().map(|it| contains(layout, it)).collect()))
            .await
    }

    async fn forget_if(
        &self,
        canonicals: &[CanonicalDigest],
        permission: &mut dyn Permission,
    ) -> Result<()> {
        permission::expect(permission).await?;
        let canonicals = canonicals.to_vec();
        self.blocking(move |layout| {
            canonicals.iter().try_for_each(|it| aside::take(&layout.data, &layout.content(it)))
        })
        .await
    }

    async fn contents(&self) -> Result<Vec<CanonicalDigest>> {
        self.blocking(|layout| {
            let root = layout.data.join("content/sha256");
            let mut found = Vec::new();
            for shard in files::names(&root)? {
                let names = files::names(&root.join(shard))?;
                found.extend(
                    names
                        .iter()
                        .filter_map(|hex| format!("sha256:{hex}").parse::<CanonicalDigest>().ok()),
                );
            }
            Ok(found)
        })
        .await
    }

    async fn verify(&self, canonical: &CanonicalDigest) -> Result<Content> {
        let canonical = *canonical;
        self.blocking(move |layout| folder::verify(layout, &canonical)).await
    }
}

/// Returns whether the content is stored, with its size.
fn contains(layout: &Layout, content: &Content) -> Result<bool> {
    match fs::metadata(layout.content(&content.canonical)) {
        Ok(metadata) => Ok(metadata.len() == content.size),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::io(format!("looking for {}", content.canonical), error)),
    }
}

#[async_trait]
impl TreeStore for Embedded {
    async fn apply(&self, edits: &[TreeEdit]) -> Result<()> {
        let edits = edits.to_vec();
        self.blocking(move |layout| edits.iter().try_for_each(|edit| folder::apply(layout, edit)))
            .await
    }

    async fn sync(&self) -> Result<()> {
        self.blocking(|layout| {
            fs::File::open(&layout.data)
                .and_then(|folder| rustix::fs::syncfs(&folder).map_err(io::Error::from))
                .map_err(|error| {
                    StorageError::io(format!("syncing {}", layout.data.display()), error)
                })
        })
        .await
    }

    async fn read(&self, tree: TreeId, path: &TreePath, limit: u64) -> Result<Option<Bytes>> {
        let path = path.clone();
        self.blocking(move |layout| folder::read(layout, tree, &path, limit)).await
    }

    async fn list(&self, tree: TreeId, path: &TreePath) -> Result<Option<Vec<(String, Kind)>>> {
        let path = path.clone();
        self.blocking(move |layout| folder::list(layout, tree, &path)).await
    }

    async fn identify(&self, tree: TreeId, path: &TreePath) -> Result<Finished> {
        let path = path.clone();
        self.blocking(move |layout| folder::identify(layout, tree, &path)).await
    }

    async fn adopt(&self, tree: TreeId, path: &TreePath, content: &Content) -> Result<()> {
        let (path, content) = (path.clone(), *content);
        self.blocking(move |layout| folder::adopt(layout, tree, &path, &content)).await
    }

    async fn is_linked(&self, tree: TreeId, path: &TreePath, content: &Content) -> Result<bool> {
        let (path, content) = (path.clone(), *content);
        self.blocking(move |layout| folder::is_linked(layout, tree, &path, &content)).await
    }

    fn addressed(&self) -> Option<&dyn AddressedTree> {
        None
    }
}
