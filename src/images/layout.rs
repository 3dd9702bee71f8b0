//! Layouts as sources: a folder, or the same inside an archive.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::archive::Archive;
use super::error::{ImageError, Result, blocking};
use super::index::{LayoutIndex, Selected};
use super::part_file::{hash, is_whole};
use super::source::{ImageSource, LARGEST_MANIFEST};
use crate::client::Content;
use crate::oci::{Algorithm, Descriptor, Digest, Hasher, Manifest, MediaType};

/// Where a layout's files are.
#[derive(Debug, Clone)]
pub(super) enum LayoutFiles {
    Folder(PathBuf),
    Archive(Arc<Archive>),
}

/// A file of a layout.
struct LayoutFile {
    file: Arc<File>,
    range: Range<u64>,
}

/// The path of a blob in a layout. A digest is parsed, so it leads nowhere else.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

impl LayoutFiles {
    /// Finds a blob of that size. What is no file of the folder itself, but a link, is sent only if it is the blob: a
    /// link could lead to any file of this machine. Blocks.
    fn find(&self, digest: &Digest, size: u64) -> io::Result<LayoutFile> {
        let path = blob_path(digest);
        let found = match self {
            Self::Archive(archive) => {
                let range = archive.find(&path).ok_or(io::ErrorKind::NotFound)?;
                LayoutFile { file: Arc::clone(&archive.file), range }
            }
            Self::Folder(folder) => {
                let path = folder.join(path);
                let is_link = fs::symlink_metadata(&path)?.is_symlink();
                if is_link && !is_whole(&path, digest, size)? {
                    let text = "it is a link to something else";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                if !fs::metadata(&path)?.is_file() {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file"));
                }
                let file = File::open(path)?;
                let length = file.metadata()?.len();
                LayoutFile { file: Arc::new(file), range: 0..length }
            }
        };
        let length = found.range.end - found.range.start;
        if length != size {
            let text = format!("it has {length} bytes, and {size} were expected");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(found)
    }

    /// Reads a small file.
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                if !fs::metadata(&path)?.is_file() {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file"));
                }
                let mut bytes = Vec::new();
                File::open(path)?.take(LARGEST_MANIFEST + 1).read_to_end(&mut bytes)?;
                if bytes.len() as u64 > LARGEST_MANIFEST {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large"));
                }
                Ok(bytes)
            }
            Self::Archive(archive) => archive.read(name),
        }
    }

    fn manifest(&self, descriptor: &Descriptor) -> io::Result<Bytes> {
        let LayoutFile { file, range } = self.find(&descriptor.digest, descriptor.size)?;
        let mut bytes = vec![0; usize::try_from(descriptor.size).map_err(io::Error::other)?];
        std::os::unix::fs::FileExt::read_exact_at(&*file, &mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

/// An image of a layout.
pub(crate) struct LayoutSource {
    files: LayoutFiles,
    name: String,
    root: (Descriptor, Bytes),
    /// The entries that refer to a manifest, with that.
    referrers: Vec<(Descriptor, Digest)>,
}

/// Opens a folder in the OCI image layout. `named` is what names the image in it, `tag` the tag that it is to have.
///
/// # Errors
/// [`ImageError::Choice`] if it has several images and none was named, or not that one; [`ImageError::Unsound`] if it is
/// no layout; those of the files.
pub(crate) async fn open_layout(
    folder: &Path,
    named: Option<&str>,
    tag: Option<&str>,
) -> Result<LayoutSource> {
    let (name, files) =
        (format!("oci:{}", folder.display()), LayoutFiles::Folder(folder.to_owned()));
    let (named, tag) = (named.map(str::to_owned), tag.map(str::to_owned));
    blocking(move || LayoutSource::open(name, files, named.as_deref(), tag.as_deref())).await
}

impl LayoutSource {
    /// Opens a layout. Blocks.
    pub(super) fn open(
        name: String,
        files: LayoutFiles,
        named: Option<&str>,
        tag: Option<&str>,
    ) -> Result<Self> {
        let read = |file: &str| {
            files.read(file).map_err(ImageError::file(format!("cannot read {file} of {name}")))
        };
        let version: serde_json::Value =
            serde_json::from_slice(&read("oci-layout")?).unwrap_or_default();
        let version = version["imageLayoutVersion"].as_str().unwrap_or_default();
        if !version.starts_with("1.") {
            let text = format!("cannot read {name}: its oci-layout names no version that is known");
            return Err(ImageError::Unsound(text));
        }
        let index = LayoutIndex::read(&name, read("index.json")?.into())?;
        let mut referrers = Vec::new();
        for entry in &index.entries {
            let descriptor = &entry.descriptor;
            // What cannot be read is no referrer; if it is needed, reading it fails.
            let bytes = Some(descriptor).filter(|it| it.size <= LARGEST_MANIFEST);
            let Some(Ok(bytes)) = bytes.map(|it| files.manifest(it)) else { continue };
            let Ok(manifest) = Manifest::parse(&bytes, None) else { continue };
            if let Some(subject) = manifest.subject {
                let media_type = manifest.media_type.as_str().to_owned();
                referrers.push((Descriptor { media_type, ..descriptor.clone() }, subject.digest));
            }
        }
        let digests: Vec<Digest> = referrers.iter().map(|(it, _)| it.digest).collect();
        // A layout of an artifact alone has just that.
        let all_refer = digests.len() == index.entries.len();
        let left_out: &[Digest] = if all_refer { &[] } else { &digests };
        let root = match index.select(&name, named, tag, left_out)? {
            Selected::All => {
                let descriptor = Descriptor {
                    media_type: MediaType::OciIndex.as_str().to_owned(),
                    digest: Digest::of(Algorithm::Sha256, &index.bytes),
                    size: index.bytes.len() as u64,
                };
                (descriptor, index.bytes)
            }
            Selected::One(descriptor) => {
                if descriptor.size > LARGEST_MANIFEST {
                    let Descriptor { digest, size, .. } = descriptor;
                    let text =
                        format!("cannot read {digest} of {name}: a manifest of {size} bytes");
                    return Err(ImageError::Unsound(text));
                }
                let failed = format!("cannot read {} of {name}", descriptor.digest);
                let bytes = files.manifest(&descriptor).map_err(ImageError::file(failed))?;
                if Digest::of(descriptor.digest.algorithm(), &bytes) != descriptor.digest {
                    return Err(ImageError::corrupt(&name, &descriptor));
                }
                (descriptor, bytes)
            }
        };
        Ok(Self { files, name, root, referrers })
    }
}

#[async_trait]
impl ImageSource for LayoutSource {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn root(&self) -> Result<(Descriptor, Bytes)> {
        Ok(self.root.clone())
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        let (files, descriptor) = (self.files.clone(), descriptor.clone());
        let failed =
            ImageError::file(format!("cannot read {} of {}", descriptor.digest, self.name));
        let read = tokio::task::spawn_blocking(move || files.manifest(&descriptor)).await;
        read.map_err(io::Error::other).flatten().map_err(failed)
    }

    async fn content(&self, descriptor: &Descriptor) -> Result<Content> {
        let (files, digest, size) = (self.files.clone(), descriptor.digest, descriptor.size);
        let failed = ImageError::file(format!("cannot read {digest} of {}", self.name));
        let found = tokio::task::spawn_blocking(move || files.find(&digest, size)).await;
        let found = found.map_err(io::Error::other).flatten().map_err(failed)?;
        Ok(Content::of_file(found.file, found.range))
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let found = self.referrers.iter().filter(|(_, it)| it == subject);
        Ok(found.map(|(descriptor, _)| descriptor.clone()).collect())
    }
}

/// Hashes a range of a file. Blocks.
pub(super) fn digest_of(file: &File, range: Range<u64>) -> io::Result<Digest> {
    struct At<'a>(&'a File, u64);

    impl Read for At<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = std::os::unix::fs::FileExt::read_at(self.0, buffer, self.1)?;
            self.1 += read as u64;
            Ok(read)
        }
    }

    let length = range.end - range.start;
    let hasher = Hasher::new(Algorithm::Sha256);
    Ok(hash(&mut At(file, range.start), hasher, length)?.finish())
}
