//! Which blobs of foreign images are fetched ahead, and for which images that is done.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::index::ManifestRow;
use crate::oci::{CanonicalDigest, Descriptor};

/// For how many images that is done at a time.
const IMAGES: usize = 4;

/// Of how many it is remembered that it was done.
const DONE: usize = 10_000;

/// The longest manifest that is looked at: those of images are shorter.
const LONGEST: usize = 64 * 1024;

/// What the names of annotations begin with by which layers say how they are read in parts.
const IN_PARTS: [&str; 2] = ["containerd.io/snapshot/", "containers.zstd-chunked."];

/// What is fetched ahead.
pub(super) struct Ahead {
    /// The most bytes of each image.
    bytes: u64,
    /// How many blobs of an image come at a time: other reads below its root can begin beside them.
    pub(super) at_once: usize,
    /// By the digests of their manifests.
    under_way: Mutex<HashSet<CanonicalDigest>>,
    done: quick_cache::sync::Cache<CanonicalDigest, ()>,
}

/// An image whose blobs are being fetched, until it is dropped.
pub(super) struct Image {
    ahead: Arc<Ahead>,
    pub(super) manifest: CanonicalDigest,
}

impl Ahead {
    /// Fetches at most so many bytes of an image ahead, where so many reads below one root are allowed at a time.
    pub(super) fn new(bytes: u64, reads_per_root: usize) -> Self {
        let at_once = (reads_per_root - reads_per_root / 4).max(1);
        let done = quick_cache::sync::Cache::new(DONE);
        Self { bytes, at_once, under_way: Mutex::default(), done }
    }

    /// Begins with an image, unless that is done or under way, nothing is to be fetched, or too many others are under way.
    pub(super) fn begin(self: &Arc<Self>, manifest: &ManifestRow) -> Option<Image> {
        let digest = manifest.canonical;
        if self.bytes == 0 || manifest.bytes.len() > LONGEST || is_read_in_parts(&manifest.bytes) {
            return None;
        }
        let mut under_way = self.under_way();
        let may_begin = under_way.len() < IMAGES && self.done.get(&digest).is_none();
        let begins = may_begin && under_way.insert(digest);
        begins.then(|| Image { ahead: Arc::clone(self), manifest: digest })
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<CanonicalDigest>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns which blobs of an image are fetched ahead: in the order of its manifest those for which there is room.
    pub(super) fn choose(&self, blobs: Vec<Descriptor>) -> Vec<Descriptor> {
        let mut left = self.bytes;
        let mut fits = |blob: &Descriptor| {
            let rest = left.checked_sub(blob.size);
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        let stored = blobs.into_iter().filter(|blob| !blob.is_foreign());
        stored.filter(|blob| fits(blob)).collect()
    }
}

impl Image {
    /// Notes that all was fetched.
    pub(super) fn is_done(&self) {
        self.ahead.done.insert(self.manifest, ());
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.ahead.under_way().remove(&self.manifest);
    }
}

/// Tells whether the layers of an image say how they are read in parts (eStargz, zstd:chunked, nydus): who pulls those
/// has no use for the whole.
fn is_read_in_parts(manifest: &[u8]) -> bool {
    IN_PARTS.iter().any(|name| manifest.windows(name.len()).any(|it| it == name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Algorithm, Digest};

    #[test]
    fn the_blobs_are_chosen_in_their_order_as_far_as_there_is_room() {
        let blob = |media_type: &str, size: u64| Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(Algorithm::Sha256, &size.to_be_bytes()),
            size,
        };
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let blobs = vec![
            blob("config", 10),
            blob(foreign, 20),
            blob("layer", 60),
            blob("layer", 31),
            blob("layer", 30),
            blob("layer", u64::MAX),
            blob("layer", 0),
        ];
        let chosen = Ahead::new(100, 8).choose(blobs);
        assert_eq!(chosen.iter().map(|it| it.size).collect::<Vec<_>>(), [10, 60, 30, 0]);
    }

    #[test]
    fn layers_that_are_read_in_parts_are_known_by_their_annotations() {
        for name in [
            "containerd.io/snapshot/stargz/toc.digest",
            "io.github.containers.zstd-chunked.manifest-checksum",
            "io.containers.zstd-chunked.manifest-checksum",
        ] {
            let manifest = format!(r#"{{"layers":[{{"annotations":{{"{name}":"x"}}}}]}}"#);
            assert!(is_read_in_parts(manifest.as_bytes()), "{name}");
        }
        assert!(!is_read_in_parts(
            br#"{"layers":[{"mediaType":"application/vnd.oci.image.layer"}]}"#
        ));
        assert!(!is_read_in_parts(b""));
    }
}
