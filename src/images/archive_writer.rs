//! Archives as targets: what `docker load`, `podman load` and `ctr images import` take.
//!
//! The archive is a layout, and has a `manifest.json` as `docker save` writes it. The sizes of all entries are known
//! before, so each is written to where it belongs, several at a time.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::json;
use tar::{EntryType, Header};

use super::error::{ImageError, Result, blocking};
use super::fill::{Begun, fill};
use super::index::{IMAGE_NAME, REF_NAME};
use super::layout::{blob_path, digest_of};
use super::part_file::{PartFile, unnamed};
use super::plan::{Plan, PlannedManifest};
use super::target::{ImageTarget, Stored};
use crate::client::{Content, Repository};
use crate::oci::{Algorithm, Descriptor, Digest, Hasher, ManifestKind};

/// What stands before each entry, and what its length is filled up to.
const BLOCK: u64 = 512;

/// What ends an archive: two empty blocks.
const END: [u8; 1024] = [0; 1024];

/// How long a name in the head of an entry may be.
const LONGEST_NAME: usize = 100;

/// An archive that is written.
pub(crate) struct ArchiveTarget {
    /// None is a file without a name, for the docker daemon.
    path: Option<PathBuf>,
    /// The whole name of the image, for docker.
    name: Option<String>,
    /// Its tag.
    tag: Option<String>,
    draft: Mutex<Option<Draft>>,
}

/// An archive that is not finished.
struct Draft {
    /// The file as it is renamed in the end, if it is.
    part: Option<PartFile>,
    file: Arc<File>,
    /// Where each blob begins.
    offsets: HashMap<Digest, u64>,
}

impl ArchiveTarget {
    /// Takes the path of the archive, and what names the image for those who load it: `registry.example/team/app:v1`,
    /// and the tag of that.
    pub(crate) fn new(path: &Path, name: Option<String>, tag: Option<String>) -> Self {
        Self { path: Some(path.to_owned()), name, tag, draft: Mutex::new(None) }
    }

    /// Makes an archive in a file without a name, which [`Self::take_file`] returns.
    pub(super) fn unnamed(name: Option<String>, tag: Option<String>) -> Self {
        Self { path: None, name, tag, draft: Mutex::new(None) }
    }

    /// Returns the file of an archive without a name, once all was written.
    pub(super) fn take_file(&self) -> Option<Arc<File>> {
        let draft = self.draft.lock().unwrap_or_else(PoisonError::into_inner).take();
        draft.map(|draft| draft.file)
    }

    /// Returns the file, and where in it a blob begins.
    fn slot(&self, digest: &Digest) -> Result<(Arc<File>, u64)> {
        let draft = self.draft.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            draft.as_ref().and_then(|it| Some((Arc::clone(&it.file), *it.offsets.get(digest)?)));
        found.ok_or_else(|| ImageError::Unsound(format!("{digest} is not part of the archive")))
    }

    /// Returns the small files of the archive.
    fn documents(&self, plan: &Plan) -> Result<Vec<(String, Vec<u8>)>> {
        let root = &plan.root;
        let PlannedManifest { descriptor, manifest, .. } = root;
        let mut entry = json!({
            "mediaType": descriptor.media_type,
            "digest": descriptor.digest.to_string(),
            "size": descriptor.size,
        });
        let names = [(IMAGE_NAME, &self.name), (REF_NAME, &self.tag)];
        for (key, value) in names.into_iter().filter_map(|(key, it)| Some((key, it.as_ref()?))) {
            entry["annotations"][key] = json!(value);
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        });
        let path = |blob: &Descriptor| blob_path(&blob.digest);
        let Some((config, layers)) = manifest.blobs.split_first() else {
            let text = format!("cannot write {} as an archive: it is no image", descriptor.digest);
            return Err(ImageError::Choice(text));
        };
        let saved = json!([{
            "Config": path(config),
            "RepoTags": self.name.iter().collect::<Vec<_>>(),
            "Layers": layers.iter().map(path).collect::<Vec<_>>(),
        }]);
        let version = json!({ "imageLayoutVersion": "1.0.0" });
        let text = |name: &str, value: serde_json::Value| (name.to_owned(), value.to_string());
        let mut documents = vec![
            text("oci-layout", version),
            text("index.json", index),
            text("manifest.json", saved),
        ]
        .into_iter()
        .map(|(name, text)| (name, text.into_bytes()))
        .collect::<Vec<_>>();
        let manifests = plan.manifests.iter().chain([root]);
        documents.extend(manifests.map(|it| (blob_path(&it.descriptor.digest), it.bytes.to_vec())));
        Ok(documents)
    }
}

#[async_trait]
impl ImageTarget for ArchiveTarget {
    async fn begin(&self, plan: &Plan) -> Result<()> {
        if plan.root.manifest.kind == ManifestKind::Index {
            let text = "an archive has one image: choose one with --platform".to_owned();
            return Err(ImageError::Choice(text));
        }
        if let Some(layer) = plan.foreign.first() {
            let text = format!("cannot write an archive: layer {} is elsewhere", layer.digest);
            return Err(ImageError::Choice(text));
        }
        let documents = self.documents(plan)?;
        let blobs = plan.blobs.clone();
        // An archive of another image is not gone on with.
        let suffix = format!(".{}.part", &plan.root.descriptor.digest.hex()[..16]);
        let path = self.path.clone();
        let draft = blocking(move || {
            let (part, file) = match &path {
                Some(path) => {
                    let mut part = path.clone().into_os_string();
                    part.push(suffix);
                    let part = PartFile::open(Path::new(&part))?;
                    let file = part.file();
                    (Some(part), file)
                }
                None => (None, Arc::new(unnamed().map_err(unnamed_failed())?)),
            };
            let written = write_frame(&file, &documents, &blobs);
            let offsets = written.map_err(|error| match &path {
                Some(path) => ImageError::writing(path)(error),
                None => unnamed_failed()(error),
            })?;
            Ok(Draft { part, file, offsets })
        });
        let draft = draft.await?;
        *self.draft.lock().unwrap_or_else(PoisonError::into_inner) = Some(draft);
        Ok(())
    }

