//! Content that nobody has seen before.

use roadstead::oci::{Algorithm, Digest, Hasher};
use serde_json::json;

use crate::MANIFEST_TYPE;

/// The config of every image.
pub(crate) const EMPTY: &[u8] = b"{}";

/// How far apart the places are that each renewal changes.
const STRIDE: usize = 4096;

/// Random bytes that can be made fresh.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
    state: u64,
}

impl Content {
    pub(crate) fn new(size: usize) -> Self {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanoseconds = seed.expect("the clock is right").as_nanos();
        let mut content = Self {
            bytes: vec![0; size],
            digest: String::new(),
            state: u64::try_from(nanoseconds & u128::from(u64::MAX)).unwrap_or(1) | 1,
        };
        for at in (0..size).step_by(8) {
            content.set(at);
        }
        content.digest = digest(&content.bytes);
        content
    }

    /// Makes it content that was never sent.
    pub(crate) fn renew(&mut self) {
        for at in (0..self.bytes.len()).step_by(STRIDE) {
            self.set(at);
        }
        self.digest = digest(&self.bytes);
    }

    /// The digest of the bytes repeated.
    pub(crate) fn digest_of(&self, times: usize) -> String {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for _ in 0..times {
            hasher.update(&self.bytes);
        }
        hasher.finish().to_string()
    }

    fn set(&mut self, at: usize) {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let random = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
        let end = self.bytes.len().min(at + 8);
        self.bytes[at..end].copy_from_slice(&random[..end - at]);
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()
}

/// The manifest of an image of that one layer and an empty config.
pub(crate) fn image(layer: &str, size: usize) -> String {
    image_of(&[(layer.to_owned(), size)])
}

/// The manifest of an image of those layers, each with its size, and an empty config.
pub(crate) fn image_of(layers: &[(String, usize)]) -> String {
    let layer = |(digest, size): &(String, usize)| {
        json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest,
            "size": size,
        })
    };
    let layers: Vec<_> = layers.iter().map(layer).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(EMPTY),
            "size": EMPTY.len(),
        },
        "layers": layers,
    })
    .to_string()
}
