//! The vocabulary of the OCI distribution specification, as types.
//!
//! Every other room speaks in these; strings from outside become one of them at the door or are
//! refused there. This room is pure: it reads no file, calls no server and knows nothing of storage.

mod digest;
mod error_code;
#[cfg(any(test, fuzzing))]
pub mod generated;
#[cfg(test)]
pub(crate) mod hostile;
mod manifest;
mod media_type;
mod name;
mod reference;
mod referrers_tag;
mod repository;
mod text;
mod tree_id;

pub use digest::{Algorithm, CanonicalDigest, Digest, DigestError, Hasher};
pub use error_code::ErrorCode;
pub use manifest::{Descriptor, Manifest, ManifestError, ManifestKind};
pub use media_type::MediaType;
pub use name::{
    ForeignName, NameError, RepositoryName, RootName, is_domain, read_domain, read_root,
};
pub use reference::{Reference, ReferenceError, Tag, TagError};
pub use repository::{
    IndexState, RepositoryIdentity, RepositoryRecord, Visibility, VisibilityError,
};
pub use tree_id::{TreeId, TreeIdError};
