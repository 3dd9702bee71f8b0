//! Layouts that a test puts together.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::content::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, descriptor, sha512};

/// A layout under construction.
pub(crate) struct Made {
    pub(crate) folder: TempDir,
}

impl Made {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        fs::create_dir_all(folder.path().join("blobs/sha256")).expect("a folder can be made");
        fs::create_dir_all(folder.path().join("blobs/sha512")).expect("a folder can be made");
        let version = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
        fs::write(folder.path().join("oci-layout"), version).expect("a file can be written");
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts bytes in, and gives their descriptor.
    pub(crate) fn add(&self, media_type: &str, bytes: &[u8]) -> Value {
        let descriptor = descriptor(media_type, bytes);
        self.write(&descriptor, bytes);
        descriptor
    }

    /// The same by a sha512 digest.
    pub(crate) fn add_sha512(&self, media_type: &str, bytes: &[u8]) -> Value {
        let descriptor =
            json!({ "mediaType": media_type, "digest": sha512(bytes), "size": bytes.len() });
        self.write(&descriptor, bytes);
        descriptor
    }

    fn write(&self, descriptor: &Value, bytes: &[u8]) {
        let name = descriptor["digest"].as_str().expect("it has one").replacen(':', "/", 1);
        let path = self.path().join("blobs").join(name);
        fs::write(path, bytes).expect("a file can be written");
    }

    /// Puts an image of that config and these layers in, and gives the descriptor of its manifest.
    pub(crate) fn image(&self, config: &Value, layers: &[Value]) -> Value {
        let config = self.add(OCI_CONFIG, config.to_string().as_bytes());
        self.manifest(&json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
        }))
    }

    /// Puts an image of gzip layers of these bytes in.
    pub(crate) fn image_of(&self, config: &Value, layers: &[&[u8]]) -> Value {
        let layers: Vec<Value> = layers.iter().map(|layer| self.add(OCI_LAYER, layer)).collect();
        self.image(config, &layers)
    }

    /// Puts a manifest in, and gives its descriptor.
    pub(crate) fn manifest(&self, manifest: &Value) -> Value {
        let media_type = manifest["mediaType"].as_str().expect("it has one").to_owned();
        self.add(&media_type, manifest.to_string().as_bytes())
    }

    /// Puts an index of these in, and gives its descriptor.
    pub(crate) fn index(&self, manifests: &[Value]) -> Value {
        self.manifest(
            &json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests }),
        )
    }

    /// Writes `index.json`.
    pub(crate) fn finish(self, manifests: &[Value]) -> Self {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.path().join("index.json"), index.to_string())
            .expect("a file can be written");
        self
    }
}

/// The digest of a descriptor.
pub(crate) fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().expect("a descriptor has a digest")
}

/// The config of an image for that processor.
pub(crate) fn config(architecture: &str) -> Value {
    json!({
        "os": "linux", "architecture": architecture, "created": "2026-01-02T03:04:05Z",
        "rootfs": { "type": "layers", "diff_ids": [] }, "config": {},
    })
}

/// What a layout has: the files of `blobs`, and what its index names.
pub(crate) fn contents(folder: &Path) -> (Vec<String>, Value) {
    let mut files = Vec::new();
    for algorithm in ["sha256", "sha512"] {
        let folder = folder.join("blobs").join(algorithm);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("the folder can be read").path();
            let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
            let bytes = fs::read(&path).expect("the file can be read");
            let found = match algorithm {
                "sha256" => crate::common::content::sha256(&bytes),
                _ => sha512(&bytes),
            };
            assert_eq!(found, format!("{algorithm}:{name}"), "it has other bytes");
            files.push(found);
        }
    }
    files.sort();
    let index = fs::read(folder.join("index.json")).expect("it is finished");
    (files, serde_json::from_slice(&index).expect("an index is JSON"))
}
