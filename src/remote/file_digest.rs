//! Computes the digests of a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::oci::{Algorithm, CanonicalDigest, Digest, Hasher};

/// Computes the digest of a file.
pub(super) fn digest_of(file: &File) -> io::Result<CanonicalDigest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    read_all(file, |piece| hasher.update(piece))?;
    Ok(hasher.finish().canonical().expect("a sha256 is canonical"))
}

/// Computes the sha256 and the sha512 digest of a file.
pub(super) fn digests_of(file: &File) -> io::Result<(CanonicalDigest, Digest)> {
    let (mut sha256, mut sha512) = (Hasher::new(Algorithm::Sha256), Hasher::new(Algorithm::Sha512));
    read_all(file, |piece| {
        sha256.update(piece);
        sha512.update(piece);
    })?;
    Ok((sha256.finish().canonical().expect("a sha256 is canonical"), sha512.finish()))
}

fn read_all(file: &File, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let (mut at, mut piece) = (0, vec![0; 256 * 1024]);
    loop {
        match file.read_at(&mut piece, at)? {
            0 => return Ok(()),
            read => {
                take(&piece[..read]);
                at += read as u64;
            }
        }
    }
}
