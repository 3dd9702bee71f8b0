//! Taking content in: bytes go to a file of their own while the next ones are received.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::super::blocking::{blocking, join};
use super::super::{Finished, Ingest, Result, StorageError, StorageErrorKind, files};
use super::hash_worker::HashWorker;
use super::layout::Layout;
use super::progress::{Progress, sync_failed};
use crate::oci::{Algorithm, Digest};

/// How many bytes are sent to the disk at a time while others come, so that the end need not wait for all of them.
const FLUSH: u64 = 32 * 1024 * 1024;

/// How many bytes of a client's chunk are worth sending to the disk when it ends.
const CHUNK: u64 = 8 * 1024 * 1024;

/// Content that is written to a file of its own.
pub(super) struct FileIngest {
    layout: Arc<Layout>,
    id: String,
    offset: u64,
    file: Arc<File>,
    hash_worker: HashWorker,
    /// The flush under way, and up to where bytes were flushed when it began.
    flush: Option<JoinHandle<Result<()>>>,
    flushed: u64,
    /// Whether its digest by sha512 was found to be the expected one.
    is_checked: bool,
}

impl FileIngest {
    /// Starts a file, replacing one that an earlier start has left: that may be content already.
    pub(super) fn begin(layout: Arc<Layout>, id: String) -> Result<Self> {
        let path = layout.upload(&id);
        let writer = layout.writers.take(&id);
        let file =
            writer.write(|| {
                files::remove_file(&path)?;
                OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(
                    |error| StorageError::io(format!("creating {}", path.display()), error),
                )
            })?;
        Ok(Self::new(layout, id, 0, Progress::begin(file, writer)))
    }

    /// Goes on with a file.
    pub(super) fn resume(
        layout: Arc<Layout>,
        id: String,
        offset: u64,
        checkpoint: &[u8],
    ) -> Result<Self> {
        if offset == 0 {
            return Self::begin(layout, id);
        }
        let path = layout.upload(&id);
        let writer = layout.writers.take(&id);
        let context = || format!("resuming {}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| StorageError::io(context(), error))?;
        let found = file.metadata().map_err(|error| StorageError::io(context(), error))?;
        let gone =
            |why| StorageError::new(StorageErrorKind::NotFound, format!("{}: {why}", context()));
        if found.len() < offset {
            return Err(gone(format!("only {} of {offset} bytes are left", found.len())));
        }
        if found.nlink() > 1 {
            return Err(gone("it is stored content already".to_owned()));
        }
        writer
            .write(|| file.set_len(offset).map_err(|error| StorageError::io(context(), error)))?;
        let progress = Progress::resume(&layout, &id, (file, writer), offset, checkpoint)
            .map_err(|error| StorageError::io(context(), error))?;
        Ok(Self::new(layout, id, offset, progress))
    }

    fn new(layout: Arc<Layout>, id: String, offset: u64, progress: Progress) -> Self {
        let file = Arc::clone(&progress.file);
        Self {
            layout,
            id,
            offset,
            file,
            hash_worker: HashWorker::new(progress),
            flush: None,
            flushed: offset,
            is_checked: false,
        }
    }

    /// Sends what was written so far to the disk, beside what comes.
    async fn flush_early(&mut self) -> Result<()> {
        if self.offset - self.flushed < FLUSH {
            return Ok(());
        }
        self.end_flush().await?;
        self.flush = Some(self.flush());
        Ok(())
    }

    /// Sends what was written so far to the disk. An upload of which that fails is forgotten, also when
    /// nothing waits.
    fn flush(&mut self) -> JoinHandle<Result<()>> {
        self.flushed = self.offset;
        let (file, layout, id) =
            (Arc::clone(&self.file), Arc::clone(&self.layout), self.id.clone());
        spawn_blocking(move || file.sync_data().map_err(|error| sync_failed(&layout, &id, error)))
    }

    /// Waits for the flush under way: a failure is reported once, and must not be lost.
    async fn end_flush(&mut self) -> Result<()> {
        let Some(flush) = &mut self.flush else { return Ok(()) };
        // Taken only when it has ended: the task that waits here may be gone before.
        let ended = join(flush.await);
        self.flush = None;
        ended
    }

    /// Waits until all that was appended is written and hashed.
    async fn drain(&mut self) -> Result<Progress> {
        self.hash_worker.settle().await?;
        self.end_flush().await?;
        self.hash_worker.take()
    }
}

#[async_trait]
impl Ingest for FileIngest {
    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.offset += bytes.len() as u64;
        self.hash_worker.append(bytes).await?;
        let flushed = self.flush_early().await;
        if flushed.is_err() {
            // Nothing may be written any more when another writer goes on with the file.
            let _ = self.hash_worker.settle().await;
        }
        flushed
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    async fn checkpoint(&mut self) -> Result<Vec<u8>> {
        let mut progress = self.drain().await?;
        if self.offset - self.flushed >= CHUNK {
            // Beside the next chunk: what a checkpoint stands for need not be on the disk.
            drop(self.flush());
        }
        let (layout, id) = (Arc::clone(&self.layout), self.id.clone());
        let task = spawn_blocking(move || {
            let checkpoint = progress.save(&layout, &id)?;
            Ok((progress, checkpoint))
        });
        let (progress, checkpoint) = join(task.await)?;
        self.hash_worker = HashWorker::new(progress);
        Ok(checkpoint)
    }

