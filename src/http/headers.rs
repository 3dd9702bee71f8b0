//! The names of headers that answers have and the log reads.

use actix_web::http::header::HeaderName;

/// The digest of the content that an answer is about.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Where the content stands in IPFS.
pub(super) const IPFS_PATH: HeaderName = HeaderName::from_static("x-ipfs-path");
