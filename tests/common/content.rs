//! Bytes, their digests, and the documents that name them.

use std::fmt::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

pub(crate) const MIB: usize = 1024 * 1024;

/// A digest that nothing has.
pub(crate) const NOBODYS: &str =
    "sha256:00000000000000000000000000000000000000000000000000000000000000aa";

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

/// Bytes without a pattern; the same for the same seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A descriptor of the bytes, by sha256.
pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() })
}

/// An OCI image manifest of that config and those layers.
pub(crate) fn image(config: &[u8], layers: &[&[u8]]) -> Value {
    let layers: Vec<Value> = layers.iter().map(|layer| descriptor(OCI_LAYER, layer)).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": layers,
    })
}

/// An OCI index of those manifests.
pub(crate) fn index(manifests: &[&[u8]]) -> Value {
    let manifests: Vec<Value> =
        manifests.iter().map(|manifest| descriptor(OCI_MANIFEST, manifest)).collect();
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests })
}