    fn hashes(&self) -> bool {
        true
    }

    async fn has(&self, blob: &Descriptor) -> Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        let (file, start) = self.slot(&blob.digest)?;
        let (digest, size) = (blob.digest, blob.size);
        if digest.algorithm() != Algorithm::Sha256 {
            return Ok(false);
        }
        // What an interrupted transfer has written is there, the rest is zeros.
        let failed = ImageError::reading(path);
        let found =
            tokio::task::spawn_blocking(move || digest_of(&file, start..start + size)).await;
        let found = found.map_err(std::io::Error::other).flatten().map_err(failed)?;
        Ok(found == digest)
    }

    async fn put_blob(
        &self,
        blob: &Descriptor,
        content: &Content,
        _from: Option<&Repository>,
    ) -> Result<Stored> {
        let (file, base) = self.slot(&blob.digest)?;
        let hasher = Hasher::new(blob.digest.algorithm());
        fill(Begun { file, base, offset: 0, hasher }, blob, content).await?;
        Ok(Stored::Sent)
    }

    async fn put_manifest(&self, _manifest: &PlannedManifest) -> Result<()> {
        // It was written with the frame.
        Ok(())
    }

    async fn finish(&self, _plan: &Plan) -> Result<()> {
        let draft = self.draft.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(Draft { part: Some(part), .. }), Some(path)) = (draft, self.path.clone()) else {
            return Ok(());
        };
        blocking(move || part.finish(&path)).await
    }
}

/// Makes an error of a file without a name that cannot be written.
pub(super) fn unnamed_failed() -> impl FnOnce(std::io::Error) -> ImageError {
    let folder = std::env::temp_dir();
    ImageError::file(format!(
        "cannot store the image in {} on its way; set TMPDIR to a folder with more space",
        folder.display()
    ))
}

/// Writes the heads of all entries and the small ones, and returns where the blobs begin. Blocks.
fn write_frame(
    file: &File,
    documents: &[(String, Vec<u8>)],
    blobs: &[Descriptor],
) -> std::io::Result<HashMap<Digest, u64>> {
    let (mut position, mut offsets) = (0, HashMap::new());
    let head = |mut header: Header, kind: EntryType, size: u64, position: &mut u64| {
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        file.write_all_at(header.as_bytes(), *position)?;
        let start = *position + BLOCK;
        *position = start + size.next_multiple_of(BLOCK);
        std::io::Result::Ok(start)
    };
    let entry = |name: &str, size: u64, position: &mut u64| {
        let mut header = Header::new_ustar();
        if header.set_path(name).is_err() {
            // A longer name, such as that of a sha512 digest, stands before its entry, as GNU tar has it.
            let mut long = Header::new_gnu();
            long.set_path("././@LongLink")?;
            let bytes = [name.as_bytes(), b"\0"].concat();
            let start = head(long, EntryType::GNULongName, bytes.len() as u64, position)?;
            file.write_all_at(&bytes, start)?;
            header = Header::new_gnu();
            header.set_path(name.get(..LONGEST_NAME).unwrap_or("entry"))?;
        }
        head(header, EntryType::Regular, size, position)
    };
    for (name, bytes) in documents {
        let start = entry(name, bytes.len() as u64, &mut position)?;
        file.write_all_at(bytes, start)?;
    }
    for Descriptor { digest, size, .. } in blobs {
        let start = entry(&blob_path(digest), *size, &mut position)?;
        offsets.insert(*digest, start);
    }
    // A transfer that was interrupted may have had something else there, and more behind it.
    file.write_all_at(&END, position)?;
    file.set_len(position + 2 * BLOCK)?;
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::super::archive::Archive;
    use super::*;

    #[test]
    fn an_archive_has_long_names_and_ends_whatever_was_in_its_file() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[0x2a; 16 * 1024], 0).unwrap();
        let documents = [("oci-layout".to_owned(), b"{}".to_vec())];
        let blob = |algorithm, bytes: &[u8]| Descriptor {
            media_type: String::new(),
            digest: Digest::of(algorithm, bytes),
            size: bytes.len() as u64,
        };
        let all = [
            blob(Algorithm::Sha512, b"long"),
            blob(Algorithm::Sha256, b"short"),
            blob(Algorithm::Sha512, b"other"),
        ];
        let offsets = write_frame(&file, &documents, &all).unwrap();
        let length = file.metadata().unwrap().len();
        let mut end = [1; END.len()];
        file.read_exact_at(&mut end, length - 2 * BLOCK).unwrap();
        assert_eq!(end, END);
        let archive = Archive::read_heads(file).unwrap();
        assert_eq!(archive.read("oci-layout").unwrap(), b"{}");
        for blob in &all {
            let start = offsets[&blob.digest];
            assert_eq!(archive.find(&blob_path(&blob.digest)), Some(start..start + blob.size));
        }
    }
}
