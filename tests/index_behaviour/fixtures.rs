//! Rows to store: each made of a short text, so that the same text gives the same row.

use bytes::Bytes;
use cid::Cid;
use multihash::Multihash;
use roadstead::index::{
    BlobBlock, BlobRow, EdgeKind, ManifestEdge, NewBlob, NewManifest, Result, StoredManifest,
    TagRow, UploadKey, Writer,
};
use roadstead::oci::{Algorithm, CanonicalDigest, Digest, RepositoryName, Tag};

/// The time that is passed where it does not matter.
pub(crate) const NOW: i64 = 1_000_000;

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Numbers that are the same for the same seed.
pub(crate) struct Numbers(u64);

impl Numbers {
    /// Begins with `TEST_SEED`, or with the process's id; prints what it is, and returns it too.
    pub(crate) fn cast() -> (u64, Self) {
        let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        eprintln!("TEST_SEED={seed}");
        (seed, Self(seed))
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % limit
    }
}

pub(crate) fn repository(name: &str) -> RepositoryName {
    name.parse().expect("the suite writes names well")
}

/// An upload that an anonymous client began.
pub(crate) fn key<'a>(repository: &'a RepositoryName, id: &'a str) -> UploadKey<'a> {
    UploadKey { repository, owner: "", id }
}

pub(crate) fn tag(name: &str) -> Tag {
    name.parse().expect("the suite writes tags well")
}

pub(crate) fn canonical(text: &str) -> CanonicalDigest {
    CanonicalDigest::of(text.as_bytes())
}

pub(crate) fn sha256(text: &str) -> Digest {
    canonical(text).into()
}

pub(crate) fn sha512(text: &str) -> Digest {
    Digest::of(Algorithm::Sha512, text.as_bytes())
}

pub(crate) fn cid(text: &str) -> Cid {
    const RAW: u64 = 0x55;
    const SHA2_256: u64 = 0x12;

    let hash = Multihash::wrap(SHA2_256, &canonical(text).0).expect("32 bytes fit");
    Cid::new_v1(RAW, hash)
}

pub(crate) fn stored_blob(text: &str) -> BlobRow {
    BlobRow { canonical: canonical(text), cid: cid(text), size: text.len() as u64 }
}

pub(crate) fn leaf(text: &str, start: u64, length: u64) -> BlobBlock {
    BlobBlock { cid: cid(text), start, length, node: None }
}

pub(crate) fn blob(text: &str) -> NewBlob {
    let blocks = vec![leaf(text, 0, text.len() as u64)];
    NewBlob { blob: stored_blob(text), aliases: Vec::new(), blocks }
}

/// A blob that was pushed by sha512.
pub(crate) fn blob_with_alias(text: &str) -> NewBlob {
    NewBlob { aliases: vec![sha512(text)], ..blob(text) }
}

pub(crate) fn stored_manifest(text: &str) -> StoredManifest {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    StoredManifest { canonical: canonical(text), cid: cid(text), bytes }
}

pub(crate) fn manifest(text: &str) -> NewManifest {
    NewManifest {
        canonical: canonical(text),
        aliases: Vec::new(),
        media_type: IMAGE.to_owned(),
        artifact_type: None,
        has_foreign_layers: false,
        edges: Vec::new(),
    }
}

pub(crate) fn edge(kind: EdgeKind, target: Digest) -> ManifestEdge {
    ManifestEdge { kind, target }
}

pub(crate) fn target(text: &str) -> TagRow {
    TagRow { digest: sha256(text), canonical: canonical(text) }
}

/// Stores a manifest and gives it to the repository.
pub(crate) async fn give(
    writer: &mut Writer,
    repository: &RepositoryName,
    text: &str,
    manifest: &NewManifest,
) -> Result<()> {
    writer.put_stored_manifest(&stored_manifest(text)).await?;
    writer.put_manifest(repository, manifest, NOW).await
}
