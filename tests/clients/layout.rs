//! Images in a folder: the OCI layout that a client pushes from, and the plain copy that it pulls into.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// All that an image consists of. Equal contents are the same image, byte for byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The digest of the manifest.
    pub(crate) manifest: String,
    /// The names of the config and of the layers with the SHA-256 of what they hold, both in hex.
    pub(crate) blobs: BTreeMap<String, String>,
}

/// A folder in the OCI image layout.
pub(crate) struct Layout {
    folder: TempDir,
    contents: Contents,
    manifests: Vec<String>,
}

/// What a layout is made of: the config of an image, and its layers with their media types.
pub(crate) struct Parts {
    pub(crate) config: Value,
    pub(crate) layers: Vec<(&'static str, Vec<u8>)>,
}

impl Layout {
    /// Writes an image of one manifest.
    pub(crate) fn write(parts: &Parts) -> Self {
        let mut layout = Self::empty();
        let manifest = layout.add_manifest(parts);
        layout.finish(&manifest)
    }

    /// Writes an index with an image for each platform, which the configs name.
    pub(crate) fn write_index(images: &[Parts]) -> Self {
        let mut layout = Self::empty();
        let mut manifests = Vec::new();
        for parts in images {
            let mut manifest = layout.add_manifest(parts);
            let Parts { config, .. } = parts;
            manifest["platform"] =
                json!({ "architecture": config["architecture"], "os": config["os"] });
            manifests.push(manifest);
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        let index = layout.add(media_type, index.to_string().as_bytes());
        layout.finish(&index)
    }

    fn empty() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        fs::create_dir_all(folder.path().join("blobs/sha256")).expect("a folder can be made");
        let contents = Contents { manifest: String::new(), blobs: BTreeMap::new() };
        Self { folder, contents, manifests: Vec::new() }
    }

    /// Adds an image; gives the descriptor of its manifest.
    fn add_manifest(&mut self, parts: &Parts) -> Value {
        let config = parts.config.to_string();
        let config = self.add("application/vnd.oci.image.config.v1+json", config.as_bytes());
        let layers: Vec<Value> = parts
            .layers
            .iter()
            .map(|(media_type, content)| self.add(media_type, content))
            .collect();
        self.contents.blobs = files(&self.path().join("blobs/sha256"));
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
        });
        let manifest = self.add(media_type, manifest.to_string().as_bytes());
        self.manifests.push(digest(&manifest));
        manifest
    }

    /// Names the manifest that the layout is about.
    fn finish(mut self, manifest: &Value) -> Self {
        self.contents.manifest = digest(manifest);
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        let version = json!({ "imageLayoutVersion": "1.0.0" });
        for (name, content) in [("index.json", index), ("oci-layout", version)] {
            fs::write(self.path().join(name), content.to_string()).expect("a file can be written");
        }
        self
    }

    /// As containers/image names it.
    pub(crate) fn transport(&self) -> String {
        format!("oci:{}", self.path().display())
    }

    /// The digests of the manifests of its images.
    pub(crate) fn manifests(&self) -> &[String] {
        &self.manifests
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Puts a blob into the layout; gives its descriptor.
    fn add(&self, media_type: &str, content: &[u8]) -> Value {
        let digest = hex(&Sha256::digest(content));
        let path = self.path().join("blobs/sha256").join(&digest);
        fs::write(path, content).expect("a blob can be written");
        let digest = format!("sha256:{digest}");
        json!({ "mediaType": media_type, "digest": digest, "size": content.len() })
    }
}

/// What skopeo writes to `dir:`, the only place where it changes nothing: `manifest.json` and the blobs
/// under their names.
pub(crate) struct Copy {
    folder: TempDir,
}

impl Copy {
    /// A folder to be filled.
    pub(crate) fn empty() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder can be made") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// As containers/image names it.
    pub(crate) fn transport(&self) -> String {
        format!("dir:{}", self.path().display())
    }

    pub(crate) fn contents(&self) -> Contents {
        let manifest = format!("sha256:{}", sha256(&self.path().join("manifest.json")));
        let mut blobs = files(self.path());
        // The rest of what skopeo writes is not the image's.
        for name in ["manifest.json", "version"] {
            assert!(blobs.remove(name).is_some(), "skopeo wrote no {name}");
        }
        Contents { manifest, blobs }
    }

    /// The digest of the config, which docker calls the id of the image.
    pub(crate) fn config(&self) -> String {
        let text = fs::read(self.path().join("manifest.json")).expect("skopeo wrote a manifest");
        let manifest: Value = serde_json::from_slice(&text).expect("a manifest is JSON");
        digest(&manifest["config"])
    }
}

/// The SHA-256 of a file, in hex.
pub(crate) fn sha256(path: &Path) -> String {
    hex(&Sha256::digest(fs::read(path).expect("the file can be read")))
}

fn digest(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("a descriptor has a digest").to_owned()
}

/// The files of a folder, each with the SHA-256 of what it holds, in hex.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    entries
        .map(|entry| {
            let entry = entry.expect("the folder can be read");
            (entry.file_name().to_string_lossy().into_owned(), sha256(&entry.path()))
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
