//! An archive on the disk as a source, with its blocks in any order.

mod block_offsets;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use tokio::task::spawn_blocking;

use super::progress::{Progress, Timeouts};
use super::{Events, Prefetch, ReadRequest, RemoteError, RemoteErrorKind, Result, Source, reading};
use crate::ipld::{Block, CarEvent, CarReader, car_frame};
use block_offsets::BlockOffsets;

/// How much of an archive is read at a time.
const PIECE: usize = 1 << 20;

/// How many blocks are read at a time.
const WIDTH: usize = 4;

/// An archive (a CAR of version 1) in a file that can be read at any offset.
#[derive(Clone)]
pub struct Archive(Arc<Opened>);

struct Opened {
    name: String,
    file: File,
    offsets: BlockOffsets,
}

/// A writer of an archive of our own.
pub struct Draft {
    file: File,
    offsets: BlockOffsets,
    length: u64,
}

impl Archive {
    /// Reads the beginning of an archive: its one root. What was read beside that is returned too.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Invalid`] when it is no archive, or one of several things;
    /// [`RemoteErrorKind::Failed`] when it cannot be read.
    pub fn begin(input: &mut dyn Read) -> Result<(Cid, Vec<u8>)> {
        let (mut reader, mut read) = (CarReader::new(), Vec::new());
        loop {
            match reader.next_event()? {
                Some(CarEvent::Header { roots }) => {
                    let [root] = roots[..] else {
                        let what = format!("the archive has {} roots, not one", roots.len());
                        return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
                    };
                    return Ok((root, read));
                }
                Some(CarEvent::Block(_)) | None => {}
            }
            let piece = next_piece(input)?;
            if piece.is_empty() {
                reader.finish()?;
                return Err(RemoteError::new(
                    RemoteErrorKind::Invalid,
                    "the archive has no header",
                ));
            }
            read.extend_from_slice(&piece);
            reader.push(piece);
        }
    }

    /// Reads a whole archive and notes the offset of each block in the empty file `notes`. Every block is
    /// compared with its hash. It blocks the thread, and calls `on_progress` with the number of bytes read.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Invalid`] and [`RemoteErrorKind::Unreachable`] when it is no sound archive, or
    /// is cut short; those of the disk.
    pub fn read(
        name: impl Into<String>,
        mut file: File,
        notes: File,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        let (mut reader, mut offsets) = (CarReader::new(), BlockOffsets::new(notes));
        loop {
            while let Some(event) = reader.next_event()? {
                let CarEvent::Block(block) = event else { continue };
                let offset = reader.position() - block.bytes.len() as u64;
                offsets.note(&block.cid, offset, length(&block)).map_err(failed)?;
            }
            let piece = next_piece(&mut file)?;
            if piece.is_empty() {
                break;
            }
            on_progress(piece.len() as u64);
            reader.push(piece);
        }
        reader.finish()?;
        offsets.settle().map_err(failed)?;
        Ok(Self(Arc::new(Opened { name: name.into(), file, offsets })))
    }

    fn block(&self, cid: Cid) -> Result<Block> {
        let Opened { name, file, offsets } = &*self.0;
        let Some((offset, length)) = offsets.find(&cid).map_err(failed)? else {
            let what = format!("{name} lacks block {cid}");
            return Err(RemoteError::new(RemoteErrorKind::Absent, what));
        };
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, offset).map_err(failed)?;
        Block::verify(cid, bytes.into()).map_err(|error| {
            let what = format!("{name} has changed");
            RemoteError::wrap(RemoteErrorKind::Invalid, what, error)
        })
    }
}

impl Draft {
    /// Begins an archive in two empty files, the second of which is for notes.
    #[must_use]
    pub fn new(file: File, notes: File) -> Self {
        Self { file, offsets: BlockOffsets::new(notes), length: 0 }
    }

    /// Adds a block. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn add(&mut self, block: &Block) -> Result<()> {
        let [head, bytes] = car_frame(block);
        let offset = self.length + head.len() as u64;
        for part in [head, bytes] {
            self.file.write_all_at(&part, self.length).map_err(failed)?;
            self.length += part.len() as u64;
        }
        self.offsets.note(&block.cid, offset, length(block)).map_err(failed)
    }

    /// How many bytes it has.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Makes a source of it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(mut self, name: impl Into<String>) -> Result<Archive> {
        self.offsets.settle().map_err(failed)?;
        let Self { file, offsets, .. } = self;
        Ok(Archive(Arc::new(Opened { name: name.into(), file, offsets })))
    }
}

#[async_trait]
impl Source for Archive {
    fn name(&self) -> &str {
        &self.0.name
    }

    async fn open(&self, request: &ReadRequest) -> Result<Events> {
        let archive = self.clone();
        let blocks = Prefetch::new(request.traversal()?, WIDTH, move |cid| {
            let archive = archive.clone();
            Box::pin(async move {
                let read = spawn_blocking(move || archive.block(cid)).await;
                read.unwrap_or_else(|error| Err(failed(io::Error::other(error))))
            })
        });
        Ok(reading::single(blocks, Progress::begin(Timeouts::default())))
    }
}

fn length(block: &Block) -> u32 {
    u32::try_from(block.bytes.len()).expect("a block has 2 MiB at most")
}

/// Reads what comes next; nothing at the end.
fn next_piece(input: &mut dyn Read) -> Result<Bytes> {
    let mut piece = vec![0; PIECE];
    loop {
        match input.read(&mut piece) {
            Ok(count) => {
                piece.truncate(count);
                return Ok(piece.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let what = "cannot read the archive";
                return Err(RemoteError::wrap(RemoteErrorKind::Failed, what, error));
            }
        }
    }
}

fn failed(error: io::Error) -> RemoteError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RemoteErrorKind::Full,
        _ => RemoteErrorKind::Failed,
    };
    RemoteError::wrap(kind, "cannot use an archive on the disk", error)
}
