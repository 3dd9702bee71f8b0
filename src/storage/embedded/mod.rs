//! The embedded driver: plain files in the data folder, no other process.
//!
//! `content/sha256/ab/<hex>` holds each blob once; `public/` and `private/` are trees in the stock
//! layout whose `data` files are hard links to it, so that the folder can be served by a stock
//! registry and read at the speed of the file system. What is not finished stands in `tmp/`.

mod folder;
mod hash_worker;
mod import;
mod ingest;
mod leaves;
mod progress;
pub(super) mod uploads;
mod writers;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio::task::spawn_blocking;

use super::{
    AddressedTree, Announcer, ByteStream, Content, ContentStore, Edit, Finished, Ingest, Kind,
    Result, SharedStorage, SourceFolder, Storage, StorageError, StorageErrorKind, Taken, TreePath,
    TreeStore, UploadStore,
};
use crate::oci::{CanonicalDigest, TreeId};
use crate::reader;
use ingest::FileIngest;
use writers::Writers;

/// Opens the storage in a data folder, creating what is missing.
///
/// # Errors
/// When the folder cannot be made.
pub(super) fn open(data: &Path) -> Result<Arc<dyn Storage>> {
    let layout = Arc::new(Layout::new(data));
    let shards = (0..=255_u8).map(|byte| format!("content/sha256/{byte:02x}"));
    let folders = ["public", "private", "tmp/uploads", "tmp/files"].map(str::to_owned);
    for folder in folders.into_iter().chain(shards) {
        let path = data.join(folder);
        fs::create_dir_all(&path).map_err(|error| unusable(&path, &error))?;
    }
    Ok(Arc::new(Embedded { layout }))
}

fn unusable(path: &Path, error: &io::Error) -> StorageError {
    StorageError::new(unusable_kind(error), format!("{}: {error}", path.display()))
}

/// A lack of space passes; all else that prevents writing to a folder does not.
fn unusable_kind(error: &io::Error) -> StorageErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageErrorKind::Full,
        _ => StorageErrorKind::Unusable,
    }
}

/// Where everything stands in the data folder.
struct Layout {
    data: PathBuf,
    writers: Writers,
}

impl Layout {
    fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), writers: Writers::default() }
    }

    fn content(&self, digest: &CanonicalDigest) -> PathBuf {
        let hex = digest.hex();
        self.data.join("content/sha256").join(&hex[..2]).join(hex)
    }

    fn upload(&self, id: &str) -> PathBuf {
        self.data.join(uploads::FOLDER).join(id)
    }

    /// The digests of the leaves that a checkpoint has left behind, 32 bytes each.
    fn leaves(&self, id: &str) -> PathBuf {
        self.data.join(uploads::FOLDER).join(format!("{id}{}", uploads::LEAVES))
    }

    /// A file name of one use.
    fn temporary(&self) -> PathBuf {
        self.data.join("tmp/files").join(uuid::Uuid::new_v4().simple().to_string())
    }

    fn tree(&self, tree: TreeId) -> PathBuf {
        self.data.join(tree.as_str())
    }

    /// Writes a file and removes it again.
    fn probe(&self) -> io::Result<()> {
        let path = self.temporary();
        let written = fs::write(&path, b"roadstead");
        let removed = fs::remove_file(&path);
        written.and(removed)
    }

    /// Links a file to wherever content is linked to. Mounts and some file systems forbid that
    /// although everything else works.
    fn probe_links(&self) -> Result<()> {
        let source = self.temporary();
        let name = source.file_name().unwrap_or_default();
        let folders =
            ["content/sha256/00", "public", "private"].map(|folder| self.data.join(folder));
        let mut linked =
            fs::write(&source, b"roadstead").map_err(|error| unusable(&source, &error));
        for folder in &folders {
            let target = folder.join(name);
            linked = linked.and_then(|()| {
                fs::hard_link(&source, &target).and_then(|()| fs::remove_file(&target)).map_err(|error| {
                    let what = format!(
                        "cannot link files of {} to {} ({error}): both have to be on one file system with hard \
                         links",
                        self.data.display(),
                        folder.display()
                    );
                    StorageError::new(unusable_kind(&error), what)
                })
            });
        }
        folder::remove_file(&source).and(linked)
    }
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
        join(spawn_blocking(move || work(&layout)).await)
    }
}

/// Unwraps what a blocking task came to.
fn join<T>(joined: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    joined.unwrap_or_else(|error| {
        Err(StorageError::io("a task of the storage ended early", io::Error::other(error)))
    })
}

#[async_trait]
impl Storage for Embedded {
    async fn repair(&self) -> Result<()> {
        self.blocking(|layout| {
            let folder = layout.data.join("tmp/files");
            for name in folder::names(&folder)? {
                folder::remove_all(&folder.join(name))?;
            }
            layout.probe_links()
        })
        .await
    }

    async fn clean(&self) -> Result<()> {
        // Nothing is left over but what a crash leaves, and `repair` removes that.
        Ok(())
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
            folder::remove_file(&layout.leaves(&id))?;
            folder::remove_file(&layout.upload(&id))
        })
        .await
    }

    async fn ingests(&self) -> Result<Vec<String>> {
        self.blocking(|layout| {
            let names = folder::names(&layout.data.join(uploads::FOLDER))?;
            Ok(names.into_iter().filter(|name| !name.ends_with(uploads::LEAVES)).collect())
        })
        .await
    }

    async fn ingest_sizes(&self) -> Result<HashMap<String, u64>> {
        self.blocking(|layout| {
            let names = folder::names(&layout.data.join(uploads::FOLDER))?;
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
        self.blocking(move |layout| match fs::metadata(layout.content(&content.canonical)) {
            Ok(metadata) => Ok(metadata.len() == content.size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => {
                Err(StorageError::io(format!("looking for {}", content.canonical), error))
            }
        })
        .await
    }

    async fn forget(&self, canonicals: &[CanonicalDigest]) -> Result<()> {
        let canonicals = canonicals.to_vec();
        self.blocking(move |layout| {
            canonicals.iter().try_for_each(|it| folder::remove_file(&layout.content(it)))
        })
        .await
    }

    async fn contents(&self) -> Result<Vec<CanonicalDigest>> {
        self.blocking(|layout| {
            let root = layout.data.join("content/sha256");
            let mut found = Vec::new();
            for shard in folder::names(&root)? {
                let names = folder::names(&root.join(shard))?;
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

#[async_trait]
impl TreeStore for Embedded {
    async fn apply(&self, tree: TreeId, edits: &[Edit]) -> Result<()> {
        let edits = edits.to_vec();
        self.blocking(move |layout| {
            edits.iter().try_for_each(|edit| folder::apply(layout, tree, edit))
        })
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
