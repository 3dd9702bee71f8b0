//! Layouts as targets.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::error::{ImageError, Result, blocking};
use super::fill::{Begun, fill};
use super::index::REF_NAME;
use super::layout::blob_path;
use super::part_file::{PartFile, hash, is_whole};
use super::plan::{Plan, PlannedManifest};
use super::target::{ImageTarget, Stored};
use crate::client::{Content, Repository};
use crate::oci::{Descriptor, Digest, Hasher};

/// Where parts of blobs are until they are whole, and what is gone on with.
const PARTS: &str = ".parts";

/// A folder that is filled in the OCI image layout. What it has stays.
pub(crate) struct LayoutTarget {
    folder: PathBuf,
    /// What names the image in it.
    name: Option<String>,
}

impl LayoutTarget {
    /// Takes the folder, which need not be there, and what names the image in it.
    pub(crate) fn new(folder: &Path, name: Option<String>) -> Self {
        Self { folder: folder.to_owned(), name }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(blob_path(digest))
    }
}

#[async_trait]
impl ImageTarget for LayoutTarget {
    async fn begin(&self, plan: &Plan) -> Result<()> {
        let folder = self.folder.clone();
        let blobs = plan.manifests.iter().chain([&plan.root]).map(|it| &it.descriptor);
        let algorithms: Vec<&str> =
            blobs.chain(&plan.blobs).map(|it| it.digest.algorithm().as_str()).collect();
        blocking(move || {
            for algorithm in ["sha256", "sha512"].iter().filter(|it| algorithms.contains(it)) {
                let path = folder.join("blobs").join(algorithm);
                fs::create_dir_all(&path).map_err(ImageError::writing(&path))?;
            }
            let version = folder.join("oci-layout");
            if !version.exists() {
                let text = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
                replace(&version, text.as_bytes())?;
            }
            Ok(())
        })
        .await
    }

    fn hashes(&self) -> bool {
        true
    }

    async fn has(&self, blob: &Descriptor) -> Result<bool> {
        let (path, digest, size) = (self.path(&blob.digest), blob.digest, blob.size);
        blocking(move || is_whole(&path, &digest, size).map_err(ImageError::reading(&path))).await
    }

    async fn put_blob(
        &self,
        blob: &Descriptor,
        content: &Content,
        _from: Option<&Repository>,
    ) -> Result<Stored> {
        let Descriptor { digest, size, .. } = blob.clone();
        let name = self.path(&digest);
        let part = self.folder.join(PARTS).join(format!("{}-{}", digest.algorithm(), digest.hex()));
        let opening = blocking({
            let name = name.clone();
            move || {
                let part = PartFile::open_with_folder(&part)?;
                // Another process may have finished it.
                let is_there =
                    is_whole(&name, &digest, size).map_err(ImageError::reading(&name))?;
                if is_there {
                    part.remove();
                    return Ok(None);
                }
                let begun = begun(&part.file(), &digest, size);
                let (hasher, offset) = begun.map_err(ImageError::writing(&name))?;
                Ok(Some((part, hasher, offset)))
            }
        });
        let Some((part, hasher, offset)) = opening.await? else { return Ok(Stored::Sent) };
        let begun = Begun { file: part.file(), base: 0, offset, hasher };
        let filled = fill(begun, blob, content).await;
        blocking(move || match filled {
            Ok(()) => part.finish(&name),
            Err(error) => {
                // Wrong bytes are of no use; what is missing is gone on with.
                if matches!(error, ImageError::WrongBytes(_)) {
                    part.remove();
                }
                Err(error)
            }
        })
        .await?;
        Ok(Stored::Sent)
    }

    async fn put_manifest(&self, manifest: &PlannedManifest) -> Result<()> {
        let (path, bytes) = (self.path(&manifest.descriptor.digest), manifest.bytes.clone());
        blocking(move || replace(&path, &bytes)).await
    }

    async fn finish(&self, plan: &Plan) -> Result<()> {
        self.put_manifest(&plan.root).await?;
        let (folder, name) = (self.folder.clone(), self.name.clone());
        let root = plan.root.descriptor.clone();
        let referrers: Vec<Descriptor> = plan
            .manifests
            .iter()
            .filter(|it| it.manifest.subject.is_some())
            .map(|it| it.descriptor.clone())
            .collect();
        blocking(move || {
            enter(&folder, name.as_deref(), &root, &referrers)?;
            // It is there as long as another transfer has parts.
            let _ = fs::remove_dir(folder.join(PARTS));
            Ok(())
        })
        .await
    }
}

/// Hashes what a part of a blob has. One that is too long, or whole and so was not finished, begins anew. Blocks.
fn begun(mut file: &File, digest: &Digest, size: u64) -> io::Result<(Hasher, u64)> {
    let (length, new) = (file.metadata()?.len(), Hasher::new(digest.algorithm()));
    if length > size {
        file.set_len(0)?;
        return Ok((new, 0));
    }
    Ok((hash(&mut file, new, length)?, length))
}

/// Replaces a file as a whole. Blocks.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // What is left over says nothing.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(ImageError::writing(path))
}

/// Enters an image into `index.json`, in the place of the one that had its name. Blocks.
fn enter(
    folder: &Path,
    name: Option<&str>,
    root: &Descriptor,
    referrers: &[Descriptor],
) -> Result<()> {
    // Another transfer may change it as well. The file itself is replaced, so it cannot be the lock.
    let lock = File::open(folder).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(ImageError::reading(folder))?;
    let path = folder.join("index.json");
    let mut index: Value = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            let text = format!("cannot change {}: {error}", path.display());
            ImageError::Unsound(text)
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => Value::Null,
        Err(error) => return Err(ImageError::reading(&path)(error)),
    };
    if !index["manifests"].is_array() {
        index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [],
        });
    }
    let entry = |descriptor: &Descriptor| {
        let Descriptor { media_type, digest, size } = descriptor;
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size })
    };
    let mut named = entry(root);
    if let Some(name) = name {
        named["annotations"] = json!({ REF_NAME: name });
    }
    let list = index["manifests"].as_array_mut().expect("it was made one above");
    list.retain(|known| match (known["annotations"][REF_NAME].as_str(), name) {
        (Some(known), Some(name)) => known != name,
        (None, _) => known["digest"] != named["digest"],
        (Some(_), None) => true,
    });
    // An image that has a name needs no other entry.
    let is_listed = list.iter().any(|known| known["digest"] == named["digest"]);
    if name.is_some() || !is_listed {
        list.push(named);
    }
    for referrer in referrers {
        let referrer = entry(referrer);
        if !list.iter().any(|known| known["digest"] == referrer["digest"]) {
            list.push(referrer);
        }
    }
    replace(&path, index.to_string().as_bytes())
}