    async fn prepare(&mut self, expected: &Digest) -> Result<()> {
        if expected.algorithm() == Algorithm::Sha256 {
            return Ok(());
        }
        let progress = self.drain().await?;
        let expected = *expected;
        let task = spawn_blocking(move || {
            progress.expect(&expected)?;
            Ok(progress)
        });
        let progress = join(task.await)?;
        self.hash_worker = HashWorker::new(progress);
        self.is_checked = true;
        Ok(())
    }

    async fn finish(mut self: Box<Self>, expected: &Digest) -> Result<Finished> {
        let is_checked = self.is_checked;
        let (mut progress, pieces) = match self.hash_worker.take_unabsorbed() {
            Some(unabsorbed) => {
                self.end_flush().await?;
                unabsorbed
            }
            None => (self.drain().await?, Vec::new()),
        };
        let (layout, id, expected) = (Arc::clone(&self.layout), self.id.clone(), *expected);
        // Each thread costs as much as some thousands of bytes, and a small blob needs only this one.
        let finishing = blocking(move || {
            progress.absorb(&pieces)?;
            progress.keep(&layout, &id, &expected, is_checked)
        });
        finishing.await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use tempfile::TempDir;

    use super::*;
    use crate::ipld::file::CHUNK_SIZE;

    /// Appends more than a chunk, and returns the storage's layout, the file and the checkpoint.
    async fn interrupted(bytes: &Bytes) -> (TempDir, Arc<Layout>, Vec<u8>) {
        let folder = TempDir::new().unwrap();
        let layout = Arc::new(Layout::new(folder.path()));
        for name in ["tmp/uploads", "content/sha256/00"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let mut ingest = FileIngest::begin(Arc::clone(&layout), "upload".to_owned()).unwrap();
        ingest.append(bytes.clone()).await.unwrap();
        let checkpoint = ingest.checkpoint().await.unwrap();
        (folder, layout, checkpoint)
    }

    async fn go_on(layout: Arc<Layout>, bytes: &Bytes, checkpoint: &[u8]) -> Result<Finished> {
        let offset = bytes.len() as u64;
        let ingest = FileIngest::resume(layout, "upload".to_owned(), offset, checkpoint)?;
        Box::new(ingest).finish(&Digest::of(Algorithm::Sha256, bytes)).await
    }

    /// A page that the machine had not written when it lost its power.
    fn lose_a_page(layout: &Layout) {
        let file = OpenOptions::new().write(true).open(layout.upload("upload")).unwrap();
        file.write_all_at(&[0; 4096], 8192).unwrap();
    }

    #[tokio::test]
    async fn what_a_loss_of_power_took_is_noticed() {
        let bytes = Bytes::from(vec![7; CHUNK_SIZE + 5]);
        let (_folder, layout, mut checkpoint) = interrupted(&bytes).await;
        lose_a_page(&layout);
        // The machine has started anew since.
        checkpoint[1..17].fill(0xff);
        let finished = go_on(layout, &bytes, &checkpoint).await;
        assert_eq!(finished.unwrap_err().kind, StorageErrorKind::DigestMismatch);
    }

    #[tokio::test]
    async fn the_bytes_are_not_read_again_while_the_machine_runs() {
        let bytes = Bytes::from(vec![7; CHUNK_SIZE + 5]);
        let (folder, layout, checkpoint) = interrupted(&bytes).await;
        let hex = Digest::of(Algorithm::Sha256, &bytes).to_string();
        let shard = folder.path().join("content/sha256").join(&hex["sha256:".len()..][..2]);
        fs::create_dir_all(shard).unwrap();
        lose_a_page(&layout);
        go_on(layout, &bytes, &checkpoint).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_content_already_is_not_written_to() {
        let bytes = Bytes::from(vec![7; CHUNK_SIZE + 5]);
        let (_folder, layout, checkpoint) = interrupted(&bytes).await;
        // As a process leaves it that is killed while it keeps the file.
        let content = layout.data.join("content/sha256/00/ff");
        fs::hard_link(layout.upload("upload"), &content).unwrap();
        let resumed = FileIngest::resume(Arc::clone(&layout), "upload".to_owned(), 5, &checkpoint);
        assert_eq!(resumed.err().unwrap().kind, StorageErrorKind::NotFound);
        let mut anew = FileIngest::resume(layout, "upload".to_owned(), 0, &[]).unwrap();
        anew.append(Bytes::from_static(b"other")).await.unwrap();
        anew.checkpoint().await.unwrap();
        assert_eq!(fs::read(&content).unwrap(), bytes);
    }
}
